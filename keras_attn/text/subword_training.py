"""Training of subword tokenizers by byte-pair encoding."""

import collections
import functools
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from keras_attn._token_ids import FIRST_PIECE_ID
from keras_attn._validation import check_integer_at_least
from keras_attn._wording import counted
from keras_attn.text._inputs import iterate_batches
from keras_attn.text.normalization import Normalizer, split_spaces
from keras_attn.text.subwords import MARKER, SubwordTokenizer

_BATCH_SIZE = 1024  # texts that are normalized together
_MAX_REPETITIONS = 1024  # of a word in one fragment
_MAX_PIECE_CHARACTERS = 24


def train_subwords(
    texts: Iterable[str | bytes],
    size: int,
    normalizer: Normalizer = Normalizer(lowercase=False),  # noqa: B008
    min_count: int = 2,
    split_punctuation: bool = False,
    targets: Iterable[str | bytes] = (),
    target_normalizer: Normalizer | None = None,
) -> SubwordTokenizer:
    """Train a tokenizer by byte-pair encoding (Sennrich et al., arXiv:1508.07909).

    The package `tokenizers` computes the merges. The same texts in the same order give the
    same pieces. Rare characters do not become pieces: the tokenizer encodes them as bytes.

    Args:
        texts: The training texts, read once: any iterable of strings, or a pandas column.
        size: The largest number of ids: the 259 of padding, start, end and bytes, and the
            pieces. Texts with few words give fewer.
        normalizer: The normalizer of the tokenizer.
        min_count: How often a character, or a pair of pieces, must occur to become a piece.
        split_punctuation: Whether to prevent pieces with both letters or digits and
            punctuation, such as `"man."`. Apostrophes count as letters, and so do the marks of
            Indic scripts, Thai and others.
        targets: Further training texts, which are read after `texts`: translations of them.
        target_normalizer: The normalizer of `targets`; None is that of the tokenizer.

    Returns:
        The trained tokenizer.

    Raises:
        ImportError: The package `tokenizers` is not installed.
        TypeError: `texts` is one string, or contains something that is not a string.
        ValueError: `size` is below 260, `min_count` is below 1, or no character of `texts`
            occurs `min_count` times.

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
    check_integer_at_least(FIRST_PIECE_ID + 1, size=size)
    check_integer_at_least(1, min_count=min_count)
    words = _count_words(texts, normalizer)
    words.update(_count_words(targets, target_normalizer or normalizer))
    characters = _frequent_characters(words, (size - FIRST_PIECE_ID + 1) // 2, min_count)
    if not characters:
        raise ValueError(
            f"`texts` holds no character that occurs {counted(min_count, 'time')}. Give more "
            "texts, or a lower `min_count`."
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


def _count_words(texts: Iterable[str | bytes], normalizer: Normalizer) -> collections.Counter[str]:
    """Count each word, in the order of first occurrence."""
    counts: collections.Counter[str] = collections.Counter()
    for batch in iterate_batches(texts, _BATCH_SIZE):
        for text in normalizer(batch).numpy():
            counts.update(split_spaces(text))
    return counts


@functools.cache
def _runs() -> re.Pattern[str]:
    """Return a pattern of runs of letters, digits and marks, and of single other characters.

    Python's own class of word characters has no marks: it would cut Thai and Hindi words at each
    vowel sign.
    """
    codes = range(sys.maxunicode + 1)
    marks = [chr(code) for code in codes if unicodedata.category(chr(code)).startswith("M")]
    letters = rf"\w'{''.join(marks)}\u200c\u200d"
    return re.compile(f"[{letters}]+|[^{letters}]")


def _frequent_characters(words: dict[str, int], max_count: int, min_count: int) -> set[str]:
    """Return at most `max_count` frequent characters, of which all pieces are composed."""
    counts: collections.Counter[Any] = collections.Counter()
    for word, count in words.items():
        counts[MARKER] += count
        for character in word:
            counts[character] += 0 if character == MARKER else count
    frequent = [character for character in counts if counts[character] >= min_count]
    frequent.sort(key=lambda character: (-counts[character], character))
    return set(frequent[:max_count])


def _fragments(
    words: dict[str, int], characters: set[str], split_punctuation: bool
) -> Iterator[str]:
    """Yield each word as often as it occurs, with its marker, split at rare characters.

    Characters are selected here because the limit of `tokenizers` breaks ties at random.
    """
    for word, count in words.items():
        known = "".join(character if character in characters else " " for character in word)
        known = known.replace(MARKER, " ")
        if split_punctuation:
            known = " ".join(_runs().findall(known))
        text = f" {MARKER if MARKER in characters else ''}{known}"
        for start in range(0, count, _MAX_REPETITIONS):
            yield text * min(_MAX_REPETITIONS, count - start)
