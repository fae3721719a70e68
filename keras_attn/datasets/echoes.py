"""`echoes`: generated lines of a random word and its repetition, such as `tabo=tabo`."""

import functools
import os

import numpy as np

from keras_attn.datasets.documents import DocumentSplit, document_split
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset

SIZES = {"train": 6_000, "validation": 300, "test": 500}

_CONSONANTS, _VOWELS = "bdfgklmnprst", "aeiou"


def draw_echoes(seed: int = 0, sizes: dict[str, int] | None = None) -> Dataset[DocumentSplit]:
    """Generate the data set. It needs no file and no network.

    A word has three to seven syllables. What follows the sign `=` is determined by what precedes
    it: a model that relates positions can predict it, one that knows frequencies cannot.

    Args:
        seed: Integer that determines the words. Each split has a random stream of its own.
        sizes: Number of lines of each split; None means `SIZES`.

    Returns:
        The splits named in `sizes`, drawn on access.

    Example:

    >>> word, echo = draw_echoes(sizes={"test": 1})["test"].documents[0].split("=")
    >>> word == echo
    True
    """
    sizes = SIZES if sizes is None else sizes

    @functools.cache
    def read(split: str) -> DocumentSplit:
        random = np.random.default_rng([seed, list(SIZES).index(split)])
        words = [
            "".join(
                _CONSONANTS[random.integers(len(_CONSONANTS))] + _VOWELS[random.integers(5)]
                for _ in range(random.integers(3, 8))
            )
            for _ in range(sizes[split])
        ]
        return document_split([f"{word}={word}" for word in words])

    readers = {split: functools.partial(read, split) for split in sizes}
    return Dataset("echoes", (), readers)


@register_dataset("echoes", task="text_generation")
def load_echoes(data_dir: str | os.PathLike[str] | None = None) -> Dataset[DocumentSplit]:
    """Generate the data set of seed 0. `data_dir` is not read."""
    return draw_echoes()
