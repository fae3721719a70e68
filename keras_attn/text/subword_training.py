"""Which pieces words fall into, learnt from texts."""

import collections
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from keras_attn.text._checks import at_least
from keras_attn.text.normalization import Normalizer
from keras_attn.text.subwords import FIRST_PIECE_ID, MARKER, SubwordTokenizer

_BATCH = 1024
_MAX_PIECE_CHARACTERS = 24
_RUNS = re.compile(r"[\w']+|[^\w']")


def train_subwords(
    texts: Iterable[str],
    size: int,
    normalizer: Normalizer = Normalizer(lowercase=False),  # noqa: B008
    min_count: int = 2,
    split_punctuation: bool = False,
) -> SubwordTokenizer:
    """A tokenizer whose pieces are those of byte-pair encoding.

    Sennrich et al., arXiv:1508.07909, by the package `tokenizers`. The same texts in the
    same order give the same pieces. Characters that are seldom seen are no pieces; the
    tokenizer writes them as bytes.

    Args:
        texts: the texts to learn from, read once.
        size: the most ids that the tokenizer may have: the 259 for padding, start, end
            and bytes, and the pieces. Texts with few words give fewer.
        normalizer: the tokenizer's.
        min_count: how often a character, or two pieces together, must be seen to become
            a piece.
        split_punctuation: whether no piece holds both letters or digits and punctuation, as
            in `"man."`. Apostrophes count as letters.

    Raises:
        ImportError: the package `tokenizers` is not installed.
        ValueError: `size` leaves no id for a piece, or `texts` holds none that is
            frequent enough.

    Example:

    >>> tokenizer = train_subwords(["low lower lowest", "new newer newest"], size=280)
    >>> tokenizer.detokenize(tokenizer(["newest low"])).numpy().tolist()
    [b'newest low']
    """
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            "Training subwords needs the package `tokenizers`: "
            "pip install 'keras-attn[train]'. (A trained tokenizer does without.)"
        ) from error
    at_least(FIRST_PIECE_ID + 1, size=size)
    at_least(1, min_count=min_count)
    words = _count_words(texts, normalizer)
    characters = _frequent_characters(words, (size - FIRST_PIECE_ID + 1) // 2, min_count)
    if not characters:
        raise ValueError(
            f"`texts` holds no character that occurs {min_count} times. Give more texts, or a "
            "lower `min_count`."
        )
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.CharDelimiterSplit(" ")
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size - FIRST_PIECE_ID,
        min_frequency=min_count,
        show_progress=False,
        special_tokens=[],
        max_token_length=_MAX_PIECE_CHARACTERS,
    )
    bpe.train_from_iterator(_fragments(words, characters, split_punctuation), trainer)
    ids = bpe.get_vocab(with_added_tokens=False)
    return SubwordTokenizer(sorted(ids, key=ids.__getitem__), normalizer=normalizer)


def _count_words(texts: Iterable[str], normalizer: Normalizer) -> dict[str, int]:
    """How often each word occurs, in the order in which they first do."""
    if isinstance(texts, (str, bytes)):
        raise TypeError("`texts` must be several texts. Received one string.")
    counts: collections.Counter[str] = collections.Counter()
    iterator = iter(texts)
    while batch := list(itertools.islice(iterator, _BATCH)):
        for text in normalizer(batch).numpy():
            counts.update(text.decode("utf-8").split())
    return counts


def _frequent_characters(words: dict[str, int], most: int, min_count: int) -> set[str]:
    """At most `most` characters, the marker first: every other piece is made of them."""
    counts: collections.Counter[Any] = collections.Counter()
    for word, count in words.items():
        counts[MARKER] += count
        for character in word:
            counts[character] += 0 if character == MARKER else count
    frequent = [character for character in counts if counts[character] >= min_count]
    frequent.sort(key=lambda character: (-counts[character], character))
    return set(frequent[:most])


def _fragments(
    words: dict[str, int], characters: set[str], split_punctuation: bool
) -> Iterator[str]:
    """Marked words as often as they occur, parted where a character is too seldom.

    The characters are chosen here because the library's own limit breaks ties at random.
    """
    for word, count in words.items():
        known = "".join(character if character in characters else " " for character in word)
        known = known.replace(MARKER, " ")
        if split_punctuation:
            known = " ".join(_RUNS.findall(known))
        text = f" {MARKER if MARKER in characters else ''}{known}"
        for start in range(0, count, _BATCH):
            yield text * min(_BATCH, count - start)
