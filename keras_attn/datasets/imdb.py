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
    """Open IMDB: film reviews in English, positive or negative.

    The texts are as published, including `<br />`. Some reviews occur several times. The
    validation split is 2,000 of the 25,000 training reviews; 9 other training reviews with the
    text of one of them are dropped, which leaves 22,991. The test split is complete, to be
    comparable with published figures, although 123 of its reviews are also training reviews.

    Args:
        data_dir: Folder of TensorFlow Datasets; None means the environment's
            `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Returns:
        The splits `"train"` (22,991), `"validation"` (2,000), `"test"` (25,000), and
        `"unlabelled"` (50,000, with label -1).

    Raises:
        DatasetNotFoundError: On access to a split, if the data set is not on disk.

    Example:

    >>> load_imdb().label_names
    ('negative', 'positive')
    """

    def read(split: str) -> TextSplit:
        arrays = read_tfds("imdb_reviews", data_dir, split)
        texts = np.array([text.decode("utf-8") for text in arrays["text"]], dtype=object)
        return TextSplit(texts, arrays["label"].astype("int32"))

    @functools.cache
    def cut_training() -> tuple[TextSplit, TextSplit]:
        return cut_without_duplicates(read("train"), VALIDATION_SIZE)

    readers: dict[str, Callable[[], TextSplit]] = {
        "train": lambda: cut_training()[0],
        "validation": lambda: cut_training()[1],
        "test": functools.cache(lambda: read("test")),
        "unlabelled": functools.cache(lambda: read("unsupervised")),
    }
    return Dataset("imdb", IMDB_LABELS, readers)


def cut_without_duplicates(train: TextSplit, size: int) -> tuple[TextSplit, TextSplit]:
    """Cut a validation split, and drop training texts that are also in it.

    Args:
        train: The training split to cut.
        size: Number of validation examples.

    Returns:
        The remaining training split, and the validation split of `cut_validation`.

    Example:

    >>> texts = np.array(list("abacada"), dtype=object)
    >>> train, validation = cut_without_duplicates(TextSplit(texts, np.zeros(7, "int32")), 2)
    >>> set(train.texts) & set(validation.texts)
    set()
    """
    left, validation = cut_validation(train, size)
    held_out = set(validation.texts)
    is_distinct = np.array([text not in held_out for text in left.texts], bool)
    return left.take(is_distinct), validation
