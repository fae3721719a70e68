"""A vocabulary: the ids of terms, looked up in the graph."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_attn._token_ids import FIRST_TERM_ID, UNKNOWN_ID
from keras_attn._types import Tensor
from keras_attn._validation import check_integer_at_least
from keras_attn.text._inputs import as_strings
from keras_attn.text._layer import StringLayer
from keras_attn.text._lookup import StringLookup
from keras_attn.text._term_files import check_terms, read_terms, write_terms

FILE = "vocabulary.txt"


@keras.saving.register_keras_serializable(package="keras_attn")
class Vocabulary(StringLayer):
    """Map terms to ids, by a lookup in the graph.

    Id 0 is padding, id 1 is any term that is not in the vocabulary, and the term at index `i`
    has id `i + 2`. A `.keras` file stores the terms as `vocabulary.txt`; the configuration
    does not contain them. A vocabulary that was created without terms raises an error when it
    is called, until terms are assigned or loaded.

    Args:
        terms: Distinct strings, not empty and without line breaks, in the order of ids.

    Call arguments:
        terms: String tensor of any shape, dense or ragged, or a list, array or pandas column
            of strings.

    Returns:
        int32 tensor of the same shape; ragged if `terms` is.

    Raises:
        RuntimeError: On a call, if there are no terms.
        TypeError: A term is not a string.
        ValueError: A term is empty, contains a line break, or occurs twice.

    Example:

    >>> vocabulary = Vocabulary(["good", "film"])
    >>> ids = vocabulary(["film", "movie", "good"])
    >>> ids.numpy().tolist(), vocabulary.size
    ([3, 1, 2], 4)
    """

    def __init__(self, terms: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.assign(terms)

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], max_size: int, min_count: int = 1
    ) -> "Vocabulary":
        """Create a vocabulary of the most frequent terms.

        Ids are in the order of decreasing counts, and of the terms themselves where counts are
        equal.

        Args:
            counts: How often each term occurs.
            max_size: The largest number of ids, those of padding and unknown included.
            min_count: Terms with a lower count are left out.

        Raises:
            ValueError: `max_size` is below 3, or `min_count` below 1.

        Example:

        >>> Vocabulary.from_counts({"b": 2, "a": 2, "c": 5, "d": 1}, max_size=4).terms
        ('c', 'a')
        """
        check_integer_at_least(FIRST_TERM_ID + 1, max_size=max_size)
        check_integer_at_least(1, min_count=min_count)
        frequent = [term for term, count in counts.items() if count >= min_count]
        frequent.sort(key=lambda term: (-counts[term], term))
        return cls(frequent[: max_size - FIRST_TERM_ID])

    @classmethod
    def read(cls, path: str | pathlib.Path) -> "Vocabulary":
        """Create a vocabulary from a file with one term per line.

        Raises:
            ValueError: The file does not exist or is damaged.
        """
        return cls(read_terms(path))

    def write(self, path: str | pathlib.Path) -> None:
        """Write the terms to a file, one per line, in UTF-8."""
        write_terms(path, self.terms)

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms in the order of their ids."""
        return tuple(self._terms)

    @property
    def size(self) -> int:
        """The number of ids, those of padding and unknown included."""
        return len(self._terms) + FIRST_TERM_ID

    def call(self, terms: Any) -> Tensor:
        import tensorflow as tf

        self._check_has_terms()
        if isinstance(terms, tf.RaggedTensor) and terms.dtype == tf.string:
            return terms.with_flat_values(self._look_up(terms.flat_values))
        return self._look_up(as_strings(terms))

    def to_strings(self, ids: Any) -> Tensor:
        """Return the terms of ids: `""` for padding, `"[UNK]"` for unknown.

        Args:
            ids: Integer tensor of any shape, dense or ragged.

        Returns:
            String tensor of the same shape; ragged if `ids` is.

        Raises:
            tf.errors.InvalidArgumentError: An id is negative, or is `size` or more.
        """
        import tensorflow as tf

        self._check_has_terms()
        if isinstance(ids, tf.RaggedTensor):
            return ids.with_flat_values(tf.gather(self._strings, ids.flat_values))
        return tf.gather(self._strings, ids)

    def compute_output_spec(self, terms: Any) -> Any:
        return keras.KerasTensor(terms.shape, "int32", ragged=getattr(terms, "ragged", False))

    def get_config(self) -> dict[str, Any]:
        return super().get_config()

    def save_assets(self, dir_path: str | pathlib.Path) -> None:
        """Write the terms into a `.keras` file. Keras calls it on saving."""
        self.write(pathlib.Path(dir_path) / FILE)

    def load_assets(self, dir_path: str | pathlib.Path) -> None:
        """Read the terms from a `.keras` file. Keras calls it on loading."""
        self.assign(read_terms(pathlib.Path(dir_path) / FILE, allow_none=True))

    def assign(self, terms: Iterable[str]) -> None:
        """Replace the terms. Graphs that were traced before keep the old ones.

        Raises:
            TypeError: A term is not a string.
            ValueError: A term is empty, contains a line break, or occurs twice.
        """
        self._terms = check_terms(terms)
        if not self._terms:
            return
        import tensorflow as tf

        with tf.init_scope(), tf.device("CPU"):
            self._lookup = StringLookup(self.terms)
            self._strings = tf.constant(["", "[UNK]", *self.terms])

    def _look_up(self, strings: Tensor) -> Tensor:
        import tensorflow as tf

        with tf.device("CPU"):  # strings are on the CPU
            indices = self._lookup(strings)
            return tf.where(indices < 0, UNKNOWN_ID, indices + FIRST_TERM_ID)

    def _check_has_terms(self) -> None:
        if not self._terms:
            raise RuntimeError(
                f"{self.name}: this vocabulary has no terms. Make it with terms, with "
                "`Vocabulary.from_counts` or `Vocabulary.read`, or load a saved model, whose "
                "file holds them (a file of weights does not)."
            )
