"""Position encodings and biases, in float32."""

import math
from collections.abc import Callable

from keras import ops

from keras_attn._validation import check_positive_integer
from keras_attn.ops._types import Size, Tensor


def sinusoidal(positions: Tensor, dim: int, *, max_wavelength: float = 10_000.0) -> Tensor:
    """Compute the sinusoidal position encoding (Vaswani et al., arXiv:1706.03762).

    Args:
        positions: tensor of positions, any shape `(...)`.
        dim: size of the encoding, even.
        max_wavelength: longest wavelength, in positions, divided by 2 pi.

    Returns:
        float32 tensor `(..., dim)`: sine and cosine interleaved, shortest wavelength first.

    Raises:
        ValueError: `dim` is odd or not positive.

    Example:

    >>> import numpy as np
    >>> np.asarray(sinusoidal(np.array([0, 1]), 4))[0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    angles = _angles(positions, dim, max_wavelength)
    paired = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)
    return ops.reshape(paired, (*ops.shape(angles)[:-1], dim))


def rotary(x: Tensor, positions: Tensor, *, max_wavelength: float = 10_000.0) -> Tensor:
    """Apply the rotary position embedding (Su et al., arXiv:2104.09864).

    Feature `i` is paired with feature `i + H / 2` (the convention of GPT-NeoX and Llama), not
    with its neighbour. The product of a rotated query and a rotated key depends only on the
    difference of their positions.

    Args:
        x: queries or keys, `(B, T, N, H)` with `H` even.
        positions: integer tensor `(T,)` or `(B, T)`.
        max_wavelength: longest wavelength, in positions, divided by 2 pi.

    Returns:
        Tensor with the shape and dtype of `x`; angles are computed in float32.

    Raises:
        ValueError: `H` is odd.

    Example:

    >>> import numpy as np
    >>> tuple(rotary(np.ones((2, 5, 3, 4), "float32"), np.arange(5)).shape)
    (2, 5, 3, 4)
    """
    angles = ops.expand_dims(_angles(positions, x.shape[-1], max_wavelength), axis=-2)
    sine, cosine = ops.sin(angles), ops.cos(angles)
    first, second = ops.split(ops.cast(x, "float32"), 2, axis=-1)
    rotated = [first * cosine - second * sine, second * cosine + first * sine]
    return ops.cast(ops.concatenate(rotated, axis=-1), x.dtype)


def alibi_slopes(num_heads: int) -> list[float]:
    """Return the ALiBi slope of each head: `2 ** (-8 i / n)` for a power of two.

    For other numbers of heads, the slopes of the next lower power of two come first, then
    every second slope of the next higher one, as in the authors' code.

    Raises:
        ValueError: `num_heads` is not a positive integer.

    Example:

    >>> alibi_slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    check_positive_integer("num_heads", num_heads)
    power = 2 ** int(math.log2(num_heads))
    slopes = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    between = [2.0 ** (-4.0 * (i + 1) / power) for i in range(0, 2 * power, 2)]
    return slopes + between[: num_heads - power]


def alibi(num_heads: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the ALiBi bias, by which scores fall linearly with distance.

    Press et al., "Train short, test long", arXiv:2108.12409.

    Args:
        num_heads: `N`, the query heads.

    Returns:
        Function from integer positions `(T,)` of queries and `(S,)` of keys to the bias
        `(1, N, T, S)`, float32. Pass it as `bias` to `attention`; the streaming path then
        computes it one block at a time.

    Raises:
        ValueError: `num_heads` is not a positive integer.

    Example:

    >>> import numpy as np
    >>> bias = alibi(2)(np.array([3]), np.arange(4))
    >>> np.asarray(bias)[0, 0, 0, :3].tolist()
    [-0.1875, -0.125, -0.0625]
    """
    slopes = alibi_slopes(num_heads)

    def bias(queries: Tensor, keys: Tensor) -> Tensor:
        queries, keys = (ops.cast(x, "int32") for x in (queries, keys))
        distance = ops.cast(ops.abs(queries[:, None] - keys[None, :]), "float32")
        return -ops.convert_to_tensor(slopes, "float32")[None, :, None, None] * distance[None, None]

    return bias


def alibi_bias(
    num_heads: int,
    query_length: Size,
    key_length: Size,
    *,
    q_offset: Size = 0,
) -> Tensor:
    """Return the bias of `alibi` as one tensor.

    Args:
        num_heads: `N`, the query heads.
        query_length: `T`, the number of queries.
        key_length: `S`, the number of keys.
        q_offset: integer or scalar integer tensor, the position of the first query.

    Returns:
        float32 tensor `(1, N, T, S)`.

    Raises:
        ValueError: `num_heads` is not a positive integer.
    """
    queries = ops.arange(query_length, dtype="int32") + ops.cast(q_offset, "int32")
    return alibi(num_heads)(queries, ops.arange(key_length, dtype="int32"))


def _angles(positions: Tensor, dim: int, max_wavelength: float) -> Tensor:
    if dim < 2 or dim % 2:
        raise ValueError(f"The position encoding's size must be even. Received: {dim!r}.")
    exponents = ops.arange(0, dim, 2, dtype="float32") / dim
    frequencies = ops.exp(-math.log(max_wavelength) * exponents)
    return ops.cast(positions, "float32")[..., None] * frequencies
