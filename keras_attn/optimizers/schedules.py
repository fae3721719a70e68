"""Learning-rate schedules."""

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_attn")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, followed by a decay that ends after the last step.

    Args:
        peak: The learning rate after the warm-up.
        warmup_steps: Number of warm-up steps. The first step is at `peak / warmup_steps`.
        total_steps: Number of training steps, warm-up included.
        decay: Shape of the decay: `"linear"`, `"cosine"`, `"inverse_sqrt"` or `"constant"`.
            `"inverse_sqrt"` is that of Vaswani et al. (arXiv:1706.03762), the square root of
            `warmup_steps / step`, which does not depend on `total_steps`.
        final_fraction: The learning rate at step `total_steps`, which is the one after the last
            step, as a fraction of `peak`.

    Example:

    >>> schedule = WarmupDecay(1.0, warmup_steps=2, total_steps=6, decay="linear")
    >>> [round(float(schedule(step)), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """

    def __init__(
        self,
        peak: float,
        warmup_steps: int,
        total_steps: int,
        decay: str = "cosine",
        final_fraction: float = 0.0,
    ) -> None:
        super().__init__()
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.decay = decay
        self.final_fraction = final_fraction

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        progress = ops.clip(progress, 0.0, 1.0)
        if self.decay == "linear":
            remaining = 1.0 - progress
        elif self.decay == "cosine":
            remaining = (1.0 + ops.cos(math.pi * progress)) / 2
        elif self.decay == "inverse_sqrt":
            start = max(1.0, self.warmup_steps)
            remaining = ops.sqrt(start / ops.maximum(step + 1.0, start))
        else:
            remaining = ops.ones_like(progress)
        rate = self.final_fraction + (1.0 - self.final_fraction) * remaining
        warmup = ops.minimum((step + 1.0) / max(1, self.warmup_steps), 1.0)
        return self.peak * warmup * rate

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "decay": self.decay,
            "final_fraction": self.final_fraction,
        }
