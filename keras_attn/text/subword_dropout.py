"""Other ways to cut words into their subwords, by chance, for training."""

import random
from collections.abc import Sequence

import numpy as np

from keras_attn.text.subwords import FIRST_BYTE_ID, FIRST_PIECE_ID, MARKER, SubwordTokenizer

BATCH = 1024  # texts that are normalized at a time
_WRITTEN = "\0"  # U+2581 that stands in a text; a normalized text holds no NUL
_OCTETS = {MARKER: b" ", _WRITTEN: MARKER.encode("utf-8")}
VARIANTS = 4  # ways to cut each word that are drawn at a time, and shared by its occurrences


class SubwordDropout:
    """Ids of texts whose words are cut otherwise each time.

    Longest match in which each piece of two or more characters is passed over with a
    probability (Hiraoka, arXiv:2209.04126, after BPE-dropout, Provilkov et al.,
    arXiv:1910.13267), so that a model also learns what shorter pieces mean.

    Args:
        tokenizer: whose pieces are used; it has some.
        texts: the texts.
        rate: probability at which a piece is passed over, in [0, 1).

    Raises:
        ValueError: `rate` is no such number.

    Example:

    >>> tokenizer = SubwordTokenizer(["▁low", "▁", "l", "o", "w", "er"])
    >>> dropout = SubwordDropout(tokenizer, ["low", "lower"], rate=0.5)
    >>> [len(ids) for ids in SubwordDropout(tokenizer, ["low", "lower"], rate=0.0)(seed=0)]
    [1, 2]
    >>> max(len(dropout(seed)[0]) for seed in range(20))
    4
    """

    def __init__(
        self, tokenizer: SubwordTokenizer, texts: Sequence[str] | np.ndarray, rate: float
    ) -> None:
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"`rate` must be in [0, 1). Received: {rate!r}.")
        self.rate = rate
        self._ids = {piece: FIRST_PIECE_ID + n for n, piece in enumerate(tokenizer.pieces)}
        self._longest = max(map(len, self._ids))
        words: dict[str, int] = {}
        self._texts: list[np.ndarray] = []
        for start in range(0, len(texts), BATCH):
            for text in tokenizer.normalizer(list(texts[start : start + BATCH])).numpy():
                of_text = [words.setdefault(w, len(words)) for w in text.decode("utf-8").split()]
                self._texts.append(np.array(of_text, "int64"))
        self._words = [MARKER + word.replace(MARKER, _WRITTEN) for word in words]

    def __call__(self, seed: int) -> list[np.ndarray]:
        """The int32 ids of each text; the same for the same seed."""
        chance, choices = random.Random(seed), np.random.default_rng(seed)
        cut = [[self._cut(word, chance) for _ in range(VARIANTS)] for word in self._words]
        none = np.zeros(0, "int32")
        return [
            np.concatenate([none, *(cut[word][way] for word, way in zip(words, ways, strict=True))])
            for words in self._texts
            for ways in [choices.integers(VARIANTS, size=len(words))]
        ]

    def _cut(self, word: str, chance: random.Random) -> np.ndarray:
        """A word's ids: at each place the longest piece that is not passed over."""
        ids: list[int] = []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                piece = self._ids.get(word[start:end])
                if piece and (end == start + 1 or chance.random() >= self.rate):
                    ids.append(piece)
                    break
            else:
                end = start + 1
                octets = _OCTETS.get(word[start]) or word[start].encode("utf-8")
                ids += [FIRST_BYTE_ID + octet for octet in octets]
            start = end
        return np.array(ids, "int32")
