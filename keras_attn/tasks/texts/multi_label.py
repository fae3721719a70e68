"""The text classifier whose texts may have several labels, or none: topics, tags, toxicity."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from keras_attn import models
from keras_attn._arrays import as_array
from keras_attn._label_names import label_lookup, label_name
from keras_attn._names import unknown
from keras_attn._types import Tensor
from keras_attn._wording import counted, listed
from keras_attn.recipes import TaskDescription
from keras_attn.tasks._batches import with_rank
from keras_attn.tasks._class_weights import ClassificationTraining
from keras_attn.tasks._labels import in_label_order
from keras_attn.tasks._texts import as_texts
from keras_attn.tasks.calibration import expected_calibration_error, softmax
from keras_attn.tasks.classification import scalar
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.reports import MultiLabelReport
from keras_attn.tasks.texts.answers import MultiLabelTextClassification
from keras_attn.tasks.texts.classifier import BATCH, TextClassifier
from keras_attn.tasks.texts.description import MULTI_LABEL_DESCRIPTION
from keras_attn.tasks.texts.metrics import best_threshold
from keras_attn.tasks.texts.training_data import TextTrainingData
from keras_attn.tasks.training_data import Objective, TrainingData
from keras_attn.text import NGramEncoder

LOGIT_THRESHOLDS = np.arange(-80, 81, dtype="float32") / 10  # of `BestMicroF1`


@keras.saving.register_keras_serializable(package="keras_attn")
class MultiLabelTextClassifier(TextClassifier):
    """A `TextClassifier` whose texts may have none, one or several of the labels.

    Each logit is that of one label against its absence, by a sigmoid. Labels `y` are a multi-hot
    array `(N, C)` of 0 and 1, or for each text a list of label names. The model is compiled with
    Adam, binary cross-entropy and binary accuracy, the share of correct decisions over all pairs of
    a text and a label, at a probability of 0.5.

    A text has the labels whose probability is at least `model.threshold`, 0.5 in a new model, which
    can be set. Where labels are rare few probabilities exceed 0.5: `tune_threshold` selects the
    threshold on held-out texts.

    Build it with `multi_label=True`: `keras_attn.build(name, label_names=[...], multi_label=True)`
    or `keras_attn.tasks.from_architecture(..., multi_label=True)`.

    Args:
        network: See `TextClassifier`.
        encoder: See `TextClassifier`.
        label_names: The name of each of the `C` labels.
        **kwargs: See `keras_attn.tasks.Task`.

    Example:

    >>> from keras_attn import tasks
    >>> model = tasks.from_architecture(
    ...     "ngram_attention", ("food", "sport"), multi_label=True, vocabulary_sizes=(50, 50)
    ... )
    >>> texts = ["a soup", "a goal", "a soup after the goal", "a cloud"]
    >>> model.adapt(texts, [["food"], ["sport"], ["food", "sport"], []])
    >>> model.classify("goal and soup").labels
    ('food', 'sport')
    """

    description: ClassVar[TaskDescription] = MULTI_LABEL_DESCRIPTION
    multi_label: ClassVar[bool] = True

    def __init__(
        self,
        network: keras.Model,
        encoder: NGramEncoder,
        label_names: Sequence[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(network, encoder, label_names, **kwargs)
        # Logits, because calibration only scales them, and probabilities round to 0 and 1.
        self.logit_threshold = self._add_scalar("logit_threshold", 0.0)

    @property
    def threshold(self) -> float:
        """The probability from which on a text has a label."""
        return float(sigmoid(np.array(scalar(self.logit_threshold))))

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not 0.0 < value < 1.0:
            raise ValueError(f"`threshold` must be between 0 and 1. Received: {value!r}.")
        self.logit_threshold.assign(math.log(value / (1.0 - value)))

    @property
    def variables_set_after_training(self) -> tuple[keras.Variable, ...]:
        return (self.logit_threshold,)

    def compile_default(self) -> None:
        """Compile with Adam, binary cross-entropy and binary accuracy."""
        self.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=keras.losses.BinaryCrossentropy(from_logits=True),
            # The threshold is that of logits: a probability of 0.5.
            metrics=[keras.metrics.BinaryAccuracy(name="binary_accuracy", threshold=0.0)],
            jit_compile=compile_mode(),
        )

    def preprocess_targets(self, y: Any) -> Any:
        """Convert labels into a multi-hot float32 array `(N, C)`.

        Args:
            y: An array `(N, C)` of 0 and 1; or for each text a list of label names, which may be
                empty.

        Raises:
            ValueError: A name is not one of the model's labels, a value is neither 0 nor 1, or `y`
                has another shape.
        """
        y = as_array(in_label_order(y, self.label_names))
        rows = y.tolist() if isinstance(y, np.ndarray) and y.dtype.kind in "OUS" else y
        if isinstance(rows, list | tuple) and _are_lists_of_names(rows):
            return self._multi_hot(rows)
        if isinstance(rows, list | tuple):
            try:
                y = np.asarray(rows)
            except ValueError as error:  # of unequal lengths
                raise self._wrong_labels("lists of unequal length that are not names") from error
        elif not isinstance(y, np.ndarray):
            if not hasattr(y, "__array__"):
                return y
            y = np.asarray(y)  # of a tensor
        if y.ndim != 2 or y.shape[1] != len(self.label_names) or y.dtype.kind not in "biuf":
            raise self._wrong_labels(f"{y.dtype} of shape {y.shape}")
        wrong = y[(y != 0) & (y != 1)]
        if wrong.size:
            raise self._wrong_labels(f"the value {wrong.flat[0]}")
        return y.astype("float32")

    def _multi_hot(self, rows: Sequence[Any]) -> np.ndarray:
        """Return lists of label names as a multi-hot array `(N, C)`."""
        indices = label_lookup(self.label_names)
        result = np.zeros((len(rows), len(self.label_names)), "float32")
        for row, names in enumerate(rows):
            for value in names:
                name = value.decode() if isinstance(value, bytes) else value
                index = indices.get(name, indices.get(label_name(name)))
                if index is None:
                    raise ValueError(unknown("label", name, self.label_names))
                result[row, index] = 1.0
        return result

    def _wrong_labels(self, received: str) -> ValueError:
        count = len(self.label_names)
        return ValueError(
            f"Labels of a {type(self).__name__} must be an array of 0 and 1 of shape (N, {count}), "
            f"in the order of ({listed(self.label_names, 'labels')}), or a list of label names for "
            f"each text, such as [{[self.label_names[0]]!r}, []]. Received: {received}. For "
            "exactly one label per text, build the model without multi_label."
        )

    def index_labels(self, targets: Tensor) -> Tensor:
        """Check the multi-hot labels `(B, C)` of a batch of a `tf.data.Dataset`, in its graph.

        Raises:
            ValueError: The targets are names, or have another shape.
        """
        import tensorflow as tf

        if isinstance(targets, tf.RaggedTensor) or targets.dtype == tf.string:
            raise self._wrong_labels(
                f"{targets.dtype.name} of a tf.data.Dataset, which takes no names"
            )
        targets = with_rank(targets, 2)
        if targets.shape.rank != 2 or targets.shape[1] not in (None, len(self.label_names)):
            raise self._wrong_labels(f"{targets.dtype.name} of shape {targets.shape}")
        targets = tf.ensure_shape(tf.cast(targets, "float32"), (None, len(self.label_names)))
        valid = tf.equal(targets, 0.0) | tf.equal(targets, 1.0)
        message = str(self._wrong_labels("the value"))
        wrong = tf.boolean_mask(targets, ~valid)
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(valid), [message, wrong])]):
            return tf.identity(targets)

    def _check_targets(self, y: Any, argument: str = "") -> None:
        """Raise ValueError for missing labels; `preprocess_targets` checks the others."""
        if y is None:
            super()._check_targets(None, argument)

    def _class_weights(self, setting: Any, y: Any) -> dict[int, float]:
        raise ValueError(
            "`class_weight` is for exactly one label per text. Received: "
            f"class_weight={setting!r} for a {type(self).__name__}. Pass `sample_weight`, a weight "
            "for each text."
        )

    def objective(
        self,
        training: ClassificationTraining,
        labels: np.ndarray,
        validation_labels: np.ndarray,
    ) -> Objective:
        """Return binary cross-entropy and `BestMicroF1`, see `TextClassifier.objective`.

        Raises:
            ValueError: The recipe sets class weights.
        """
        if training.class_weights is not None:
            raise ValueError(
                "`training.class_weights` is for exactly one label per text. "
                f"Received: {training.class_weights!r} for several labels per text. Leave it out."
            )
        loss = keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=training.label_smoothing
        )
        return Objective(loss, BestMicroF1())

    def probabilities(self, x: Any, batch_size: int = BATCH) -> np.ndarray:
        """Return the probability of each label `(N, C)`, in input order."""
        return sigmoid(self.logits(x, batch_size))

    def _evaluate(self, inputs: Any, labels: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
        encoded = self._encode(as_texts(inputs), labels)
        logits = self.logits(encoded).astype("float64")
        expected, predictions = labels > 0, self._selected(logits)
        report = MultiLabelReport(self.label_names, expected, predictions)
        pairs = softmax(_against_absence(logits))
        metrics = {
            "f1_micro": report.micro.f1,
            "f1_macro": report.macro.f1,
            "exact_match": report.exact_match,
            "binary_accuracy": float((expected == predictions).mean()),
            "loss": float((np.logaddexp(0.0, logits) - logits * expected).mean()),
            "examples": len(labels),
            "calibration_error": expected_calibration_error(pairs, expected.astype(int).ravel()),
        }
        return metrics, predictions

    def _make_report(
        self, labels: np.ndarray, predictions: np.ndarray, metrics: dict[str, Any]
    ) -> MultiLabelReport:
        return MultiLabelReport(self.label_names, labels > 0, predictions, metrics)

    def report(  # type: ignore[override]
        self, x: Any, y: Any = None, **options: Any
    ) -> MultiLabelReport:
        """Evaluate by label: precision, recall and F1, their averages, and exact matches.

        Args:
            x: Texts, as for `fit`; or a split of a data set.
            y: The labels of each text, as for `fit`, unless `x` is a split.
            **options: None are accepted.

        Returns:
            A `keras_attn.tasks.MultiLabelReport`, which `print` displays.

        Raises:
            ValueError: Labels are missing, unknown or of another shape, see `preprocess_targets`.
        """
        report: Any = super().report(x, y, **options)
        return report

    def finalize(self, data: TrainingData) -> dict[str, Any]:
        """Calibrate the scores, and select the threshold, on the validation texts."""
        assert isinstance(data, TextTrainingData)
        finalized = super().finalize(data)
        logits = self.logits(data.validation)
        if np.isfinite(logits).all():
            self._set_threshold(logits, data.validation.labels)
        return {**finalized, "threshold": self.threshold}

    def tune_threshold(self, texts: Any, labels: Any = None) -> float:
        """Set the threshold to the one with the highest micro-averaged F1 on held-out texts.

        Args:
            texts: Held-out texts, or `EncodedTexts` with labels.
            labels: The labels of each text, as for `fit`; not used for `EncodedTexts`.

        Returns:
            The threshold, a probability. It is 0.5 if no text has a label.

        Raises:
            ValueError: There are no labels.
        """
        encoded = self._encode_held_out("tune_threshold", texts, labels)
        self._set_threshold(self.logits(encoded), encoded.labels)
        return self.threshold

    def calibrate(self, texts: Any, labels: Any = None) -> float:
        """Calibrate scores, see `TextClassifier.calibrate`.

        The threshold changes with the probabilities, so that the labels of a text do not change.
        """
        return super().calibrate(texts, labels)

    def _calibrate(self, logits: np.ndarray, labels: np.ndarray) -> float:
        before = scalar(self.temperature)
        # A sigmoid is a softmax over the logit and 0: each pair of a text and a label counts.
        after = super()._calibrate(_against_absence(logits), labels.astype(int).ravel())
        self.logit_threshold.assign(scalar(self.logit_threshold) * before / after)
        return after

    def _set_threshold(self, logits: np.ndarray, labels: np.ndarray) -> None:
        self.logit_threshold.assign(best_threshold(logits, labels) if labels.any() else 0.0)

    def _selected(self, logits: np.ndarray) -> np.ndarray:
        """Return which labels `(N, C)` texts have, as a boolean array."""
        return logits >= scalar(self.logit_threshold)

    def classify(self, texts: Any, *, batch_size: int = BATCH) -> Any:
        """Classify texts, see `TextClassifier.classify`.

        Returns:
            A `MultiLabelTextClassification` for a single text, a list of them for several texts.
        """
        return super().classify(texts, batch_size=batch_size)

    def _text_answers(
        self, logits: np.ndarray, words: np.ndarray, known_words: np.ndarray
    ) -> list[Any]:
        answers = []
        for row, selected, total, known in zip(
            sigmoid(logits),
            self._selected(logits),
            words.tolist(),
            known_words.tolist(),
            strict=True,
        ):
            by_label = dict(zip(self.label_names, map(float, row), strict=True))
            labels = tuple(itertools.compress(self.label_names, selected))
            answers.append(MultiLabelTextClassification(labels, by_label, total, known))
        return answers

    def _serving_outputs(self, logits: Any) -> dict[str, Any]:
        import tensorflow as tf

        selected = logits >= tf.convert_to_tensor(self.logit_threshold)
        return {"probabilities": tf.sigmoid(logits), "selected": selected}

    def _initialize_head(self, labels: np.ndarray) -> None:
        # The logits of the frequencies: from 0, rare labels would take many steps to reach them.
        texts = self._texts_by_label(labels)
        biases = np.log((texts + 0.5) / (len(labels) - texts + 0.5))  # finite for every label
        for layer in models.head(self.network).layers:
            if getattr(layer, "bias", None) is not None and layer.bias.shape == biases.shape:
                layer.bias.assign(biases.astype("float32"))

    def _texts_by_label(self, labels: np.ndarray) -> np.ndarray:
        return labels.sum(axis=0)

    def _check_labels(self, texts: Any, labels: Any) -> np.ndarray:
        labels = np.asarray(self.preprocess_targets(labels))
        if len(labels) != len(texts):
            raise ValueError(
                f"There must be labels for each text. Received: {counted(len(texts), 'text')}, "
                f"labels of shape {labels.shape}."
            )
        return labels.astype("int32")


@keras.saving.register_keras_serializable(package="keras_attn")
class BestMicroF1(keras.metrics.Metric):
    """F1 over all pairs of an example and a label, at the threshold where it is highest.

    Epochs are compared by it: which threshold is best depends on the frequency of the labels and
    on how far training has come. Thresholds are tried in steps of 0.1 of a logit.

    Example:

    >>> metric = BestMicroF1()
    >>> metric.update_state([[1, 1], [0, 1]], [[9.0, -2.0], [-4.0, 9.0]])
    >>> float(metric.result())
    1.0
    """

    def __init__(self, name: str = "best_f1_micro", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        shape = (len(LOGIT_THRESHOLDS),)
        self.true_positives, self.positives = (
            self.add_variable(shape, "zeros", name=part) for part in ("hits", "positives")
        )
        self.labels = self.add_variable((), "zeros", name="labels")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the labels `(B, C)` of a batch, and the logits `(B, C)` above each threshold.

        Raises:
            ValueError: There are sample weights, which it does not take.
        """
        if sample_weight is not None:
            raise ValueError("BestMicroF1 counts all examples alike, without `sample_weight`.")
        ops = keras.ops
        # In a graph of batches from a generator only the shape of the logits is known.
        present = ops.cast(ops.reshape(y_true, (-1,)), self.dtype)  # (B * C)
        logits = ops.cast(ops.reshape(y_pred, (-1, 1)), "float32")
        selected = ops.cast(logits >= ops.convert_to_tensor(LOGIT_THRESHOLDS), self.dtype)
        self.true_positives.assign_add(ops.matmul(present, selected))
        self.positives.assign_add(ops.sum(selected, axis=0))
        self.labels.assign_add(ops.sum(present))

    def result(self) -> Any:
        ops = keras.ops
        f1 = ops.divide_no_nan(2 * self.true_positives, self.positives + self.labels)
        return ops.max(f1)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the sigmoid of an array, in its dtype."""
    return np.exp(-np.logaddexp(np.zeros((), logits.dtype), -logits))


def _against_absence(logits: np.ndarray) -> np.ndarray:
    """Return logits `(N, C)` as those of binary choices `(N * C, 2)`: absence, presence."""
    return np.stack([np.zeros(logits.size, logits.dtype), logits.ravel()], axis=-1)


def _are_lists_of_names(rows: Sequence[Any]) -> bool:
    """Return whether every row is a list of strings, which may be empty."""
    if not all(isinstance(row, list | tuple | set | frozenset | np.ndarray) for row in rows):
        return False
    names = [name for row in rows for name in row]
    return bool(rows) and all(isinstance(name, str | bytes) for name in names)
