"""A subword tokenizer that converts texts to ids and back without loss."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_attn._token_ids import END_ID, FIRST_BYTE_ID, FIRST_PIECE_ID, PADDING_ID, START_ID
from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer
from keras_attn.text._inputs import as_strings
from keras_attn.text._layer import StringLayer
from keras_attn.text._segmentation import Trie, encode_utf8, segment
from keras_attn.text._term_files import check_terms, read_terms, write_terms
from keras_attn.text.normalization import Normalizer
from keras_attn.text.plain import MARKER

FILE = "subwords.txt"
_SPECIAL_NAMES = {PADDING_ID: "<padding>", START_ID: "<start>", END_ID: "<end>"}


@keras.saving.register_keras_serializable(package="keras_attn")
class SubwordTokenizer(StringLayer):
    """Convert texts to the ids of subwords, and back without loss.

    `detokenize(tokenize(text)) == normalizer(text)` for every text.

    Each word of the normalized text, with a marker for the space before it (U+2581, as in
    SentencePiece, Kudo & Richardson, arXiv:1808.06226), is cut from its beginning into the
    longest pieces that match (as in WordPiece, Wu et al., arXiv:1609.08144). A character at
    which no piece begins becomes the ids of its UTF-8 bytes, so no text contains an unknown
    token. A marker that no piece begins with becomes the byte of a space, while U+2581 in the
    text becomes its three bytes, so the two are not confused.

    Ids: 0 is padding, 1 start, 2 end (`tokenize` adds neither of them), 3 to 258 are the bytes
    0x00 to 0xFF, and the pieces follow from 259 on. A `.keras` file stores the pieces as
    `subwords.txt`; the configuration does not contain them. A tokenizer that was created
    without pieces raises an error when it is called, until pieces are assigned or loaded.

    Args:
        pieces: Distinct strings without spaces and line breaks, in the order of ids. The
            marker may only be the first character, where a piece begins a word.
        normalizer: The normalization of texts: a `Normalizer`, or a dict of its fields.
        max_length: The largest number of ids of a text; the rest is cut off. None means no
            limit.

    Call arguments:
        texts: String tensor `(B,)`, or a list, tuple, array or pandas column of str or bytes.

    Returns:
        Ragged int32 tensor `(B, None)`. The row of a text without words is empty.

    Raises:
        RuntimeError: On a call, if there are no pieces.
        TypeError: A piece or a text is not a string.
        ValueError: A piece is invalid or occurs twice; or `max_length` is below 1.

    Example:

    >>> tokenizer = SubwordTokenizer(["▁un", "▁", "like", "ly", "e", "d"])
    >>> ids = tokenizer(["unlikely liked", "é"])
    >>> ids
    <tf.RaggedTensor [[259, 261, 262, 260, 261, 264], [260, 198, 172]]>
    >>> [text.decode() for text in tokenizer.detokenize(ids).numpy()]
    ['unlikely liked', 'é']
    """

    def __init__(
        self,
        pieces: Iterable[str] = (),
        normalizer: Normalizer | Mapping[str, Any] = Normalizer(lowercase=False),  # noqa: B008
        max_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max_length is not None:
            check_positive_integer("max_length", max_length)
        if isinstance(normalizer, Mapping):
            normalizer = Normalizer(**normalizer)
        if not isinstance(normalizer, Normalizer):
            raise TypeError(
                "`normalizer` must be a Normalizer or a dict of its fields. "
                f"Received: {normalizer!r}."
            )
        self.normalizer = normalizer
        self.max_length = max_length
        self.assign(pieces)
        self.built = True

    @property
    def pieces(self) -> tuple[str, ...]:
        """The pieces in the order of their ids."""
        return tuple(self._pieces)

    @property
    def size(self) -> int:
        """The number of ids, those of padding, start, end and bytes included."""
        return len(self._pieces) + FIRST_PIECE_ID

    @property
    def unknown_id(self) -> None:
        """None: every text has ids, because unknown characters become bytes."""
        return None

    def call(self, texts: Any) -> Tensor:
        return self.tokenize(texts)

    def tokenize(self, texts: Any, normalizer: Normalizer | None = None) -> Tensor:
        """Return the ids of texts, as a ragged int32 tensor `(B, None)`. A call does the same.

        Args:
            texts: As in a call.
            normalizer: Another normalization than that of the tokenizer, such as one for targets.
        """
        import tensorflow as tf

        self._check_has_pieces()
        normalizer = self.normalizer if normalizer is None else normalizer
        words = tf.strings.split(normalizer(as_strings(texts, rank=1)))
        tokens = self._compiled(words) if tf.executing_eagerly() else self._tokenize_rows(words)
        return tokens if self.max_length is None else tokens[:, : self.max_length]

    def _tokenize_rows(self, words: Tensor) -> Tensor:
        """Return the ragged ids `(B, None)` of ragged words `(B, None)`."""
        import tensorflow as tf

        # Strings are on the CPU. None of the many small operations is worth a copy.
        with tf.device("CPU"):
            distinct, index = tf.unique(words.values)  # most words of a batch are repetitions
            ids = tf.gather(self._tokenize_words(distinct), index)
        rows = tf.RaggedTensor.from_row_splits(ids, words.row_splits, validate=False)
        return rows.merge_dims(1, 2)

    def encode_all(self, texts: Sequence[str | bytes]) -> list[np.ndarray]:
        """Return the ids of texts, an int32 array for each."""
        return [np.asarray(row, "int32") for row in self.tokenize(texts)] if len(texts) else []

    def detokenize(self, ids: Any) -> Tensor:
        """Return the texts of ids, without padding, start and end.

        Args:
            ids: Integer tensor `(B, None)`, dense or ragged.

        Returns:
            String tensor `(B,)`, with U+FFFD where bytes are not valid UTF-8.

        Raises:
            tf.errors.InvalidArgumentError: An id is negative, or is `size` or more.
        """
        import tensorflow as tf

        self._check_has_pieces()
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids)
        pieces = ids.with_values(tf.gather(self._strings, ids.values))
        texts = tf.strings.reduce_join(pieces, axis=1)
        texts = tf.strings.strip(texts)  # a model may generate the space of a word, and no word
        return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")

    def continue_texts(self, texts: Any, ids: Any) -> Tensor:
        """Return the texts of ids that follow other texts, with the space between them.

        Args:
            texts: String tensor `(B,)`, the texts that are continued.
            ids: Integer tensor `(B, T)`, padded with 0 at the end.

        Returns:
            String tensor `(B,)`, see `detokenize`; it begins with a space where the first piece
            begins a word, and the text before it is neither empty nor ends with a space.

        Example:

        >>> tokenizer = SubwordTokenizer(["▁tea", "s"])
        >>> tokenizer.continue_texts(["hot", "", "tea"], [[259], [259], [260]]).numpy().tolist()
        [b' tea', b'tea', b's']
        """
        import tensorflow as tf

        ids = tf.convert_to_tensor(ids)
        raw = tf.strings.reduce_join(self.token_bytes(ids), axis=1)
        begins_word = tf.strings.regex_full_match(raw, r"(?s) .*")
        follows_word = tf.strings.regex_full_match(texts, r"(?s).*\S")
        space = tf.where(begins_word & follows_word, " ", "")
        return tf.strings.join([space, self.detokenize(ids)])

    def token_bytes(self, ids: Any) -> Any:
        """Return the bytes of each token, with a space for the marker; empty for special tokens.

        Args:
            ids: An integer tensor, or a NumPy array, for which the result is a list.
        """
        import tensorflow as tf

        strings = tf.gather(self._strings, ids)
        return strings.numpy().tolist() if isinstance(ids, np.ndarray) else strings

    def count_characters(self, ids: Any) -> tuple[Tensor, Tensor]:
        """Return the number of characters of texts, and of those that are in pieces.

        The others are encoded as bytes. Spaces are not counted.

        Args:
            ids: Integers `(T,)` or, with padding, `(B, T)`: a NumPy array, or a tensor.

        Returns:
            Two int32 arrays or tensors `()` or `(B,)`.

        Example:

        >>> tokenizer = SubwordTokenizer(["▁", "a", "bc"])
        >>> ids = tokenizer(["abc é", "a"]).to_tensor().numpy()
        >>> tokenizer.count_characters(ids)
        (array([4, 1], dtype=int32), array([3, 1], dtype=int32))
        """
        if isinstance(ids, np.ndarray):
            counts = self._characters[ids].sum(axis=-2, dtype="int32")  # (B, 2)
        else:
            import tensorflow as tf

            counts = tf.reduce_sum(tf.gather(self._characters, ids), axis=-2)
        return counts[..., 0], counts[..., 1]

    def token_strings(self, ids: Iterable[int]) -> list[str]:
        """Return a readable name of each id.

        It is `"<padding>"`, `"<start>"` or `"<end>"`, `"<0xNN>"` for a byte, or the piece, with
        the marker for a space.
        """
        return [self._name(token_id) for token_id in ids]

    def compute_output_spec(self, texts: Any) -> Any:
        if len(texts.shape) != 1:
            raise ValueError(
                f"{self.name}: `texts` must have shape (batch,), which is "
                f'`keras.Input((), dtype="string")`. Received: shape {tuple(texts.shape)}.'
            )
        return keras.KerasTensor((*texts.shape, None), "int32", ragged=True)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "normalizer": dataclasses.asdict(self.normalizer),
            "max_length": self.max_length,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SubwordTokenizer":
        return cls(**{**config, "normalizer": Normalizer.from_config(config["normalizer"])})

    def assign(self, pieces: Iterable[str]) -> None:
        """Replace the pieces.

        Raises:
            TypeError: A piece is not a string.
            ValueError: A piece is empty, contains a space, a line break, or the marker after
                its first character; or it occurs twice.
        """
        checked_pieces = check_terms(pieces, "piece")
        for piece in checked_pieces:
            if " " in piece or MARKER in piece[1:]:
                raise ValueError(
                    f"A piece must hold no space, and {MARKER!r} only as its first character. "
                    f"Received: {piece!r}."
                )
        self._pieces = checked_pieces
        if not self._pieces:
            return
        import tensorflow as tf

        # In the graph a marker is the space that it stands for, as no word contains a space.
        spaced = [piece.replace(MARKER, " ") for piece in self._pieces]
        octets = [bytes([value]) for value in range(256)]
        with tf.init_scope(), tf.device("CPU"):
            self._trie = Trie({piece: FIRST_PIECE_ID + place for place, piece in enumerate(spaced)})
            self._strings = tf.constant([*[""] * FIRST_BYTE_ID, *octets, *spaced])
        self._characters = _character_counts(self._pieces)
        # Tokenization is hundreds of small operations, much faster as one graph than eagerly.
        self._compiled = tf.function(
            self._tokenize_rows,
            input_signature=[tf.RaggedTensorSpec((None, None), tf.string)],
            autograph=False,
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the pieces to a file, one per line, in UTF-8."""
        write_terms(path, self.pieces)

    def read(self, path: str | os.PathLike[str]) -> None:
        """Replace the pieces by those of a file that `write` wrote.

        Raises:
            ValueError: The file does not exist or is damaged.
        """
        self.assign(read_terms(path, "piece"))

    def save_assets(self, dir_path: str | pathlib.Path) -> None:
        """Write the pieces into a `.keras` file. Keras calls it on saving."""
        self.write(pathlib.Path(dir_path) / FILE)

    def load_assets(self, dir_path: str | pathlib.Path) -> None:
        """Read the pieces from a `.keras` file. Keras calls it on loading."""
        self.assign(read_terms(pathlib.Path(dir_path) / FILE, "piece", allow_none=True))

    def _name(self, token_id: int) -> str:
        if token_id >= FIRST_PIECE_ID:
            return self._pieces[token_id - FIRST_PIECE_ID]
        if token_id >= FIRST_BYTE_ID:
            return f"<0x{token_id - FIRST_BYTE_ID:02X}>"
        return _SPECIAL_NAMES[token_id]

    def _tokenize_words(self, words: Tensor) -> Tensor:
        """Return the ragged ids `(W, None)` of words `(W,)`, none of them empty."""
        import tensorflow as tf

        codes = tf.strings.unicode_decode(tf.strings.join([" ", words]), "UTF-8")
        places, ids = segment(self._trie, codes)
        octets, counts = encode_utf8(tf.gather(codes.values, places))
        is_piece = ids > 0
        counts = tf.where(is_piece, 1, counts)
        candidates = tf.where(is_piece[:, None], ids[:, None], FIRST_BYTE_ID + octets)
        flat = tf.boolean_mask(candidates, tf.sequence_mask(counts, 4))
        word = tf.gather(codes.value_rowids(), places)
        lengths = tf.math.unsorted_segment_sum(counts, word, tf.size(words))
        return tf.RaggedTensor.from_row_lengths(flat, tf.cast(lengths, tf.int64), validate=False)

    def _check_has_pieces(self) -> None:
        if not self._pieces:
            raise RuntimeError(
                f"{self.name}: this tokenizer has no pieces. Make it with pieces or with "
                "`train_subwords`, or load a saved model, whose file holds them (a file of "
                "weights does not)."
            )


def _character_counts(pieces: Sequence[str]) -> np.ndarray:
    """Return the number of characters, and of those in pieces, that each id `(size,)` adds."""
    counts = np.zeros((FIRST_PIECE_ID + len(pieces), 2), "int32")
    octets = np.arange(FIRST_PIECE_ID - FIRST_BYTE_ID)
    # Only the first byte of each character is counted; a space has one byte.
    counts[FIRST_BYTE_ID:FIRST_PIECE_ID, 0] = (octets & 0xC0 != 0x80) & (octets != ord(" "))
    lengths = [len(piece.removeprefix(MARKER)) for piece in pieces]
    counts[FIRST_PIECE_ID:] = np.array(lengths, "int32")[:, None]
    return counts
