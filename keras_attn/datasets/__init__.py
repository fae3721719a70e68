"""Data sets of images, texts, documents, translations and series: published, drawn, your own."""

from keras_attn._label_names import label_name
from keras_attn.datasets import (  # register theirs
    chnsenticorp,
    cifar,
    forecasting,
    imdb,
    multi30k,
    remarks,
    shakespeare,
    shapes,
    tang,
    tatoeba,
)
from keras_attn.datasets._tfds import DatasetNotFoundError
from keras_attn.datasets.cifar import save_arrays
from keras_attn.datasets.documents import DocumentSplit
from keras_attn.datasets.files import (
    Account,
    DocumentAccount,
    DocumentTable,
    FolderAccount,
    ImageTable,
    PairTable,
    SeriesTable,
    TableAccount,
    TextTable,
    decode_image,
    read_documents,
    read_images,
    read_pairs,
    read_series,
    read_texts,
    split_documents,
    split_images,
    split_pairs,
    split_series,
    split_table,
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
from keras_attn.datasets.series import SeriesSplit
from keras_attn.datasets.splits import Dataset, ImageSplit, TextSplit, cut_validation

__all__ = [
    "Account",
    "Dataset",
    "DatasetInfo",
    "DatasetNotFoundError",
    "DocumentAccount",
    "DocumentSplit",
    "DocumentTable",
    "FolderAccount",
    "ImageSplit",
    "ImageTable",
    "PairSplit",
    "PairTable",
    "SeriesSplit",
    "SeriesTable",
    "TableAccount",
    "TextSplit",
    "TextTable",
    "cut_validation",
    "decode_image",
    "describe_dataset",
    "label_name",
    "list_datasets",
    "load",
    "read_documents",
    "read_images",
    "read_pairs",
    "read_series",
    "read_texts",
    "register_dataset",
    "save_arrays",
    "split_documents",
    "split_images",
    "split_pairs",
    "split_series",
    "split_table",
    "unregister_dataset",
]
