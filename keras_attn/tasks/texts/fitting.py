"""`fit`, `evaluate` and `predict` on texts, in memory that does not depend on the longest text.

One array `(N, T, G)` of the ids of all texts would be as long as the longest: a text of 10,000
words among 11,000 texts takes gigabytes. Here ids are held without padding, and each batch is
padded to the longest text in it.
"""

import math
from typing import Any

import keras
import numpy as np

from keras_attn._arrays import as_array, to_weights
from keras_attn._types import Tensor
from keras_attn._wording import counted
from keras_attn.batching import EncodedTexts
from keras_attn.batching.texts import LENGTH_MULTIPLE
from keras_attn.tasks._batches import (
    PreprocessedBatches,
    alternate_lengths,
    as_tuple,
    check_batched,
    check_elements,
    check_first_batch,
    is_dataset,
    with_rank,
)
from keras_attn.tasks._labels import in_label_order
from keras_attn.tasks._texts import as_texts
from keras_attn.tasks.classification import ClassificationTask
from keras_attn.tasks.texts._inputs import are_strings


class UserTextBatches(keras.utils.PyDataset):
    """Batches of all texts in the order of the user, or shuffled anew in each epoch.

    Args:
        texts: The ids of the texts.
        further: Targets, and weights if there are any: arrays with a row for each text.
        batch_size: Texts per batch; the last batch may be smaller.
        shuffle: Whether to shuffle the texts, by NumPy's global generator, which
            `keras.utils.set_random_seed` seeds.

    Returns:
        By index int32 ids `(B, T, G)`, or a tuple of the ids and the rows of `further`.

    Raises:
        ValueError: An array of `further` has another number of rows than there are texts.

    Example:

    >>> texts = EncodedTexts(np.ones((3, 1), "int32"), np.array([0, 1, 3]), np.zeros(2, "int32"))
    >>> [ids.shape for ids in UserTextBatches(texts, batch_size=1)]
    [(1, 2, 1), (1, 2, 1)]
    """

    def __init__(
        self,
        texts: EncodedTexts,
        *further: np.ndarray,
        batch_size: int = 32,
        shuffle: bool = False,
    ) -> None:
        super().__init__()
        for array in further:
            if len(array) != len(texts):
                raise ValueError(
                    "There must be one target, and one weight, for each text. Received: "
                    f"{counted(len(texts), 'text')}, an array of shape {np.shape(array)}."
                )
        self.texts, self.further = texts, further
        self.batch_size, self.shuffle = batch_size, shuffle
        # Lengths are rounded up, so that graphs are compiled for few lengths.
        longest = int(texts.lengths.max(initial=1))
        self.multiple = min(LENGTH_MULTIPLE, max(1, longest))
        self.order = np.arange(len(texts))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.texts) / self.batch_size)

    def __getitem__(self, index: int) -> Any:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        ids, _ = self.texts.batch(rows, self.multiple)
        return (ids, *(array[rows] for array in self.further)) if self.further else ids

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        if self.shuffle:
            self.order = np.random.permutation(len(self.texts))


class AlternatingLengths(PreprocessedBatches):
    """Batches of ids and indices of labels, which Keras takes to be of any length."""

    def __getitem__(self, index: int) -> Any:
        ids, *others = as_tuple(self.batches[index])
        ids = alternate_lengths(ids, index)
        return (ids, *others) if others else ids


class TextFitting(ClassificationTask):
    """`fit`, `evaluate` and `predict` on lists, arrays and columns of texts of any length.

    Everything else, such as a `tf.data.Dataset`, is passed on to `Task`.
    """

    def encode(self, texts: Any, labels: Any = None, training: bool = False) -> EncodedTexts:
        """Return texts as ids without padding."""
        raise NotImplementedError

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        **kwargs: Any,
    ) -> Any:
        """Train on texts, see `Task.fit`. Each batch is padded to the longest text in it."""
        y = in_label_order(y, self.label_names)
        held_out_size = kwargs.pop("validation_batch_size", None) or batch_size
        held_out = kwargs.get("validation_data")
        self._check_validation_targets(held_out)
        if isinstance(held_out, tuple | list) and held_out and _are_texts(held_out[0]):
            kwargs["validation_data"] = self._batches(*held_out, batch_size=held_out_size)
        elif held_out_size != batch_size:
            kwargs["validation_batch_size"] = held_out_size
        if not _are_texts(x):
            return super().fit(x, y, batch_size, epochs, **kwargs)
        x = as_texts(x)
        self._check_targets(y)
        weights = kwargs.pop("sample_weight", None)
        arguments = [x, as_array(y), None if weights is None else to_weights(weights)]
        fraction = kwargs.pop("validation_split", 0.0)
        if fraction and held_out is None:
            size = _training_size(len(x), fraction)
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
        """Return loss and metrics on texts, see `Task.evaluate`."""
        if kwargs.get("_use_cached_eval_dataset") or not _are_texts(x):
            return super().evaluate(x, y, batch_size, **kwargs)
        x = as_texts(x)
        self._check_targets(y)
        batches = self._batches(x, y, kwargs.pop("sample_weight", None), batch_size=batch_size)
        return super().evaluate(batches, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """Return the logits of texts, see `Task.predict`."""
        if not _are_texts(x):
            return super().predict(x, batch_size, **kwargs)
        return super().predict(self._batches(x, batch_size=batch_size), **kwargs)

    def preprocess_inputs(self, x: Any, *, training: bool = False) -> Any:
        """Convert strings into ids `(N, T, G)`; return ids unchanged."""
        if isinstance(x, EncodedTexts):
            raise TypeError(
                "`EncodedTexts` are for `calibrate` and `logits`. Pass the texts themselves."
            )
        if hasattr(x, "ndim") and not are_strings(x) and not hasattr(x, "to_numpy"):
            return x
        return self._ids(as_texts(x), training).numpy()

    def preprocess_batch(self, x: Tensor, *rest: Tensor, training: bool = False) -> Any:
        """Convert a batch of strings into ids, and label names into indices."""
        check_elements((x, *rest), self.description.examples)
        if are_strings(x):
            x = with_rank(x, 1)
            check_batched(x)
            ids = self._ids(x, training)
        else:
            ids = x
            if rest and rest[0].dtype.is_integer:  # beside ids, labels are indices
                rest = (self._as_names(rest[0]), *rest[1:])
        if not rest:
            return ids
        targets, *weights = rest
        return (ids, self.index_labels(targets), *(with_rank(w, 1) for w in weights))

    def _preprocess(self, x: Any, *rest: Any, training: bool = False) -> Any:
        if isinstance(x, UserTextBatches):
            return AlternatingLengths(x, self, training)
        return super()._preprocess(x, *rest, training=training)

    def _preprocess_item(self, index: int, x: Any, *rest: Any, training: bool = False) -> Any:
        if rest and isinstance(x, np.ndarray) and x.ndim == 3 and rest[0].dtype.kind == "i":
            rest = (self._as_names(rest[0]), *rest[1:])  # beside ids, labels are indices
        batch = super()._preprocess_item(index, x, *rest, training=training)
        ids, *others = as_tuple(batch)
        ids = alternate_lengths(ids, index)
        return (ids, *others) if others else ids

    def _ids(self, texts: Any, training: bool) -> Tensor:
        """Return the ids `(N, T, G)` of texts; those for training select held-out ratios."""
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
    ) -> UserTextBatches:
        """Return texts, with targets and weights if there are any, as batches of ids."""
        self._check_not_empty(x)
        further = [] if y is None else [self.preprocess_targets(y)]
        if sample_weight is not None:
            further.append(to_weights(sample_weight))
        texts = self.encode(x, training=training)
        return UserTextBatches(texts, *further, batch_size=batch_size or 32, shuffle=shuffle)


def _are_texts(x: Any) -> bool:
    """Return whether `x` is a list, array or column of texts."""
    return not (x is None or isinstance(x, str | bytes) or is_dataset(x)) and are_strings(x)


def _training_size(count: int, fraction: float) -> int:
    """Return the number of texts to train on with Keras's `validation_split`.

    Raises:
        ValueError: One of the two parts would be empty.
    """
    size = math.floor(count * (1.0 - fraction))
    if not 0 < size < count:
        raise ValueError(
            "`validation_split` must be a fraction that leaves texts in both parts. Received: "
            f"{fraction!r} for {counted(count, 'text')}."
        )
    return size
