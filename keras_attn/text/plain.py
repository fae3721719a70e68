"""The subword tokenizer in Python alone, for exported models that run without TensorFlow."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from keras_attn._token_ids import FIRST_BYTE_ID, FIRST_PIECE_ID
from keras_attn.text import normalization
from keras_attn.text._rules import FIRST

MARKER = "\u2581"  # represents the space before a word
_ASCII_SPACES = " \t\n\v\f\r"


class PlainTokenizer:
    """Convert texts to the ids of `keras_attn.text.SubwordTokenizer`, and back, without TensorFlow.

    Args:
        pieces: The pieces of the tokenizer, in the order of ids.
        normalizer: The normalization of texts.

    Example:

    >>> from keras_attn.text import Normalizer
    >>> pieces = ["▁un", "▁", "like", "ly", "e", "d"]
    >>> tokenizer = PlainTokenizer(pieces, Normalizer(lowercase=False))
    >>> tokenizer.encode("unlikely  liked é")
    [259, 261, 262, 260, 261, 264, 260, 198, 172]
    >>> tokenizer.decode(tokenizer.encode("unlikely  liked é"))
    'unlikely liked é'
    """

    def __init__(self, pieces: Sequence[str], normalizer: normalization.Normalizer) -> None:
        self.normalizer = normalizer
        spaced = [piece.replace(MARKER, " ") for piece in pieces]
        self._ids = {piece: FIRST_PIECE_ID + index for index, piece in enumerate(spaced)}
        self._longest = max(map(len, spaced), default=1)
        octets = [bytes([value]) for value in range(256)]
        encoded = [piece.encode("utf-8") for piece in spaced]
        self._strings = [b""] * FIRST_BYTE_ID + octets + encoded

    def encode(self, text: str | bytes) -> list[int]:
        """Return the ids of a text."""
        words = normalize(text, self.normalizer).split(" ")
        return [token for word in words if word for token in self._encode_word(f" {word}")]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids. Special ids, and those beyond the vocabulary, are left out."""
        size = len(self._strings)
        joined = b"".join(self._strings[token] for token in ids if 0 <= token < size)
        return joined.strip(_ASCII_SPACES.encode()).decode("utf-8", "replace")

    def count_characters(self, ids: Iterable[int]) -> tuple[int, int]:
        """Return the number of characters of a text, and of those in pieces, without spaces.

        Example:

        >>> from keras_attn.text import Normalizer
        >>> tokenizer = PlainTokenizer(["▁", "a", "bc"], Normalizer())
        >>> tokenizer.count_characters(tokenizer.encode("abc é"))
        (4, 3)
        """
        characters = known = 0
        for token in ids:
            if token >= FIRST_PIECE_ID:
                length = len(self._strings[token].decode("utf-8").removeprefix(" "))
                characters, known = characters + length, known + length
            elif token >= FIRST_BYTE_ID:
                octet = token - FIRST_BYTE_ID  # the first byte of a character counts
                characters += octet & 0xC0 != 0x80 and octet != ord(" ")
        return characters, known

    def _encode_word(self, word: str) -> list[int]:
        ids: list[int] = []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                if (token := self._ids.get(word[start:end])) is not None:
                    ids.append(token)
                    start = end
                    break
            else:
                ids += [FIRST_BYTE_ID + octet for octet in word[start].encode("utf-8")]
                start += 1
        return ids


def normalize(text: str | bytes, normalizer: normalization.Normalizer) -> str:
    """Return a text as `keras_attn.text.Normalizer` normalizes it.

    Letters outside of ASCII are lower-cased by the rules of this Python's version of Unicode.

    Example:

    >>> from keras_attn.text import Normalizer
    >>> normalize("“Well…”<br />I   WOULD — &quot;maybe&quot; ", Normalizer())
    '"well..." i would - "maybe"'
    """
    octets = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    text = _convert_code_points(octets.decode("utf-8", "replace"), normalizer, normalizer.fold)
    characters = normalization._CHARACTERS if normalizer.fold else (normalization._LINE_BREAKS,)
    markup = normalization._ENTITIES + normalization._TAGS if normalizer.html else ()
    for pattern, replacement in (*characters, *markup, ("  +", " ")):
        text = re.sub(_python_pattern(pattern), replacement, text, flags=re.ASCII)
    if normalizer.lowercase:
        text = text.lower().lower()
    if normalizer.lowercase or normalizer.html:
        text = _convert_code_points(text, normalizer, fold=False)
    return text.strip(_ASCII_SPACES)


def _convert_code_points(text: str, normalizer: normalization.Normalizer, fold: bool) -> str:
    if fold:
        first, last = map(ord, normalization._FULL_WIDTH)
        shift = normalization._FULL_WIDTH_SHIFT
        text = text.translate({code: code - shift for code in range(first, last + 1)})
    if normalizer.rules == FIRST:
        return text
    if fold:
        text = re.sub(_python_pattern(f"[{normalization._INVISIBLE}]"), "", text)
    return unicodedata.normalize("NFC", text)


def _python_pattern(pattern: str) -> str:
    r"""Return a pattern of RE2 with its `\x{...}` as Python writes them."""
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: f"\\U{int(match[1], 16):08x}", pattern)
