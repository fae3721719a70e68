"""One spelling for what reads the same: spaces, quotes, dashes, markup, case."""

import dataclasses
from typing import Any

from keras_attn.text._checks import as_strings

Tensor = Any

# Python escapes, so that RE2 reads the characters themselves. Controls and line breaks,
# Unicode's spaces, and two that show nothing: U+200B and U+FEFF.
_SPACES = (
    "[\x01-\x1f\x7f-\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
    r"\x{00}]"
)
_CHARACTERS = (
    (_SPACES, " "),
    ("[\u2018-\u201b\u2032\u2035\u02bc]", "'"),
    ("[\u201c-\u201f\u2033\u2036]", '"'),
    ("[\u2010-\u2015\u2212\u2e3a\u2e3b\ufe31\ufe32\ufe58\ufe63]", "-"),
    ("\u2026", "..."),
)
# Each takes a chain such as `&amp;amp;lt;` at once: decoded singly, the chain would give a
# new entity, and a second normalization another text.
_ENTITIES = (
    ("(?i)&(?:amp;)*lt;", "<"),
    ("(?i)&(?:amp;)*gt;", ">"),
    ("(?i)&(?:amp;)*quot;", '"'),
    ("(?i)&(?:amp;)*(?:#39|apos);", "'"),
    ("(?i)&(?:amp;)*nbsp;", " "),
    ("(?i)&(?:amp;)+", "&"),
)
# The closing `>` of a break is optional, and a paragraph's tag holds no space: otherwise
# what is left of `<br<br>>` or `<p<p>>` would be a tag again.
_TAGS = ((r"<[bB][rR]\b[ /]*>?", " "), (r"</?[pP]/?>", " "))
# TensorFlow's lower case follows the locale of the process. These are the letters that
# Turkish and Lithuanian treat otherwise; `I` and `J` are done as ASCII.
_LOCALE_LETTERS = (
    ("\u0130", "i\u0307"),
    ("\u00cc", "\u00ec"),
    ("\u00cd", "\u00ed"),
    ("\u0128", "\u0129"),
    ("\u012e", "\u012f"),
)
_FULL_WIDTH = ("\uff01", "\uff5e")
_FULL_WIDTH_SHIFT = 0xFEE0


@dataclasses.dataclass(frozen=True)
class Normalizer:
    """Brings text to one spelling, in TensorFlow operations alone.

    Invalid UTF-8 becomes U+FFFD. Control characters (NUL, tabs and line breaks among
    them) and Unicode's spaces become spaces, runs of spaces one, and none stays at the
    ends. Curly quotes and primes become `'` and `"`, dashes and the minus sign `-`, an
    ellipsis `...`, full-width forms ASCII. Normalizing twice changes nothing more.

    Args:
        lowercase: whether letters become lower case, by Unicode's rules; in every
            locale the same.
        html: whether `&amp;`, `&quot;`, `&#39;`, `&apos;`, `&lt;`, `&gt;` and `&nbsp;`
            are decoded, however often they were encoded, and then `<br>` in its forms
            (closed or not) and `<p>`, `</p>` become spaces. Other markup stays.

    Call arguments:
        texts: str, bytes, a list or array of them, or a string tensor, of any shape.

    Returns:
        String tensor of the same shape, valid UTF-8.

    Raises:
        TypeError: `texts` holds something that is not a string.

    Example:

    >>> text = Normalizer()("“Well…”<br />I   WOULD — &quot;maybe&quot; ")
    >>> text.numpy().decode()
    '"well..." i would - "maybe"'
    """

    lowercase: bool = True
    html: bool = True

    def __call__(self, texts: Any) -> Tensor:
        """Normalized `texts`."""
        import tensorflow as tf

        texts = as_strings(texts)
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        texts = _full_width_to_ascii(texts)
        rules = _CHARACTERS + (_ENTITIES + _TAGS if self.html else ())
        for pattern, replacement in (*rules, ("  +", " ")):
            texts = tf.strings.regex_replace(texts, pattern, replacement)
        if self.lowercase:
            for letter, lower in _LOCALE_LETTERS:
                texts = tf.strings.regex_replace(texts, letter, lower)
            texts = tf.strings.lower(tf.strings.lower(texts), encoding="utf-8")
        return tf.strings.strip(texts)


def _full_width_to_ascii(texts: Tensor) -> Tensor:
    """Shifts code points, which costs as much as all the rest: only where there are any."""
    import tensorflow as tf

    first, last = _FULL_WIDTH
    present = tf.strings.regex_full_match(texts, f"(?s).*[{first}-{last}].*")

    def shifted() -> Tensor:
        codes = tf.strings.unicode_decode(tf.reshape(texts, [-1]), "UTF-8")
        wide = (codes.values >= ord(first)) & (codes.values <= ord(last))
        values = tf.where(wide, codes.values - _FULL_WIDTH_SHIFT, codes.values)
        encoded = tf.strings.unicode_encode(codes.with_values(values), "UTF-8")
        return tf.reshape(encoded, tf.shape(texts))

    return tf.ensure_shape(
        tf.cond(tf.reduce_any(present), shifted, lambda: tf.identity(texts)), texts.shape
    )
