"""Readers of your own files: tables of labelled texts, sentence pairs, documents, and images."""

from keras_attn.datasets.files._account import Account, FolderAccount, TableAccount
from keras_attn.datasets.files.detection import (
    DetectionAccount,
    DetectionTable,
    read_detection,
    split_detection,
)
from keras_attn.datasets.files.documents import (
    DocumentAccount,
    DocumentTable,
    read_documents,
    split_documents,
)
from keras_attn.datasets.files.folders import ImageTable, read_images, split_images
from keras_attn.datasets.files.images import decode_image
from keras_attn.datasets.files.pairs import PairTable, read_pairs, split_pairs
from keras_attn.datasets.files.series import SeriesTable, read_series, split_series
from keras_attn.datasets.files.sounds import WaveformTable, read_waveforms, split_waveforms
from keras_attn.datasets.files.texts import TextTable, read_texts, split_table
from keras_attn.datasets.files.waveforms import decode_wav

__all__ = [
    "Account",
    "DetectionAccount",
    "DetectionTable",
    "DocumentAccount",
    "DocumentTable",
    "FolderAccount",
    "ImageTable",
    "PairTable",
    "SeriesTable",
    "TableAccount",
    "TextTable",
    "WaveformTable",
    "decode_image",
    "decode_wav",
    "read_detection",
    "read_documents",
    "read_images",
    "read_pairs",
    "read_series",
    "read_texts",
    "read_waveforms",
    "split_detection",
    "split_documents",
    "split_images",
    "split_pairs",
    "split_series",
    "split_table",
    "split_waveforms",
]
