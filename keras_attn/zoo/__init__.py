"""The zoo: trained models by name. Listing and describing entries imports no TensorFlow."""

from typing import TYPE_CHECKING

from keras_attn.zoo.registry import Entry, describe, is_saved, list_models, register

list = list_models  # noqa: A001

__all__ = ["Entry", "WeightsError", "build", "describe", "list", "list_models", "register"]


if TYPE_CHECKING:
    from keras_attn.zoo.building import WeightsError, build


def __getattr__(name: str) -> object:
    if name in ("WeightsError", "build"):
        from keras_attn.zoo import building

        return getattr(building, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
