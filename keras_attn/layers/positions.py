"""Position encodings, embeddings and biases."""

import functools
from typing import Any

import keras
from keras import initializers, ops

from keras_attn._types import Tensor
from keras_attn.layers._sublayers import (
    PACKAGE,
    check_positive_integers,
    check_rank,
    clone_initializer,
)
from keras_attn.ops import sinusoidal


class _AddedPositions(keras.layers.Layer):
    """Base class of layers that add a vector for each position to their inputs.

    A subclass defines `_encode(axes, size)`: from the positions of each axis, int32 tensors,
    to their vectors of that size.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Tensor, start: int | Tensor = 0) -> Tensor:
        self._check_start(inputs.shape, start)
        first = _integer_tensor(self, (0, 1), start=start)[..., None]
        axes = [first + ops.arange(n, dtype="int32") for n in ops.shape(inputs)[1:-1]]
        encodings = self._encode(axes, inputs.shape[-1])
        if len(encodings) == 2:
            encodings = [encodings[0][:, None] + encodings[1]]
        return inputs + ops.cast(encodings[0], inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def compute_output_spec(self, inputs: Any, start: Any = 0) -> Any:
        self._check_start(inputs.shape, start)
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def _check_start(self, shape: Any, start: Any) -> None:
        if len(shape) == 4 and not (isinstance(start, int) and start == 0):
            raise ValueError(
                f"{type(self).__name__}: `start` is for sequences; feature maps start at 0. "
                f"Received: start={start!r}. Leave it out."
            )


@keras.saving.register_keras_serializable(package=PACKAGE)
class SinusoidalPositionEncoding(_AddedPositions):
    """Add sines and cosines of the position (Vaswani et al., arXiv:1706.03762).

    In a feature map the first half of the channels encodes the row, and the second half the
    column. Nothing is learned, and sequences may have any length. The output carries the Keras
    mask of the inputs.

    Args:
        max_wavelength: longest wavelength divided by 2 pi, in positions.

    Call arguments:
        inputs: float tensor `(B, T, D)` with `D` even, or `(B, H, W, C)` with `C` a
            multiple of 4.
        start: position of a sequence's first element, an integer or integer scalar; or
            `(B,)`, one per sequence, such as minus the number of padded positions with
            padding on the left.

    Returns:
        Tensor with the shape of `inputs`. The encoding is computed in float32.

    Example:

    >>> import numpy as np
    >>> layer = SinusoidalPositionEncoding()
    >>> x = np.ones((2, 5, 8), "float32")
    >>> bool(np.allclose(layer(x)[:, 4:], layer(x[:, 4:], start=4)))
    True
    """

    def __init__(self, max_wavelength: float = 10_000.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not max_wavelength > 0.0:
            raise ValueError(
                "SinusoidalPositionEncoding: `max_wavelength` must be positive. Received: "
                f"{max_wavelength!r}."
            )
        self.max_wavelength = max_wavelength

    def build(self, input_shape: Any) -> None:
        divisor = {3: 2, 4: 4}.get(len(input_shape), 0)
        if not divisor or input_shape[-1] is None or input_shape[-1] % divisor:
            raise ValueError(
                "SinusoidalPositionEncoding: `inputs` must have shape (batch, length, features), "
                "features even, or (batch, height, width, channels), channels a multiple of 4. "
                f"Received: shape {tuple(input_shape)}."
            )
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_wavelength": self.max_wavelength}

    def _encode(self, axes: list[Tensor], size: int) -> list[Tensor]:
        axis_size = size // len(axes)
        encodings = [sinusoidal(x, axis_size, max_wavelength=self.max_wavelength) for x in axes]
        if len(axes) == 2:  # rows in the first half of the channels, columns in the second
            sides = [(0, axis_size), (axis_size, 0)]
            encodings = [ops.pad(x, [(0, 0), y]) for x, y in zip(encodings, sides, strict=True)]
        return encodings


@keras.saving.register_keras_serializable(package=PACKAGE)
class PositionEmbedding(_AddedPositions):
    """Add a learned vector for each position (Gehring et al., arXiv:1705.03122).

    In a feature map it is the sum of a vector for the row and one for the column. The output
    carries the Keras mask of the inputs.

    Args:
        max_length: number of positions of a sequence; `(height, width)` for feature maps.
        initializer: initializer of the tables.

    Call arguments:
        inputs: float tensor `(B, T, D)`, or `(B, H, W, C)` if `max_length` is a pair.
        start: see `SinusoidalPositionEncoding`.

    Returns:
        Tensor with the shape of `inputs`. Positions below 0, which are padding, get the
        vector of position 0. Positions beyond `max_length` raise an error if lengths are
        static, and otherwise give NaN: they never get the vector of another position.

    Example:

    >>> import numpy as np
    >>> tuple(PositionEmbedding((4, 6))(np.ones((2, 4, 5, 8), "float32")).shape)
    (2, 4, 5, 8)
    """

    def __init__(
        self, max_length: int | tuple[int, int], initializer: Any = "uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(max_length, list | tuple) and len(max_length) != 2:
            raise ValueError(
                "PositionEmbedding: `max_length` must be an integer, or a pair (height, width) "
                f"for feature maps. Received: {max_length!r}."
            )
        lengths = tuple(max_length) if isinstance(max_length, list | tuple) else (max_length,)
        for length in lengths:
            check_positive_integers(self, max_length=length)
        self.lengths = lengths
        self.max_length = max_length if len(lengths) == 1 else lengths
        self.initializer = initializers.get(initializer)

    def build(self, input_shape: Any) -> None:
        names, layout = ["embeddings"], "(batch, length, features)"
        if len(self.lengths) == 2:
            names, layout = ["rows", "columns"], "(batch, height, width, channels)"
        check_rank(self, len(names) + 2, layout, inputs=input_shape)
        size = input_shape[-1]
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: size})
        self.tables = [
            self.add_weight(
                name=name, shape=(length, size), initializer=clone_initializer(self.initializer)
            )
            for name, length in zip(names, self.lengths, strict=True)
        ]

    def get_config(self) -> dict[str, Any]:
        initializer = initializers.serialize(self.initializer)
        return {**super().get_config(), "max_length": self.max_length, "initializer": initializer}

    def _check_start(self, shape: Any, start: Any) -> None:
        super()._check_start(shape, start)
        for limit, length in zip(self.lengths, shape[1:-1], strict=True):
            if length is not None and isinstance(start, int) and start + length > limit:
                raise ValueError(
                    f"PositionEmbedding: `inputs` of shape {tuple(shape)} from position {start} go "
                    f"beyond max_length={self.max_length}. Shorten them or increase `max_length`."
                )

    def _encode(self, axes: list[Tensor], size: int) -> list[Tensor]:
        encodings = []
        for table, limit, positions in zip(self.tables, self.lengths, axes, strict=True):
            rows = ops.take(table, ops.clip(positions, 0, limit - 1), axis=0)
            beyond = ops.cast(float("nan"), rows.dtype)
            encodings.append(ops.where((positions < limit)[..., None], rows, beyond))
        return encodings


@keras.saving.register_keras_serializable(package=PACKAGE)
class RelativePositionBias(keras.layers.Layer):
    """Learned bias of scores by bucketed distance (Raffel et al., arXiv:1910.10683).

    Each head learns one number per bucket of distances between key and query. Half of the
    buckets hold one distance each, from 0; the others hold logarithmically wider ranges up to
    `max_distance`, and all larger distances share the last one.

    Args:
        num_heads: number of heads, `N`.
        num_buckets: number of buckets, half of them for later keys if `bidirectional`.
        max_distance: distance from which all keys share one bucket.
        bidirectional: whether later keys have buckets of their own; else they share the bucket
            of distance 0.
        initializer: initializer of the table.

    Call arguments:
        query: tensor `(B, T, ...)`; only its length is used.
        key: tensor `(B, S, ...)`; only its length is used.
        q_offset: position of the first query among the keys, an integer or integer scalar.

    Returns:
        float32 tensor `(1, N, T, S)`, to pass as `bias` to `keras_attn.ops.attention`.

    Example:

    >>> import numpy as np
    >>> query, key = np.ones((3, 4, 8), "float32"), np.ones((3, 6, 8), "float32")
    >>> tuple(RelativePositionBias(num_heads=2)(query, key).shape)
    (1, 2, 4, 6)
    """

    def __init__(
        self,
        num_heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        initializer: Any = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(
            self, num_heads=num_heads, num_buckets=num_buckets, max_distance=max_distance
        )
        exact = num_buckets // (4 if bidirectional else 2)
        if (bidirectional and num_buckets % 2) or not 0 < exact < max_distance:
            raise ValueError(
                "RelativePositionBias: `num_buckets` must be even and at least 4 if bidirectional, "
                "else at least 2, and `max_distance` above half of a side's buckets. Received: "
                f"num_buckets={num_buckets}, max_distance={max_distance}, {bidirectional=}."
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.initializer = initializers.get(initializer)

    def build(self, query_shape: Any, key_shape: Any) -> None:
        check_rank(self, max(2, len(query_shape)), "(batch, length, ...)", query=query_shape)
        check_rank(self, max(2, len(key_shape)), "(batch, length, ...)", key=key_shape)
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_buckets, self.num_heads),
            initializer=clone_initializer(self.initializer),
            autocast=False,
        )

    def call(self, query: Tensor, key: Tensor, q_offset: int | Tensor = 0) -> Tensor:
        first = _integer_tensor(self, (0,), q_offset=q_offset)
        queries = first + ops.arange(ops.shape(query)[1], dtype="int32")
        relative = ops.arange(ops.shape(key)[1], dtype="int32") - queries[:, None]
        bucket = _bucket(relative, self.num_buckets, self.max_distance, self.bidirectional)
        bias = ops.take(ops.cast(self.embeddings, "float32"), bucket, axis=0)
        return ops.transpose(bias, (2, 0, 1))[None]

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """Return None, since a bias has no mask."""

    def compute_output_spec(self, query: Any, key: Any, q_offset: Any = 0) -> Any:
        return keras.KerasTensor((1, self.num_heads, query.shape[1], key.shape[1]), "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "bidirectional": self.bidirectional,
            "initializer": initializers.serialize(self.initializer),
        }


def _bucket(relative: Tensor, num_buckets: int, max_distance: int, bidirectional: bool) -> Tensor:
    """Return the bucket of each `key position - query position`, int32 of the same shape."""
    side = num_buckets // 2 if bidirectional else num_buckets
    distance = ops.abs(relative) if bidirectional else ops.maximum(-relative, 0)
    table = ops.convert_to_tensor(_buckets(side, max_distance), dtype="int32")
    bucket = ops.take(table, ops.minimum(distance, max_distance), axis=0)
    return bucket + side * ops.cast(relative > 0, "int32") if bidirectional else bucket


@functools.cache
def _buckets(side: int, max_distance: int) -> list[int]:
    """Return the bucket of every distance from 0 to `max_distance`, for `side` buckets.

    Wide bucket `i` starts at `exact * (max_distance / exact) ** (i / wide)`. It is computed in
    integers, since a rounded logarithm may put a distance on the wrong side of a boundary.
    """
    exact, wide = side // 2, side - side // 2

    def wide_bucket(distance: int) -> int:
        starts = (max_distance**i * exact ** (wide - i) for i in range(1, wide))
        return sum(distance**wide >= start for start in starts)

    return [n if n < exact else exact + wide_bucket(n) for n in range(max_distance + 1)]


def _integer_tensor(layer: keras.layers.Layer, ranks: tuple[int, ...], **argument: Any) -> Tensor:
    """Return one call argument, passed by name, as an int32 tensor.

    Raises:
        ValueError: its rank is not in `ranks`, or its dtype is not an integer one.
    """
    ((name, value),) = argument.items()
    tensor = ops.convert_to_tensor(value)
    if len(tensor.shape) not in ranks or "int" not in keras.backend.standardize_dtype(tensor.dtype):
        accepted = " or an integer tensor (batch,)" if 1 in ranks else ""
        raise ValueError(
            f"{type(layer).__name__}: `{name}` must be an integer or a scalar integer tensor"
            f"{accepted}. Received: {value!r}."
        )
    return ops.cast(tensor, "int32")
