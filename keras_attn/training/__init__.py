"""Training of recipes: `train` saves the weights and a record of the run."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.training.checkpoint import CheckpointError
    from keras_attn.training.evaluation import evaluate, fit_recipe
    from keras_attn.training.folder_lock import FolderInUseError
    from keras_attn.training.interruption import InterruptedTrainingError
    from keras_attn.training.strategies import WorkerLostError
    from keras_attn.training.trainer import Run, train

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "trainer": ["Run", "train"],
        "evaluation": ["evaluate", "fit_recipe"],
        "checkpoint": ["CheckpointError"],
        "folder_lock": ["FolderInUseError"],
        "interruption": ["InterruptedTrainingError"],
        "strategies": ["WorkerLostError"],
    },
)
