"""Rules by which normalizers stream: weights from one block of keys at a time.

Shapes are written with `B` the batch, `K` the key heads, `R` the rows of a block (its queries
times the query heads that share a key head), `C` the keys of a block and `V` the size of a
value.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar

from keras import ops

from keras_attn.ops._scores import FLOOR, maximum_of_rows, softmax
from keras_attn.ops._types import Tensor


class StreamingRule(abc.ABC):
    """Compute the weights of a normalizer without ever holding a whole row of scores.

    A rule summarizes a row of scores in one number, its statistic. The forward pass visits the
    blocks of a row once and saves the statistic; the gradient computes every weight again from
    its score and the statistic. For a softmax the statistic is the logarithm of the sum of
    exponentials, `lse` in FlashAttention (Dao et al., arXiv:2205.14135).

    Scores of excluded keys are near -1e30, and their weight has to be exactly 0. All tensors
    are float32.
    """

    requires_key_count: ClassVar[bool] = False
    """True if `initial_statistic` reads the number of keys that each row may attend to."""

    shifts_scores: ClassVar[bool] = True
    """True if the weights are a function of `score - statistic`.

    If so, `weights` and `dscores` receive that difference in place of the scores: the product
    of query and key computes it, which costs less than another pass over the scores.
    """

    subtracts_delta: ClassVar[bool] = True
    """True if `dscores` needs `dweights - delta` in place of `dweights`.

    `delta` is `sum(weights * dweights)` over a row, computed as `sum(output * doutput)`. It is
    part of the gradient where the weights of a row are divided by their sum.
    """

    @abc.abstractmethod
    def initial_statistic(self, key_count: Tensor) -> Tensor:
        """Return the statistic `(B, K, R, 1)` before the first block of keys.

        Args:
            key_count: tensor `(B, K, R, 1)`, the number of keys that each row may attend to;
                zeros unless `requires_key_count`.
        """

    @abc.abstractmethod
    def update(
        self,
        output: Tensor,
        statistic: Tensor,
        scores: Tensor,
        attend: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return the output and the statistic with one more block included.

        Args:
            output: tensor `(B, K, R, V)`, from the blocks before; zeros at first.
            statistic: tensor `(B, K, R, 1)`.
            scores: tensor `(B, K, R, C)`.
            attend: function from weights `(B, K, R, C)` to the weighted sum `(B, K, R, V)` of
                the block's values, after dropout.
        """

    def finish(self, output: Tensor, statistic: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and the statistic after the last block.

        The output has to be 0, and `weights` has to give 0, for rows that may attend to nothing.
        """
        return output, statistic

    @abc.abstractmethod
    def weights(self, scores: Tensor, statistic: Tensor) -> Tensor:
        """Return the weights `(B, K, R, C)` of one block, from the final statistic."""

    @abc.abstractmethod
    def dscores(
        self, scores: Tensor, statistic: Tensor, weights: Tensor, dweights: Tensor
    ) -> Tensor:
        """Return the gradient `(B, K, R, C)` with respect to the scores.

        Args:
            scores: as in `weights`.
            statistic: as in `weights`.
            weights: result of `weights`.
            dweights: gradient with respect to the weights, less `delta` if `subtracts_delta`.
        """


@dataclasses.dataclass(frozen=True)
class SoftmaxRule(StreamingRule):
    """Stream a softmax; the statistic is the log-sum-exp of the row (`lse`).

    Args:
        initial_lse: log-sum-exp of a row before its first key. 0 stands for a further key of
            score 0 and value 0, as of `softmax1`.
    """

    initial_lse: float = FLOOR

    def initial_statistic(self, key_count: Tensor) -> Tensor:
        return ops.zeros_like(key_count) + self.initial_lse

    def update(
        self,
        output: Tensor,
        statistic: Tensor,
        scores: Tensor,
        attend: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        weights = softmax(scores)
        block_lse = _log_sum_exp(scores, weights)
        lse = ops.logaddexp(statistic, block_lse)
        output = output * ops.exp(statistic - lse) + attend(weights) * ops.exp(block_lse - lse)
        return output, lse

    def finish(self, output: Tensor, statistic: Tensor) -> tuple[Tensor, Tensor]:
        is_empty = statistic < FLOOR / 2
        # Weights are exp(score - lse): an lse of -FLOOR makes them 0 in the gradient.
        return ops.where(is_empty, 0.0, output), ops.where(is_empty, -FLOOR, statistic)

    def weights(self, scores: Tensor, statistic: Tensor) -> Tensor:
        return ops.exp(scores)

    def dscores(
        self, scores: Tensor, statistic: Tensor, weights: Tensor, dweights: Tensor
    ) -> Tensor:
        return weights * dweights


@dataclasses.dataclass(frozen=True)
class NormalizedSigmoidRule(SoftmaxRule):
    """Stream `sigmoid(s_i) / sum_j sigmoid(s_j)`, the softmax of `log sigmoid(s)`."""

    shifts_scores: ClassVar[bool] = False

    def update(
        self,
        output: Tensor,
        statistic: Tensor,
        scores: Tensor,
        attend: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        return super().update(output, statistic, ops.log_sigmoid(scores), attend)

    def weights(self, scores: Tensor, statistic: Tensor) -> Tensor:
        return ops.exp(ops.log_sigmoid(scores) - statistic)

    def dscores(
        self, scores: Tensor, statistic: Tensor, weights: Tensor, dweights: Tensor
    ) -> Tensor:
        return weights * dweights * ops.sigmoid(-scores)


@dataclasses.dataclass(frozen=True)
class SigmoidRule(StreamingRule):
    """Stream `sigmoid(s_i - log n)`; the statistic is `log n`, known before the first block."""

    requires_key_count: ClassVar[bool] = True
    subtracts_delta: ClassVar[bool] = False

    def initial_statistic(self, key_count: Tensor) -> Tensor:
        return ops.log(ops.maximum(key_count, 1.0))

    def update(
        self,
        output: Tensor,
        statistic: Tensor,
        scores: Tensor,
        attend: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        return output + attend(ops.sigmoid(scores - statistic)), statistic

    def weights(self, scores: Tensor, statistic: Tensor) -> Tensor:
        return ops.sigmoid(scores)

    def dscores(
        self, scores: Tensor, statistic: Tensor, weights: Tensor, dweights: Tensor
    ) -> Tensor:
        return weights * dweights * (1.0 - weights)


def _log_sum_exp(scores: Tensor, weights: Tensor) -> Tensor:
    """Return the log-sum-exp `(..., 1)` of rows of scores whose softmax is `weights`.

    It equals the score of any key minus the logarithm of its weight. The maximum over the first
    64 keys is precise enough unless its weight is nearly 0; then the maximum over all keys is
    taken. This saves a pass over the scores.
    """

    def maxima(num_keys: int | None) -> tuple[Tensor, Tensor]:
        return tuple(maximum_of_rows(x[..., :num_keys]) for x in (scores, weights))

    first = maxima(64)
    score, weight = ops.cond(ops.all(first[1] > 1e-20), lambda: first, lambda: maxima(None))
    return score - ops.log(weight)
