"""IMDB film reviews (Maas et al., 2011, "Learning word vectors for sentiment analysis")."""

import functools
import os
from collections.abc import Callable

import numpy as np

from keras_attn.datasets._tfds import read_tfds
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset, TextSplit, cut_validation

IMDB_LABELS = ("negative", "positive")
VALIDATION_SIZE = 2_000


@register_dataset("imdb", task="text_classification", label_names=IMDB_LABELS)
def load_imdb(data_dir: str | os.PathLike[str] | None = None) -> Dataset[TextSplit]:
    """Film reviews in English, positive or negative, see `keras_attn.datasets.load`.

    The texts are as they were published, `<br />` and all.

    Args:
        data_dir: folder of TensorFlow Datasets; None is the environment's
            `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Returns:
        `"train"` and `"validation"`, cut from the 25,000 training reviews, `"test"` (25,000),
        and `"unlabelled"` (50,000, whose labels are all -1).

        The published reviews repeat one another. The validation split is 2,000 of the
        training reviews, and the 9 others that say word for word what one of those says are
        dropped: 22,991 are left to train on. The test split is left whole, as everybody's
        numbers are of it, though 123 of its reviews are also among the 25,000.

    Raises:
        DatasetNotFoundError: on reading a split, if the data set is not on disk.

    Example:

    >>> load_imdb().label_names
    ('negative', 'positive')
    """

    def read(split: str) -> TextSplit:
        arrays = read_tfds("imdb_reviews", data_dir, split)
        texts = np.array([text.decode("utf-8") for text in arrays["text"]], dtype=object)
        return TextSplit(texts, arrays["label"].astype("int32"))

    @functools.cache
    def training() -> tuple[TextSplit, TextSplit]:
        return cut_without_duplicates(read("train"), VALIDATION_SIZE)

    readers: dict[str, Callable[[], TextSplit]] = {
        "train": lambda: training()[0],
        "validation": lambda: training()[1],
        "test": functools.cache(lambda: read("test")),
        "unlabelled": functools.cache(lambda: read("unsupervised")),
    }
    return Dataset("imdb", IMDB_LABELS, readers)


def cut_without_duplicates(train: TextSplit, size: int) -> tuple[TextSplit, TextSplit]:
    """`cut_validation`, less the training texts that are also in the validation split.

    Example:

    >>> texts = np.array(list("abacada"), dtype=object)
    >>> train, validation = cut_without_duplicates(TextSplit(texts, np.zeros(7, "int32")), 2)
    >>> set(train.texts) & set(validation.texts)
    set()
    """
    left, validation = cut_validation(train, size)
    held_out = set(validation.texts)
    fresh = np.array([text not in held_out for text in left.texts], bool)
    return left.take(fresh), validation
