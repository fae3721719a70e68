"""A tokenizer of single characters, which keeps line breaks and spaces as they are."""

import json
import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_attn._token_ids import (
    END_ID,
    FIRST_CHARACTER_ID,
    PADDING_ID,
    START_ID,
    UNKNOWN_CHARACTER_ID,
)
from keras_attn._types import Tensor
from keras_attn.text._inputs import as_strings
from keras_attn.text._layer import StringLayer
from keras_attn.text._term_files import check_terms, read_terms, write_terms

FILE = "characters.txt"
REPLACEMENT = "\ufffd"  # stands for a character that is not in the vocabulary
_NAMES = {
    PADDING_ID: "<padding>",
    START_ID: "<start>",
    END_ID: "<end>",
    UNKNOWN_CHARACTER_ID: "<unknown>",
}


@keras.saving.register_keras_serializable(package="keras_attn")
class CharacterTokenizer(StringLayer):
    r"""Convert texts to the ids of their characters, and back.

    Characters are Unicode code points; nothing is normalized but line breaks, where `"\r\n"` and
    `"\r"` become `"\n"`. Ids: 0 is padding, 1 start, 2 end (`tokenize` adds neither of them), 3 a
    character that is not in the vocabulary, and the characters follow from 4 on. A `.keras` file
    stores the characters as `characters.txt`; the configuration does not contain them. A tokenizer
    that was created without characters raises an error when it is called, until characters are
    assigned or loaded.

    Args:
        characters: Distinct characters, in the order of ids.

    Call arguments:
        texts: String tensor `(B,)`, or a list, tuple, array or pandas column of str or bytes.

    Returns:
        Ragged int32 tensor `(B, None)`.

    Raises:
        RuntimeError: On a call, if there are no characters.
        TypeError: A character or a text is not a string.
        ValueError: A character is not a single code point, or occurs twice.

    Example:

    >>> tokenizer = CharacterTokenizer("ab\n")
    >>> ids = tokenizer(["ba\n", "c"])
    >>> ids
    <tf.RaggedTensor [[5, 4, 6], [3]]>
    >>> [text.decode() for text in tokenizer.detokenize(ids).numpy()]
    ['ba\n', '�']
    """

    def __init__(self, characters: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.assign(characters)
        self.built = True

    @property
    def characters(self) -> tuple[str, ...]:
        """The characters in the order of their ids."""
        return self._characters

    @property
    def pieces(self) -> tuple[str, ...]:
        """The characters, by the name that `SubwordTokenizer` has for its terms."""
        return self._characters

    @property
    def size(self) -> int:
        """The number of ids, those of padding, start, end and unknown characters included."""
        return len(self._characters) + FIRST_CHARACTER_ID

    @property
    def unknown_id(self) -> int:
        """The id of characters that are not in the vocabulary."""
        return UNKNOWN_CHARACTER_ID

    def call(self, texts: Any) -> Tensor:
        return self.tokenize(texts)

    def tokenize(self, texts: Any) -> Tensor:
        """Return the ids of texts, as a ragged int32 tensor `(B, None)`. A call does the same."""
        import tensorflow as tf

        self._check_has_characters()
        texts = tf.strings.regex_replace(as_strings(texts, rank=1), "\r\n?", "\n")
        codes = tf.strings.unicode_decode(texts, "UTF-8")
        place = tf.searchsorted(self._codes, codes.values)
        place = tf.minimum(place, len(self._codes) - 1)
        known = tf.equal(tf.gather(self._codes, place), codes.values)
        ids = tf.where(known, tf.gather(self._ids_of_codes, place), UNKNOWN_CHARACTER_ID)
        return codes.with_values(ids)

    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the ids of one text as an int32 array, without TensorFlow.

        Example:

        >>> CharacterTokenizer("ab").encode("abc").tolist()
        [4, 5, 3]
        """
        self._check_has_characters()
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype("int32")
        place = np.searchsorted(self._codes, codes)
        place = np.minimum(place, len(self._codes) - 1)
        known = self._codes[place] == codes
        return np.where(known, self._ids_of_codes[place], UNKNOWN_CHARACTER_ID).astype("int32")

    def encode_all(self, texts: Sequence[str | bytes]) -> list[np.ndarray]:
        """Return the ids of texts, an int32 array for each, see `encode`."""
        return [self.encode(text) for text in texts]

    def detokenize(self, ids: Any) -> Tensor:
        """Return the texts of ids, without padding, start and end.

        Args:
            ids: Integer tensor `(B, None)`, dense or ragged.

        Returns:
            String tensor `(B,)`, with U+FFFD for unknown characters.

        Raises:
            tf.errors.InvalidArgumentError: An id is negative, or is `size` or more.
        """
        import tensorflow as tf

        self._check_has_characters()
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids)
        strings = tf.gather(tf.constant(self._strings), ids.values)
        return tf.strings.reduce_join(ids.with_values(strings), axis=1)

    def continue_texts(self, texts: Any, ids: Any) -> Tensor:
        """Return the texts of ids `(B, T)` that follow other texts `(B,)`, see `detokenize`."""
        return self.detokenize(ids)

    def token_bytes(self, ids: Any) -> Any:
        """Return the bytes of each token, empty for padding, start and end.

        Args:
            ids: An integer tensor, or a NumPy array, for which the result is a list.
        """
        if isinstance(ids, np.ndarray):
            return [self._strings[token_id].encode() for token_id in ids]
        import tensorflow as tf

        return tf.gather(tf.constant(self._strings), ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the ids of one row, without TensorFlow, see `detokenize`.

        Example:

        >>> CharacterTokenizer("ab").decode([1, 5, 4, 2, 0])
        'ba'
        """
        return "".join(self._strings[token_id] for token_id in ids)

    def token_strings(self, ids: Iterable[int]) -> list[str]:
        """Return a readable name of each id: the character, or a name such as `"<end>"`."""
        return [
            _NAMES.get(token_id) or self._characters[token_id - FIRST_CHARACTER_ID]
            for token_id in map(int, ids)
        ]

    def compute_output_spec(self, texts: Any) -> Any:
        if len(texts.shape) != 1:
            raise ValueError(
                f"{self.name}: `texts` must have shape (batch,), which is "
                f'`keras.Input((), dtype="string")`. Received: shape {tuple(texts.shape)}.'
            )
        return keras.KerasTensor((*texts.shape, None), "int32", ragged=True)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()  # without the characters, which are an asset

    def assign(self, characters: Iterable[str]) -> None:
        """Replace the characters.

        Raises:
            TypeError: A character is not a string.
            ValueError: A character is not a single code point, cannot be written as UTF-8, or
                occurs twice.
        """
        characters = tuple(characters)
        for character in characters:
            if not isinstance(character, str):
                raise TypeError(f"A character must be a str. Received: {character!r}.")
            if len(character) != 1 or character in "\r":
                raise ValueError(
                    "A character must be a single code point, and no carriage return. Received: "
                    f"{character!r}."
                )
        check_terms(map(_escape, characters), "character")
        self._characters = characters
        self._strings = ["", "", "", REPLACEMENT, *characters]  # of each id
        codes = np.array([ord(character) for character in characters], "int32")
        order = np.argsort(codes)
        self._codes = codes[order]
        self._ids_of_codes = (order + FIRST_CHARACTER_ID).astype("int32")

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the characters to a file in UTF-8, one per line, as JSON strings."""
        write_terms(path, map(_escape, self._characters))

    def read(self, path: str | os.PathLike[str]) -> None:
        """Replace the characters by those of a file that `write` wrote.

        Raises:
            ValueError: The file does not exist or is damaged.
        """
        self.assign(_unescape(read_terms(path, "character"), path))

    def save_assets(self, dir_path: str | pathlib.Path) -> None:
        """Write the characters into a `.keras` file. Keras calls it on saving."""
        self.write(pathlib.Path(dir_path) / FILE)

    def load_assets(self, dir_path: str | pathlib.Path) -> None:
        """Read the characters from a `.keras` file. Keras calls it on loading."""
        path = pathlib.Path(dir_path) / FILE
        self.assign(_unescape(read_terms(path, "character", allow_none=True), path))

    def _check_has_characters(self) -> None:
        if not self._characters:
            raise RuntimeError(
                f"{self.name}: this tokenizer has no characters. Make it with characters or with "
                "`count_characters`, or load a saved model, whose file holds them (a file of "
                "weights does not)."
            )


def count_characters(
    texts: Iterable[str | bytes], max_size: int | None = None, min_count: int = 1
) -> CharacterTokenizer:
    r"""Return a tokenizer of the characters of texts, the most frequent first.

    Args:
        texts: Texts.
        max_size: Largest number of ids, those of special tokens included; None means no limit.
        min_count: Number of occurrences that a character needs.

    Raises:
        ValueError: No character occurs so often.

    Example:

    >>> count_characters(["banana\n"]).characters
    ('a', 'n', '\n', 'b')
    """
    counts: Counter[str] = Counter()
    for text in texts:
        string = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        counts.update(string.replace("\r\n", "\n").replace("\r", "\n"))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [
        character
        for character, count in ranked
        if count >= min_count and not "\ud800" <= character <= "\udfff"
    ]
    if max_size is not None:
        kept = kept[: max(0, max_size - FIRST_CHARACTER_ID)]
    if not kept:
        raise ValueError(
            f"No character occurs {min_count} times or more in the texts, or `max_size` = "
            f"{max_size} leaves no room for one. Received: {len(counts)} different characters."
        )
    return CharacterTokenizer(kept)


def _escape(character: str) -> str:
    return json.dumps(character, ensure_ascii=False)


def _unescape(lines: Sequence[str], path: str | os.PathLike[str]) -> list[str]:
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise ValueError(
            f"{os.fspath(path)!r} is damaged: every line must be a character as a JSON string. "
            "Restore the file, or save the model again."
        ) from error
