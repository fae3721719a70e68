"""From texts to the ids that a text model reads."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras

from keras_attn.text import _term_files
from keras_attn.text._checks import as_strings, at_least
from keras_attn.text._counting import document_frequencies
from keras_attn.text.normalization import Normalizer
from keras_attn.text.truncation import check_head, keep_ends
from keras_attn.text.vocabulary import UNKNOWN_ID, Vocabulary
from keras_attn.text.word_ngrams import ngrams
from keras_attn.text.words import split_words

Tensor = Any
BATCH = 256  # texts at a time where many are gone through


@keras.saving.register_keras_serializable(package="keras_attn")
class NGramEncoder(keras.layers.Layer):
    """Texts to ids of words, and of the n-grams that begin at each word.

    Texts are normalized, split into words, and shortened if they are long; every word and
    every run of two, three, ... words is looked up in a vocabulary of its order. All of
    it is TensorFlow's own operations, and goes into a SavedModel.

    Vocabularies are learned by `adapt`, and saved in a model's `.keras` file; the
    configuration does not hold them.

    Args:
        vocabulary_sizes: the most ids of each order, those of padding and unknown
            included: of words, of pairs, and so on.
        max_length: the most words that are kept of a text.
        head: how many of them are its first, the others being its last; None is a
            quarter.
        once: leave an n-gram that has stood before in the text out (its id is 0), so
            that each counts once (Wang and Manning, ACL 2012, find that better).
        min_count: the least number of texts that an n-gram of a vocabulary stands in.
        lowercase: whether words are compared in lower case.

    Call arguments:
        texts: string tensor `(B,)`, or a list, tuple or array of str or bytes.

    Returns:
        int32 tensor `(B, T, G)`, `T` the number of words of the longest of the texts and
        at least 1: an id for each word and order, 1 for what is not in the vocabulary, 0
        for padding and where the text ends before the n-gram does.

    Raises:
        RuntimeError: it has no vocabulary yet.
        TypeError: `texts` holds something that is not a string.

    Example:

    >>> encoder = NGramEncoder(vocabulary_sizes=(9, 9))
    >>> encoder.adapt(["So good!", "So bad.", "so good"])
    >>> encoder(["so so good"]).numpy().tolist()
    [[[2, 1], [2, 2], [3, 0]]]
    """

    def __init__(
        self,
        vocabulary_sizes: Sequence[int],
        max_length: int = 512,
        head: int | None = None,
        once: bool = False,
        min_count: int = 1,
        lowercase: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._convert_input_args = False  # strings are not for Keras to cast
        self._allow_non_tensor_positional_args = True
        self.supports_jit = False  # XLA has no strings
        if not vocabulary_sizes:
            raise ValueError("`vocabulary_sizes` must have a size for words, at least.")
        for size in vocabulary_sizes:
            at_least(3, vocabulary_sizes=size)
        at_least(1, max_length=max_length, min_count=min_count)
        if head is not None:
            check_head(head, max_length)
        self.vocabulary_sizes = tuple(vocabulary_sizes)
        self.orders = tuple(range(1, len(self.vocabulary_sizes) + 1))
        self.max_length = max_length
        self.head = max_length // 4 if head is None else head
        self.once = once
        self.min_count = min_count
        self.lowercase = lowercase
        self.normalizer = Normalizer(lowercase=lowercase)
        self.vocabularies = [Vocabulary(name=f"vocabulary_{order}") for order in self.orders]
        self.built = True

    @property
    def filled(self) -> bool:
        """Whether there is a vocabulary."""
        return bool(self.vocabularies[0].terms)

    def adapt(self, texts: Iterable[str]) -> None:
        """Learn the vocabularies: the n-grams that stand in the most texts.

        Args:
            texts: texts to learn from; the training split, and nothing else.

        Raises:
            TypeError: `texts` is one string.
            ValueError: they hold no word that occurs in `min_count` of them.
        """
        if isinstance(texts, str | bytes):
            raise TypeError("`texts` must be several texts. Received one string.")
        rows = itertools.chain.from_iterable(
            self.words(batch, whole=True).to_list() for batch in _batched(texts)
        )
        counts = document_frequencies(rows, len(self.orders), self.min_count)
        terms = []
        for order, (counted, size) in enumerate(zip(counts, self.vocabulary_sizes, strict=True)):
            taken = Vocabulary.from_counts(counted, size).terms
            if not taken and order == 0:
                raise ValueError(
                    "The texts hold no word that occurs in at least `min_count` of them, "
                    f"{self.min_count}, to make a vocabulary of."
                )
            terms.append(taken)
        self._fill(terms)

    def words(self, texts: Any, whole: bool = False) -> Tensor:
        """The words of texts: ragged string tensor `(B, None)`.

        Args:
            texts: as for a call.
            whole: keep all words of a long text.
        """
        found = split_words(self.normalizer(as_strings(texts, rank=1)))
        return found if whole else keep_ends(found, self.max_length, self.head)

    def folds(self, texts: Any, num_folds: int) -> Tensor:
        """The fold of each text, from 0 to `num_folds - 1`, by a hash of it: int32 `(B,)`."""
        import tensorflow as tf

        at_least(1, num_folds=num_folds)
        return tf.cast(tf.strings.to_hash_bucket_fast(as_strings(texts), num_folds), tf.int32)

    def in_fold(self, ids: Any, folds: Any) -> Tensor:
        """Ids that ask, in training, for ratios that were counted without a fold.

        See `keras_attn.layers.NGramEmbedding`, which knows them from others by their size.

        Args:
            ids: int32 `(..., G)`.
            folds: int32 that broadcasts against them.
        """
        import tensorflow as tf

        terms = tf.constant(self.vocabulary_sizes, tf.int32) - 2
        return tf.where(ids <= UNKNOWN_ID, ids, ids + (1 + folds) * terms)

    def lookup(self, words: Tensor) -> Tensor:
        """The ids of words: ragged string tensor `(B, None)` to int32 `(B, None, G)`."""
        import tensorflow as tf

        if not self.filled:
            raise RuntimeError(
                f"{self.name} has no vocabulary yet. Learn one from your texts: "
                "`classifier.adapt(texts, labels)`, or `adapt(texts)` of the encoder alone."
            )
        strings = ngrams(words, self.orders)
        columns = []
        for index, vocabulary in enumerate(self.vocabularies):
            column = strings.values[:, index]
            ids = vocabulary(column) if vocabulary.terms else tf.ones_like(column, tf.int32)
            ids = tf.where(column == "", 0, ids)
            columns.append(self._first(words, ids, vocabulary.size) if self.once else ids)
        return words.with_values(tf.stack(columns, axis=1))

    def call(self, texts: Any) -> Tensor:
        return self.dense(self.lookup(self.words(texts)))

    def dense(self, ids: Tensor) -> Tensor:
        """Ragged ids `(B, None, G)` as a tensor `(B, T, G)`, padded with 0."""
        import tensorflow as tf

        padded = ids.to_tensor(0)
        missing = tf.maximum(1 - tf.shape(padded)[1], 0)  # where no text has a word
        padded = tf.pad(padded, [[0, 0], [0, missing], [0, 0]])
        return tf.ensure_shape(padded, (None, None, len(self.orders)))

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        return keras.KerasTensor((texts.shape[0], None, len(self.orders)), "int32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_sizes": list(self.vocabulary_sizes),
            "max_length": self.max_length,
            "head": self.head,
            "once": self.once,
            "min_count": self.min_count,
            "lowercase": self.lowercase,
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabularies to one file: an n-gram a line, its words parted by spaces."""
        terms = itertools.chain.from_iterable(v.terms for v in self.vocabularies)
        _term_files.write(path, tuple(terms))

    def read(self, path: str | os.PathLike[str]) -> None:
        """Take the vocabularies of a file that `write` wrote.

        Raises:
            ValueError: there is no such file, it is damaged, or holds other n-grams or more
                of them than this encoder has ids for.
        """
        terms: list[list[str]] = [[] for _ in self.orders]
        for term in _term_files.read(path):
            order = term.count(" ")
            if order >= len(terms):
                raise ValueError(
                    f"{path} holds {term!r}, of {order + 1} words, and this encoder knows n-grams "
                    f"of at most {len(terms)}. It is the vocabulary of another model."
                )
            terms[order].append(term)
        self._fill(terms)

    def copy_vocabularies(self, source: "NGramEncoder") -> None:
        """Take the vocabularies of another encoder of the same sizes.

        Raises:
            ValueError: This encoder has fewer ids than the other has n-grams.
        """
        self._fill([vocabulary.terms for vocabulary in source.vocabularies])

    def _fill(self, terms: Sequence[Sequence[str]]) -> None:
        for order, (own, size) in enumerate(zip(terms, self.vocabulary_sizes, strict=True)):
            if len(own) > size - 2:
                raise ValueError(
                    f"The vocabulary of {order + 1}-grams has {len(own):,} terms, and this encoder "
                    f"has ids for {size - 2:,}. It is the vocabulary of another model."
                )
        for vocabulary, own in zip(self.vocabularies, terms, strict=True):
            vocabulary.fill(own)

    def _first(self, words: Tensor, ids: Tensor, size: int) -> Tensor:
        """`ids` with 0 in place of known ones that stand before in the same row."""
        import tensorflow as tf

        rows = tf.cast(words.value_rowids(), tf.int64)
        found, group = tf.unique(rows * size + tf.cast(ids, tf.int64))
        places = tf.range(tf.size(ids))
        first = tf.math.unsorted_segment_min(places, group, tf.size(found))
        again = (tf.gather(first, group) != places) & (ids > UNKNOWN_ID)
        return tf.where(again, 0, ids)


def _batched(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch
