"""Evaluation of a classifier by label: precision, recall, F1, and the confusion matrix."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn.tasks._display import Displayed
from keras_attn.tasks._figures import new_figure
from keras_attn.tasks._report_tables import (
    IfItFits,
    class_table,
    confusion_table,
    matrix_table,
    short_name,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

MATRIX_CLASSES = 20  # largest number of classes whose confusion matrix is printed
CONFUSIONS = 10  # number of the most frequent confusions that are printed


@dataclasses.dataclass(frozen=True)
class ClassMetrics:
    """Metrics of a class, or of an average over classes.

    Attributes:
        precision: Share of correct answers among the examples that were given this label; 0 if
            there are none.
        recall: Share of the examples of this label that were given it; 0 if there are none.
        f1: Harmonic mean of precision and recall; 0 if both are.
        support: Number of examples of this label.
    """

    precision: float
    recall: float
    f1: float
    support: int


class _ByLabel(Displayed):
    """Metrics by label, from the numbers of correct, predicted and true examples of each."""

    label_names: tuple[str, ...]
    metrics: dict[str, Any]

    @property
    def classes(self) -> dict[str, ClassMetrics]:
        """The metrics of each label."""
        columns = (*self._by_class(), self._support)
        return {
            name: ClassMetrics(float(precision), float(recall), float(f1), int(support))
            for name, precision, recall, f1, support in zip(self.label_names, *columns, strict=True)
        }

    @property
    def macro(self) -> ClassMetrics:
        """The mean over labels that occur among the labels or predictions, with equal weights."""
        occurs = (self._support + self._predicted > 0).astype("float64")
        return self._average(occurs)

    @property
    def weighted(self) -> ClassMetrics:
        """The mean over labels, each weighted by its number of examples."""
        return self._average(self._support.astype("float64"))

    @property
    def _correct(self) -> np.ndarray:
        """The number of examples of each label that were given it, `(C,)`."""
        raise NotImplementedError

    @property
    def _predicted(self) -> np.ndarray:
        """The number of examples that were given each label, `(C,)`."""
        raise NotImplementedError

    @property
    def _support(self) -> np.ndarray:
        """The number of examples of each label, `(C,)`."""
        raise NotImplementedError

    def _by_class(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return precision, recall and F1 of each class, `(C,)` each."""
        return precision_recall_f1(self._correct, self._predicted, self._support)

    def _average(self, weights: np.ndarray) -> ClassMetrics:
        total = weights.sum()
        means = [float(values @ weights / total) if total else 0.0 for values in self._by_class()]
        return ClassMetrics(means[0], means[1], means[2], int(self._support.sum()))


def precision_recall_f1(correct: Any, predicted: Any, support: Any) -> tuple[Any, Any, Any]:
    """Return precision, recall and F1; 0 where there is nothing to divide by.

    Args:
        correct: The number of examples of a label that were given it: a number or an array.
        predicted: The number of examples that were given the label.
        support: The number of examples of the label.
    """
    precision = correct / np.maximum(predicted, 1)
    recall = correct / np.maximum(support, 1)
    return precision, recall, 2 * correct / np.maximum(predicted + support, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassificationReport(_ByLabel):
    """Evaluation of a classifier by class.

    `print` displays it, and `plot` draws the confusion matrix.

    Attributes:
        label_names: The name of each of the `C` labels.
        confusion: Integer array `(C, C)`: the number of examples of the label of the row that were
            given the label of the column.
        metrics: The metrics of the whole, such as accuracy and loss, see `Task.evaluate_split`.

    Example:

    >>> report = classification_report([0, 0, 1], [0, 1, 1], ("cat", "dog"))
    >>> report.confusion.tolist()
    [[1, 1], [0, 1]]
    >>> report.classes["dog"]
    ClassMetrics(precision=0.5, recall=1.0, f1=0.6666666666666666, support=1)
    """

    label_names: tuple[str, ...]
    confusion: np.ndarray
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary that can be written as JSON."""
        return {
            **self.metrics,
            "classes": {name: dataclasses.asdict(row) for name, row in self.classes.items()},
            "macro": dataclasses.asdict(self.macro),
            "weighted": dataclasses.asdict(self.weighted),
            "label_names": list(self.label_names),
            "confusion_matrix": self.confusion.tolist(),
        }

    def most_confused(self, count: int = CONFUSIONS) -> list[tuple[str, str, int]]:
        """Return label, answer and number of examples of the most frequent confusions."""
        errors = self.confusion * (1 - np.eye(len(self.label_names), dtype="int64"))
        order = np.argsort(-errors, axis=None, kind="stable")[:count]
        rows, columns = np.unravel_index(order, errors.shape)
        return [
            (self.label_names[row], self.label_names[column], int(errors[row, column]))
            for row, column in zip(rows, columns, strict=True)
            if errors[row, column]
        ]

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable: metrics by class, and the confusion matrix.

        Where the matrix would be too wide, it has the most frequent confusions in its place.
        """
        from rich.console import Group

        tables: list[RenderableType] = [class_table(self)]
        confusions: RenderableType = ""
        if self.most_confused(1):
            confusions = Group("  Most frequent confusions:", confusion_table(self))
        if len(self.label_names) <= MATRIX_CLASSES:
            matrix = Group("  Confusion matrix, a row for each label:", matrix_table(self))
            tables.append(IfItFits(matrix, confusions))
        else:
            tables.append(confusions)
        return Group(*tables)

    def plot(self) -> Any:
        """Return a matplotlib `Figure` of the confusion matrix.

        The color of a cell shows the share of the row's label. It needs matplotlib:
        `pip install 'keras-attn[plots]'`.
        """
        count = len(self.label_names)
        names = [short_name(name) for name in self.label_names]
        side = 2.5 + max(0.22, 0.6 - 0.02 * count) * count
        figure = new_figure(side + 1.0, side)
        axis = figure.subplots()
        shares = self.confusion / np.maximum(self._support, 1)[:, None]
        image = axis.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues", interpolation="nearest")
        size = 9 if count <= 20 else 7
        axis.set_xticks(range(count), names, rotation=90, fontsize=size, parse_math=False)
        axis.set_yticks(range(count), names, fontsize=size, parse_math=False)
        axis.set_xlabel("answer")
        axis.set_ylabel("label")
        if count <= 30:
            for row, column in np.argwhere(self.confusion):
                color = "white" if shares[row, column] > 0.5 else "black"
                number = f"{self.confusion[row, column]}"
                axis.text(column, row, number, ha="center", va="center", color=color, fontsize=7)
        figure.colorbar(image, ax=axis, label="share of the label", shrink=0.8)
        return figure

    @property
    def _correct(self) -> np.ndarray:
        return np.diagonal(self.confusion)

    @property
    def _predicted(self) -> np.ndarray:
        return self.confusion.sum(axis=0)

    @property
    def _support(self) -> np.ndarray:
        return self.confusion.sum(axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class MultiLabelReport(_ByLabel):
    """Evaluation by label of a classifier whose examples may have several labels, or none.

    `print` displays it, and `plot` draws precision, recall and F1 of each label.

    Attributes:
        label_names: The name of each of the `C` labels.
        labels: Boolean array `(N, C)`: the labels of each example.
        predictions: Boolean array `(N, C)`: the labels that it was given.
        metrics: The metrics of the whole, see `Task.evaluate_split`.

    Example:

    >>> labels, predictions = np.array([[1, 1], [0, 1]]), np.array([[1, 0], [0, 1]])
    >>> report = MultiLabelReport(("sport", "news"), labels > 0, predictions > 0)
    >>> report.classes["news"]
    ClassMetrics(precision=1.0, recall=0.5, f1=0.6666666666666666, support=2)
    >>> report.micro.f1, report.exact_match
    (0.8, 0.5)
    """

    label_names: tuple[str, ...]
    labels: np.ndarray
    predictions: np.ndarray
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def micro(self) -> ClassMetrics:
        """The metrics over all pairs of an example and a label."""
        counts = [count.sum() for count in (self._correct, self._predicted, self._support)]
        precision, recall, f1 = precision_recall_f1(*counts)
        return ClassMetrics(float(precision), float(recall), float(f1), int(counts[2]))

    @property
    def exact_match(self) -> float:
        """The share of examples that were given exactly their labels."""
        same = (self.labels == self.predictions).all(axis=1)
        return float(same.mean()) if len(same) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary that can be written as JSON."""
        return {
            **self.metrics,
            "exact_match": self.exact_match,
            "classes": {name: dataclasses.asdict(row) for name, row in self.classes.items()},
            "micro": dataclasses.asdict(self.micro),
            "macro": dataclasses.asdict(self.macro),
            "weighted": dataclasses.asdict(self.weighted),
            "label_names": list(self.label_names),
        }

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable: a table of metrics by label."""
        return class_table(self, {"micro average": self.micro})

    def plot(self) -> Any:
        """Return a matplotlib `Figure` with bars of precision, recall and F1 of each label.

        It needs matplotlib: `pip install 'keras-attn[plots]'`.
        """
        count = len(self.label_names)
        figure = new_figure(7.0, 1.5 + 0.5 * count)
        axis = figure.subplots()
        rows = np.arange(count)
        for index, (title, values) in enumerate(
            zip(("precision", "recall", "F1"), self._by_class(), strict=True)
        ):
            axis.barh(rows + 0.25 * (index - 1), values, height=0.25, label=title)
        axis.set_yticks(rows, [short_name(name) for name in self.label_names], parse_math=False)
        axis.invert_yaxis()
        axis.set_xlim(0.0, 1.0)
        axis.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False)
        return figure

    @property
    def _correct(self) -> np.ndarray:
        return (self.labels & self.predictions).sum(axis=0)

    @property
    def _predicted(self) -> np.ndarray:
        return self.predictions.sum(axis=0)

    @property
    def _support(self) -> np.ndarray:
        return self.labels.sum(axis=0)


def classification_report(
    labels: Any,
    predictions: Any,
    label_names: Sequence[str],
    metrics: dict[str, Any] | None = None,
) -> ClassificationReport:
    """Count labels and predictions in a `ClassificationReport`.

    Args:
        labels: Integers `(N,)`, the index of the correct label of each example.
        predictions: Integers `(N,)`, the index of the predicted label of each example.
        label_names: The name of each label.
        metrics: Metrics of the whole to include.

    Raises:
        ValueError: The arrays differ in shape, or an index is out of range.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    count = len(label_names)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            "There must be one prediction per label. Received: labels of shape "
            f"{labels.shape}, predictions of shape {predictions.shape}."
        )
    for name, indices in (("labels", labels), ("predictions", predictions)):
        if indices.size and (
            indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= count
        ):
            raise ValueError(
                f"`{name}` must be integers from 0 to {count - 1}, one for each name. Received: "
                f"{indices.dtype} from {indices.min()} to {indices.max()}."
            )
    confusion = np.zeros((count, count), "int64")
    if labels.size:
        np.add.at(confusion, (labels, predictions), 1)
    return ClassificationReport(tuple(label_names), confusion, dict(metrics or {}))
