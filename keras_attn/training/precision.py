"""Choice of the precision of training by what the hardware is fast in."""

import functools
import time

from keras import ops

from keras_attn._types import Tensor
from keras_attn.training.provenance import accelerators

MIN_SPEEDUP = 1.5  # of products in bfloat16, from which mixed precision is worth its casts
_SIDE, _SIDE_ON_ACCELERATORS = 1024, 4096
_PRODUCTS, _ROUNDS = 10, 3


def resolve_precision(precision: str) -> str:
    """Return the Keras dtype policy that a recipe's `precision` stands for.

    Args:
        precision: A dtype policy, which is returned; or `"auto"`: `"mixed_bfloat16"` where
            products of matrices are at least 1.5 times as fast in bfloat16 as in float32, and
            `"float32"` elsewhere.

    Example:

    >>> resolve_precision("mixed_float16")
    'mixed_float16'
    """
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if bfloat16_speedup() >= MIN_SPEEDUP else "float32"


def check_precision(precision: str, workers: int) -> None:
    """Raise ValueError if several workers would choose the precision each for itself."""
    if precision == "auto" and workers > 1:
        raise ValueError(
            f"training.precision must name a dtype policy for {workers} workers, which may have "
            "different hardware. Received: 'auto'. Use 'float32' or 'mixed_bfloat16'."
        )


@functools.cache
def bfloat16_speedup() -> float:
    """Measure the time of float32 products of matrices over that of bfloat16 ones."""
    side = _SIDE_ON_ACCELERATORS if accelerators() else _SIDE
    seconds = {}
    for dtype in ("float32", "bfloat16"):
        matrix = ops.full((side, side), 1.0 / side, dtype)  # of which a power is itself
        seconds[dtype] = min(_seconds_of_products(matrix) for _ in range(_ROUNDS))
    return seconds["float32"] / seconds["bfloat16"]


def _seconds_of_products(matrix: Tensor) -> float:
    started = time.perf_counter()
    product = matrix
    for _ in range(_PRODUCTS):
        product = ops.matmul(product, matrix)
    ops.convert_to_numpy(ops.cast(product[0, 0], "float32"))  # waits for the last product
    return time.perf_counter() - started
