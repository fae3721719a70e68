"""Encoding of texts as the ids of words and n-grams."""

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_attn._token_ids import FIRST_TERM_ID, PADDING_ID, UNKNOWN_ID
from keras_attn._types import Tensor
from keras_attn._validation import check_integer_at_least
from keras_attn._wording import counted
from keras_attn.text._counting import document_frequencies
from keras_attn.text._inputs import as_strings, iterate_batches
from keras_attn.text._layer import StringLayer
from keras_attn.text._rules import CURRENT, FIRST, Rules
from keras_attn.text._term_files import read_terms, write_terms
from keras_attn.text.normalization import Normalizer
from keras_attn.text.truncation import check_head, keep_ends
from keras_attn.text.vocabulary import Vocabulary
from keras_attn.text.word_ngrams import ngrams
from keras_attn.text.words import split_words

_BATCH_SIZE = 256  # texts that `adapt` splits into words together


@keras.saving.register_keras_serializable(package="keras_attn")
class NGramEncoder(StringLayer):
    """Encode texts as the ids of their words and of the n-grams that begin at each word.

    Texts are normalized, split into words, and truncated if they are long. Each word, and each
    run of two, three, ... words, is looked up in the vocabulary of its order. All of this
    consists of core TensorFlow operations, which a SavedModel can contain.

    `adapt` learns the vocabularies. A `.keras` file stores them; the configuration does not
    contain them.

    Args:
        vocabulary_sizes: For each order (words, pairs, and so on) the largest number of ids,
            those of padding and unknown included.
        max_length: The largest number of words that are kept of a text.
        head: How many of them are its first words; the others are its last words. None means
            a quarter.
        once: Whether to give id 0 to an n-gram that occurs earlier in the text, so that each
            counts once (Wang and Manning, ACL 2012, find this better).
        min_count: The smallest number of texts in which an n-gram of a vocabulary occurs.
        lowercase: Whether to compare words in lower case.
        rules: Version of the rules of `Normalizer` and `split_words`. Version 1 is that of models
            saved by keras_attn 0.1.

    Call arguments:
        texts: String tensor `(B,)`, or a list, tuple, array or pandas column of str or bytes.

    Returns:
        int32 tensor `(B, T, G)`: an id for each word and order. `T` is the number of words of
        the longest text, at least 1. The id is 1 for an n-gram that is not in the vocabulary,
        and 0 for padding and where the text ends before the n-gram does.

    Raises:
        RuntimeError: On a call, if there is no vocabulary yet.
        TypeError: An element of `texts` is not a string.
        ValueError: A size is below 3, `max_length` or `min_count` is below 1, `head` is not
            between 0 and `max_length`, or `rules` is neither 1 nor 2.

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
        rules: Rules = CURRENT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not vocabulary_sizes:
            raise ValueError("`vocabulary_sizes` must have a size for words, at least.")
        for size in vocabulary_sizes:
            check_integer_at_least(FIRST_TERM_ID + 1, vocabulary_sizes=size)
        check_integer_at_least(1, max_length=max_length, min_count=min_count)
        if head is not None:
            check_head(head, max_length)
        self.vocabulary_sizes = tuple(vocabulary_sizes)
        self.orders = tuple(range(1, len(self.vocabulary_sizes) + 1))
        self.max_length = max_length
        self.head = max_length // 4 if head is None else head
        self.once = once
        self.min_count = min_count
        self.lowercase = lowercase
        self.rules = rules
        self.normalizer = Normalizer(lowercase=lowercase, rules=rules)
        self.vocabularies = [Vocabulary(name=f"vocabulary_{order}") for order in self.orders]
        self.built = True

    @property
    def filled(self) -> bool:
        """True if the encoder has a vocabulary."""
        return bool(self.vocabularies[0].terms)

    def adapt(self, texts: Iterable[str]) -> None:
        """Learn the vocabularies: for each order the n-grams that occur in the most texts.

        Args:
            texts: The texts to learn from, read once: any iterable of strings, or a pandas
                column. Use the training split only.

        Raises:
            TypeError: `texts` is one string, or contains something that is not a string.
            ValueError: No word occurs in `min_count` of the texts.
        """
        rows = itertools.chain.from_iterable(
            self.words(batch, whole=True).to_list() for batch in iterate_batches(texts, _BATCH_SIZE)
        )
        counts = document_frequencies(rows, len(self.orders), self.min_count)
        terms = []
        for order, (frequencies, size) in enumerate(
            zip(counts, self.vocabulary_sizes, strict=True)
        ):
            frequent = Vocabulary.from_counts(frequencies, size).terms
            if not frequent and order == 0:
                raise ValueError(
                    "The texts hold no word that occurs in at least `min_count` of them, "
                    f"{self.min_count}, to make a vocabulary of."
                )
            terms.append(frequent)
        self._assign(terms)

    def words(self, texts: Any, whole: bool = False) -> Tensor:
        """Return the words of texts, as a ragged string tensor `(B, None)`.

        Args:
            texts: As in a call.
            whole: Whether to keep all words of a long text.
        """
        words = split_words(self.normalizer(as_strings(texts, rank=1)), self.rules)
        return words if whole else keep_ends(words, self.max_length, self.head)

    def folds(self, texts: Any, num_folds: int) -> Tensor:
        """Return the fold of each text, a hash of it from 0 to `num_folds - 1`: int32 `(B,)`."""
        import tensorflow as tf

        check_integer_at_least(1, num_folds=num_folds)
        return tf.cast(tf.strings.to_hash_bucket_fast(as_strings(texts), num_folds), tf.int32)

    def in_fold(self, ids: Any, folds: Any) -> Tensor:
        """Return the ids that select, in training, ratios counted without the text's own fold.

        They are beyond the vocabulary: `keras_attn.layers.NGramEmbedding` recognizes them by
        their size. Ids of padding and unknown are unchanged.

        Args:
            ids: int32 tensor `(..., G)`.
            folds: int32 tensor that broadcasts against `ids`.
        """
        import tensorflow as tf

        num_terms = tf.constant(self.vocabulary_sizes, tf.int32) - FIRST_TERM_ID
        return tf.where(ids <= UNKNOWN_ID, ids, ids + (1 + folds) * num_terms)

    def lookup(self, words: Tensor) -> Tensor:
        """Return the ids of words, as a ragged int32 tensor `(B, None, G)`.

        Args:
            words: Ragged string tensor `(B, None)`.

        Raises:
            RuntimeError: There is no vocabulary yet.
        """
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
            ids = tf.where(column == "", PADDING_ID, ids)
            if self.once:
                ids = self._drop_repetitions(words, ids, vocabulary.size)
            columns.append(ids)
        return words.with_values(tf.stack(columns, axis=1))

    def call(self, texts: Any) -> Tensor:
        return self.dense(self.lookup(self.words(texts)))

    def is_known(self, words: Tensor) -> Tensor:
        """Return whether each word is in the vocabulary: bool, of the shape of `words`."""
        return self.vocabularies[0](words) != UNKNOWN_ID

    def count_words(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the number of words of each text, and of those in the vocabulary.

        Args:
            ids: Ragged ids `(B, None, G)` from `lookup`.

        Returns:
            Two int32 tensors `(B,)`.
        """
        import tensorflow as tf

        is_known = tf.cast(ids.values[:, 0] != UNKNOWN_ID, tf.int32)
        known = tf.math.unsorted_segment_sum(is_known, ids.value_rowids(), ids.nrows())
        return tf.cast(ids.row_lengths(), tf.int32), known

    def dense(self, ids: Tensor) -> Tensor:
        """Return ragged ids `(B, None, G)` as a dense tensor `(B, T, G)`, padded with 0.

        `T` is at least 1, also if no text has a word.
        """
        import tensorflow as tf

        padded = ids.to_tensor(PADDING_ID)
        missing = tf.maximum(1 - tf.shape(padded)[1], 0)
        padded = tf.pad(padded, [[0, 0], [0, missing], [0, 0]], constant_values=PADDING_ID)
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
            "rules": self.rules,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NGramEncoder":
        return cls(**{"rules": FIRST, **config})  # version 0.1 saved no version of the rules

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write all vocabularies to one file: an n-gram per line, its words separated by spaces."""
        write_terms(path, itertools.chain.from_iterable(v.terms for v in self.vocabularies))

    def read(self, path: str | os.PathLike[str]) -> None:
        """Replace the vocabularies by those of a file that `write` wrote.

        Raises:
            ValueError: The file does not exist or is damaged, or it contains longer n-grams,
                or more n-grams, than this encoder has ids for.
        """
        terms: list[list[str]] = [[] for _ in self.orders]
        for term in read_terms(path):
            order = term.count(" ")
            if order >= len(terms):
                raise ValueError(
                    f"{path} holds {term!r}, of {order + 1} words, and this encoder knows n-grams "
                    f"of at most {len(terms)}. It is the vocabulary of another model."
                )
            terms[order].append(term)
        self._assign(terms)

    def copy_vocabularies(self, source: "NGramEncoder") -> None:
        """Take the vocabularies of another encoder of the same sizes.

        Raises:
            ValueError: This encoder has fewer ids than the other has n-grams.
        """
        self._assign([vocabulary.terms for vocabulary in source.vocabularies])

    def _assign(self, terms: Sequence[Sequence[str]]) -> None:
        # Check all before any is replaced.
        for order, (own, size) in enumerate(zip(terms, self.vocabulary_sizes, strict=True)):
            if len(own) > size - FIRST_TERM_ID:
                raise ValueError(
                    f"The vocabulary of {order + 1}-grams has {counted(len(own), 'term')}, and "
                    f"this encoder has ids for {size - FIRST_TERM_ID:,}. It is the vocabulary of "
                    "another model."
                )
        for vocabulary, own in zip(self.vocabularies, terms, strict=True):
            vocabulary.assign(own)

    def _drop_repetitions(self, words: Tensor, ids: Tensor, size: int) -> Tensor:
        """Replace an id by 0 where the same known id occurs earlier in the same row.

        Args:
            words: Ragged tensor `(B, None)`, for its rows.
            ids: int32 `(sum of lengths,)`, ids of one order.
            size: Number of ids of that order.
        """
        import tensorflow as tf

        rows = tf.cast(words.value_rowids(), tf.int64)
        distinct, group = tf.unique(rows * size + tf.cast(ids, tf.int64))
        places = tf.range(tf.size(ids))
        first_occurrence = tf.math.unsorted_segment_min(places, group, tf.size(distinct))
        is_repetition = (tf.gather(first_occurrence, group) != places) & (ids > UNKNOWN_ID)
        return tf.where(is_repetition, PADDING_ID, ids)
