"""Shared code of image, text and audio classifiers: labels, answers, a replaceable head."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from keras_attn import models
from keras_attn._arrays import as_array
from keras_attn._label_names import names_are_other_numbers
from keras_attn._names import unknown
from keras_attn._types import Tensor
from keras_attn._wording import counted
from keras_attn.tasks._batches import is_dataset
from keras_attn.tasks._class_weights import class_weights
from keras_attn.tasks._labels import (
    SEVERAL_LABELS,
    LabelIndexer,
    check_label_names,
    in_label_order,
    without_column,
)
from keras_attn.tasks.calibration import fit_temperature, softmax
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.example_answers import ExampleAnswer, right_and_wrong
from keras_attn.tasks.reports import ClassificationReport, classification_report
from keras_attn.tasks.task import Task
from keras_attn.tasks.training_data import Objective

EXAMPLE_CANDIDATES = 512  # examples among which `example_answers` finds right and wrong answers


class Classification(NamedTuple):
    """The answer of a classifier for one example.

    Attributes:
        label: The most probable label.
        score: Its probability, in [0, 1].
        probabilities: The probability of every label.
    """

    label: str
    score: float
    probabilities: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as a dictionary that can be written as JSON."""
        return self._asdict()

    def to_columns(self, top: int = 3) -> dict[str, str]:
        """Return the label, its score and the `top - 1` next labels as cells of a table row."""
        return label_columns(self, top)


def label_columns(answer: Any, top: int) -> dict[str, str]:
    """Return label, score and further labels of an answer as cells of a table row."""
    ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])[1:top]
    also = ", ".join(f"{label} {score:.3f}" for label, score in ranked)
    return {"label": answer.label, "score": f"{answer.score:.3f}", "also": also}


def scalar(variable: keras.Variable) -> float:
    """Return the value of a scalar variable, also of one that a strategy has mirrored."""
    return float(keras.ops.convert_to_numpy(variable))


class ClassificationTask(Task):
    """A network with labels: the base class of `ImageClassifier`, `TextClassifier` and others.

    Args:
        network: A model from preprocessed inputs to logits `(B, C)`.
        label_names: The name of each of the `C` labels.
        **kwargs: See `Task`.

    Raises:
        ValueError: The label names are not unique, or their number is not `C`.
    """

    multi_label: ClassVar[bool] = False  # whether an example may have several labels, or none
    temperature: keras.Variable  # divides the logits, in the classes that have `calibrate`

    def __init__(self, network: keras.Model, label_names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        outputs = network.output_shape[-1]
        self.label_names = check_label_names(type(self).__name__, label_names, outputs)
        self.network = network

    def export_info(self) -> dict[str, Any]:
        return {**super().export_info(), "label_names": list(self.label_names)}

    def compile_default(self) -> None:
        """Compile with Adam, cross-entropy and accuracy."""
        self.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=compile_mode(),
        )

    def _add_scalar(self, name: str, value: float) -> keras.Variable:
        """Add a variable that is set after training, in float32 under every policy."""
        return self.add_weight(
            name=name,
            shape=(),
            initializer=keras.initializers.Constant(value),
            trainable=False,
            dtype="float32",
            autocast=False,
        )

    def _finalize(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Calibrate on the logits of the validation split, and return the entry of the record.

        The temperature is 1 if the split is empty, or if training has diverged and a logit is not
        finite: the run can then be saved, and reports the divergence.
        """
        if not (len(labels) and np.isfinite(logits).all()):
            self.temperature.assign(1.0)
            return {"temperature": 1.0}
        return {"temperature": self._calibrate(logits, labels)}

    def _calibrate(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Fit the temperature to the logits of held-out examples, and return it."""
        # Undo the division by the current temperature.
        logits = logits.astype("float64") * scalar(self.temperature)
        self.temperature.assign(fit_temperature(logits, labels))
        return scalar(self.temperature)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], len(self.label_names))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_names": list(self.label_names)}

    def preprocess_targets(self, y: Any) -> Any:
        """Convert label names, booleans and whole floats into indices.

        Integers are indices already, and arrays of several axes, other than columns `(N, 1)`, may
        be distributions over the classes: both are returned unchanged. Names are compared as
        `keras_attn.datasets.label_name` writes them, so that "1.0" is the name "1".

        Args:
            y: A list, array, column of pandas, or tensor outside of graphs.

        Raises:
            ValueError: A name is not one of the model's labels, an index is out of range, or a
                label is missing or a fraction.
        """
        return self._labels.indices(y)

    def index_labels(self, targets: Tensor) -> Tensor:
        """Convert the labels of a batch of a `tf.data.Dataset` into indices, in its graph.

        A label that is unknown or out of range raises an error when its batch is read.

        Args:
            targets: Names, booleans, or indices `(B,)` or `(B, 1)`; or distributions over the
                classes `(B, C)`, which are returned unchanged.

        Raises:
            ValueError: The targets are floats without a shape, which may be either.
        """
        return self._labels.batch_indices(targets)

    @property
    def _labels(self) -> LabelIndexer:
        return LabelIndexer(self.label_names, type(self).__name__, self.description.examples)

    @property
    def _loss_reads_indices(self) -> bool:
        """Return whether the compiled loss takes the index of the label, not a distribution."""
        names = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")
        loss = getattr(self, "loss", None)
        return isinstance(loss, keras.losses.SparseCategoricalCrossentropy) or (
            isinstance(loss, str) and loss in names
        )

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        *,
        class_weight: Mapping[Any, float] | Sequence[float] | str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Train on raw inputs and labels, as `keras.Model.fit` does.

        Args:
            x: Raw inputs, or a data set of batches of inputs and labels, see `Task.fit`.
            y: Labels, as indices or names.
            batch_size: Examples per step; the default is 32.
            epochs: Passes over the data.
            class_weight: Weight of the loss of each label: a dictionary by index or name, where
                labels that are left out have weight 1; a weight for each label, in order; or
                `"balanced"`, by which all labels of `y` count alike, with a mean weight of 1. The
                loss of a batch is the sum of the weighted losses over the number of its examples,
                as in Keras. (The recipe key `training.class_weights` divides by the sum of the
                weights.)
            **kwargs: See `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: There are no labels, a label is unknown, a weight is not a finite number of
                at least 0, or the weights are `"balanced"` and `x` is a data set.
        """
        y = in_label_order(y, self.label_names)
        self._check_validation_targets(kwargs.get("validation_data"))
        if class_weight is not None:
            labels = None if is_dataset(x) else as_array(y)
            fraction = kwargs.get("validation_split", 0.0)
            if labels is not None and fraction and kwargs.get("validation_data") is None:
                labels = labels[: math.floor(len(labels) * (1.0 - fraction))]
            kwargs["class_weight"] = self._class_weights(class_weight, labels)
        return super().fit(x, y, batch_size, epochs, **kwargs)

    def _preprocess(self, x: Any, *rest: Any, training: bool = False) -> Any:
        if getattr(x, "labels_are_indices", False):  # of a split of `keras_attn.datasets`
            x = x.map(lambda inputs, labels: (inputs, self._as_names(labels)))
        return super()._preprocess(x, *rest, training=training)

    def _as_names(self, labels: Any) -> Any:
        """Return indices as names, if they could be mistaken for the names of other labels.

        Args:
            labels: Integers `(B,)` that are indices, in an array, or in a tensor of TensorFlow.
        """
        if not names_are_other_numbers(self.label_names) or self.multi_label:
            return labels
        if isinstance(labels, np.ndarray):
            return np.array(self.label_names, dtype=object)[labels]
        import tensorflow as tf

        return tf.gather(tf.constant(self.label_names), labels)

    def _fit_arguments(self, x: Any, y: Any, training: bool = False) -> dict[str, Any]:
        """Return the arguments of Keras's `fit` and `evaluate`, which need labels."""
        arguments = super()._fit_arguments(x, y, training)
        if not is_dataset(arguments["x"]):
            self._check_targets(y)
        elif not isinstance(getattr(arguments["x"], "element_spec", ()), tuple):
            self._check_targets(None)
        return arguments

    def _check_targets(self, y: Any, argument: str = "") -> None:
        """Raise ValueError for labels that are missing or ambiguous, see `LabelIndexer.check`."""
        self._labels.check(y, argument, self._loss_reads_indices)

    def _check_validation_targets(self, data: Any) -> None:
        """Raise ValueError as `_check_targets` does, unless validation data is a data set."""
        inputs, *rest = data if isinstance(data, tuple | list) and data else (data,)
        if inputs is not None and not is_dataset(inputs):
            self._check_targets(rest[0] if rest else None, "validation_data")

    def _class_weights(self, setting: Any, y: Any) -> dict[int, float]:
        """Return the weight of every label by its index.

        Args:
            setting: The argument `class_weight` of `fit`.
            y: The labels of the training examples; None for a data set.
        """
        labels = np.zeros(0, "int64")
        if isinstance(setting, str) and setting == "balanced":
            if y is None:
                raise ValueError(
                    '`class_weight="balanced"` needs the labels of all examples, as `y`. Received: '
                    "a data set, or no `y`. Pass a dictionary from labels to weights."
                )
            labels = np.asarray(self.preprocess_targets(y))
            if self._labels.may_be_distributions(labels.shape):
                labels = labels.argmax(axis=-1)
            labels = labels.ravel()
        weights = class_weights(setting, labels, self.label_names, "class_weight")
        assert weights is not None
        return dict(enumerate(weights.tolist()))

    def report(self, x: Any, y: Any = None, **options: Any) -> ClassificationReport:
        """Evaluate by class: precision, recall, F1 and the confusion matrix.

        Args:
            x: Raw inputs, as for `fit`; or a split of a data set, such as `dataset["test"]`.
            y: The label of each input, as its index or name, unless `x` is a split.
            **options: Options of `evaluate_split`.

        Returns:
            A `keras_attn.tasks.ClassificationReport`, which `print` displays.

        Raises:
            TypeError: An option is unknown.
            ValueError: A label is unknown, the numbers of inputs and labels differ, or there are
                no labels.

        Example:

        >>> import keras_attn
        >>> model = keras_attn.zoo.build("shapes_small_attention_cnn")
        >>> report = model.report(keras_attn.datasets.load("shapes")["test"])
        >>> report.classes["red"].support, report.confusion.shape
        (495, (4, 4))
        """
        parameters = inspect.signature(self._evaluate).parameters.values()
        accepted = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        for name in options:
            if name not in accepted:
                raise TypeError(unknown("option of `report`", name, accepted))
        if y is None and not (hasattr(x, "inputs") and hasattr(x, "targets")):
            raise ValueError(
                "`report` needs `y`, the label of each input; or a split, such as "
                f"dataset['test'], as `x`. Received: {type(x).__name__} alone."
            )
        if y is not None:
            self._check_targets(y)
        inputs = x.inputs if y is None else x
        self._check_not_empty(inputs)
        labels = np.asarray(x.targets if y is None else self.preprocess_targets(y))
        if not self.multi_label:
            labels = without_column(labels)
        if labels.shape[:1] != (len(inputs),) or labels.ndim != 1 + self.multi_label:
            required = "labels for each input" if self.multi_label else "one label per input"
            texts = self.description.reads == "texts" and not self.multi_label
            remedy = f" {SEVERAL_LABELS}" if texts else ""
            raise ValueError(
                f"There must be {required}. Received: {counted(len(inputs), 'input')}, labels of "
                f"shape {labels.shape}.{remedy}"
            )
        metrics, predictions = self._evaluate(inputs, labels, **options)
        return self._make_report(labels, predictions, metrics)

    def _make_report(
        self, labels: np.ndarray, predictions: np.ndarray, metrics: dict[str, Any]
    ) -> Any:
        return classification_report(labels, predictions, self.label_names, metrics)

    def example_answers(self, split: Any, count: int = 5) -> list[ExampleAnswer]:
        """Return the first examples with right, and the first with wrong answers.

        They are among the first 512 of the split. See `Task.example_answers`.
        """
        if self.multi_label:
            return []
        first = split.take(slice(0, EXAMPLE_CANDIDATES))
        names = np.array(self.label_names, dtype=object)
        examples = [
            ExampleAnswer(example, names[target], answer.label, answer.score)
            for example, target, answer in zip(
                first.inputs, first.targets, self.answers(list(first.inputs)), strict=True
            )
        ]
        return right_and_wrong(examples, count)

    def _macro_f1(self, labels: np.ndarray, predictions: np.ndarray) -> float:
        """Return the mean of F1 over the labels that occur, with equal weights."""
        return classification_report(labels, predictions, self.label_names).macro.f1

    def _evaluate(self, *args: Any, **options: Any) -> tuple[dict[str, Any], np.ndarray]:
        """Return the metrics, and the predictions: the index of the label of each input.

        Args:
            *args: Raw inputs and the indices of their labels.
            **options: Options of `evaluate_split`, which subclasses name as keyword arguments.
        """
        raise NotImplementedError

    def logits(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the float32 logits `(N, C)` of raw inputs, in input order."""
        raise NotImplementedError

    def probabilities(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the probabilities `(N, C)` of raw inputs, in input order."""
        return softmax(self.logits(x, batch_size))

    @property
    def backbone(self) -> keras.Model:
        """The network without its head, see `Task.backbone`."""
        if getattr(self, "_backbone", None) is None:
            # Bypass Keras's attribute tracking: the network already tracks these layers.
            backbone = models.backbone(self.network)
            if backbone.weights and not backbone.trainable_weights:
                backbone.trainable = False  # as a loaded model was saved: its layers are frozen
            object.__setattr__(self, "_backbone", backbone)
        return self._backbone

    def features(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the features `(N, F)` of raw inputs, which the head reads, in input order."""
        raise NotImplementedError

    def copy_backbone(self, source: Task) -> list[str]:
        """Copy the preprocessing and backbone of a trained model, see `Task.copy_backbone`."""
        if not isinstance(self, type(source)):
            raise ValueError(
                f"The backbone of {type(self).__name__} must come from a model of the same type. "
                f"Received: {type(source).__name__}."
            )
        _, new_layers = models.copy_backbone(source.network, self.network)
        return list(new_layers)


def classification_answers(
    label_names: Sequence[str], probabilities: np.ndarray
) -> list[Classification]:
    """Return the answer for each row of probabilities `(N, C)`."""
    answers = []
    for row in probabilities:
        best = int(row.argmax())
        by_label = dict(zip(label_names, map(float, row), strict=True))
        answers.append(Classification(label_names[best], float(row[best]), by_label))
    return answers


def serving_outputs(label_names: Sequence[str], probabilities: Any) -> dict[str, Any]:
    """Return the named outputs of a SavedModel for probabilities `(B, C)`, a TensorFlow tensor."""
    import tensorflow as tf

    best = tf.argmax(probabilities, axis=-1)
    return {
        "label": tf.gather(tf.constant(list(label_names)), best),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
    }


def classification_objective(
    label_smoothing: float,
    class_weights: np.ndarray | None = None,
    selection: keras.metrics.Metric | None = None,
) -> Objective:
    """Return the objective: cross-entropy on label distributions, with accuracy as the metric.

    Args:
        label_smoothing: Share of the target probability that is distributed over all classes.
        class_weights: Float array `(C,)`, the weight of each class in training, or None.
        selection: The metric by which epochs are compared; None is accuracy.
    """
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True,
        label_smoothing=label_smoothing,
        # The plain mean where there are no weights, as on validation data.
        reduction="sum_over_batch_size" if class_weights is None else "mean_with_sample_weight",
    )
    metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    return Objective(loss, metric, one_hot=True, class_weights=class_weights, selection=selection)


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy in nats of probabilities `(N, C)` and labels `(N,)`."""
    label_probabilities = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(label_probabilities, 1e-12)).mean())
