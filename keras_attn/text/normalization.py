"""Normalization of texts: spaces, quotes, dashes, composed letters, HTML markup and case."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from keras_attn._types import Tensor
from keras_attn.text import _composition as composition
from keras_attn.text._inputs import as_strings
from keras_attn.text._rules import CURRENT, FIRST, Rules, check_rules

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
# The soft hyphen, marks of direction, the word joiner, invisible operators of formulas. Joiners
# (U+200C and U+200D) are not among them: they distinguish words and emoji.
_INVISIBLE = r"\x{ad}\x{61c}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2064}\x{2066}-\x{206f}"
_LINE_BREAKS = ("[\x01-\x1f\x7f-\x9f\u2028\u2029" r"\x{00}]", " ")


@dataclasses.dataclass(frozen=True)
class Normalizer:
    """Normalize texts with TensorFlow operations only.

    - Invalid UTF-8 becomes U+FFFD.
    - Letters and marks are composed (NFC), so that all spellings that Unicode defines as equal
      are equal: the result is that of `unicodedata.normalize("NFC", text)`. It holds for every
      character up to Unicode 14, and for later ones that Python's `unicodedata` has.
    - Control characters (NUL, tabs and line breaks included) and Unicode's spaces become
      spaces, runs of spaces become one, and spaces at both ends are removed. U+200B and U+FEFF,
      which are invisible, count as spaces.
    - Curly quotes and primes become `'` and `"`, dashes and the minus sign `-`, an ellipsis
      `...`, and full-width forms ASCII.
    - Soft hyphens, marks of direction and other invisible characters are removed, except the
      joiners of Persian, of Indic scripts and of emoji.

    A second normalization changes nothing.

    Args:
        lowercase: Whether to convert letters to lower case, by Unicode's rules, independently
            of the locale.
        html: Whether to decode `&amp;`, `&quot;`, `&#39;`, `&apos;`, `&lt;`, `&gt;` and
            `&nbsp;`, also if they were encoded several times, and then to replace `<br>`
            (closed or not), `<p>` and `</p>` by spaces. Other markup is unchanged.
        fold: Whether to replace spaces, quotes, dashes and full-width forms, and to remove
            invisible characters, as above. False keeps them as they are written; only control
            characters and line breaks become spaces.
        rules: Version of the rules. Version 1 is that of models saved by keras_attn 0.1: it does
            not compose letters and marks, and does not remove invisible characters.

    Call arguments:
        texts: A str, bytes, a list, array or pandas column of them, or a string tensor, of
            any shape.

    Returns:
        String tensor of the same shape, valid UTF-8.

    Raises:
        TypeError: An element of `texts` is not a string.
        ValueError: `rules` is neither 1 nor 2.

    Example:

    >>> text = Normalizer()("“Well…”<br />I   WOULD — &quot;maybe&quot; ")
    >>> text.numpy().decode()
    '"well..." i would - "maybe"'
    >>> Normalizer(lowercase=False, fold=False)("“Well…” he said").numpy().decode()
    '“Well…” he said'
    """

    lowercase: bool = True
    html: bool = True
    fold: bool = True
    rules: Rules = CURRENT

    def __post_init__(self) -> None:
        check_rules(self.rules)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Normalizer":
        """Return a normalizer from its fields in a saved model, which may be of version 0.1."""
        return cls(**{"rules": FIRST, **config})

    def __call__(self, texts: Any) -> Tensor:
        """Return the normalized texts."""
        import tensorflow as tf

        texts = as_strings(texts)
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        texts = self._convert_code_points(texts, self.fold)
        characters = _CHARACTERS if self.fold else (_LINE_BREAKS,)
        markup = _ENTITIES + _TAGS if self.html else ()
        for pattern, replacement in (*characters, *markup, ("  +", " ")):
            texts = tf.strings.regex_replace(texts, pattern, replacement)
        if self.lowercase:
            for letter, lower in _LOCALE_LETTERS:
                texts = tf.strings.regex_replace(texts, letter, lower)
            texts = tf.strings.lower(tf.strings.lower(texts), encoding="utf-8")
        if self.lowercase or self.html:
            # Some letters compose with a mark only in lower case; entities become new characters.
            texts = self._convert_code_points(texts, fold=False)
        return tf.strings.strip(texts)

    def _convert_code_points(self, texts: Tensor, fold: bool) -> Tensor:
        """Compose texts; with `fold`, also convert full-width forms, and remove what is invisible.

        It costs more than all other rules together, so it runs only on the texts that need it. One
        search finds them all.
        """
        import tensorflow as tf

        full_width = "-".join(_FULL_WIDTH)
        if self.rules == FIRST:
            return _where_found(f"[{full_width}]", _full_width_to_ascii, texts) if fold else texts
        uncomposed = composition.needs_composition()
        if not fold:
            return _where_found(uncomposed, _compose, texts)

        def convert(texts: Tensor) -> Tensor:
            texts = tf.strings.regex_replace(texts, f"[{_INVISIBLE}]", "")
            return _where_found(uncomposed, _compose, _full_width_to_ascii(texts))

        return _where_found(f"[{full_width}{_INVISIBLE}]|{uncomposed}", convert, texts)


def _where_found(pattern: str, convert: Callable[[Tensor], Tensor], texts: Tensor) -> Tensor:
    """Apply a function to the texts, of any shape, in which a pattern is found."""
    import tensorflow as tf

    flat = tf.reshape(texts, [-1])
    places = tf.where(tf.strings.regex_full_match(flat, f"(?s).*(?:{pattern}).*"))

    def convert_some() -> Tensor:
        converted = convert(tf.gather_nd(flat, places))
        return tf.reshape(tf.tensor_scatter_nd_update(flat, places, converted), tf.shape(texts))

    result = tf.cond(tf.size(places) > 0, convert_some, lambda: tf.identity(texts))
    return tf.ensure_shape(result, texts.shape)


def _full_width_to_ascii(texts: Tensor) -> Tensor:
    """Convert the full-width forms of texts `(B,)` to ASCII."""
    import tensorflow as tf

    first, last = map(ord, _FULL_WIDTH)
    codes = tf.strings.unicode_decode(texts, "UTF-8")
    is_wide = (codes.values >= first) & (codes.values <= last)
    values = tf.where(is_wide, codes.values - _FULL_WIDTH_SHIFT, codes.values)
    return tf.strings.unicode_encode(codes.with_values(values), "UTF-8")


def _compose(texts: Tensor) -> Tensor:
    """Compose the letters and marks of texts `(B,)`."""
    import tensorflow as tf

    decoded = tf.strings.unicode_decode(texts, "UTF-8")
    codes, rows = composition.compose(decoded.values, tf.cast(decoded.value_rowids(), tf.int32))
    composed = tf.RaggedTensor.from_value_rowids(
        codes, tf.cast(rows, tf.int64), tf.size(texts, tf.int64), validate=False
    )
    return tf.strings.unicode_encode(composed, "UTF-8")


def split_spaces(text: bytes) -> list[str]:
    """Split a normalized text at its spaces, and not at others of Unicode's, as `str.split` does.

    Example:

    >>> split_spaces(b"well done")
    ['well', 'done']
    """
    return [word for word in text.decode("utf-8").split(" ") if word]
