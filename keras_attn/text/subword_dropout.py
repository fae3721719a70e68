"""Subword dropout: random segmentations of words, for training."""

import random
from collections.abc import Sequence

import numpy as np

from keras_attn._arrays import as_array
from keras_attn._token_ids import FIRST_BYTE_ID, FIRST_PIECE_ID
from keras_attn._validation import check_rate
from keras_attn.text.normalization import Normalizer, split_spaces
from keras_attn.text.subwords import MARKER, SubwordTokenizer

# Segmentations of each word that are drawn per call, and shared by its occurrences.
NUM_SEGMENTATIONS = 4

_BATCH_SIZE = 1024  # texts that are normalized together
_LITERAL_MARKER = "\0"  # U+2581 in a text, as opposed to a space; no normalized text has NUL
_BYTES = {MARKER: b" ", _LITERAL_MARKER: MARKER.encode("utf-8")}


class SubwordDropout:
    """The ids of texts, with another random segmentation of their words at each call.

    Words are cut by longest match, in which each piece of two or more characters is skipped
    with probability `rate` (Hiraoka, arXiv:2209.04126, after BPE-dropout, Provilkov et al.,
    arXiv:1910.13267). A model thus also learns the meaning of shorter pieces.

    Args:
        tokenizer: A tokenizer with pieces.
        texts: The texts: a list, an array or a pandas column of strings.
        rate: Probability at which a piece is skipped, in [0, 1).
        normalizer: Normalization of the texts; None is that of the tokenizer.

    Raises:
        TypeError: A text is not a string.
        ValueError: `rate` is outside [0, 1).

    Example:

    >>> tokenizer = SubwordTokenizer(["▁low", "▁", "l", "o", "w", "er"])
    >>> dropout = SubwordDropout(tokenizer, ["low", "lower"], rate=0.5)
    >>> [len(ids) for ids in SubwordDropout(tokenizer, ["low", "lower"], rate=0.0)(seed=0)]
    [1, 2]
    >>> max(len(dropout(seed)[0]) for seed in range(20))
    4
    """

    def __init__(
        self,
        tokenizer: SubwordTokenizer,
        texts: Sequence[str] | np.ndarray,
        rate: float,
        normalizer: Normalizer | None = None,
    ) -> None:
        check_rate("rate", rate)
        self.rate = rate
        self._ids = {piece: FIRST_PIECE_ID + n for n, piece in enumerate(tokenizer.pieces)}
        self._max_piece_length = max(map(len, self._ids))
        normalizer = normalizer or tokenizer.normalizer
        texts = as_array(texts)
        word_numbers: dict[str, int] = {}
        self._texts: list[np.ndarray] = []  # the numbers of the words of each text
        for start in range(0, len(texts), _BATCH_SIZE):
            for text in normalizer(list(texts[start : start + _BATCH_SIZE])).numpy():
                words = split_spaces(text)
                numbers = [word_numbers.setdefault(word, len(word_numbers)) for word in words]
                self._texts.append(np.array(numbers, "int64"))
        self._words = [MARKER + word.replace(MARKER, _LITERAL_MARKER) for word in word_numbers]

    def __call__(self, seed: int) -> list[np.ndarray]:
        """Return the int32 ids `(length,)` of each text. The same seed gives the same ids."""
        skips, choices = random.Random(seed), np.random.default_rng(seed)
        segmentations = [
            [self._segment(word, skips) for _ in range(NUM_SEGMENTATIONS)] for word in self._words
        ]
        empty = np.zeros(0, "int32")
        texts = []
        for words in self._texts:
            chosen = choices.integers(NUM_SEGMENTATIONS, size=len(words))
            ids = [segmentations[word][n] for word, n in zip(words, chosen, strict=True)]
            texts.append(np.concatenate([empty, *ids]))
        return texts

    def _segment(self, word: str, skips: random.Random) -> np.ndarray:
        """Return the ids of a word: at each place the longest piece that is not skipped."""
        ids: list[int] = []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self._max_piece_length), start, -1):
                piece = self._ids.get(word[start:end])
                if piece and (end == start + 1 or skips.random() >= self.rate):
                    ids.append(piece)
                    break
            else:
                end = start + 1
                octets = _BYTES.get(word[start]) or word[start].encode("utf-8")
                ids += [FIRST_BYTE_ID + octet for octet in octets]
            start = end
        return np.array(ids, "int32")
