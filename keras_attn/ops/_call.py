"""The arguments of one call of attention, checked."""

import dataclasses
from collections.abc import Callable
from typing import Any

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

    @property
    def banded(self) -> bool:
        """Whether a query's position limits the keys it sees."""
        return self.is_causal or self.window is not None
