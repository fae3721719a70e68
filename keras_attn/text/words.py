"""Splitting of texts into words and punctuation."""

from typing import Any

from keras_attn._types import Tensor
from keras_attn.text._inputs import as_strings

MAX_CHARACTERS = 64
"""The largest length of a word. Longer words are cut to it."""

_WORD = r"[\pL\pN\pM\x{200c}\x{200d}]"  # with joiners, which Persian and Indic words contain
_AFTER_SYMBOL = r"[\pM\x{200c}\x{200d}\x{1f3fb}-\x{1f3ff}]"  # modifiers of an emoji
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
    """Split normalized texts into words, punctuation marks included.

    - A word is a run of letters, digits and combining marks. Apostrophes inside it belong to
      it (`don't`, `rock'n'roll`); apostrophes around it do not.
    - Every other character except a space is a word of its own, with the marks, joiners and
      skin tones that follow it.
    - Several of `!`, `?` or `.` in a row are one word: two stay two, three or more become
      three.
    - Each Han, Hiragana and Katakana character is a word, as these scripts are written
      without spaces.
    - A word of more than 64 characters is cut.

    Args:
        texts: String tensor `(B,)`, or a list, tuple, array or pandas column of str or bytes,
            in the form that `Normalizer` returns: valid UTF-8 with single spaces.

    Returns:
        Ragged string tensor `(B, None)`. The row of a text without words is empty.

    Raises:
        TypeError: An element of `texts` is not a string.
        ValueError: `texts` does not have exactly one axis.

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
