"""Batches for `fit`: their order, their padding, and their form for each backend and replica."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.batching.documents import DocumentBatches, EncodedDocuments, WindowBatches
    from keras_attn.batching.evaluation import EvaluationBatches
    from keras_attn.batching.feeding import limit_batch_size, prepare_batches
    from keras_attn.batching.images import ImageBatches
    from keras_attn.batching.order import epoch_order
    from keras_attn.batching.padding import pad_rows
    from keras_attn.batching.pairs import EncodedPairs, PairBatches
    from keras_attn.batching.texts import EncodedTexts, TextBatches
    from keras_attn.batching.waveforms import EncodedWaveforms, WaveformBatches

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "documents": ["DocumentBatches", "EncodedDocuments", "WindowBatches"],
        "evaluation": ["EvaluationBatches"],
        "feeding": ["limit_batch_size", "prepare_batches"],
        "images": ["ImageBatches"],
        "order": ["epoch_order"],
        "padding": ["pad_rows"],
        "pairs": ["EncodedPairs", "PairBatches"],
        "texts": ["EncodedTexts", "TextBatches"],
        "waveforms": ["EncodedWaveforms", "WaveformBatches"],
    },
)
