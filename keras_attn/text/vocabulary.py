"""A list of terms and the ids that models know them by."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_attn.text import _term_files
from keras_attn.text._checks import as_strings, at_least
from keras_attn.text._lookup import StringLookup

Tensor = Any

PADDING_ID = 0
UNKNOWN_ID = 1
FIRST_ID = 2
FILE = "vocabulary.txt"


@keras.saving.register_keras_serializable(package="keras_attn")
class Vocabulary(keras.layers.Layer):
    """Terms to ids, by a lookup in the graph.

    Id 0 is padding, id 1 any term that is not in the vocabulary, and the term at place
    `i` of the list has id `i + 2`. The terms are saved within a `.keras` file, as
    `vocabulary.txt`; the configuration does not hold them. A vocabulary made without
    terms waits for them to be loaded, and refuses calls until then.

    Args:
        terms: distinct strings, not empty and without line breaks, in the order of ids.

    Call arguments:
        terms: string tensor of any shape, dense or ragged, or a list or array of strings.

    Returns:
        int32 tensor of the same shape and kind.

    Raises:
        RuntimeError: it is called without terms.
        TypeError: a term is not a string.
        ValueError: a term is empty, holds a line break, or stands twice.

    Example:

    >>> vocabulary = Vocabulary(["good", "film"])
    >>> ids = vocabulary(["film", "movie", "good"])
    >>> ids.numpy().tolist(), vocabulary.size
    ([3, 1, 2], 4)
    """

    def __init__(self, terms: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._convert_input_args = False  # strings are not for Keras to cast
        self._allow_non_tensor_positional_args = True
        self.supports_jit = False  # XLA has no strings
        self.fill(terms)

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], max_size: int, min_count: int = 1
    ) -> "Vocabulary":
        """The most frequent terms, the most frequent first; ties in the terms' own order.

        Args:
            counts: how often each term occurs.
            max_size: the most ids there may be, those of padding and unknown included.
            min_count: the least count of a term that is taken.

        Raises:
            ValueError: `max_size` leaves no id for a term.

        Example:

        >>> Vocabulary.from_counts({"b": 2, "a": 2, "c": 5, "d": 1}, max_size=4).terms
        ('c', 'a')
        """
        at_least(FIRST_ID + 1, max_size=max_size)
        at_least(1, min_count=min_count)
        taken = [term for term, count in counts.items() if count >= min_count]
        taken.sort(key=lambda term: (-counts[term], term))
        return cls(taken[: max_size - FIRST_ID])

    @classmethod
    def read(cls, path: str | pathlib.Path) -> "Vocabulary":
        """A vocabulary from a file with one term a line.

        Raises:
            ValueError: there is no such file, or it is damaged.
        """
        return cls(_term_files.read(path))

    def write(self, path: str | pathlib.Path) -> None:
        """Write the terms to a file, one a line, UTF-8."""
        _term_files.write(path, self.terms)

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms in the order of their ids."""
        return tuple(self._terms)

    @property
    def size(self) -> int:
        """How many ids there are, those of padding and unknown included."""
        return len(self._terms) + FIRST_ID

    def call(self, terms: Any) -> Tensor:
        import tensorflow as tf

        self._check_filled()
        if isinstance(terms, tf.RaggedTensor) and terms.dtype == tf.string:
            return terms.with_flat_values(self._ids(terms.flat_values))
        return self._ids(as_strings(terms))

    def to_strings(self, ids: Any) -> Tensor:
        """The terms of `ids`: `""` for padding, `"[UNK]"` for unknown.

        Args:
            ids: integer tensor of any shape, dense or ragged.

        Returns:
            String tensor of the same shape and kind.

        Raises:
            tf.errors.InvalidArgumentError: an id is below 0, or `size` or more.
        """
        import tensorflow as tf

        self._check_filled()
        if isinstance(ids, tf.RaggedTensor):
            return ids.with_flat_values(tf.gather(self._strings, ids.flat_values))
        return tf.gather(self._strings, ids)

    def compute_output_spec(self, terms: Any) -> Any:
        return keras.KerasTensor(terms.shape, "int32", ragged=getattr(terms, "ragged", False))

    def get_config(self) -> dict[str, Any]:
        return super().get_config()

    def save_assets(self, dir_path: str | pathlib.Path) -> None:
        """Called by Keras: write the terms into the model's file."""
        self.write(pathlib.Path(dir_path) / FILE)

    def load_assets(self, dir_path: str | pathlib.Path) -> None:
        """Called by Keras: read the terms from the model's file."""
        self.fill(_term_files.read(pathlib.Path(dir_path) / FILE))

    def fill(self, terms: Iterable[str]) -> None:
        """Take these terms in place of those there are; graphs traced before keep the old."""
        self._terms = _term_files.checked(terms)
        if not self._terms:
            return
        import tensorflow as tf

        with tf.init_scope(), tf.device("CPU"):
            self._lookup = StringLookup(self.terms)
            self._strings = tf.constant(["", "[UNK]", *self.terms])

    def _ids(self, strings: Tensor) -> Tensor:
        import tensorflow as tf

        with tf.device("CPU"):  # where the strings are
            places = self._lookup(strings)
            return tf.where(places < 0, UNKNOWN_ID, places + FIRST_ID)

    def _check_filled(self) -> None:
        if not self._terms:
            raise RuntimeError(
                f"{self.name}: this vocabulary has no terms. Make it with terms, with "
                "`Vocabulary.from_counts` or `Vocabulary.read`, or load a saved model, whose "
                "file holds them (a file of weights does not)."
            )
