"""Reordering of beams, the candidate sequences that a beam search keeps for each row."""

from typing import Any

import keras
from keras import ops

from keras_attn.ops._types import Tensor


def gather_beams(tensors: Any, parents: Tensor) -> Any:
    """Gather beams by index: position `[b, p]` of the result is `tensors[b, parents[b, p]]`.

    Args:
        tensors: nested dicts, lists and tuples of tensors `(B, K, ...)`.
        parents: int32 `(B, P)`, indices of beams; `P` may differ from `K`.

    Returns:
        The same structure of tensors `(B, P, ...)`.

    Example:

    >>> x = ops.convert_to_tensor([[10, 11, 12], [20, 21, 22]])
    >>> ops.convert_to_numpy(gather_beams({"x": x}, [[2, 2], [0, 1]])["x"]).tolist()
    [[12, 12], [20, 21]]
    """
    parents = ops.cast(parents, "int32")

    def gather(x: Tensor) -> Tensor:
        batch, beams, *rest = ops.shape(x)
        rows = ops.arange(batch, dtype="int32")[:, None] * beams + parents
        return ops.take(ops.reshape(x, (batch * beams, *rest)), rows, axis=0)

    return keras.tree.map_structure(gather, tensors)
