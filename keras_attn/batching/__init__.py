"""Batches for `fit`: their order, their padding, and their way to each backend and replica."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.batching.feeding import batches_for_fit, shareable_size
    from keras_attn.batching.images import ImageBatches, ImageEvaluationBatches
    from keras_attn.batching.order import epoch_order
    from keras_attn.batching.pairs import EncodedPairs, PairBatches, padded
    from keras_attn.batching.texts import (
        EncodedTexts,
        EvaluationBatches,
        TextBatches,
        evaluation_batches,
    )

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "feeding": ["batches_for_fit", "shareable_size"],
        "images": ["ImageBatches", "ImageEvaluationBatches"],
        "order": ["epoch_order"],
        "pairs": ["EncodedPairs", "PairBatches", "padded"],
        "texts": ["EncodedTexts", "EvaluationBatches", "TextBatches", "evaluation_batches"],
    },
)
