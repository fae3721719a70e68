"""Cross-entropy of linear logits in blocks of rows, without all logits in memory.

With a vocabulary of `V` tokens the logits of `R` tokens have `R * V` elements. Here a block of rows
is computed, used for the loss and both gradients, and dropped.
"""

import dataclasses

import keras
from keras import ops

from keras_attn.ops._arguments import sizes_match
from keras_attn.ops._blocks import Axis
from keras_attn.ops._gradients import with_gradient
from keras_attn.ops._loops import Stack, fori_loop
from keras_attn.ops._matmul import argmax, matmul
from keras_attn.ops._types import Size, Tensor

# Logits of a block, and the fewest rows: the fastest of those tried on two cores of a CPU.
MAX_LOGITS, MIN_ROWS = 5 * 2**20, 256


def linear_crossentropy(
    states: Tensor,
    table: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    divergence_weight: float = 0.0,
    differentiable: bool = True,
    max_rows: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the summed cross-entropy of the logits `states @ table.T`.

    Products are computed in the dtype of the states, all else in float32. The gradients are
    computed along with the loss, so that logits are computed once. There is no second derivative.

    Args:
        states: float tensor `(R, D)`.
        table: float tensor `(V, D)`, a row for each class, such as a table of embeddings.
        targets: int tensor `(R,)`, indices of classes in `[0, V)`, which are not checked. Rows to
            ignore have any index and the weight 0.
        weights: float tensor `(R,)`, the weight of each row in the sum; None is 1. It has no
            gradient.
        label_smoothing: share of the target probability that is distributed over all classes
            (Szegedy et al., arXiv:1512.00567), in [0, 1).
        divergence_weight: if it is not 0, rows `2 n` and `2 n + 1` are copies of one example, and
            with this weight the loss of each has in addition the mean of the two Kullback-Leibler
            divergences between the predictions for both (R-Drop, Liang et al., arXiv:2106.14448).
        differentiable: whether to compute gradients; without them a call takes less time.
        max_rows: maximum rows of a block; None chooses about 5 million logits.

    Returns:
        A pair: the sum over rows of the weighted losses in nats, a float32 scalar; and the index of
        a greatest logit of each row, int32 `(R,)`.

    Raises:
        ValueError: a shape does not fit, or an argument is out of range.

    Example:

    >>> import numpy as np
    >>> table = np.eye(3, dtype="float32")
    >>> total, predicted = linear_crossentropy(4 * table[[0, 2]], table, np.array([0, 1]))
    >>> round(float(total), 3), np.asarray(predicted).tolist()
    (4.072, [0, 2])
    """
    states, table = ops.convert_to_tensor(states), ops.convert_to_tensor(table)
    targets = ops.cast(targets, "int32")
    if len(states.shape) != 2 or len(table.shape) != 2 or states.shape[1] != table.shape[1]:
        raise ValueError(
            "`states` must have shape (rows, features) and `table` (classes, features). Received: "
            f"{tuple(states.shape)} and {tuple(table.shape)}."
        )
    for name, x in (("states", states), ("table", table)):
        if not keras.backend.is_float_dtype(x.dtype):
            raise ValueError(
                f"`{name}` must have a float dtype. Received: "
                f"{keras.backend.standardize_dtype(x.dtype)}."
            )
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"`label_smoothing` must be in [0, 1). Received: {label_smoothing!r}.")
    if max_rows is not None and max_rows < 1:
        raise ValueError(f"`max_rows` must be at least 1. Received: {max_rows!r}.")
    if divergence_weight < 0.0:
        raise ValueError(
            f"`divergence_weight` must not be negative. Received: {divergence_weight!r}."
        )
    copies = 2 if divergence_weight else 1
    rows = ops.shape(states)[0]
    if isinstance(rows, int) and rows % copies:
        raise ValueError(
            f"With `divergence_weight` the number of rows must be even. Received: {rows} rows."
        )
    weights = ops.ones((rows,), "float32") if weights is None else ops.cast(weights, "float32")
    for name, x in (("targets", targets), ("weights", weights)):
        if len(x.shape) != 1 or not sizes_match(x.shape[0], states.shape[0]):
            raise ValueError(
                f"`{name}` must have shape (rows,), with the rows of `states`, "
                f"{tuple(states.shape)}. Received: shape {tuple(x.shape)}."
            )
    # Gradients of logits are products with the weights, and must be in the range of float16.
    largest = ops.max(ops.abs(weights), initial=0.0)
    largest = ops.stop_gradient(ops.where(largest > 0.0, largest, 1.0))
    classes = ops.shape(table)[0]
    if max_rows is None:
        max_rows = max(MIN_ROWS, MAX_LOGITS // classes) if isinstance(classes, int) else MIN_ROWS
    computation = _Computation(
        groups=Axis.split(rows // copies, max(1, max_rows // copies)),
        copies=copies,
        label_smoothing=label_smoothing,
        divergence_weight=divergence_weight,
        differentiable=differentiable,
    )
    inputs, constants = (states, table), (targets, weights / largest)
    if differentiable:
        packed = with_gradient(computation.forward, computation.backward, inputs, constants)
    else:
        packed = ops.stop_gradient(computation.forward(inputs, constants)[0])
    return packed[0] * largest, ops.cast(packed[1:], "int32")


@dataclasses.dataclass(frozen=True)
class _Computation:
    """The static arguments of a call. `with_gradient` passes the tensors to its methods.

    Rows come in groups of copies. A block of `C` rows holds the first copies of its groups, then
    the second ones.
    """

    groups: Axis
    copies: int
    label_smoothing: float
    divergence_weight: float
    differentiable: bool

    def forward(self, inputs: tuple, constants: tuple) -> tuple[Tensor, tuple]:
        """Return the loss and the predictions in one tensor, and the gradients to save, if any."""
        states, table = inputs
        targets, weights = constants
        matrix = ops.cast(table, states.dtype)
        # Smoothing needs the mean logit alone, which is the product with the mean row.
        mean_row = ops.mean(ops.cast(table, "float32"), axis=0)
        blocks = [self._split(x) for x in (states, targets, weights)]
        block_rows = self.copies * self.groups.size
        carry: tuple = (
            ops.zeros((), "float32"),
            Stack.empty(self.groups.count, (block_rows,)),
        )
        if self.differentiable:
            carry += (
                Stack.empty(self.groups.count, (block_rows, states.shape[1])),
                ops.zeros(ops.shape(table), "float32"),
            )

        def visit(i: Size, carry: tuple) -> tuple:
            total, predictions, *gradients = carry
            x, target, weight = (block[i] for block in blocks)
            loss, predicted, dlogits = self._visit_rows(x, matrix, mean_row, target, weight)
            carry = total + loss, predictions.write(i, ops.cast(predicted, "float32"))
            if not self.differentiable:
                return carry
            dstates, dtable = gradients
            dx = ops.cast(matmul(dlogits, matrix), "float32")
            if self.label_smoothing:
                dx = dx - self.label_smoothing * weight[:, None] * mean_row
            dtable = dtable + ops.cast(matmul(dlogits, x, transpose_a=True), "float32")
            return *carry, dstates.write(i, dx), dtable

        total, predictions, *gradients = fori_loop(0, self.groups.count, visit, carry)
        packed = ops.concatenate([total[None], self._merge(predictions)])
        if not self.differentiable:
            return packed, ()
        dstates, dtable = gradients
        if self.label_smoothing:
            share = self.label_smoothing / ops.cast(ops.shape(table)[0], "float32")
            dtable = dtable - share * ops.matmul(weights[None], ops.cast(states, "float32"))
        return packed, (self._merge(dstates), dtable)

    def backward(self, inputs: tuple, constants: tuple, saved: tuple, dpacked: Tensor) -> tuple:
        """Return the gradient with respect to each input, in its dtype."""
        return tuple(
            ops.cast(gradient * dpacked[0], x.dtype)
            for gradient, x in zip(saved, inputs, strict=True)
        )

    def _visit_rows(
        self, x: Tensor, matrix: Tensor, mean_row: Tensor, target: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the loss of a block of rows, its predictions, and the gradient of its logits.

        The gradient, None if it is not needed, is in the dtype of the states, without the part of
        smoothing that is the same for all classes.
        """
        logits = ops.cast(matmul(x, matrix, transpose_b=True), "float32")  # (C, V)
        predicted, place, weight = argmax(logits), target[:, None], weight[:, None]
        greatest = ops.take_along_axis(logits, predicted[:, None], axis=1)
        target_logit = ops.take_along_axis(logits, place, axis=1)
        exponentials = ops.exp(logits - greatest)
        total = ops.sum(exponentials, axis=1, keepdims=True)
        log_total = ops.log(total) + greatest
        hard = 1.0 - self.label_smoothing
        losses = log_total - hard * target_logit
        if self.label_smoothing:
            mean_logit = ops.matmul(ops.cast(x, "float32"), mean_row[:, None])
            losses = losses - self.label_smoothing * mean_logit
        loss = ops.sum(weight * losses)
        if not self.differentiable:
            if self.divergence_weight:
                loss = loss + self._divergence(logits - log_total, weight)[0]
            return loss, predicted, None
        scale = weight / total
        at_target = ops.exp(target_logit - greatest) * scale - hard * weight
        indices = ops.stack([ops.arange(ops.shape(x)[0], dtype="int32"), target], axis=1)
        dlogits = ops.scatter_update(exponentials * scale, indices, at_target[:, 0])
        if self.divergence_weight:
            divergence, gradient = self._divergence(logits - log_total, weight)
            loss, dlogits = loss + divergence, dlogits + gradient
        return loss, predicted, ops.cast(dlogits, x.dtype)

    def _divergence(self, log_probabilities: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted divergence between copies, and its gradient `(C, V)`.

        With `d` for the difference of the logarithms of two distributions `p` and `q`, the mean of
        their two divergences is `sum((p - q) d) / 2`, and its gradient with respect to the logits
        of `p` is `(p (d - sum(p d)) + p - q) / 2`.
        """
        first, second = ops.split(log_probabilities, 2)
        p, q, d = ops.exp(first), ops.exp(second), first - second
        p_d, q_d = (ops.sum(x * d, axis=1, keepdims=True) for x in (p, q))
        weights = sum(ops.split(weight, 2)) * (self.divergence_weight / 2)
        gradient = weights * (p * (d - p_d) + p - q), weights * (q * (q_d - d) + q - p)
        return ops.sum(weights * (p_d - q_d)), ops.concatenate(gradient)

    def _split(self, x: Tensor) -> Tensor:
        """Return the rows in blocks `(count, C, ...)`, padded with zeros."""
        sizes, copies = x.shape[1:], self.copies
        x = ops.reshape(x, (self.groups.length, copies, *sizes))
        x = ops.pad(x, [[0, self.groups.padding], *([0, 0] for _ in x.shape[1:])])
        x = ops.reshape(x, (self.groups.count, self.groups.size, copies, *sizes))
        return ops.reshape(
            _swap(x) if copies > 1 else x, (self.groups.count, copies * self.groups.size, *sizes)
        )

    def _merge(self, stack: Stack) -> Tensor:
        """Return all blocks as rows in their order, without the padding."""
        x, copies = stack.to_tensor(), self.copies
        sizes = x.shape[2:]
        x = ops.reshape(x, (self.groups.count, copies, self.groups.size, *sizes))
        x = _swap(x) if copies > 1 else x
        x = ops.reshape(x, (self.groups.count * self.groups.size * copies, *sizes))
        return x[: self.groups.length * copies]


def _swap(x: Tensor) -> Tensor:
    """Swap axes 1 and 2."""
    return ops.transpose(x, (0, 2, 1, *range(3, len(x.shape))))
