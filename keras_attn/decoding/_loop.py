"""One loop that stops by itself, on every backend."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


def while_loop(
    condition: Callable[..., Any], body: Callable[..., tuple], carry: tuple[Any, ...]
) -> tuple[Any, ...]:
    """`while condition(*carry): carry = body(*carry)`.

    The carry holds nested tensors, whose shapes and dtypes stay as they are.

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

    def shaped(*flat: Any) -> tuple:  # what a gather forgot of a static shape
        pairs = zip(flat_body(*flat), flat, strict=True)
        return tuple(tf.ensure_shape(after, before.shape) for after, before in pairs)

    # Keras's own runs ten steps at once, and would hold ten sets of logits.
    return nested(tf.while_loop(flat_condition, shaped, start, parallel_iterations=1))


def _check_structure(before: tuple, after: tuple) -> None:
    try:
        keras.tree.assert_same_structure(before, after)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "The state that `model.step` and `model.reorder` return must be nested as the one of "
            f"`model.start`. {error}"
        ) from error
