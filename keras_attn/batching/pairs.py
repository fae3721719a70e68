"""Encoded pairs of texts, and training batches of them with about as many tokens each."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_attn._token_ids import PADDING_ID
from keras_attn._wording import counted
from keras_attn.batching.order import epoch_order
from keras_attn.batching.padding import pad_rows, round_up

# Lengths are rounded up to a multiple, so that graphs are compiled for few lengths.
LENGTH_MULTIPLE = 4
# Lengths of batches with static shapes; above the last, its multiples.
STATIC_LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)

Batch = tuple[dict[str, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
    """The ids of source texts and of their target texts.

    Attributes:
        sources: For each source an int32 array, its end token included.
        targets: For each target an int32 array, without start and end token.
        start_id: Id that precedes a target in the decoder's input.
        end_id: Id that follows a target in the decoder's expected output.
        length_multiple: Lengths of batches are rounded up to a multiple of it.

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
    length_multiple: int = LENGTH_MULTIPLE

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

    def batch(self, rows: Sequence[int] | np.ndarray, multiple: int | None = None) -> Batch:
        """Return the inputs of a translation model, and the tokens that it should predict.

        Args:
            rows: Row numbers of the pairs.
            multiple: Lengths are rounded up to a multiple of it. None is `length_multiple`.

        Returns:
            `{"source": (B, S), "target": (B, T)}`, and the next token at each position of the
            target, `(B, T)`. All are int32, padded with 0 at the end.
        """
        multiple = self.length_multiple if multiple is None else multiple
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

    With `static_shapes` the batches have few different shapes, for compilers such as XLA that
    compile each shape anew. The sorted pairs are cut into buckets of similar length. All batches
    of a bucket have the same number of rows and the same length; rows of padding complete them.

    Args:
        pairs: The training pairs; or a function from the number of an epoch to its pairs,
            as many in each epoch.
        batch_tokens: Tokens per batch, at most and on average; a pair counts with its longer
            side.
        seed: Integer that, with the epoch, determines the order.
        epochs: Number of epochs.
        copies: How many times each pair is in its batch, in adjacent rows.
        static_shapes: Whether batches have few different shapes.

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
        static_shapes: bool = False,
    ) -> None:
        super().__init__()
        self.pairs_of_epoch = pairs if callable(pairs) else lambda epoch: pairs
        self.seed, self.copies = seed, copies
        self.epochs = epochs
        self.static_shapes = static_shapes
        pairs = self.pairs_of_epoch(0)
        if not len(pairs) or batch_tokens < 1:
            raise ValueError(
                "A batch must hold at least one token, and there must be pairs to fill it. "
                f"Received: {counted(batch_tokens, 'token')} a batch, "
                f"{counted(len(pairs), 'pair')}."
            )
        tokens = int(_count_tokens(pairs).sum())
        if static_shapes:
            self._buckets = _cut_into_buckets(_count_tokens(pairs), batch_tokens)
            self.steps = sum(bucket.batches for bucket in self._buckets)
        else:
            self.steps = min(math.ceil(tokens / batch_tokens), len(pairs))
        if tokens > batch_tokens * len(pairs):
            warnings.warn(
                f"A batch of {counted(batch_tokens, 'token')} is less than a pair, of "
                f"{tokens / len(pairs):.1f} tokens on average: each pair is a batch of its own. "
                "The size of a batch is in tokens, not in pairs; 2048 is a usual one.",
                stacklevel=3,
            )
        self._planned: tuple[int, EncodedPairs, list[Any]] = (-1, pairs, [])

    def __len__(self) -> int:
        return self.steps * self.epochs

    def __getitem__(self, index: int) -> Batch:
        epoch, step = divmod(index, self.steps)
        if self._planned[0] != epoch:
            pairs = self.pairs_of_epoch(epoch)
            self._planned = (epoch, pairs, self._plan(pairs, epoch))
        _, pairs, batches = self._planned
        if not self.static_shapes:
            return pairs.batch(np.repeat(batches[step], self.copies))
        bucket, rows = batches[step]
        batch = pairs.batch(np.repeat(rows, self.copies), multiple=STATIC_LENGTHS[0])
        return bucket.complete(batch, self.copies)

    def _plan(self, pairs: EncodedPairs, epoch: int) -> list[Any]:
        """Return the row numbers of each batch of an epoch, with static shapes its bucket too."""
        tokens = _count_tokens(pairs)
        order = epoch_order(len(pairs), self.seed, epoch)
        order = order[tokens[order].argsort(kind="stable")]
        rng = np.random.default_rng([self.seed, epoch, 1])
        if self.static_shapes:
            return self._plan_buckets(order, rng)
        preceding = np.cumsum(tokens[order]) - tokens[order]
        batch_of_row = preceding * self.steps // int(tokens.sum())
        later_batches = np.arange(1, self.steps)
        starts = np.searchsorted(batch_of_row, later_batches)
        # A pair longer than a batch would leave the batch after it empty. Such pairs are
        # sorted last: start each batch early enough to leave one pair for every later one.
        starts = np.minimum(starts, len(pairs) - self.steps + later_batches)
        batches = np.split(order, starts)
        # Otherwise training would go from short pairs to long ones in every epoch.
        return [batches[i] for i in rng.permutation(self.steps)]

    def _plan_buckets(
        self, order: np.ndarray, rng: np.random.Generator
    ) -> list[tuple["_Bucket", np.ndarray]]:
        """Return the bucket and the row numbers of each batch of an epoch.

        Args:
            order: Row numbers in order of length.
            rng: Source of random numbers.
        """
        batches = []
        for bucket in self._buckets:
            rows = rng.permutation(order[bucket.start : bucket.stop])
            batches += [(bucket, part) for part in np.array_split(rows, bucket.batches)]
        return [batches[i] for i in rng.permutation(self.steps)]


@dataclasses.dataclass(frozen=True)
class _Bucket:
    """Pairs of similar length, by their ranks in the order of length.

    Attributes:
        start: Rank of its first pair.
        stop: Rank after its last pair.
        batches: Number of its batches.
        length: Length of its batches.
    """

    start: int
    stop: int
    batches: int
    length: int

    @property
    def rows(self) -> int:
        """Number of rows of its batches."""
        return math.ceil((self.stop - self.start) / self.batches)

    def complete(self, batch: Batch, copies: int) -> Batch:
        """Pad a batch to the shape of the bucket's batches."""
        inputs, outputs = batch
        # With subword dropout a text may be longer than in the epoch that the buckets are of.
        length = max(self.length, _static_length(max(inputs["source"].shape[1], outputs.shape[1])))

        def pad(ids: np.ndarray) -> np.ndarray:
            rows = self.rows * copies - len(ids)
            return np.pad(ids, ((0, rows), (0, length - ids.shape[1])), constant_values=PADDING_ID)

        return {name: pad(ids) for name, ids in inputs.items()}, pad(outputs)


def _cut_into_buckets(tokens: np.ndarray, batch_tokens: int) -> list[_Bucket]:
    """Cut pairs into buckets by length, each with at least half a batch of tokens if possible.

    Args:
        tokens: Number of tokens of each pair, `(N,)`.
        batch_tokens: Tokens per batch, on average.
    """
    tokens = np.sort(tokens)
    starts, stop = [], len(tokens)
    for length in (0, *STATIC_LENGTHS)[::-1]:
        start = int(np.searchsorted(tokens, length, side="right")) if length else 0
        if tokens[start:stop].sum() >= batch_tokens / 2:
            starts.append(start)
            stop = start
    starts = [0, *starts[::-1][1:]] if starts else [0]
    buckets = []
    for start, stop in zip(starts, [*starts[1:], len(tokens)], strict=True):
        batches = round(int(tokens[start:stop].sum()) / batch_tokens)
        length = _static_length(int(tokens[stop - 1]))
        buckets.append(_Bucket(start, stop, min(max(1, batches), stop - start), length))
    return buckets


def _static_length(longest: int) -> int:
    """Return the smallest length of static batches that is at least `longest`."""
    lengths = (length for length in STATIC_LENGTHS if length >= longest)
    return next(lengths, round_up(longest, STATIC_LENGTHS[-1]))


def _count_tokens(pairs: EncodedPairs) -> np.ndarray:
    """Return the number of tokens of each pair on its longer side, int64 `(N,)`."""
    return np.maximum(pairs.lengths, pairs.target_lengths)
