"""A Transformer over patches of a time series, for forecasts of each variable."""

import dataclasses
from typing import Any, Literal, Self

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers import PositionEmbedding
from keras_attn.models._config import AttentionKind, Positive, Rate, frozen_config
from keras_attn.models._forecasting import (
    Quantile,
    check_heads,
    check_quantiles,
    encoder_block,
    shortcut_layer,
)
from keras_attn.models.registry import register_architecture

# Smallest standard deviation of a window that the instance normalization divides by, in units of
# the inputs.
# Nearly constant windows, such as those of a time without rain, would otherwise be magnified.
MIN_DEVIATION = 0.1


@frozen_config
class PatchTransformerConfig:
    """Configuration of a `patch_transformer`.

    Attributes:
        num_variables: Number of variables of the series, `V`.
        history: Number of past values that are read, `L`.
        horizon: Number of values that are forecast, `H`.
        quantiles: Levels of the quantiles that are forecast besides the mean, in rising order and
            between 0 and 1; may be empty.
        patch_length: Number of values in a patch.
        patch_stride: Distance between the first values of two patches.
        model_dim: Size of a token.
        num_layers: Number of encoder blocks.
        num_heads: Attention heads of each block, which divide the size of a token.
        intermediate_dim: Hidden size of the feed-forward networks.
        attention: Normalizer of all attention; or `"none"`, the baseline without attention: blocks
            with feed-forward networks only.
        center: What the instance normalization subtracts from a window: its `"mean"`, or its
            `"last"` value, as NLinear does.
        shortcut: Whether to add a linear map of the centered history to the forecast. It is not
            trained by gradients: `Forecaster.adapt` fits it by ridge regression, so that the blocks
            learn what it leaves.
        quantile_dim: Hidden size of the network that forecasts quantiles.
        dropout: Dropout rate in the blocks and before the forecast.
    """

    num_variables: Positive = 1
    history: Positive = 336
    horizon: Positive = 96
    quantiles: tuple[Quantile, ...] = ()
    patch_length: Positive = 16
    patch_stride: Positive = 8
    model_dim: Positive = 16
    num_layers: Positive = 3
    num_heads: Positive = 4
    intermediate_dim: Positive = 128
    attention: AttentionKind = "softmax"
    center: Literal["mean", "last"] = "mean"
    shortcut: bool = False
    quantile_dim: Positive = 32
    dropout: Rate = 0.0

    def __post_init__(self) -> None:
        if self.patch_length > self.history:
            raise ValueError(
                "`patch_length` must be at most `history`. Received: patches of "
                f"{self.patch_length}, a history of {self.history}."
            )
        check_heads(self.model_dim, self.num_heads)
        check_quantiles(self.quantiles)
        if self.shortcut and self.center != "last":
            raise ValueError(
                "`shortcut` maps the history without its last value, and needs center='last'. "
                f"Received: center={self.center!r}."
            )

    def adapted_to(
        self, num_variables: int, *, history: int, horizon: int, step: int | None
    ) -> Self:
        """Return a configuration for another series, of which it may read and forecast less.

        Args:
            num_variables: Number of variables.
            history: Largest number of past values; patches are at most a quarter of these.
            horizon: Largest number of values to forecast.
            step: The interval between rows in seconds, which does not matter here.

        Example:

        >>> small = PatchTransformerConfig().adapted_to(2, history=40, horizon=8, step=None)
        >>> small.history, small.patch_length, small.horizon
        (40, 10, 8)
        """
        length = self.patch_length
        if history < self.history:
            length = min(length, max(1, history // 4))
        return dataclasses.replace(
            self,
            num_variables=num_variables,
            history=min(self.history, max(2, history)),
            horizon=min(self.horizon, max(1, horizon)),
            patch_length=length,
            patch_stride=min(self.patch_stride, length),
        )


@keras.saving.register_keras_serializable(package="keras_attn")
class SeriesPatches(keras.layers.Layer):
    """Cut series into patches at equal distances; the last patch ends with the series.

    Args:
        length: Number of values in a patch.
        stride: Distance between the first values of two patches.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(B, L)` of any dtype.

    Returns:
        Tensor `(B, P, length)`.

    Example:

    >>> patches = SeriesPatches(3, 2)(np.arange(6)[None])  # the first value is in no patch
    >>> ops.convert_to_numpy(patches).tolist()
    [[[1, 2, 3], [3, 4, 5]]]
    """

    def __init__(self, length: int, stride: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.length, self.stride = length, stride

    def rows(self, series_length: int) -> np.ndarray:
        """Return the rows of each patch of a series, int64 `(P, length)`."""
        rest = series_length - self.length
        starts = np.arange(rest % self.stride, rest + 1, self.stride)
        return starts[:, None] + np.arange(self.length)

    def call(self, inputs: Tensor) -> Tensor:
        return ops.take(inputs, self.rows(inputs.shape[1]), axis=1)

    def compute_output_spec(self, inputs: Any) -> Any:
        batch, length = inputs.shape
        return keras.KerasTensor((batch, *self.rows(length).shape), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length, "stride": self.stride}


@register_architecture("patch_transformer", task="forecasting")
def build_patch_transformer(config: PatchTransformerConfig) -> keras.Model:
    """Build instance normalization, patches, encoder blocks, and a linear map to the forecast.

    Each variable is forecast by itself, with the same weights, from patches of its past: PatchTST
    (Nie et al., arXiv:2211.14730). The window of each variable is normalized by its own mean and
    standard deviation, which are restored in the forecast: reversible instance normalization (Kim
    et al., ICLR 2022), here over the values that are not missing. Patches without any value are
    masked in the attention. The blocks normalize layers before each sublayer, where PatchTST
    normalizes batches after it.

    Quantiles are the mean plus offsets that rise with the level, so that they never cross. They are
    computed from the same features, whose weights they do not train: the mean is that of the model
    without quantiles.

    Args:
        config: Configuration of the network.

    Returns:
        A functional model from float values `(B, L, V)`, NaN where one is missing and of about unit
        deviation, to float32 forecasts `(B, H, V, 1 + Q)` in the same units: the mean, then the
        quantiles.

    Example:

    >>> config = PatchTransformerConfig(num_variables=3, horizon=24, quantiles=(0.1, 0.9))
    >>> build_patch_transformer(config).output.shape
    (None, 24, 3, 3)
    """
    values = keras.Input((config.history, config.num_variables), name="values")
    x = ops.reshape(ops.transpose(values, (0, 2, 1)), (-1, config.history))  # (BV, L)
    normalized, observed, center, deviation = _normalize(config, x)
    patches = SeriesPatches(config.patch_length, config.patch_stride, name="patches")
    tokens = patches(normalized)  # (BV, P, patch_length)
    padding_mask = ops.any(patches(observed), axis=-1)  # (BV, P)
    x = keras.layers.Dense(config.model_dim, name="embedding")(tokens)
    x = PositionEmbedding(max_length=tokens.shape[1], name="position")(x)
    x = keras.layers.Dropout(config.dropout, name="embedding_dropout")(x)
    for index in range(1, config.num_layers + 1):
        x = encoder_block(config, x, padding_mask, f"block_{index}")
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = keras.layers.Reshape((tokens.shape[1] * config.model_dim,), name="features")(x)
    x = keras.layers.Dropout(config.dropout, name="features_dropout")(x)
    head_initializer = "zeros" if config.shortcut else "glorot_uniform"
    head = keras.layers.Dense(
        config.horizon, kernel_initializer=head_initializer, dtype="float32", name="head"
    )
    mean = head(x)  # (BV, H)
    if config.shortcut:
        shortcut = shortcut_layer(config.horizon)
        mean = mean + shortcut(normalized)
    forecast = mean[..., None]
    if config.quantiles:
        sizes = (config.horizon, len(config.quantiles), config.quantile_dim)
        offsets = quantile_offsets(ops.stop_gradient(x), *sizes)
        forecast = ops.concatenate(
            [forecast, ops.stop_gradient(forecast) + offsets], axis=-1
        )  # (BV, H, 1 + Q)
    forecast = forecast * deviation[..., None] + center[..., None]
    shape = (-1, config.num_variables, config.horizon, 1 + len(config.quantiles))
    forecast = ops.transpose(ops.reshape(forecast, shape), (0, 2, 1, 3))  # (B, H, V, 1 + Q)
    return keras.Model(values, forecast, name="patch_transformer")


def last_observed(x: Tensor, weights: Tensor) -> Tensor:
    """Return the last value of each series that is observed, and 0 without any.

    Args:
        x: Tensor `(N, L)`, 0 where a value is missing.
        weights: float32 tensor `(N, L)`, 0 where a value is missing, and 1 elsewhere.

    Returns:
        Tensor `(N, 1)`.
    """
    order = ops.arange(1, x.shape[1] + 1, dtype="int32")
    # Keras compares the bits of floats in `argmax`, which converters do not know.
    position = ops.argmax(ops.cast(weights, "int32") * order, axis=1, keepdims=True)
    return ops.take_along_axis(x, position, axis=1)


def _normalize(config: PatchTransformerConfig, x: Tensor) -> tuple[Tensor, ...]:
    """Normalize each row by its observed values.

    Args:
        config: Configuration of the network.
        x: Tensor `(N, L)`, NaN where a value is missing.

    Returns:
        The normalized values `(N, L)`, 0 where one is missing; which are observed, bool `(N, L)`;
        and center and deviation `(N, 1)`. Without any value these are 0 and the least deviation.
    """
    observed = ops.logical_not(ops.isnan(x))
    weights = ops.cast(observed, "float32")
    x = ops.where(observed, x, ops.zeros_like(x))
    count = ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)
    mean = ops.sum(x, axis=1, keepdims=True) / count
    squares = ops.sum(weights * ops.square(x - mean), axis=1, keepdims=True)
    deviation = ops.maximum(ops.sqrt(squares / count), MIN_DEVIATION)
    center = last_observed(x, weights) if config.center == "last" else mean
    return (x - center) / deviation * weights, observed, center, deviation


def quantile_offsets(
    features: Tensor, steps: int, quantiles: int, hidden: int, name: str = "quantile"
) -> Tensor:
    """Return offsets from the mean that rise with the level of the quantile.

    Args:
        features: Tensor `(..., F)`.
        steps: Number of values that are forecast from the features, `H`.
        quantiles: Number of quantiles, `Q`.
        hidden: Size of the hidden layer.
        name: Prefix of the names of the layers.

    Returns:
        float32 tensor `(..., H, Q)`.
    """
    x = keras.layers.Dense(hidden, activation="gelu", name=f"{name}_in")(features)
    head = keras.layers.Dense(
        steps * quantiles, kernel_initializer="zeros", dtype="float32", name=f"{name}_head"
    )
    x = ops.reshape(head(x), (-1, *features.shape[1:-1], steps, quantiles))
    first, differences = x[..., :1], ops.softplus(x[..., 1:])
    return ops.cumsum(ops.concatenate([first, differences], axis=-1), axis=-1)
