"""Batches for `fit`: their order, their padding, and their form for each backend and replica."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.batching.evaluation import EvaluationBatches
    from keras_attn.batching.feeding import (
        batches_for_fit,
        evaluation_batches,
        limit_batch_size,
        prepare_batches,
        shareable_size,
    )
    from keras_attn.batching.images import ImageBatches, ImageEvaluationBatches
    from keras_attn.batching.order import epoch_order
    from keras_attn.batching.padding import pad_rows, padded
    from keras_attn.batching.pairs import EncodedPairs, PairBatches
    from keras_attn.batching.texts import EncodedTexts, TextBatches

# `batches_for_fit`, `evaluation_batches`, `shareable_size`, `ImageEvaluationBatches` and
# `padded` are old names: removed once tasks and training use the new names.
__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "evaluation": ["EvaluationBatches"],
        "feeding": [
            "batches_for_fit",
            "evaluation_batches",
            "limit_batch_size",
            "prepare_batches",
            "shareable_size",
        ],
        "images": ["ImageBatches", "ImageEvaluationBatches"],
        "order": ["epoch_order"],
        "padding": ["pad_rows", "padded"],
        "pairs": ["EncodedPairs", "PairBatches"],
        "texts": ["EncodedTexts", "TextBatches"],
    },
)
