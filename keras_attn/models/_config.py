"""How models are configured: frozen dataclasses that refuse what they do not know."""

from typing import Any, Literal, TypeVar, dataclass_transform

import keras
import pydantic

T = TypeVar("T")

AttentionKind = Literal[
    "none", "softmax", "softmax1", "sigmoid", "normalized_sigmoid", "sparsemax", "entmax15"
]

GLOBAL_POOLS = {
    "max": keras.layers.GlobalMaxPooling2D,
    "average": keras.layers.GlobalAveragePooling2D,
}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def frozen_config(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only dataclass whose values are checked.

    A wrong type, an impossible value or an unknown key raises a
    `pydantic.ValidationError`, which is a ValueError.
    """
    strict = pydantic.ConfigDict(extra="forbid")
    decorate: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=strict)
    return decorate(cls)
