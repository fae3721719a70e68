"""Readers of your own files: tables of labelled texts, sentence pairs, and images."""

from keras_attn.datasets.files._account import Account, TableAccount
from keras_attn.datasets.files.images import decode_image
from keras_attn.datasets.files.pairs import PairTable, read_pairs, split_pairs
from keras_attn.datasets.files.texts import TextTable, read_texts, split_table

__all__ = [
    "Account",
    "PairTable",
    "TableAccount",
    "TextTable",
    "decode_image",
    "read_pairs",
    "read_texts",
    "split_pairs",
    "split_table",
]
