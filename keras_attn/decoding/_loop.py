"""Loops that stop by themselves, on every backend, and go on with those rows that need it."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any
Rows = Any  # nested tensors with the rows on axis 0

FEW_ROWS = 4  # of which none is worth to be put aside


def while_loop(
    condition: Callable[..., Any],
    body: Callable[..., tuple],
    carry: tuple[Any, ...],
    shapes: list[tuple] | None = None,
) -> tuple[Any, ...]:
    """`while condition(*carry): carry = body(*carry)`.

    The carry holds nested tensors, whose shapes and dtypes stay as they are; but that an axis
    of size 0 may grow, where the backend's loops allow it, as TensorFlow's and PyTorch's do.

    Args:
        condition: gives a boolean scalar.
        body: gives the next carry.
        carry: what the first `body` gets.
        shapes: of the carry's tensors, with None for an axis that may change; None is
            `changing_shapes(carry)`.

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
        after = body(*nested(flat))
        _check_structure(carry, after)
        return tuple(keras.tree.flatten(after))

    start = tuple(keras.tree.flatten(carry))
    if keras.backend.backend() != "tensorflow":
        return nested(ops.while_loop(flat_condition, flat_body, start))
    import tensorflow as tf

    known = [tf.TensorShape(shape) for shape in shapes or changing_shapes(carry)]

    def shaped(*flat: Any) -> tuple:  # what a gather forgot of a static shape
        pairs = zip(flat_body(*flat), known, strict=True)
        return tuple(x if x.shape == shape else tf.ensure_shape(x, shape) for x, shape in pairs)

    # Keras's own runs ten steps at once, and would hold ten sets of logits.
    return nested(
        tf.while_loop(
            flat_condition, shaped, start, shape_invariants=tuple(known), parallel_iterations=1
        )
    )


def changing_shapes(nested: Any, any_rows: bool = False) -> list[tuple]:
    """The shapes of nested tensors, None for an axis of size 0; also for axis 0 if `any_rows`."""
    shapes = [tuple(size or None for size in x.shape) for x in keras.tree.flatten(nested)]
    return [(None, *shape[1:]) if any_rows else shape for shape in shapes]


def while_rows(
    is_active: Callable[[Rows], Tensor],
    body: Callable[[Tensor, Rows], Rows],
    result: Callable[[Rows], Rows],
    rows: Rows,
    length: int | Tensor,
) -> tuple[Rows, Tensor]:
    """`rows = body(index, rows)` while a row is active, for indices from 0 to `length - 1`.

    Where the backend's loops allow it, rows that are done are put aside whenever they are half
    of those that are left: what the last rows cost is not paid for all. What `body` makes of a
    row must depend on it alone, and what is done stay as it is.

    Args:
        is_active: boolean `(B,)`.
        body: the step.
        result: the part of rows that is wanted.
        rows: nested tensors with the rows on axis 0.
        length: the most steps.

    Returns:
        The result of all rows, and how many steps there were.
    """
    start = ops.zeros((), "int32")

    def step(index: Tensor, rows: Rows) -> tuple:
        return index + 1, body(index, rows)

    def none_put_aside(index: Tensor, rows: Rows) -> Tensor:
        return ops.logical_and(index < length, ops.any(is_active(rows)))

    if keras.backend.backend() == "jax":  # shapes are compiled for good
        steps, rows = while_loop(none_put_aside, step, (start, rows))
        return result(rows), steps

    row_shapes = changing_shapes(rows, any_rows=True)  # once: later, what grows has a size

    def phase(index: Tensor, numbers: Tensor, rows: Rows, whole: Rows) -> tuple:
        count = ops.shape(numbers)[0]
        least = ops.where(count > FEW_ROWS, count // 2, 0)

        first = index  # of a phase, which has one step: XLA's counts do not fall as rows do

        def enough(index: Tensor, rows: Rows) -> Tensor:
            active = ops.sum(ops.cast(is_active(rows), "int32"))
            return ops.logical_and(index < length, (active > least) | (index == first))

        index, rows = while_loop(enough, step, (index, rows), [(), *row_shapes])
        places = numbers[:, None]
        whole = keras.tree.map_structure(
            lambda x, part: ops.scatter_update(x, places, part), whole, result(rows)
        )
        active = ops.cast(ops.nonzero(is_active(rows))[0], "int32")
        numbers, rows = keras.tree.map_structure(
            lambda x: ops.take(x, active, axis=0), (numbers, rows)
        )
        return index, numbers, rows, whole

    def goes_on(index: Tensor, numbers: Tensor, *_: Any) -> Tensor:
        return ops.logical_and(index < length, ops.shape(numbers)[0] > 0)

    whole = result(rows)
    numbers = ops.arange(ops.shape(keras.tree.flatten(rows)[0])[0], dtype="int32")
    shapes = [(), (None,), *row_shapes, *changing_shapes(whole)]
    steps, _, _, whole = while_loop(goes_on, phase, (start, numbers, rows, whole), shapes)
    return whole, steps


def _check_structure(before: tuple, after: tuple) -> None:
    try:
        keras.tree.assert_same_structure(before, after)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "The state that `model.step` and `model.reorder` return must be nested as the one of "
            f"`model.start`. {error}"
        ) from error
