"""Documents as ids, cut into windows of the length of a context."""

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_attn._token_ids import END_ID, PADDING_ID, START_ID
from keras_attn._wording import counted
from keras_attn.batching.padding import pad_rows

START_RATE = 0.1  # share of windows within a document that begin with the start token
LENGTH_MULTIPLE = 8

Batch = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class EncodedDocuments:
    """Documents as ids, each with the start token before and the end token behind it.

    Attributes:
        documents: int32 arrays `(n,)` without start and end.

    Example:

    >>> EncodedDocuments([np.array([7, 8], "int32")]).tokens(0).tolist()
    [1, 7, 8, 2]
    """

    documents: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def predictions(self) -> np.ndarray:
        """The number of tokens to predict of each document, the end token included, `(N,)`."""
        return np.array([len(ids) + 1 for ids in self.documents], "int64")

    def tokens(self, row: int) -> np.ndarray:
        """Return the ids of a document with start and end, int32 `(n + 2,)`."""
        return np.concatenate([[START_ID], self.documents[row], [END_ID]]).astype("int32")


def windows(
    encoded: EncodedDocuments, length: int, offsets: np.ndarray | None = None
) -> np.ndarray:
    """Return windows that predict every token of every document once.

    Args:
        encoded: The documents.
        length: Largest number of tokens that a window predicts.
        offsets: For each document the number of tokens that its first window predicts, from 1 to
            `length`; None is `length`.

    Returns:
        int64 array `(W, 3)`: the document, the first token that is read, and the number of tokens
        that are predicted.

    Example:

    >>> windows(EncodedDocuments([np.zeros(4, "int32")]), length=3).tolist()
    [[0, 0, 3], [0, 3, 2]]
    """
    parts = []
    for row, count in enumerate(encoded.predictions):
        first = length if offsets is None else int(offsets[row])
        starts = np.array([0, *range(min(first, count), count, length)])
        ends = np.append(starts[1:], count)
        parts.append(np.stack([np.full(len(starts), row), starts, ends - starts], axis=1))
    return np.concatenate(parts) if parts else np.zeros((0, 3), "int64")


def cut(
    encoded: EncodedDocuments,
    places: np.ndarray,
    multiple: int = 1,
    start_rows: Sequence[int] = (),
    context: int = 0,
) -> Batch:
    """Return inputs and targets `(B, T)` of some windows, padded with 0.

    Args:
        encoded: The documents.
        places: Rows of the result of `windows`.
        multiple: `T` is rounded up to a multiple of it.
        start_rows: Rows whose first input is replaced by the start token.
        context: Number of tokens that are read before those of a window. Their targets are padding.
    """
    inputs, targets = [], []
    for document, first, predicted in places:
        ids = encoded.documents[document]
        start = max(0, first - context)
        count = first + predicted - start
        # With the start token, token `n` of a document is `ids[n - 1]`.
        piece = ids[max(0, start - 1) : start + count]
        before = [START_ID] if start == 0 else []
        after = [END_ID] if start + count == len(ids) + 1 else []
        tokens = np.concatenate([before, piece, after]).astype("int32")
        inputs.append(tokens[:-1])
        targets.append(np.where(np.arange(count) < first - start, PADDING_ID, tokens[1:]))
    padded = pad_rows(inputs, multiple), pad_rows(targets, multiple)
    padded[0][list(start_rows), 0] = START_ID
    return padded


class WindowBatches(keras.utils.PyDataset):
    """Training batches of windows, in another order and cut at other places in each epoch.

    Batch `i` is batch `i % steps` of epoch `i // steps`. Every token of every document is predicted
    once in an epoch. Windows of similar length are batched together. Some of the windows that
    begin within a document have the start token as their first input, so that it stands for any
    beginning.

    Args:
        encoded: The documents.
        length: Largest number of tokens of a window.
        batch_size: Largest number of windows of a batch.
        seed: Integer that, with the epoch, determines order and places.
        epochs: Number of epochs.
        static_shapes: Whether all batches have the same shape, completed by padding.

    Returns:
        By index inputs and targets, int32 `(B, T)`.

    Raises:
        ValueError: There are no documents, or a number is below 1.
    """

    def __init__(
        self,
        encoded: EncodedDocuments,
        length: int,
        batch_size: int,
        *,
        seed: int,
        epochs: int,
        static_shapes: bool = False,
    ) -> None:
        super().__init__()
        if not len(encoded) or length < 1 or batch_size < 1:
            raise ValueError(
                "Training needs documents, and windows and batches of at least 1. Received: "
                f"{counted(len(encoded), 'document')}, windows of {length}, batches of "
                f"{batch_size}."
            )
        self.encoded, self.length, self.batch_size = encoded, length, batch_size
        self.seed, self.epochs, self.static_shapes = seed, epochs, static_shapes
        predictions = encoded.predictions
        # A long document has one window more if its first one is cut short.
        most = np.where(predictions > length, np.ceil(predictions / length) + 1, 1).sum()
        self.steps = math.ceil(most / batch_size)
        self._planned: tuple[int, list[np.ndarray], list[np.ndarray]] = (-1, [], [])

    def __len__(self) -> int:
        return self.steps * self.epochs

    def __getitem__(self, index: int) -> Batch:
        epoch, step = divmod(index, self.steps)
        if self._planned[0] != epoch:
            self._planned = (epoch, *self._plan(epoch))
        _, batches, starts = self._planned
        start_rows = np.flatnonzero(starts[step]).tolist()
        if not self.static_shapes:
            return cut(self.encoded, batches[step], LENGTH_MULTIPLE, start_rows)
        inputs, targets = cut(self.encoded, batches[step], self.length, start_rows)
        rows = self.batch_size - len(inputs)
        return tuple(  # type: ignore[return-value]
            np.pad(ids, ((0, rows), (0, 0)), constant_values=PADDING_ID)
            for ids in (inputs, targets)
        )

    def _plan(self, epoch: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the windows of each batch, and which of them begin with the start token."""
        rng = np.random.default_rng([self.seed, epoch])
        offsets = np.full(len(self.encoded), self.length)
        is_long = self.encoded.predictions > self.length
        offsets[is_long] = rng.integers(1, self.length + 1, int(is_long.sum()))
        places = windows(self.encoded, self.length, offsets)
        order = rng.permutation(len(places))
        order = order[places[order, 2].argsort(kind="stable")]
        places = places[order]
        starts = (places[:, 1] > 0) & (rng.random(len(places)) < START_RATE)
        parts = [np.array_split(each, min(self.steps, len(places))) for each in (places, starts)]
        shuffled = rng.permutation(len(parts[0]))
        batches, begins = ([part[i] for i in shuffled] for part in parts)
        while len(batches) < self.steps:  # there are fewer windows than batches
            batches.append(batches[len(batches) - len(shuffled)])
            begins.append(begins[len(begins) - len(shuffled)])
        return batches, begins


class DocumentBatches(keras.utils.PyDataset):
    """Evaluation batches of windows, which predict every token of every document once.

    Args:
        encoded: The documents.
        length: Largest number of tokens of a window.
        batch_size: Number of windows of a batch; the last one may have fewer.
        context: Number of tokens that are read before those of a window. Their targets are padding.

    Returns:
        By index inputs and targets, int32 `(B, T)`.

    Example:

    >>> encoded = EncodedDocuments([np.array([7, 8, 9], "int32")])
    >>> [targets.tolist() for _, targets in DocumentBatches(encoded, 2, batch_size=1)]
    [[[7, 8]], [[9, 2]]]
    """

    def __init__(
        self, encoded: EncodedDocuments, length: int, batch_size: int, context: int = 0
    ) -> None:
        super().__init__()
        self.encoded, self.batch_size, self.context = encoded, batch_size, context
        places = windows(encoded, length)
        self.places = places[places[:, 2].argsort(kind="stable")]

    def __len__(self) -> int:
        return math.ceil(len(self.places) / self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        start = index * self.batch_size
        places = self.places[start : start + self.batch_size]
        return cut(self.encoded, places, context=self.context)
