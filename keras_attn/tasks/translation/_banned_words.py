"""The automaton that keeps a search from writing banned words, however it would spell them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_attn._token_ids import END_ID, FIRST_BYTE_ID, FIRST_PIECE_ID
from keras_attn._wording import counted
from keras_attn.decoding import Automaton
from keras_attn.text import Normalizer, SubwordTokenizer

MAX_ENTRIES = 2**26  # of the automaton: states times tokens

_SPACE = ord(" ")
_MARKER = "\u2581"  # stands for the space before a word in a piece


class _State(NamedTuple):
    """A state of the automaton that reads bytes.

    Attributes:
        matches: Matches under way: the number of a word, and of its bytes that are written. With
            all bytes, a match waits for the next character, which must not be a letter.
        in_word: Whether the last complete character is a letter.
        after_space: Whether the last character is a space, or there is none.
        missing: Number of bytes that the letter under way lacks; `_AFTER_E0` after the byte E0.
    """

    matches: frozenset[tuple[int, int]]
    in_word: bool
    after_space: bool
    missing: int


_AFTER_E0 = 3  # two bytes are missing, of which the first is at least A0
_START = _State(frozenset(), in_word=False, after_space=True, missing=0)


def check_banned_words(words: Sequence[str]) -> tuple[str, ...]:
    """Return banned words as a tuple.

    Raises:
        TypeError: They are not a list or tuple of strings.
        ValueError: A word is empty.
    """
    is_list = isinstance(words, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(word, str) for word in words):
        raise TypeError(f"`banned_words` must be a list of strings. Received: {words!r}.")
    if not all(map(str.strip, words)):
        raise ValueError(f"`banned_words` must not hold an empty string. Received: {words!r}.")
    return tuple(dict.fromkeys(words))


def ban_words(
    words: Sequence[str],
    tokenizer: SubwordTokenizer,
    vocabulary_size: int,
    normalizer: Normalizer | None = None,
) -> Automaton:
    """Return the automaton of the tokens of a search that never writes some words.

    It reads the bytes that tokens write, so a word is found in whatever pieces it is written. A
    word that begins or ends with a letter or digit of a script with spaces is found there only
    beside another character: "art" is not banned in "party". Upper and lower case are different.

    Args:
        words: The banned words, spelled as the model writes.
        tokenizer: The tokenizer that writes the tokens.
        vocabulary_size: Number of tokens of the model; ids that the tokenizer lacks write nothing.
        normalizer: Normalization of what the model writes; None is that of the tokenizer.

    Raises:
        ValueError: There are so many words that the automaton would be too large.

    Example:

    >>> tokenizer = SubwordTokenizer(["▁art", "▁p", "art", "y"])
    >>> automaton = ban_words(["art"], tokenizer, 263)
    >>> after_art = automaton.next_states[0, 259]
    >>> bool(automaton.banned[after_art, 2]), bool(automaton.banned[after_art, 262])  # end, "y"
    (True, False)
    """
    normalizer = normalizer or tokenizer.normalizer
    texts = [text.decode("utf-8") for text in normalizer(list(words)).numpy()]
    patterns = [text.encode("utf-8") for text in texts if text]
    byte_next, byte_banned, end_banned = _byte_automaton(patterns)
    if len(byte_next) * vocabulary_size > MAX_ENTRIES:
        raise ValueError(
            f"`banned_words` must be fewer: an automaton of {counted(len(words), 'word')} has "
            f"{len(byte_next):,} states, too many for {vocabulary_size:,} tokens."
        )
    written = [b""] * FIRST_BYTE_ID + [bytes([value]) for value in range(256)]
    written += [piece.replace(_MARKER, " ").encode("utf-8") for piece in tokenizer.pieces]
    assert len(written) == FIRST_PIECE_ID + len(tokenizer.pieces)
    written += [b""] * (vocabulary_size - len(written))
    states = np.repeat(np.arange(len(byte_next), dtype="int32")[:, None], vocabulary_size, axis=1)
    banned = np.zeros(states.shape, bool)
    for offset in range(max(map(len, written))):
        tokens = [token for token, text in enumerate(written) if len(text) > offset]
        octets = np.array([written[token][offset] for token in tokens])
        before = states[:, tokens]
        banned[:, tokens] |= byte_banned[before, octets]
        states[:, tokens] = byte_next[before, octets]
    banned[:, END_ID] = end_banned
    return Automaton(states, banned)


def _byte_automaton(patterns: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return next states `(S, 256)`, banned bytes `(S, 256)` and whether the end is banned."""
    numbers = {_START: 0}
    queue = [_START]
    next_states, banned = [], []
    for state in queue:  # which grows
        rows = [_read(patterns, state, octet) for octet in range(256)]
        for following, _ in rows:
            if following not in numbers:
                numbers[following] = len(numbers)
                queue.append(following)
        next_states.append([numbers[following] for following, _ in rows])
        banned.append([is_banned for _, is_banned in rows])
    end = [any(place == len(patterns[word]) for word, place in state.matches) for state in queue]
    return np.array(next_states, "int32"), np.array(banned, bool), np.array(end, bool)


def _read(patterns: Sequence[bytes], state: _State, octet: int) -> tuple[_State, bool]:
    """Return the state after a byte, and whether the byte completes a word.

    Bytes that are not valid UTF-8 are written as U+FFFD, which is no letter.
    """
    if octet == _SPACE and state.after_space:  # several spaces are as one, at the start as none
        return state, False
    continues = 0x80 <= octet < 0xC0  # a byte within a character
    in_letter = state.missing > 0 and continues
    in_letter = in_letter and (state.missing != _AFTER_E0 or octet >= 0xA0)
    if in_letter:
        missing = 1 if state.missing == _AFTER_E0 else state.missing - 1
        in_word = missing == 0
    else:
        missing = _missing_bytes(octet)
        in_word = octet < 0x80 and _is_letter(octet)
    is_border = not in_letter and (state.missing > 0 or not (missing or in_word))
    follows_letter = state.in_word and not state.missing
    waiting = {match for match in state.matches if match[1] == len(patterns[match[0]])}
    following = {(w, n + 1) for w, n in state.matches - waiting if patterns[w][n] == octet}
    banned = is_border and bool(waiting)
    if missing and not is_border:  # what follows is a letter only if it becomes complete
        following |= waiting
    if not continues:
        for word, pattern in enumerate(patterns):
            if pattern[0] == octet and not (follows_letter and _is_letter(octet)):
                following.add((word, 1))
    for word, place in list(following):
        # Whatever follows a word that does not end with a letter, it is not within another word.
        if place == len(patterns[word]) and not _is_letter(_last_character(patterns[word])):
            following.discard((word, place))
            banned = True
    return _State(frozenset(following), in_word, octet == _SPACE, missing), banned


def _missing_bytes(octet: int) -> int:
    """Return how many bytes a letter that begins with this byte still lacks, see `_State`."""
    if octet < 0x80 or not _is_letter(octet):
        return 0
    return {0xE0: _AFTER_E0, 0xE1: 2}.get(octet, 1)


def _last_character(pattern: bytes) -> int:
    """Return the first byte of the last character."""
    return next(octet for octet in reversed(pattern) if not 0x80 <= octet < 0xC0)


def _is_letter(octet: int) -> bool:
    """Return whether a character that begins with this byte belongs to a word with its neighbours.

    These are letters and digits of ASCII, and characters of U+00C0 to U+1FFF, among them all
    alphabets with spaces between words. Those above are punctuation, symbols, and Chinese,
    Japanese and Korean characters (Hangul too, whose particles follow a word without a space).
    """
    return chr(octet).isalnum() if octet < 0x80 else 0xC3 <= octet <= 0xE1
