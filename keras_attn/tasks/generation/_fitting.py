"""`fit`, `evaluate` and `predict` on documents."""

import os
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn._token_ids import END_ID, START_ID
from keras_attn._types import Tensor
from keras_attn._wording import counted
from keras_attn.batching import (
    DocumentBatches,
    EncodedDocuments,
    WindowBatches,
    prepare_batches,
)
from keras_attn.batching.documents import cut, windows
from keras_attn.models import CausalTransformer
from keras_attn.tasks._batches import check_batched, check_elements, is_dataset, with_rank
from keras_attn.tasks._texts import as_texts
from keras_attn.tasks.compilation import needs_static_shapes
from keras_attn.tasks.item_loss import ItemLossModel
from keras_attn.tasks.sequence_loss import token_weights
from keras_attn.tasks.task import Task

if TYPE_CHECKING:
    from keras_attn.text import CharacterTokenizer, SubwordTokenizer

BATCH_WINDOWS = 32  # default number of windows in a training batch
_REMEDIES = {
    "y": "A language model predicts the texts themselves. Leave it out.",
    "class_weight": "Tokens have no classes. Leave it out.",
    "sample_weight": "Repeat the texts that shall count more.",
    "validation_split": "Pass validation_data=texts.",
}


class GenerationFitting(ItemLossModel, Task):
    """A language model that is fitted to documents.

    The loss of `fit`, `evaluate` and callbacks is the mean over the tokens of all batches, the ends
    of documents included.
    """

    network: CausalTransformer
    tokenizer: "CharacterTokenizer | SubwordTokenizer"

    def encode(self, texts: Any) -> EncodedDocuments:
        """Return documents as ids."""
        raise NotImplementedError

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if _are_texts(inputs) or isinstance(inputs, str | bytes):
            raise TypeError(
                f"{type(self).__name__} calls its network on ids `(B, T)`, see `encode`. For "
                f"completions of texts call `generate(texts)`. Received: {type(inputs).__name__}."
            )
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.network(inputs, training=training)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network.compute_output_spec(inputs, training=training)

    def loss_size(self, y: Tensor, sample_weight: Any = None) -> Tensor:
        return keras.ops.sum(token_weights(y, sample_weight))

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        **kwargs: Any,
    ) -> Any:
        """Train on documents or ids, as `keras.Model.fit` does.

        Documents are cut into windows of the length of the context, at other places in each epoch.
        `batch_size` counts windows; the default is 32. A `tf.data.Dataset` of strings has batches
        of documents, which are cut at the same places in each epoch.

        Raises:
            ValueError: There are targets, weights or a `validation_split` beside texts.
        """
        if _are_texts(kwargs.get("validation_data")):
            kwargs["validation_data"] = self._preprocess(kwargs["validation_data"])
        _check_kind(x)
        if not _are_texts(x):
            return super().fit(x, y, batch_size, epochs, **kwargs)
        _refuse({"y": y, **kwargs})
        batches = WindowBatches(
            self._encode_documents(x),
            self.network.config.context_length,
            batch_size or BATCH_WINDOWS,
            seed=int(np.random.randint(2**31)),  # depends on `keras.utils.set_random_seed`
            epochs=epochs,
            static_shapes=needs_static_shapes(),
        )
        start = kwargs.get("initial_epoch", 0) * batches.steps
        kwargs = {**kwargs, "steps_per_epoch": batches.steps, "shuffle": False}
        return super().fit(prepare_batches(batches, start=start), epochs=epochs, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return loss and accuracy on documents or ids, as `keras.Model.evaluate` does."""
        _check_kind(x)
        if not _are_texts(x):
            return super().evaluate(x, y, batch_size, **kwargs)
        _refuse({"y": y, **kwargs})
        return super().evaluate(self._preprocess(x), **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """Return the logits of ids, as `keras.Model.predict` does; for texts, see `generate`."""
        if _are_texts(x):
            raise TypeError(
                "`predict` takes ids, see `encode`. For completions of texts call "
                "`generate(texts)`, and for their log-probabilities `score(texts)`."
            )
        return super().predict(x, batch_size, **kwargs)

    def _preprocess(self, x: Any, *rest: Any, training: bool = False) -> Any:
        """Return documents as batches of windows, see `Task._preprocess`."""
        if not _are_texts(x):
            return super()._preprocess(x, *rest, training=training)
        _refuse({"y": rest[0] if rest else None})
        length = self.network.config.context_length
        return prepare_batches(DocumentBatches(self._encode_documents(x), length, BATCH_WINDOWS))

    def _encode_documents(self, x: Any) -> EncodedDocuments:
        """Return documents as ids, or raise ValueError if none of them has a token."""
        encoded = self.encode(x)
        if not any(map(len, encoded.documents)):
            raise ValueError(
                "`x` must have a document that is not empty. Received: "
                f"{counted(len(encoded), 'empty document')}."
            )
        return encoded

    def _check_adapted(self) -> None:
        """Raise ValueError if the model has no vocabulary."""
        if not self._is_adapted:
            raise ValueError(
                "A new generator has no vocabulary. Call generator.adapt(texts) with the training "
                "texts first."
            )

    def _preprocess_item(self, index: int, x: Any, *rest: Any, training: bool = False) -> Any:
        """Return a batch of documents as windows; ids as they are."""
        if not _are_texts(x):
            return (x, *rest) if rest else x
        encoded = self.encode(x)
        places = windows(encoded, self.network.config.context_length)
        return cut(encoded, places)

    def _is_raw(self, spec: Any) -> bool:
        first = spec[0] if isinstance(spec, tuple) else spec
        return getattr(first, "dtype", None) == "string"

    def preprocess_batch(self, x: Tensor, *rest: Tensor, training: bool = False) -> Any:
        """Convert a batch of documents, as strings, into inputs and targets of windows."""
        import tensorflow as tf

        check_elements((x, *rest), self.description.examples)
        _refuse({"y": rest[0] if rest else None})
        x = with_rank(x, 1)
        check_batched(x)
        ids = self.tokenizer.tokenize(x)
        start, end = (tf.fill([tf.shape(x)[0], 1], each) for each in (START_ID, END_ID))
        inputs, targets = tf.concat([start, ids], axis=1), tf.concat([ids, end], axis=1)
        length = self.network.config.context_length
        # Number the windows of all documents: those of a document follow each other.
        lengths = inputs.row_lengths()
        counts = -(-lengths // length)
        first = tf.cumsum(counts, exclusive=True)
        place = tf.range(tf.size(inputs.values, tf.int64)) - tf.repeat(inputs.row_starts(), lengths)
        window = tf.repeat(first, lengths) + place // length
        total = tf.reduce_sum(counts)
        return tuple(
            tf.RaggedTensor.from_value_rowids(each.values, window, nrows=total).to_tensor()
            for each in (inputs, targets)
        )


def _check_kind(x: Any) -> None:
    """Raise TypeError for one string, a path or a table in place of documents."""
    if isinstance(x, str | bytes | os.PathLike) or hasattr(x, "columns"):
        as_texts(x, "x")


def _are_texts(x: Any) -> bool:
    """Return whether `x` holds texts, not ids or batches."""
    if x is None or is_dataset(x) or isinstance(x, dict):
        return False
    if isinstance(x, list | tuple):
        return not x or isinstance(x[0], str | bytes)
    kind = getattr(getattr(x, "dtype", None), "kind", None)
    name = getattr(getattr(x, "dtype", None), "name", getattr(x, "dtype", None))
    return kind in ("U", "S", "O", "T") or name in ("string", "str", "object")


def _refuse(arguments: dict[str, Any]) -> None:
    """Raise ValueError for arguments of Keras that do not apply to documents."""
    for name, remedy in _REMEDIES.items():
        value = arguments.get(name)
        is_default = name == "validation_split" and value == 0.0
        if value is not None and not is_default:
            raise ValueError(
                f"`{name}` is not supported for documents. Received: {value!r:.80}. {remedy}"
            )
