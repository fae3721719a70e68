"""Optimizers and learning-rate schedules."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.optimizers.muon import Muon, ParameterGroup
    from keras_attn.optimizers.schedules import WarmupDecay

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {"muon": ["Muon", "ParameterGroup"], "schedules": ["WarmupDecay"]},
)
