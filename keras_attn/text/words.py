"""Splitting of texts into words and punctuation."""

from typing import Any

from keras_attn._types import Tensor
from keras_attn.text._inputs import as_strings
from keras_attn.text._rules import CURRENT, FIRST, Rules, check_rules

MAX_CHARACTERS = 64
"""The largest length of a word. Longer words are cut to it."""

_MARK = r"[\pM\x{200c}\x{200d}]"  # with joiners, which Persian and Indic words contain
_WORD = r"[\pL\pN\pM\x{200c}\x{200d}]"
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
_CHINESE_OR_JAPANESE = r"[\p{Han}\p{Hiragana}\p{Katakana}]"
# Scripts of Southeast Asia without spaces between words: letters, their digits, and the signs by
# which a letter is written below the letter before it.
_SCRIPTS = ["Thai", "Lao", "Khmer", "Myanmar", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet"]
_SCRIPTS += ["Javanese", "Balinese"]
_LETTER = "[" + "".join(rf"\p{{{script}}}" for script in _SCRIPTS) + "]"
_DIGIT = (
    "[\u0e50-\u0e59\u0ed0-\u0ed9\u17e0-\u17e9\u1040-\u1049\u1090-\u1099\u19d0-\u19da\u1a80-\u1a99"
)
_DIGIT += "\u1b50-\u1b59\ua9d0-\ua9d9\ua9f0-\ua9f9]"
_STACKING = r"[\x{1039}\x{17d2}\x{1a60}\x{1b44}\x{a9c0}]"
_CLUSTER = f"{_DIGIT}+|{_LETTER}(?:{_STACKING}{_LETTER}|{_MARK})*|{_CHINESE_OR_JAPANESE}{_MARK}*"
_RUNS = ((r"!!!+", "!!!"), (r"\?\?\?+", "???"), (r"\.\.\.+", "..."), (_TOKEN, r"\0 "))
_REPLACEMENTS = {
    FIRST: ((_CHINESE_OR_JAPANESE, r" \0 "), *_RUNS),
    CURRENT: ((_CLUSTER, r" \0 "), *_RUNS),
}


def split_words(texts: Any, rules: Rules = CURRENT) -> Tensor:
    """Split normalized texts into words, punctuation marks included.

    - A word is a run of letters, digits and combining marks. Apostrophes inside it belong to
      it (`don't`, `rock'n'roll`); apostrophes around it do not.
    - Every other character except a space is a word of its own, with the marks, joiners and
      skin tones that follow it.
    - Several of `!`, `?` or `.` in a row are one word: two stay two, three or more become
      three.
    - Each letter of a script that is written without spaces is a word, with its marks: Han,
      Hiragana and Katakana, Thai, Lao, Khmer, Burmese and others of Southeast Asia. Letters that
      are stacked on each other, as in Khmer, are one word, and so are the digits of a number.
    - A word of more than 64 characters is cut.

    Args:
        texts: String tensor `(B,)`, or a list, tuple, array or pandas column of str or bytes,
            in the form that `Normalizer` returns: valid UTF-8 with single spaces.
        rules: Version of the rules. In version 1, that of models saved by keras_attn 0.1, only
            Han, Hiragana and Katakana count as scripts without spaces.

    Returns:
        Ragged string tensor `(B, None)`. The row of a text without words is empty.

    Raises:
        TypeError: An element of `texts` is not a string.
        ValueError: `texts` does not have exactly one axis, or `rules` is neither 1 nor 2.

    Example:

    >>> split_words(["i don't know... 10/10!!!!", ""])
    <tf.RaggedTensor [[b'i', b"don't", b'know', b'...', b'10', b'/', b'10', b'!!!'], []]>
    >>> [word.decode() for word in split_words(["ที่นี่ดี"]).to_list()[0]]
    ['ที่', 'นี่', 'ดี']
    """
    import tensorflow as tf

    check_rules(rules)
    texts = as_strings(texts, rank=1)
    for pattern, replacement in _REPLACEMENTS[rules]:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    words = tf.strings.split(texts)
    return words.with_values(tf.strings.substr(words.values, 0, MAX_CHARACTERS, unit="UTF8_CHAR"))
