"""Configurations of models: frozen dataclasses that validate their values."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar, dataclass_transform

import keras
import pydantic
from annotated_types import Ge, Gt, Lt
from pydantic_core import PydanticKnownError

from keras_attn.ops import NORMALIZERS, STREAMING_NORMALIZERS

T = TypeVar("T")

Positive = Annotated[int, Gt(0)]
NumClasses = Annotated[int, Gt(1)]
Rate = Annotated[float, Ge(0), Lt(1)]

GLOBAL_POOLS = {
    "max": keras.layers.GlobalMaxPooling2D,
    "average": keras.layers.GlobalAveragePooling2D,
}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def frozen_config(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only dataclass that validates its values.

    Annotations may hold constraints, such as `Annotated[int, annotated_types.Gt(0)]`. A wrong
    type, an impossible value or an unknown key raises a `pydantic.ValidationError`, which is a
    ValueError.

    Example:

    >>> @frozen_config
    ... class PoolingConfig:
    ...     num_heads: Positive = 1
    >>> PoolingConfig(num_heads=4)
    PoolingConfig(num_heads=4)
    """
    strict = pydantic.ConfigDict(extra="forbid")
    decorate: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=strict)
    return decorate(cls)


def one_of(list_names: Callable[[], Iterable[str]]) -> pydantic.AfterValidator:
    """Return a validator that accepts the names that a function lists at that moment.

    Unlike a `typing.Literal` it accepts names that are registered after its definition. Its
    error messages are those of a `Literal`.
    """

    def validate(value: str) -> str:
        names = list(list_names())
        if value not in names:
            *first, last = map(repr, names)
            raise PydanticKnownError("literal_error", {"expected": f"{', '.join(first)} or {last}"})
        return value

    return pydantic.AfterValidator(validate)


# A normalizer of `keras_attn.ops`, or "none" for the ablation without attention.
AttentionKind = Annotated[str, one_of(lambda: ["none", *NORMALIZERS])]
# For models of long sequences: normalizers that need no whole row of scores at once.
StreamingAttentionKind = Annotated[str, one_of(lambda: ["none", *STREAMING_NORMALIZERS])]
StreamingNormalizer = Annotated[str, one_of(lambda: STREAMING_NORMALIZERS)]
