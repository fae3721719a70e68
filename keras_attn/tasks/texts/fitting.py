"""`fit`, `evaluate` and `predict` on texts: their conversion to ids."""

from typing import Any

import numpy as np

from keras_attn._arrays import to_weights
from keras_attn._types import Tensor
from keras_attn.batching import EncodedTexts
from keras_attn.tasks._batches import (
    alternate_lengths,
    as_tuple,
    check_batched,
    check_elements,
    is_dataset,
    with_rank,
)
from keras_attn.tasks._length_fitting import LengthFitting, UserBatches
from keras_attn.tasks._texts import as_texts
from keras_attn.tasks.texts._inputs import are_strings


class UserTextBatches(UserBatches):
    """Batches of all texts, see `UserBatches`."""

    noun = "text"


class TextFitting(LengthFitting):
    """`fit`, `evaluate` and `predict` on lists, arrays and columns of texts of any length."""

    def encode(self, texts: Any, labels: Any = None, training: bool = False) -> EncodedTexts:
        """Return texts as ids without padding."""
        raise NotImplementedError

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

    def _are_inputs(self, x: Any) -> bool:
        return not (x is None or isinstance(x, str | bytes) or is_dataset(x)) and are_strings(x)

    def _as_inputs(self, x: Any) -> Any:
        return as_texts(x)

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
