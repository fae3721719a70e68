"""Checks of LoRA that layers and tasks share."""

import math
from collections.abc import Iterable
from typing import Any

import keras

from keras_attn._validation import check_positive_integer


def check_lora_settings(owner: str, rank: Any, lora_alpha: Any) -> None:
    """Raise ValueError unless `rank` and `lora_alpha` are positive."""
    check_positive_integer("rank", rank, owner=owner)
    if lora_alpha is None:
        return
    is_number = isinstance(lora_alpha, int | float) and not isinstance(lora_alpha, bool)
    if not is_number or not (math.isfinite(lora_alpha) and lora_alpha > 0):
        raise ValueError(
            f"{owner}: `lora_alpha` must be a positive number, or None for `rank`. Received: "
            f"{lora_alpha!r}."
        )


def check_without_lora(owner: str, layers: Iterable[keras.layers.Layer]) -> None:
    """Raise ValueError if LoRA cannot be enabled for a layer."""
    for layer in layers:
        if layer.lora_enabled:
            raise ValueError(
                f"{owner}: {layer.name!r} has LoRA of rank {layer.lora_rank} already. Save the "
                "model, which merges the update into the weights, and load them into a new model."
            )
        if layer.kernel_constraint is not None:
            raise ValueError(
                f"{owner}: {layer.name!r} has a `kernel_constraint`, which LoRA cannot keep. Build "
                "the layer without it."
            )
