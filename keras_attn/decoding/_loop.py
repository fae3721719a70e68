"""Loops for every backend that stop early, and drop the rows that are finished."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor

Rows = Any  # nested tensors with the rows of the batch on axis 0

FEW_ROWS = 4  # dropping some of so few rows costs more than it saves


def while_loop(
    condition: Callable[..., Any],
    body: Callable[..., tuple],
    carry: tuple[Any, ...],
    shapes: list[tuple] | None = None,
) -> tuple[Any, ...]:
    """Run `while condition(*carry): carry = body(*carry)` and return the carry.

    The carry holds nested tensors of constant shapes and dtypes. On TensorFlow and PyTorch an
    axis that has size 0 at the start may grow.

    Args:
        condition: function of the carry that returns a boolean scalar.
        body: function of the carry that returns the next carry.
        carry: the initial carry.
        shapes: shapes of the carry's tensors, with None for an axis that may change; None is
            `variable_shapes(carry)`.

    Raises:
        ValueError: `body` returns a carry of another structure.

    Example:

    >>> carry = (ops.convert_to_tensor(1), {"sum": ops.convert_to_tensor(0)})
    >>> step = lambda i, state: (i + 1, {"sum": state["sum"] + i})
    >>> int(while_loop(lambda i, state: i < 5, step, carry)[1]["sum"])
    10
    """

    def nested(flat: tuple) -> tuple:
        return keras.tree.pack_sequence_as(carry, list(flat))

    def flat_condition(*flat: Any) -> Any:
        return condition(*nested(flat))

    def flat_body(*flat: Any) -> tuple:
        result = body(*nested(flat))
        _check_structure(carry, result)
        return tuple(keras.tree.flatten(result))

    start = tuple(keras.tree.flatten(carry))
    if keras.backend.backend() != "tensorflow":
        return nested(ops.while_loop(flat_condition, flat_body, start))
    import tensorflow as tf

    invariants = [tf.TensorShape(shape) for shape in shapes or variable_shapes(carry)]

    def body_with_shapes(*flat: Any) -> tuple:  # a gather loses a part of the static shape
        pairs = zip(flat_body(*flat), invariants, strict=True)
        return tuple(x if x.shape == shape else tf.ensure_shape(x, shape) for x, shape in pairs)

    # `keras.ops.while_loop` runs ten iterations in parallel, and would hold ten sets of logits.
    return nested(
        tf.while_loop(
            flat_condition,
            body_with_shapes,
            start,
            shape_invariants=tuple(invariants),
            parallel_iterations=1,
        )
    )


def variable_shapes(nested: Any, any_rows: bool = False) -> list[tuple]:
    """Return the shapes of nested tensors, with None for axes whose size may change.

    These are the axes of size 0, which may grow, and with `any_rows` axis 0.
    """
    shapes = [tuple(size or None for size in x.shape) for x in keras.tree.flatten(nested)]
    return [(None, *shape[1:]) if any_rows else shape for shape in shapes]


def while_rows(
    is_active: Callable[[Rows], Tensor],
    body: Callable[[Tensor, Rows], Rows],
    result: Callable[[Rows], Rows],
    rows: Rows,
    length: int | Tensor,
) -> tuple[Rows, Tensor]:
    """Run `rows = body(index, rows)` for indices from 0 on while any row is active.

    On backends whose loops allow it, finished rows are dropped whenever they are half of the
    remaining ones, so that the last steps do not compute all rows. `body` must compute each
    row from that row alone, and leave finished rows unchanged.

    Args:
        is_active: function of the rows that returns boolean `(B,)`.
        body: function of the index and the rows that returns the rows after the step.
        result: function of the rows that returns the part of them to be returned.
        rows: nested tensors with the rows on axis 0.
        length: largest number of steps.

    Returns:
        A pair: the result for all rows, and the number of steps.
    """
    start = ops.zeros((), "int32")

    def step(index: Tensor, rows: Rows) -> tuple:
        return index + 1, body(index, rows)

    def any_active(index: Tensor, rows: Rows) -> Tensor:
        return ops.logical_and(index < length, ops.any(is_active(rows)))

    if keras.backend.backend() == "jax":  # it compiles for fixed shapes
        steps, rows = while_loop(any_active, step, (start, rows))
        return result(rows), steps

    # Computed before the loop: inside it a growing axis no longer has size 0.
    row_shapes = variable_shapes(rows, any_rows=True)

    def phase(index: Tensor, row_ids: Tensor, rows: Rows, results: Rows) -> tuple:
        """Run steps until half of the rows are finished, store their results and drop them."""
        count = ops.shape(row_ids)[0]
        min_active = ops.where(count > FEW_ROWS, count // 2, 0)
        # A phase has at least one step: under XLA `count` does not decrease with the rows.
        first = index

        def enough_active(index: Tensor, rows: Rows) -> Tensor:
            active = ops.sum(ops.cast(is_active(rows), "int32"))
            return ops.logical_and(index < length, (active > min_active) | (index == first))

        index, rows = while_loop(enough_active, step, (index, rows), [(), *row_shapes])
        indices = row_ids[:, None]
        results = keras.tree.map_structure(
            lambda x, part: ops.scatter_update(x, indices, part), results, result(rows)
        )
        active = ops.cast(ops.nonzero(is_active(rows))[0], "int32")
        row_ids, rows = keras.tree.map_structure(
            lambda x: ops.take(x, active, axis=0), (row_ids, rows)
        )
        return index, row_ids, rows, results

    def rows_remain(index: Tensor, row_ids: Tensor, *_: Any) -> Tensor:
        return ops.logical_and(index < length, ops.shape(row_ids)[0] > 0)

    results = result(rows)
    row_ids = ops.arange(ops.shape(keras.tree.flatten(rows)[0])[0], dtype="int32")
    shapes = [(), (None,), *row_shapes, *variable_shapes(results)]
    steps, _, _, results = while_loop(rows_remain, phase, (start, row_ids, rows, results), shapes)
    return results, steps


def _check_structure(carry: tuple, result: tuple) -> None:
    try:
        keras.tree.assert_same_structure(carry, result)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`model.step` and `model.reorder` must return a state of the same structure as that of "
            f"`model.start`. {error}"
        ) from error
