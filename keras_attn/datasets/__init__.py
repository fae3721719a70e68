"""Data sets of images, texts, translations and sounds: published, generated, and your own."""

from keras_attn._label_names import label_name
from keras_attn.datasets import (  # register theirs
    chnsenticorp,
    cifar,
    fsdd,
    imdb,
    multi30k,
    remarks,
    shapes,
    tatoeba,
)
from keras_attn.datasets._tfds import DatasetNotFoundError
from keras_attn.datasets.cifar import save_arrays
from keras_attn.datasets.files import (
    Account,
    FolderAccount,
    ImageTable,
    PairTable,
    TableAccount,
    TextTable,
    WaveformTable,
    decode_image,
    decode_wav,
    read_images,
    read_pairs,
    read_texts,
    read_waveforms,
    split_images,
    split_pairs,
    split_table,
    split_waveforms,
)
from keras_attn.datasets.pairs import PairSplit
from keras_attn.datasets.registry import (
    DatasetInfo,
    describe_dataset,
    list_datasets,
    load,
    register_dataset,
    unregister_dataset,
)
from keras_attn.datasets.splits import Dataset, ImageSplit, TextSplit, cut_validation
from keras_attn.datasets.waveforms import Waveform, WaveformSplit

__all__ = [
    "Account",
    "Dataset",
    "DatasetInfo",
    "DatasetNotFoundError",
    "FolderAccount",
    "ImageSplit",
    "ImageTable",
    "PairSplit",
    "PairTable",
    "TableAccount",
    "TextSplit",
    "TextTable",
    "Waveform",
    "WaveformSplit",
    "WaveformTable",
    "cut_validation",
    "decode_image",
    "decode_wav",
    "describe_dataset",
    "label_name",
    "list_datasets",
    "load",
    "read_images",
    "read_pairs",
    "read_texts",
    "read_waveforms",
    "register_dataset",
    "save_arrays",
    "split_images",
    "split_pairs",
    "split_table",
    "split_waveforms",
    "unregister_dataset",
]
