"""Training: from a recipe to weights and a record of how they came about."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.training.checkpoint import CheckpointError
    from keras_attn.training.examples import evaluate
    from keras_attn.training.keeping import InterruptedTrainingError
    from keras_attn.training.strategies import WorkerLostError
    from keras_attn.training.trainer import Run, train

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "trainer": ["Run", "train"],
        "examples": ["evaluate"],
        "checkpoint": ["CheckpointError"],
        "keeping": ["InterruptedTrainingError"],
        "strategies": ["WorkerLostError"],
    },
)
