"""Parts of several architectures for forecasting."""

from collections.abc import Sequence
from typing import Annotated, Protocol

import keras
from annotated_types import Gt

from keras_attn._types import Tensor
from keras_attn.layers import TransformerEncoderBlock
from keras_attn.models._blocks import feed_forward_block

Quantile = Annotated[float, Gt(0.0)]


class BlockConfig(Protocol):
    """The settings of an encoder block."""

    @property
    def attention(self) -> str: ...
    @property
    def num_heads(self) -> int: ...
    @property
    def intermediate_dim(self) -> int: ...
    @property
    def dropout(self) -> float: ...


def check_quantiles(quantiles: Sequence[float]) -> None:
    """Raise ValueError unless levels rise, are below 1 and differ."""
    if any(level >= 1.0 for level in quantiles) or list(quantiles) != sorted(set(quantiles)):
        raise ValueError(
            "`quantiles` must be different levels between 0 and 1 in rising order, such as "
            f"(0.1, 0.5, 0.9). Received: {quantiles}."
        )


def check_heads(model_dim: int, num_heads: int) -> None:
    """Raise ValueError unless the heads divide the size of a token."""
    if model_dim % num_heads:
        raise ValueError(
            f"`num_heads` must divide `model_dim`. Received: {num_heads} heads, "
            f"model_dim={model_dim}."
        )


def shortcut_layer(horizon: int) -> keras.layers.Dense:
    """Return the linear map that `Forecaster.adapt` fits, and that is not trained by gradients."""
    return keras.layers.Dense(
        horizon,
        use_bias=False,
        kernel_initializer="zeros",
        trainable=False,
        dtype="float32",
        name="shortcut",
    )


def encoder_block(config: BlockConfig, x: Tensor, padding_mask: Tensor, name: str) -> Tensor:
    """Apply one encoder block, or the same without attention, to tokens `(N, P, D)`."""
    if config.attention == "none":
        return feed_forward_block(x, config.intermediate_dim, config.dropout, name)
    block = TransformerEncoderBlock(
        num_heads=config.num_heads,
        intermediate_dim=config.intermediate_dim,
        dropout=config.dropout,
        attention_dropout=0.0,  # of all pairs of tokens: it would take longer than the attention
        normalizer=config.attention,
        implementation="full",
        name=name,
    )
    return block(x, padding_mask=padding_mask)
