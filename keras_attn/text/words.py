"""Words and punctuation of a text."""

from typing import Any

from keras_attn.text._checks import as_strings

Tensor = Any

MAX_CHARACTERS = 64
"""A longer word is cut to this many characters."""

_WORD = r"[\pL\pN\pM\x{200c}\x{200d}]"  # joiners: Persian and Indic words hold them
_AFTER_SYMBOL = r"[\pM\x{200c}\x{200d}\x{1f3fb}-\x{1f3ff}]"  # what shapes an emoji
_TOKEN = "|".join(
    [
        f"{_WORD}+(?:'{_WORD}+)*",
        "!!+",
        r"\?\?+",
        r"\.\.+",
        rf"\S{_AFTER_SYMBOL}*",
    ]
)
_RULES = (
    (r"[\p{Han}\p{Hiragana}\p{Katakana}]", r" \0 "),
    (r"!!!+", "!!!"),
    (r"\?\?\?+", "???"),
    (r"\.\.\.+", "..."),
    (_TOKEN, r"\0 "),
)


def split_words(texts: Any) -> Tensor:
    """The words of normalized texts, punctuation among them.

    A word is a run of letters, digits and marks; apostrophes within it belong to it
    (`don't`, `rock'n'roll`), those around it do not. Every other character but space is
    a word of its own, with the marks, joiners and skin tones that follow it; but two or
    more of `!`, `?` or `.` in a row are one word: two stay two, and three or more become
    three. Each Han, Hiragana and Katakana character is a word, for spaces do not part
    them. A word longer than 64 characters is cut.

    Args:
        texts: string tensor `(B,)`, or a list, tuple or array of str or bytes, as
            `Normalizer` leaves them: valid UTF-8, single spaces.

    Returns:
        Ragged string tensor `(B, None)`; an empty row for a text without words.

    Raises:
        TypeError: `texts` holds something that is not a string.
        ValueError: `texts` has not one axis.

    Example:

    >>> split_words(["i don't know... 10/10!!!!", ""])
    <tf.RaggedTensor [[b'i', b"don't", b'know', b'...', b'10', b'/', b'10', b'!!!'], []]>
    """
    import tensorflow as tf

    texts = as_strings(texts, rank=1)
    for pattern, replacement in _RULES:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    words = tf.strings.split(texts)
    return words.with_values(tf.strings.substr(words.values, 0, MAX_CHARACTERS, unit="UTF8_CHAR"))
