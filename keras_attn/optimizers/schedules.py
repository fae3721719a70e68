"""Learning-rate schedules."""

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_attn")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a decay that ends after the last step.

    Args:
        peak: the learning rate after the warm-up.
        warmup_steps: steps to it; the first step is at `peak / warmup_steps`.
        total_steps: number of steps of the whole training.
        decay: `"linear"`, `"cosine"` or `"constant"`.
        final_fraction: the rate at `total_steps`, which is after the last step, over the peak.

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
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        done = ops.clip(done, 0.0, 1.0)
        if self.decay == "linear":
            left = 1.0 - done
        elif self.decay == "cosine":
            left = (1.0 + ops.cos(math.pi * done)) / 2
        else:
            left = ops.ones_like(done)
        rate = self.final_fraction + (1.0 - self.final_fraction) * left
        warm = ops.minimum((step + 1.0) / max(1, self.warmup_steps), 1.0)
        return self.peak * warm * rate

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "decay": self.decay,
            "final_fraction": self.final_fraction,
        }
