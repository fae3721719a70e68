"""Normalization of texts: spaces, quotes, dashes, HTML markup and case."""

import dataclasses
from typing import Any

from keras_attn._types import Tensor
from keras_attn.text._inputs import as_strings

# Control characters with line breaks, Unicode's spaces, and two that are invisible: U+200B and
# U+FEFF. They are Python escapes, so RE2 reads the characters themselves.
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
# Each pattern matches a whole chain such as `&amp;amp;lt;`. Decoded one by one, the chain would
# leave a new entity, and a second normalization would change the text again.
_ENTITIES = (
    ("(?i)&(?:amp;)*lt;", "<"),
    ("(?i)&(?:amp;)*gt;", ">"),
    ("(?i)&(?:amp;)*quot;", '"'),
    ("(?i)&(?:amp;)*(?:#39|apos);", "'"),
    ("(?i)&(?:amp;)*nbsp;", " "),
    ("(?i)&(?:amp;)+", "&"),
)
# The closing `>` of a line break is optional, and the tag of a paragraph contains no space.
# Otherwise the remainder of `<br<br>>` or `<p<p>>` would be a tag again.
_TAGS = ((r"<[bB][rR]\b[ /]*>?", " "), (r"</?[pP]/?>", " "))
# TensorFlow's lower case follows the locale of the process. These are the letters that differ
# in Turkish and Lithuanian locales; `I` and `J` are lower-cased as ASCII.
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
    """Normalize texts with TensorFlow operations only.

    - Invalid UTF-8 becomes U+FFFD.
    - Control characters (NUL, tabs and line breaks included) and Unicode's spaces become
      spaces, runs of spaces become one, and spaces at both ends are removed.
    - Curly quotes and primes become `'` and `"`, dashes and the minus sign `-`, an ellipsis
      `...`, and full-width forms ASCII.

    A second normalization changes nothing.

    Args:
        lowercase: Whether to convert letters to lower case, by Unicode's rules, independently
            of the locale.
        html: Whether to decode `&amp;`, `&quot;`, `&#39;`, `&apos;`, `&lt;`, `&gt;` and
            `&nbsp;`, also if they were encoded several times, and then to replace `<br>`
            (closed or not), `<p>` and `</p>` by spaces. Other markup is unchanged.

    Call arguments:
        texts: A str, bytes, a list, array or pandas column of them, or a string tensor, of
            any shape.

    Returns:
        String tensor of the same shape, valid UTF-8.

    Raises:
        TypeError: An element of `texts` is not a string.

    Example:

    >>> text = Normalizer()("“Well…”<br />I   WOULD — &quot;maybe&quot; ")
    >>> text.numpy().decode()
    '"well..." i would - "maybe"'
    """

    lowercase: bool = True
    html: bool = True

    def __call__(self, texts: Any) -> Tensor:
        """Return the normalized texts."""
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
    """Convert full-width forms to ASCII.

    It costs as much as all other rules together, so it runs only if the texts contain any.
    """
    import tensorflow as tf

    first, last = _FULL_WIDTH
    present = tf.strings.regex_full_match(texts, f"(?s).*[{first}-{last}].*")

    def convert() -> Tensor:
        codes = tf.strings.unicode_decode(tf.reshape(texts, [-1]), "UTF-8")
        wide = (codes.values >= ord(first)) & (codes.values <= ord(last))
        values = tf.where(wide, codes.values - _FULL_WIDTH_SHIFT, codes.values)
        encoded = tf.strings.unicode_encode(codes.with_values(values), "UTF-8")
        return tf.reshape(encoded, tf.shape(texts))

    return tf.ensure_shape(
        tf.cond(tf.reduce_any(present), convert, lambda: tf.identity(texts)), texts.shape
    )
