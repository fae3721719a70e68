"""`fit`, `evaluate` and `predict` of a task, which take raw inputs."""

import math
from typing import Any, ClassVar

import keras

from keras_attn._arrays import to_array, to_weights
from keras_attn._types import Tensor
from keras_attn.recipes import TaskDescription
from keras_attn.tasks._adaptation import check_can_fit, restart_lora
from keras_attn.tasks._batches import (
    PreprocessedBatches,
    as_tuple,
    check_first_batch,
    is_dataset,
    preprocess_generator,
    refuse_torch_loader,
)
from keras_attn.tasks._saving import SaveableModel


class RawInputModel(SaveableModel):
    """A model that preprocesses what `fit`, `evaluate` and `predict` are called with.

    Subclasses define `preprocess_inputs`, `preprocess_targets` and `preprocess_batch`.
    """

    description: ClassVar[TaskDescription]

    def preprocess_inputs(self, x: Any, *, training: bool = False) -> Any:
        """Convert raw inputs into input arrays of the network.

        Args:
            x: Arrays, lists or columns of pandas; never a data set.
            training: Whether the inputs are for `fit`.
        """
        return to_array(x)

    def preprocess_targets(self, y: Any) -> Any:
        """Convert targets, such as label names, into arrays for the loss."""
        return to_array(y)

    def preprocess_batch(self, x: Tensor, *rest: Tensor, training: bool = False) -> Any:
        """Convert a batch of a `tf.data.Dataset`, in a TensorFlow graph.

        A subclass that defines `preprocess_inputs` must define this too.
        """
        if type(self).preprocess_inputs is not RawInputModel.preprocess_inputs:
            raise NotImplementedError(
                f"{type(self).__name__} preprocesses arrays, but not batches of a tf.data.Dataset: "
                "define `preprocess_batch`, or pass arrays or a keras.utils.PyDataset."
            )
        return (x, *rest) if rest else x

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        **kwargs: Any,
    ) -> Any:
        """Train on raw inputs, as `keras.Model.fit` does.

        Args:
            x: Raw inputs: arrays, lists or columns of pandas; or a `tf.data.Dataset`,
                `keras.utils.PyDataset` or generator of batches of inputs and targets.
            y: Targets, unless `x` is a data set.
            batch_size: Examples per step, unless `x` is a data set; the default is 32.
            epochs: Passes over the data.
            **kwargs: See `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            TypeError: `x` is a data loader of torch.
            ValueError: The model is quantized and has no LoRA.
        """
        check_can_fit(self)
        restart_lora(self)
        validation = kwargs.get("validation_data")
        if validation is not None:
            parts = validation if isinstance(validation, tuple | list) else (validation,)
            kwargs["validation_data"] = self._preprocess(*parts)
        if kwargs.get("sample_weight") is not None:
            kwargs["sample_weight"] = to_weights(kwargs["sample_weight"])
        if hasattr(x, "element_spec") or hasattr(x, "__next__"):
            kwargs.setdefault("shuffle", False)  # a data set or generator defines its own order
        arguments = self._fit_arguments(x, y, training=True)
        if arguments["x"] is not None and not is_dataset(arguments["x"]):
            examples = len(keras.tree.flatten(arguments["x"])[0])
            if kwargs.get("validation_data") is None:
                examples = math.floor(examples * (1.0 - kwargs.get("validation_split", 0.0)))
            check_first_batch(self, examples, batch_size)
        return super().fit(**arguments, batch_size=batch_size, epochs=epochs, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return loss and metrics on raw inputs, as `keras.Model.evaluate` does; see `fit`."""
        if kwargs.get("_use_cached_eval_dataset"):  # called by `fit`, which has preprocessed them
            return super().evaluate(x, y, batch_size, **kwargs)
        if kwargs.get("sample_weight") is not None:
            kwargs["sample_weight"] = to_weights(kwargs["sample_weight"])
        return super().evaluate(**self._fit_arguments(x, y), batch_size=batch_size, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """Return the outputs of the network for raw inputs, as `keras.Model.predict` does."""
        return super().predict(self._preprocess(x), batch_size=batch_size, **kwargs)

    def _fit_arguments(self, x: Any, y: Any, training: bool = False) -> dict[str, Any]:
        """Return the arguments `x` and `y` of Keras's `fit` and `evaluate`."""
        if is_dataset(x):
            return {"x": self._preprocess(x, training=training), "y": y}
        x, *rest = as_tuple(self._preprocess(x, *([] if y is None else [y]), training=training))
        return {"x": x, "y": rest[0] if rest else None}

    def _preprocess(self, x: Any, *rest: Any, training: bool = False) -> Any:
        """Return preprocessed inputs, with preprocessed targets and weights if there are any."""
        refuse_torch_loader(x, type(self).__name__)
        if hasattr(x, "element_spec"):
            # A distributed data set has no `map`: its elements must be what the network reads.
            if not hasattr(x, "map") or not self._is_raw(x.element_spec):
                return x
            return x.map(lambda *parts: self.preprocess_batch(*parts, training=training))
        if isinstance(x, keras.utils.PyDataset):
            return PreprocessedBatches(x, self, training)
        if hasattr(x, "__next__"):
            return preprocess_generator(x, self, training)
        if not is_dataset(x):
            self._check_not_empty(x)
            x = self.preprocess_inputs(x, training=training)
        if not rest:
            return x
        targets, *weights = rest
        return (x, self.preprocess_targets(targets), *map(to_weights, weights))

    def _check_not_empty(self, x: Any) -> None:
        """Raise ValueError for a list or array of no inputs, which Keras does not accept."""
        if hasattr(x, "__len__") and len(x) == 0:
            examples = self.description.examples
            raise ValueError(
                f"There must be at least one of the {examples}. Received: an empty "
                f"{type(x).__name__} of {examples}."
            )

    def _preprocess_item(self, index: int, x: Any, *rest: Any, training: bool = False) -> Any:
        """Return the batch `index` of a `PyDataset` in the form that the network is fitted on."""
        return self._preprocess(x, *rest, training=training)

    def _is_raw(self, spec: Any) -> bool:
        """Return whether the elements of a `tf.data.Dataset` need to be preprocessed."""
        return True
