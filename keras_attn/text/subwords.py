"""Text as pieces of words, and back without loss."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_attn.text import _segmentation, _term_files
from keras_attn.text._checks import as_strings, at_least
from keras_attn.text.normalization import Normalizer

Tensor = Any

PADDING_ID = 0
START_ID = 1
END_ID = 2
FIRST_BYTE_ID = 3
FIRST_PIECE_ID = FIRST_BYTE_ID + 256
MARKER = "\u2581"
FILE = "subwords.txt"


@keras.saving.register_keras_serializable(package="keras_attn")
class SubwordTokenizer(keras.layers.Layer):
    """Texts to ids of subwords and back: `detokenize(tokenize(text)) == normalizer(text)`.

    Each word of the normalized text, with a marker for the space before it (U+2581, as
    in SentencePiece, Kudo & Richardson, arXiv:1808.06226), is cut into the longest pieces
    that fit, from its beginning on (as WordPiece does, Wu et al., arXiv:1609.08144). A
    character that begins no piece becomes the ids of its UTF-8 bytes, so that no text is
    unknown and none is changed. A marker for which no piece fits becomes the byte of a
    space, and U+2581 in the text three bytes, so that the two are not confused.

    Ids: 0 is padding, 1 start, 2 end (which `tokenize` does not add), 3 to 258 the bytes
    0x00 to 0xFF, and from 259 on the pieces. The pieces are saved within a `.keras` file,
    as `subwords.txt`; the configuration does not hold them. A tokenizer made without
    pieces waits for them to be loaded, and refuses calls until then.

    Args:
        pieces: distinct strings without spaces and line breaks, in the order of ids; the
            marker may stand only first, where a piece begins a word.
        normalizer: what is done to texts first; a `Normalizer` or its fields.
        max_length: the most ids of a text; what follows is cut off. None cuts nothing.

    Call arguments:
        texts: string tensor `(B,)`, or a list, tuple or array of str or bytes.

    Returns:
        Ragged int32 tensor `(B, None)`; an empty row for a text without words.

    Raises:
        RuntimeError: it is called without pieces.
        TypeError: a piece or a text is not a string.
        ValueError: a piece cannot be used, or stands twice; `max_length` is below 1.

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
        self._convert_input_args = False  # strings are not for Keras to cast
        self._allow_non_tensor_positional_args = True
        self.supports_jit = False  # XLA has no strings
        if max_length is not None:
            at_least(1, max_length=max_length)
        if isinstance(normalizer, Mapping):
            normalizer = Normalizer(**normalizer)
        if not isinstance(normalizer, Normalizer):
            raise TypeError(
                "`normalizer` must be a Normalizer or a dict of its fields. "
                f"Received: {normalizer!r}."
            )
        self.normalizer = normalizer
        self.max_length = max_length
        self._fill(pieces)

    @property
    def pieces(self) -> tuple[str, ...]:
        """The pieces in the order of their ids."""
        return tuple(self._pieces)

    @property
    def size(self) -> int:
        """How many ids there are, those of padding, start, end and bytes included."""
        return len(self._pieces) + FIRST_PIECE_ID

    def call(self, texts: Any) -> Tensor:
        return self.tokenize(texts)

    def tokenize(self, texts: Any) -> Tensor:
        """The same as a call: ragged int32 `(B, None)` of `texts`."""
        import tensorflow as tf

        self._check_filled()
        words = tf.strings.split(self.normalizer(as_strings(texts, rank=1)))
        tokens = self._compiled(words) if tf.executing_eagerly() else self._of_words(words)
        return tokens if self.max_length is None else tokens[:, : self.max_length]

    def _of_words(self, words: Tensor) -> Tensor:
        """Ragged ids `(B, None)` of ragged words."""
        import tensorflow as tf

        with tf.device("CPU"):  # where the strings are: many small steps, none worth a copy
            distinct, index = tf.unique(words.values)  # a text repeats most of its words
            ids = tf.gather(self._tokenize_words(distinct), index)
        rows = tf.RaggedTensor.from_row_splits(ids, words.row_splits, validate=False)
        return rows.merge_dims(1, 2)

    def detokenize(self, ids: Any) -> Tensor:
        """Texts of `ids`, without padding, start and end.

        Args:
            ids: integer tensor `(B, None)`, dense or ragged.

        Returns:
            String tensor `(B,)`; U+FFFD where bytes are not valid UTF-8.

        Raises:
            tf.errors.InvalidArgumentError: an id is below 0, or `size` or more.
        """
        import tensorflow as tf

        self._check_filled()
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids)
        pieces = ids.with_values(tf.gather(self._strings, ids.values))
        texts = tf.strings.reduce_join(pieces, axis=1)
        texts = tf.strings.strip(texts)  # a model may write the space before no word
        return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")

    def token_strings(self, ids: Iterable[int]) -> list[str]:
        """What each id stands for: a piece, with the marker for a space, or `<0xNN>`."""
        special = ["<padding>", "<start>", "<end>", *(f"<0x{byte:02X}>" for byte in range(256))]
        return [special[i] if i < FIRST_PIECE_ID else self._pieces[i - FIRST_PIECE_ID] for i in ids]

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

    def assign(self, pieces: Iterable[str]) -> None:
        """Take other pieces in place of those there are."""
        self._fill(pieces)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the pieces, one a line, in UTF-8."""
        _term_files.write(path, self.pieces)

    def read(self, path: str | os.PathLike[str]) -> None:
        """Read the pieces that `write` wrote.

        Raises:
            ValueError: there is no such file, or it is damaged.
        """
        self._fill(_term_files.read(path, "piece"))

    def save_assets(self, dir_path: str | pathlib.Path) -> None:
        """Called by Keras: write the pieces into the model's file."""
        self.write(pathlib.Path(dir_path) / FILE)

    def load_assets(self, dir_path: str | pathlib.Path) -> None:
        """Called by Keras: read the pieces from the model's file."""
        self.read(pathlib.Path(dir_path) / FILE)

    def _fill(self, pieces: Iterable[str]) -> None:
        self._pieces = _term_files.checked(pieces, "piece")
        for piece in self._pieces:
            if " " in piece or MARKER in piece[1:]:
                raise ValueError(
                    f"A piece must hold no space, and {MARKER!r} only as its first character. "
                    f"Received: {piece!r}."
                )
        if not self._pieces:
            return
        import tensorflow as tf

        # In the graph a marker is the space that it stands for, which no word holds.
        spaced = [piece.replace(MARKER, " ") for piece in self._pieces]
        octets = [bytes([value]) for value in range(256)]
        with tf.init_scope(), tf.device("CPU"):
            self._trie = _segmentation.Trie(
                {piece: FIRST_PIECE_ID + place for place, piece in enumerate(spaced)}
            )
            self._strings = tf.constant(["", "", "", *octets, *spaced])
        # Hundreds of small operations: as one graph they are much faster.
        self._compiled = tf.function(
            self._of_words,
            input_signature=[tf.RaggedTensorSpec((None, None), tf.string)],
            autograph=False,
        )

    def _tokenize_words(self, words: Tensor) -> Tensor:
        """Ragged ids `(W, None)` of words, none of them empty."""
        import tensorflow as tf

        codes = tf.strings.unicode_decode(tf.strings.join([" ", words]), "UTF-8")
        places, ids = _segmentation.segment(self._trie, codes)
        octets, counts = _segmentation.utf8(tf.gather(codes.values, places))
        is_piece = ids > 0
        counts = tf.where(is_piece, 1, counts)
        candidates = tf.where(is_piece[:, None], ids[:, None], FIRST_BYTE_ID + octets)
        flat = tf.boolean_mask(candidates, tf.sequence_mask(counts, 4))
        word = tf.gather(codes.value_rowids(), places)
        lengths = tf.math.unsorted_segment_sum(counts, word, tf.size(words))
        return tf.RaggedTensor.from_row_lengths(flat, tf.cast(lengths, tf.int64), validate=False)

    def _check_filled(self) -> None:
        if not self._pieces:
            raise RuntimeError(
                f"{self.name}: this tokenizer has no pieces. Make it with pieces or with "
                "`train_subwords`, or load a saved model, whose file holds them (a file of "
                "weights does not)."
            )
