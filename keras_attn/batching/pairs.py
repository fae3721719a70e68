"""Pairs of texts as ids, and batches of them that hold about as many tokens each."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_attn.batching.images import epoch_order

MULTIPLE = 4  # lengths are padded to a multiple, so that graphs are compiled for a few
Batch = tuple[dict[str, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """The ids of sources and of targets.

    Attributes:
        sources: an int32 array a source, its end token included.
        targets: an int32 array a target, with neither start nor end token.
        start_id: what stands before a target that is read.
        end_id: what stands behind a target that is predicted.

    Example:

    >>> pairs = EncodedPairs([np.array([5, 2])], [np.array([7, 8])], start_id=1, end_id=2)
    >>> inputs, outputs = pairs.batch([0], multiple=1)
    >>> inputs["source"].tolist(), inputs["target"].tolist(), outputs.tolist()
    ([[5, 2]], [[1, 7, 8]], [[7, 8, 2]])
    """

    sources: Sequence[np.ndarray]
    targets: Sequence[np.ndarray]
    start_id: int
    end_id: int

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def lengths(self) -> np.ndarray:
        """The number of ids of each source."""
        return np.array([len(ids) for ids in self.sources], "int64")

    @property
    def target_lengths(self) -> np.ndarray:
        """The number of ids of each target, its end token included."""
        return np.array([len(ids) + 1 for ids in self.targets], "int64")

    def batch(self, rows: Sequence[int] | np.ndarray, multiple: int = MULTIPLE) -> Batch:
        """What a model reads, and what it is to predict.

        Args:
            rows: which pairs.
            multiple: lengths are rounded up to a multiple of it.

        Returns:
            `{"source": (B, S), "target": (B, T)}`, and the target's next tokens `(B, T)`;
            int32, padded with 0.
        """
        targets = [self.targets[row] for row in rows]
        read = [np.concatenate([[self.start_id], ids]) for ids in targets]
        predicted = [np.concatenate([ids, [self.end_id]]) for ids in targets]
        sources = [self.sources[row] for row in rows]
        inputs = {"source": padded(sources, multiple), "target": padded(read, multiple)}
        return inputs, padded(predicted, multiple)


def padded(rows: Sequence[np.ndarray], multiple: int = 1) -> np.ndarray:
    """Rows of ids as one int32 array `(B, T)`, with 0 behind the shorter ones."""
    longest = max([1, *map(len, rows)])
    array = np.zeros((len(rows), -(-longest // multiple) * multiple), "int32")
    for target, ids in zip(array, rows, strict=True):
        target[: len(ids)] = ids
    return array


class PairBatches(keras.utils.PyDataset):
    """All pairs of several epochs in a row, in batches of like length and like size.

    An epoch's batches depend on the seed and the epoch alone. Pairs are sorted by length, in
    an order of chance among equals, and cut into `steps` batches of about as many tokens, and
    of at least one pair; then the batches are shuffled.

    Args:
        pairs: what to train on; or a function that gives it for an epoch, as many pairs each.
        batch_tokens: the most tokens of a batch on average, counted on the longer side of
            each pair.
        seed: integer that, with the epoch, makes the order.
        epochs: number of the epoch to stop before.
        copies: how often each pair stands in its batch, one beside the other.

    Raises:
        ValueError: there are no pairs, or `batch_tokens` is below 1.

    Warns:
        UserWarning: pairs are longer than a batch, on average: each is a batch of its own.
    """

    def __init__(
        self,
        pairs: EncodedPairs | Callable[[int], EncodedPairs],
        batch_tokens: int,
        *,
        seed: int,
        epochs: int,
        copies: int = 1,
    ) -> None:
        super().__init__()
        self.pairs_of = pairs if callable(pairs) else lambda epoch: pairs
        self.seed, self.copies = seed, copies
        self.epochs = epochs
        pairs = self.pairs_of(0)
        if not len(pairs) or batch_tokens < 1:
            raise ValueError(
                "A batch must hold at least one token, and there must be pairs to fill it. "
                f"Received: {batch_tokens} tokens a batch, {len(pairs)} pairs."
            )
        tokens = int(_sizes(pairs).sum())
        self.steps = min(math.ceil(tokens / batch_tokens), len(pairs))
        if tokens > batch_tokens * len(pairs):
            warnings.warn(
                f"A batch of {batch_tokens} tokens is less than a pair, of "
                f"{tokens / len(pairs):.1f} tokens on average: each pair is a batch of its own. "
                "The size of a batch is in tokens, not in pairs; 2048 is a usual one.",
                stacklevel=3,
            )
        self._planned: tuple[int, EncodedPairs, list[np.ndarray]] = (-1, pairs, [])

    def __len__(self) -> int:
        return self.steps * self.epochs

    def __getitem__(self, index: int) -> Batch:
        epoch, step = divmod(index, self.steps)
        if self._planned[0] != epoch:
            pairs = self.pairs_of(epoch)
            self._planned = (epoch, pairs, self._plan(pairs, epoch))
        _, pairs, batches = self._planned
        return pairs.batch(np.repeat(batches[step], self.copies))

    def _plan(self, pairs: EncodedPairs, epoch: int) -> list[np.ndarray]:
        """The rows of each batch of an epoch."""
        sizes = _sizes(pairs)
        order = epoch_order(len(pairs), self.seed, epoch)
        order = order[sizes[order].argsort(kind="stable")]
        before = np.cumsum(sizes[order]) - sizes[order]
        number = before * self.steps // int(sizes.sum())
        places = np.arange(1, self.steps)
        # Pairs longer than a batch, the last ones, would leave some empty: each has its own.
        most = len(pairs) - self.steps + places
        batches = np.split(order, np.minimum(np.searchsorted(number, places), most))
        shuffled = np.random.default_rng([self.seed, epoch, 1]).permutation(self.steps)
        return [batches[i] for i in shuffled]


def _sizes(pairs: EncodedPairs) -> np.ndarray:
    """The tokens of each pair, on its longer side."""
    return np.maximum(pairs.lengths, pairs.target_lengths)
