"""Selection of an epoch by its validation metrics, and early stopping."""

import math
from collections.abc import Mapping, Sequence

import keras

from keras_attn.tasks.training_data import Objective

Logs = Mapping[str, float]


class Selection:
    """The order of epochs by a validation metric; the lower validation loss decides a tie.

    Args:
        objective: The objective of training, whose metric `selection` is compared.

    Example:

    >>> from keras_attn.tasks.classification import classification_objective
    >>> selection = Selection(classification_objective(label_smoothing=0.0))
    >>> history = [{"val_accuracy": 0.8}, {"val_accuracy": 0.9}, {"val_accuracy": 0.9}]
    >>> selection.best(history), selection.epochs_since_best(history)
    (1, 1)
    """

    def __init__(self, objective: Objective) -> None:
        self.monitor = f"val_{objective.selection.name}"
        self.sign = 1 if objective.greater_is_better else -1

    def rank(self, logs: Logs) -> tuple[float, float]:
        """Return a value that is greater for better epochs; NaN and missing values are worst."""
        metric = self.sign * logs.get(self.monitor, math.nan)
        loss = -logs.get("val_loss", math.nan)
        return (
            -math.inf if math.isnan(metric) else metric,
            -math.inf if math.isnan(loss) else loss,
        )

    def best(self, history: Sequence[Logs]) -> int | None:
        """Return the index of the first best epoch, or None if no epoch has the metric."""
        ranks = [self.rank(logs) for logs in history]
        best = max(ranks, default=(-math.inf, -math.inf))
        return None if best[0] == -math.inf else ranks.index(best)

    def epochs_since_best(self, history: Sequence[Logs]) -> int:
        """Return the number of epochs after the best one; 0 if no epoch has the metric."""
        best = self.best(history)
        return 0 if best is None else len(history) - 1 - best


class StopEarly(keras.callbacks.Callback):
    """Stop training when no epoch has been better for some epochs.

    Keras's `EarlyStopping` counts from the start of `fit`. This one counts from the history of
    the run, so that a resumed run stops where an uninterrupted one does.

    Args:
        selection: The order of epochs.
        patience: Number of epochs without improvement after which training stops; None never
            stops.
        history: The logs of the epochs of earlier segments of this run.
    """

    def __init__(
        self, selection: Selection, patience: int | None, history: Sequence[Logs] = ()
    ) -> None:
        super().__init__()
        self.selection, self.patience, self.history = selection, patience, list(history)

    @property
    def is_due(self) -> bool:
        """Return whether training should stop."""
        return (
            self.patience is not None
            and self.selection.epochs_since_best(self.history) >= self.patience
        )

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Stop if the last improvement is too long ago."""
        self.history.append(dict(logs or {}))
        if self.is_due:
            self.model.stop_training = True
