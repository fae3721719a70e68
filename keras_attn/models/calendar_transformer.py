"""A Transformer over the days of a time series and of its forecast, which knows the calendar."""

import dataclasses
from typing import Annotated, Self

import keras
from annotated_types import Ge
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
from keras_attn.models.patch_transformer import (
    SeriesPatches,
    last_observed,
    quantile_offsets,
)
from keras_attn.models.registry import register_architecture

DAYS = 7  # of a week
SECONDS_PER_DAY = 86_400
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday, with Monday as 0


@frozen_config
class CalendarTransformerConfig:
    """Configuration of a `calendar_transformer`.

    Attributes:
        num_variables: Number of variables that are read, `V`.
        num_targets: Number of variables that are forecast, `K`: the first ones. The others are
            covariates, of which the past alone is known.
        history: Number of past values that are read, `L`; whole days.
        horizon: Number of values that are forecast, `H`; at most a week.
        quantiles: Levels of the quantiles that are forecast besides the mean, in rising order and
            between 0 and 1; may be empty.
        day_length: Number of steps of a day.
        model_dim: Size of a token.
        num_layers: Number of encoder blocks.
        num_heads: Attention heads of each block, which divide the size of a token.
        intermediate_dim: Hidden size of the feed-forward networks.
        attention: Normalizer of all attention; or `"none"`, the baseline without attention: blocks
            with feed-forward networks only, in which a day of the forecast reads the same day of
            the week before alone, and the shortcut.
        dropout: Dropout rate in the blocks.
    """

    num_variables: Positive = 1
    num_targets: Positive = 1
    history: Positive = 672
    horizon: Positive = 168
    quantiles: tuple[Quantile, ...] = ()
    day_length: Annotated[int, Ge(2)] = 24
    model_dim: Positive = 64
    num_layers: Positive = 2
    num_heads: Positive = 4
    intermediate_dim: Positive = 128
    attention: AttentionKind = "softmax"
    dropout: Rate = 0.0

    def __post_init__(self) -> None:
        week = DAYS * self.day_length
        if self.history % self.day_length or self.history < week or self.horizon > week:
            raise ValueError(
                f"`history` must be whole days, at least a week of {week} steps, and `horizon` at "
                f"most a week. Received: history={self.history}, horizon={self.horizon}, days of "
                f"{self.day_length} steps."
            )
        if self.num_targets > self.num_variables:
            raise ValueError(
                "`num_targets` must be at most `num_variables`. Received: "
                f"{self.num_targets} of {self.num_variables}."
            )
        check_heads(self.model_dim, self.num_heads)
        check_quantiles(self.quantiles)

    def adapted_to(
        self, num_variables: int, *, history: int, horizon: int, step: int | None
    ) -> Self:
        """Return a configuration for another series, of which it may read and forecast less.

        All variables are forecast. The number of days of history and horizon stays, unless there
        are too few rows; a history is at least a week.

        Args:
            num_variables: Number of variables.
            history: Largest number of past values, which it exceeds for a week.
            horizon: Largest number of values to forecast.
            step: The interval between rows in seconds.

        Raises:
            ValueError: A day is not a whole number of intervals, at least 2.

        Example:

        >>> config = CalendarTransformerConfig()
        >>> quarters = config.adapted_to(1, history=9_000, horizon=9_000, step=900)
        >>> quarters.day_length, quarters.history, quarters.horizon
        (96, 2688, 672)
        """
        if not step or SECONDS_PER_DAY % step or step > SECONDS_PER_DAY // 2:
            interval = "no times" if not step else f"rows every {step:,} seconds"
            raise ValueError(
                "A calendar_transformer needs rows at intervals of which a day has a whole number, "
                f"at least 2. Received: {interval}. Use a patch_transformer, such as "
                "etth1_patch_transformer; or another `step`, such as '1h'."
            )
        day = SECONDS_PER_DAY // step
        days = min(self.history // self.day_length, max(DAYS, history // day))
        steps = -(-self.horizon * day // self.day_length)
        return dataclasses.replace(
            self,
            num_variables=num_variables,
            num_targets=num_variables,
            history=days * day,
            horizon=min(steps, max(1, horizon)),
            day_length=day,
        )


@register_architecture("calendar_transformer", task="forecasting")
def build_calendar_transformer(config: CalendarTransformerConfig) -> keras.Model:
    """Build tokens of past and future days, encoder blocks, and a linear map to the forecast.

    A token of the past is a day of all variables, with which of its values are missing. A token of
    the future is the same day of the week before, of the targets alone. To each the hour at which
    it begins and its weekday are added, which are known in advance. All tokens attend to all
    others, as in a masked autoencoder (He et al., arXiv:2111.06377). The forecast of a day is a
    linear map of its token, plus one of the past of the target alone: the shortcut, which is not
    trained by gradients, but fitted by `Forecaster.adapt`.

    Args:
        config: Configuration of the network.

    Returns:
        A functional model from a dictionary to float32 forecasts `(B, H, K, 1 + Q)`: the mean, then
        the quantiles. `values` are floats `(B, L, V)`, NaN where one is missing and of about unit
        standard deviation; `time` is the number of the last row, int32 `(B,)`: steps since
        1970-01-01.

    Example:

    >>> config = CalendarTransformerConfig(num_variables=3, history=168, horizon=48)
    >>> build_calendar_transformer(config).output.shape
    (None, 48, 1, 1)
    """
    day, week = config.day_length, DAYS * config.day_length
    values = keras.Input((config.history, config.num_variables), name="values")
    time = keras.Input((), dtype="int32", name="time")
    observed = ops.logical_not(ops.isnan(values))
    filled = ops.where(observed, values, ops.zeros_like(values))
    weights = ops.cast(observed, "float32")
    past_days, future_days = config.history // day, -(-config.horizon // day)
    past = ops.concatenate([filled, weights], axis=-1)  # (B, L, 2V)
    past_tokens = keras.layers.Dense(config.model_dim, name="past")(_days(past, day))
    # The week before the forecast begins `week` steps before the end of the history.
    length = future_days * day
    targets = [each[:, -week:, : config.num_targets][:, :length] for each in (filled, weights)]
    before = ops.concatenate(targets, axis=-1)
    future_tokens = keras.layers.Dense(config.model_dim, name="future")(_days(before, day))
    x = ops.concatenate([past_tokens, future_tokens], axis=1)  # (B, P + F, D)
    first = ops.arange(-past_days, future_days, dtype="int32") * day + 1
    starts = time[:, None] + first  # the number of the first step of each day
    weekday = ops.mod(ops.floor_divide(starts, day) + EPOCH_WEEKDAY, DAYS)
    x = x + keras.layers.Embedding(DAYS, config.model_dim, name="weekday")(weekday)
    x = x + keras.layers.Embedding(day, config.model_dim, name="hour")(ops.mod(starts, day))
    x = PositionEmbedding(max_length=past_days + future_days, name="position")(x)
    has_value = ops.any(_days(observed, day), axis=-1)  # (B, P)
    always = ops.ones_like(starts[:, past_days:], dtype="bool")
    padding_mask = ops.concatenate([has_value, always], axis=1)
    for index in range(1, config.num_layers + 1):
        x = encoder_block(config, x, padding_mask, f"block_{index}")
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x[:, past_days:])
    head = keras.layers.Dense(
        day * config.num_targets, kernel_initializer="zeros", dtype="float32", name="head"
    )
    shape = (-1, length, config.num_targets)
    mean = ops.reshape(head(x), shape)[:, : config.horizon]
    mean = mean + _shortcut(config, filled, weights)
    forecast = mean[..., None]
    if config.quantiles:
        size = day * config.num_targets
        sizes = (size, len(config.quantiles), config.model_dim)
        offsets = quantile_offsets(ops.stop_gradient(x), *sizes, name="day_quantile")
        offsets = ops.reshape(offsets, (*shape, len(config.quantiles)))[:, : config.horizon]
        forecast = ops.concatenate([forecast, ops.stop_gradient(forecast) + offsets], axis=-1)
    inputs = {"values": values, "time": time}
    return keras.Model(inputs, forecast, name="calendar_transformer")


def _shortcut(config: CalendarTransformerConfig, filled: Tensor, weights: Tensor) -> Tensor:
    """Return a linear map of the past of each target to its forecast, `(B, H, K)`.

    Args:
        config: Configuration of the network.
        filled: Tensor `(B, L, V)`, 0 where a value is missing.
        weights: Tensor `(B, L, V)`, 0 where a value is missing, and 1 elsewhere.
    """
    x, observed = (
        ops.reshape(ops.transpose(each[..., : config.num_targets], (0, 2, 1)), (-1, config.history))
        for each in (filled, weights)
    )  # (BK, L)
    last = last_observed(x, observed)
    shortcut = shortcut_layer(config.horizon)
    mean = shortcut((x - last) * observed) + last
    shape = (-1, config.num_targets, config.horizon)
    return ops.transpose(ops.reshape(mean, shape), (0, 2, 1))


def _days(x: Tensor, day: int) -> Tensor:
    """Return a series `(B, D * day, C)` as days `(B, D, C * day)`."""
    _, length, channels = x.shape
    by_channel = ops.reshape(ops.transpose(x, (0, 2, 1)), (-1, length))
    days = SeriesPatches(day, day)(by_channel)  # (BC, D, day)
    days = ops.reshape(days, (-1, channels, length // day, day))
    return ops.reshape(ops.transpose(days, (0, 2, 1, 3)), (-1, length // day, channels * day))
