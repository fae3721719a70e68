"""The arguments of one call of attention, checked."""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

from keras import ops

from keras_attn.ops.layout import swap_heads

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Call:
    """What every implementation is given; see `keras_attn.ops.attention` for each."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    bias: Tensor | Callable[[Tensor, Tensor], Tensor] | None
    scale: float
    is_causal: bool
    window: int | None
    q_offset: int | Tensor
    normalizer: str
    dropout: float
    seed: Any
    heads_first: bool = False

    @property
    def banded(self) -> bool:
        """Whether a query's position limits the keys it sees."""
        return self.is_causal or self.window is not None

    @property
    def key_length(self) -> Any:
        """The number of keys, `S`: a tensor where it is not known."""
        return ops.shape(self.key)[2 if self.heads_first else 1]

    def lengths_first(self) -> Self:
        """The same call, with keys and values `(B, S, K, H)`."""
        if not self.heads_first:
            return self
        key, value = swap_heads(self.key), swap_heads(self.value)
        return dataclasses.replace(self, key=key, value=value, heads_first=False)
