"""Choice of the precision of training by what the hardware is fast in."""

import functools
import time

import keras
from keras import ops

from keras_attn.training.provenance import accelerators

MIN_SPEEDUP = 1.5  # of a product in bfloat16, from which mixed precision is worth its casts
_SIDE, _SIDE_ON_ACCELERATORS = 1024, 4096
_ROUNDS = 5


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


@functools.cache
def bfloat16_speedup() -> float:
    """Measure the time of a float32 product of matrices over that of a bfloat16 one."""
    side = _SIDE_ON_ACCELERATORS if accelerators() else _SIDE
    matrices = {dtype: ops.ones((side, side), dtype) for dtype in ("float32", "bfloat16")}
    seconds = {
        dtype: [_seconds_of_product(matrix) for _ in range(_ROUNDS)]
        for dtype, matrix in matrices.items()
    }
    return min(seconds["float32"]) / min(seconds["bfloat16"])


def _seconds_of_product(matrix: keras.KerasTensor) -> float:
    started = time.perf_counter()
    product = ops.matmul(matrix, matrix)
    ops.convert_to_numpy(ops.cast(product[0, 0], "float32"))  # waits for the product
    return time.perf_counter() - started
