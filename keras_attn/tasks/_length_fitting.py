"""`fit`, `evaluate` and `predict` on inputs of any length, each batch padded to its longest.

One array of all inputs would be as long as the longest: a text of 10,000 words among 11,000 texts
takes gigabytes. Here inputs are held without padding, and each batch is padded to the longest
input in it.
"""

import math
from typing import Any, ClassVar, Protocol

import keras
import numpy as np

from keras_attn._arrays import as_array, to_weights
from keras_attn._wording import counted
from keras_attn.batching.texts import LENGTH_MULTIPLE
from keras_attn.tasks._batches import (
    PreprocessedBatches,
    alternate_lengths,
    as_tuple,
    check_first_batch,
)
from keras_attn.tasks._labels import in_label_order
from keras_attn.tasks.classification import ClassificationTask


class SizedExamples(Protocol):
    """Examples of different lengths: `EncodedTexts` and `EncodedWaveforms`."""

    @property
    def lengths(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray, multiple: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the padded inputs and the targets of some rows."""


class UserBatches(keras.utils.PyDataset):
    """Batches of all examples in the order of the user, or shuffled anew in each epoch.

    Args:
        examples: Examples of different lengths, such as `EncodedTexts`.
        further: Targets, and weights if there are any: arrays with a row for each example.
        batch_size: Examples per batch; the last batch may be smaller.
        shuffle: Whether to shuffle them, by NumPy's global generator, which
            `keras.utils.set_random_seed` seeds.

    Returns:
        By index the inputs, padded to the longest, or a tuple of them and the rows of `further`.

    Raises:
        ValueError: An array of `further` has another number of rows than there are examples.

    Example:

    >>> from keras_attn.batching import EncodedTexts
    >>> texts = EncodedTexts(np.ones((3, 1), "int32"), np.array([0, 1, 3]), np.zeros(2, "int32"))
    >>> [ids.shape for ids in UserBatches(texts, batch_size=1)]
    [(1, 2, 1), (1, 2, 1)]
    """

    noun: ClassVar[str] = "example"
    length_multiple: ClassVar[int] = LENGTH_MULTIPLE  # to which lengths are rounded up

    def __init__(
        self,
        examples: SizedExamples,
        *further: np.ndarray,
        batch_size: int = 32,
        shuffle: bool = False,
    ) -> None:
        super().__init__()
        for array in further:
            if len(array) != len(examples):
                raise ValueError(
                    f"There must be one target, and one weight, for each {self.noun}. Received: "
                    f"{counted(len(examples), self.noun)}, an array of shape {np.shape(array)}."
                )
        self.examples, self.further = examples, further
        self.batch_size, self.shuffle = batch_size, shuffle
        # Lengths are rounded up, so that graphs are compiled for few lengths.
        longest = int(examples.lengths.max(initial=1))
        self.multiple = min(self.length_multiple, max(1, longest))
        self.order = np.arange(len(examples))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.examples) / self.batch_size)

    def __getitem__(self, index: int) -> Any:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        inputs, _ = self.examples.batch(rows, self.multiple)
        return (inputs, *(array[rows] for array in self.further)) if self.further else inputs

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        if self.shuffle:
            self.order = np.random.permutation(len(self.examples))


class AlternatingLengths(PreprocessedBatches):
    """Batches of inputs and indices of labels, which Keras takes to be of any length."""

    def __getitem__(self, index: int) -> Any:
        inputs, *others = as_tuple(self.batches[index])
        inputs = alternate_lengths(inputs, index)
        return (inputs, *others) if others else inputs


class LengthFitting(ClassificationTask):
    """`fit`, `evaluate` and `predict` on lists, arrays and columns of inputs of any length.

    Everything else, such as a `tf.data.Dataset`, is passed on to `Task`.
    """

    def _are_inputs(self, x: Any) -> bool:
        """Return whether `x` is a list, array or column of raw inputs."""
        raise NotImplementedError

    def _as_inputs(self, x: Any) -> Any:
        """Return raw inputs as an array or a list, whose slices are raw inputs."""
        raise NotImplementedError

    def _batches(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = None,
        training: bool = False,
        shuffle: bool = False,
    ) -> UserBatches:
        """Return raw inputs, with targets and weights if there are any, as padded batches."""
        raise NotImplementedError

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        **kwargs: Any,
    ) -> Any:
        """Train on raw inputs, see `Task.fit`. Each batch is padded to its longest input."""
        y = in_label_order(y, self.label_names)
        held_out_size = kwargs.pop("validation_batch_size", None) or batch_size
        held_out = kwargs.get("validation_data")
        self._check_validation_targets(held_out)
        if isinstance(held_out, tuple | list) and held_out and self._are_inputs(held_out[0]):
            kwargs["validation_data"] = self._batches(*held_out, batch_size=held_out_size)
        elif held_out_size != batch_size:
            kwargs["validation_batch_size"] = held_out_size
        if not self._are_inputs(x):
            return super().fit(x, y, batch_size, epochs, **kwargs)
        x = self._as_inputs(x)
        self._check_targets(y)
        weights = kwargs.pop("sample_weight", None)
        arguments = [x, as_array(y), None if weights is None else to_weights(weights)]
        fraction = kwargs.pop("validation_split", 0.0)
        if fraction and held_out is None:
            size = _training_size(len(x), fraction, self.description.examples)
            last = [None if argument is None else argument[size:] for argument in arguments]
            kwargs["validation_data"] = self._batches(*last, batch_size=held_out_size)
            arguments = [None if argument is None else argument[:size] for argument in arguments]
        check_first_batch(self, len(arguments[0]), batch_size)
        if kwargs.get("class_weight") is not None:
            weights = self._class_weights(kwargs["class_weight"], arguments[1])
            kwargs["class_weight"] = list(weights.values())
        shuffle = bool(kwargs.pop("shuffle", True))
        batches = self._batches(*arguments, batch_size=batch_size, training=True, shuffle=shuffle)
        return super().fit(batches, None, None, epochs, shuffle=False, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return loss and metrics on raw inputs, see `Task.evaluate`."""
        if kwargs.get("_use_cached_eval_dataset") or not self._are_inputs(x):
            return super().evaluate(x, y, batch_size, **kwargs)
        x = self._as_inputs(x)
        self._check_targets(y)
        batches = self._batches(x, y, kwargs.pop("sample_weight", None), batch_size=batch_size)
        return super().evaluate(batches, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """Return the logits of raw inputs, see `Task.predict`."""
        if not self._are_inputs(x):
            return super().predict(x, batch_size, **kwargs)
        return super().predict(self._batches(x, batch_size=batch_size), **kwargs)

    def _preprocess(self, x: Any, *rest: Any, training: bool = False) -> Any:
        if isinstance(x, UserBatches):
            return AlternatingLengths(x, self, training)
        return super()._preprocess(x, *rest, training=training)


def _training_size(count: int, fraction: float, examples: str) -> int:
    """Return the number of examples to train on with Keras's `validation_split`.

    Raises:
        ValueError: One of the two parts would be empty.
    """
    size = math.floor(count * (1.0 - fraction))
    if not 0 < size < count:
        raise ValueError(
            "`validation_split` must be a fraction that leaves "
            f"{examples} in both parts. Received: "
            f"{fraction!r} for {count:,} {examples}."
        )
    return size
