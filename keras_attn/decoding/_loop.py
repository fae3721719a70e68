"""Loops that stop by themselves, on every backend, and go on with those rows that need it."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any
Rows = Any  # nested tensors with the rows on axis 0

FEW = 4  # rows, of which none is worth to be put aside


def while_loop(
    condition: Callable[..., Any],
    body: Callable[..., tuple],
    carry: tuple[Any, ...],
    any_rows: bool = False,
) -> tuple[Any, ...]:
    """`while condition(*carry): carry = body(*carry)`.

    The carry holds nested tensors, whose shapes and dtypes stay as they are; but that an axis
    of size 0 may grow, where the backend's loops allow it, as TensorFlow's and PyTorch's do.

    Args:
        condition: gives a boolean scalar.
        body: gives the next carry.
        carry: what the first `body` gets.
        any_rows: axis 0 may change as well.

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

    shapes = []
    for x in start:
        sizes = [size or None for size in x.shape]
        shapes.append(tf.TensorShape([None, *sizes[1:]] if any_rows and sizes else sizes))

    def shaped(*flat: Any) -> tuple:  # what a gather forgot of a static shape
        pairs = zip(flat_body(*flat), shapes, strict=True)
        return tuple(x if x.shape == shape else tf.ensure_shape(x, shape) for x, shape in pairs)

    # Keras's own runs ten steps at once, and would hold ten sets of logits.
    return nested(
        tf.while_loop(
            flat_condition, shaped, start, shape_invariants=tuple(shapes), parallel_iterations=1
        )
    )


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

    def loop(index: Tensor, rows: Rows, most_done: Callable[[Rows], Tensor], any_rows: bool) -> Any:
        return while_loop(
            lambda index, rows: ops.logical_and(index < length, most_done(rows)),
            lambda index, rows: (index + 1, body(index, rows)),
            (index, rows),
            any_rows,
        )

    start = ops.zeros((), "int32")
    if keras.backend.backend() == "jax":  # shapes are compiled for good
        steps, rows = loop(start, rows, lambda rows: ops.any(is_active(rows)), any_rows=False)
        return result(rows), steps

    def phase(index: Tensor, numbers: Tensor, rows: Rows, whole: Rows) -> tuple:
        count = ops.shape(numbers)[0]
        least = ops.where(count > FEW, count // 2, 0)

        def enough(rows: Rows) -> Tensor:
            return ops.sum(ops.cast(is_active(rows), "int32")) > least

        index, rows = loop(index, rows, enough, any_rows=True)
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
    steps, _, _, whole = while_loop(goes_on, phase, (start, numbers, rows, whole), any_rows=True)
    return whole, steps


def _check_structure(before: tuple, after: tuple) -> None:
    try:
        keras.tree.assert_same_structure(before, after)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "The state that `model.step` and `model.reorder` return must be nested as the one of "
            f"`model.start`. {error}"
        ) from error
