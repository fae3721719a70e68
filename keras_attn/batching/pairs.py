"""Encoded pairs of texts, and training batches of them with about as many tokens each."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_attn.batching.order import epoch_order
from keras_attn.batching.padding import pad_rows

# Lengths are rounded up to a multiple, so that graphs are compiled for few lengths.
LENGTH_MULTIPLE = 4

Batch = tuple[dict[str, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """The ids of source texts and of their target texts.

    Attributes:
        sources: For each source an int32 array, its end token included.
        targets: For each target an int32 array, without start and end token.
        start_id: Id that precedes a target in the decoder's input.
        end_id: Id that follows a target in the decoder's expected output.

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
        """The number of ids of each source, int64 `(N,)`."""
        return np.array([len(ids) for ids in self.sources], "int64")

    @property
    def target_lengths(self) -> np.ndarray:
        """The number of ids of each target with its end token, int64 `(N,)`."""
        return np.array([len(ids) + 1 for ids in self.targets], "int64")

    def batch(self, rows: Sequence[int] | np.ndarray, multiple: int = LENGTH_MULTIPLE) -> Batch:
        """Return the inputs of a translation model, and the tokens that it should predict.

        Args:
            rows: Row numbers of the pairs.
            multiple: Lengths are rounded up to a multiple of it.

        Returns:
            `{"source": (B, S), "target": (B, T)}`, and the next token at each position of the
            target, `(B, T)`. All are int32, padded with 0 at the end.
        """
        targets = [self.targets[row] for row in rows]
        decoder_inputs = [np.concatenate([[self.start_id], ids]) for ids in targets]
        next_tokens = [np.concatenate([ids, [self.end_id]]) for ids in targets]
        sources = [self.sources[row] for row in rows]
        inputs = {
            "source": pad_rows(sources, multiple),
            "target": pad_rows(decoder_inputs, multiple),
        }
        return inputs, pad_rows(next_tokens, multiple)


class PairBatches(keras.utils.PyDataset):
    """All pairs of several epochs in a row, in batches of similar length and similar size.

    Batch `i` is batch `i % steps` of epoch `i // steps`. The batches of an epoch depend only
    on the seed and the epoch: pairs are sorted by length, those of equal length at random,
    and cut into `steps` batches of about as many tokens and of at least one pair; then the
    batches are shuffled.

    Args:
        pairs: The training pairs; or a function from the number of an epoch to its pairs,
            as many in each epoch.
        batch_tokens: Tokens per batch, at most and on average; a pair counts with its longer
            side.
        seed: Integer that, with the epoch, determines the order.
        epochs: Number of epochs.
        copies: How many times each pair is in its batch, in adjacent rows.

    Returns:
        By index what `EncodedPairs.batch` returns.

    Raises:
        ValueError: There are no pairs, or `batch_tokens` is below 1.

    Warns:
        UserWarning: The average pair is longer than `batch_tokens`: each pair is then a batch
            of its own.
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
        self.pairs_of_epoch = pairs if callable(pairs) else lambda epoch: pairs
        self.seed, self.copies = seed, copies
        self.epochs = epochs
        pairs = self.pairs_of_epoch(0)
        if not len(pairs) or batch_tokens < 1:
            raise ValueError(
                "A batch must hold at least one token, and there must be pairs to fill it. "
                f"Received: {batch_tokens} tokens a batch, {len(pairs)} pairs."
            )
        tokens = int(_count_tokens(pairs).sum())
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
            pairs = self.pairs_of_epoch(epoch)
            self._planned = (epoch, pairs, self._plan(pairs, epoch))
        _, pairs, batches = self._planned
        return pairs.batch(np.repeat(batches[step], self.copies))

    def _plan(self, pairs: EncodedPairs, epoch: int) -> list[np.ndarray]:
        """Return the row numbers of each batch of an epoch."""
        tokens = _count_tokens(pairs)
        order = epoch_order(len(pairs), self.seed, epoch)
        order = order[tokens[order].argsort(kind="stable")]
        preceding = np.cumsum(tokens[order]) - tokens[order]
        batch_of_row = preceding * self.steps // int(tokens.sum())
        later_batches = np.arange(1, self.steps)
        starts = np.searchsorted(batch_of_row, later_batches)
        # A pair longer than a batch would leave the batch after it empty. Such pairs are
        # sorted last: start each batch early enough to leave one pair for every later one.
        starts = np.minimum(starts, len(pairs) - self.steps + later_batches)
        batches = np.split(order, starts)
        # Otherwise training would go from short pairs to long ones in every epoch.
        shuffled = np.random.default_rng([self.seed, epoch, 1]).permutation(self.steps)
        return [batches[i] for i in shuffled]


def _count_tokens(pairs: EncodedPairs) -> np.ndarray:
    """Return the number of tokens of each pair on its longer side, int64 `(N,)`."""
    return np.maximum(pairs.lengths, pairs.target_lengths)
