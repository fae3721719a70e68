"""The text classifier: a task that converts strings into labels with calibrated scores."""

import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, overload

import keras
import numpy as np
from keras import ops

from keras_attn import models
from keras_attn._token_ids import FIRST_TERM_ID, PADDING_ID, UNKNOWN_ID
from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer
from keras_attn._warnings import warn_user
from keras_attn._wording import counted, listed
from keras_attn.batching import EncodedTexts, EvaluationBatches
from keras_attn.datasets import Dataset, TextSplit
from keras_attn.recipes import Recipe, Signature, TaskDescription, TensorInfo
from keras_attn.tasks._class_weights import (
    ClassificationTraining,
    class_weights,
)
from keras_attn.tasks._labels import SEVERAL_LABELS
from keras_attn.tasks._texts import as_texts
from keras_attn.tasks.calibration import softmax
from keras_attn.tasks.classification import (
    classification_objective,
    serving_outputs,
)
from keras_attn.tasks.selection_metrics import selection_metric
from keras_attn.tasks.task import Task
from keras_attn.tasks.texts._inputs import are_strings
from keras_attn.tasks.texts.answers import TextClassification, text_answers
from keras_attn.tasks.texts.description import DESCRIPTION
from keras_attn.tasks.texts.explanation import TextExplanation, explain_text, explanation_curves
from keras_attn.tasks.texts.fitting import TextFitting
from keras_attn.tasks.texts.metrics import classification_metrics
from keras_attn.tasks.texts.naive_bayes import INITIAL_RATIOS, fixed_ratios, initial_ngram_values
from keras_attn.tasks.texts.training_data import TextTrainingData
from keras_attn.tasks.training_data import Objective, TrainingData
from keras_attn.text import NGramEncoder

NUM_FOLDS = 5  # folds of the training texts for held-out log-count ratios
BATCH = 256  # texts in a batch
MAX_BATCH_WORDS = 2**18  # words in a batch at inference, padding included
VOCABULARY_FILE = "vocabulary.txt"
EXAMPLE = "A text of a few words."  # of a request that warms up a server


@keras.saving.register_keras_serializable(package="keras_attn")
class TextClassifier(TextFitting):
    """A network with vocabulary and labels that classifies texts.

    It is a `keras.Model`: `fit`, `evaluate` and `predict` take lists, arrays or columns of pandas
    of strings, or a `tf.data.Dataset` of `(strings, labels)` batches, with labels as indices or
    names. `save` includes the vocabulary. It is compiled with Adam; call `compile` to change that.
    A new model needs a vocabulary: call `adapt` first.

    Args:
        network: A model from ids `(B, T, G)` to logits `(B, C)`, with a layer
            `keras_attn.layers.NGramEmbedding`, see `keras_attn.models.ngram_embedding`.
        encoder: The encoder that converts strings into ids.
        label_names: The name of each of the `C` labels.
        **kwargs: See `keras_attn.tasks.Task`.

    Call arguments:
        inputs: String tensor `(B,)`, or integer ids `(B, T, G)` from the encoder. Outside of
            graphs they may also be what `fit` takes.

    Returns:
        Float32 logits `(B, C)`, divided by the temperature that `calibrate` sets.

    Attributes:
        initial_ratios: The values of n-grams that `adapt` initializes a network with, if they are
            trained: `"log_count"` for log-count ratios, `"pmi"` for pointwise mutual information,
            see `keras_attn.tasks.texts.naive_bayes`. None is `"pmi"` for more than two labels, of
            which each text has one, and else `"log_count"`. Not saved.

    Raises:
        ValueError: The number of labels is not the number of the network's outputs, or the
            vocabulary sizes of encoder and network differ.

    Example:

    >>> from keras_attn import tasks
    >>> sizes = {"vocabulary_sizes": (50, 50)}
    >>> model = tasks.from_architecture("ngram_attention", ("bad", "good"), **sizes)
    >>> model.adapt(["a fine film", "fine", "a dull film", "dull"], [1, 1, 0, 0])
    >>> model.classify("how fine!").label
    'good'
    """

    description: ClassVar[TaskDescription] = DESCRIPTION
    parts: ClassVar[tuple[str, ...]] = ("network", "encoder")
    asset_files: ClassVar[tuple[str, ...]] = (VOCABULARY_FILE,)

    def __init__(
        self,
        network: keras.Model,
        encoder: NGramEncoder,
        label_names: Sequence[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(network, label_names, **kwargs)
        sizes = models.ngram_embedding(network).vocabulary_sizes
        if sizes != encoder.vocabulary_sizes:
            raise ValueError(
                "The encoder and the network must have the same vocabulary sizes. Received: an "
                f"encoder of {encoder.vocabulary_sizes} ids, a network of {sizes}."
            )
        self.encoder = encoder
        self.initial_ratios: str | None = None
        self.temperature = self._add_scalar("temperature", 1.0)
        self.built = True
        self.compile_default()

    @classmethod
    def from_architecture(
        cls,
        architecture: str,
        *,
        label_names: Sequence[str] = (),
        preprocessing: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a classifier with fresh weights, see `Task.from_architecture`.

        Args:
            architecture: A registered architecture for text classification.
            label_names: The name of each class.
            preprocessing: Settings of the `NGramEncoder`, and `initial_ratios`.
            **settings: Settings of the architecture.

        Raises:
            ValueError: `preprocessing` sets `once` for an architecture that depends on the order
                of words, or `initial_ratios` is unknown or the architecture does not train them.
        """
        network = models.build(architecture, num_classes=len(label_names), **settings)
        preprocessing = dict(preprocessing or {})
        if preprocessing.get("once") and architecture != "ngram_attention":
            raise ValueError(
                f"{architecture!r} reads words in order, and `once` would remove repeated words. "
                "Leave it False."
            )
        kind = preprocessing.pop("initial_ratios", None)
        accepted = INITIAL_RATIOS if architecture == "ngram_attention" else INITIAL_RATIOS[:1]
        if kind is not None and kind not in accepted:
            raise ValueError(
                f"`initial_ratios` must be None or one of {accepted} for {architecture!r}. "
                f"Received: {kind!r}."
            )
        sizes = models.ngram_embedding(network).vocabulary_sizes
        classifier = cls(network, NGramEncoder(sizes, **preprocessing), label_names)
        classifier.initial_ratios = kind
        return classifier

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        is_array = isinstance(inputs, np.ndarray) and are_strings(inputs)
        if (
            isinstance(inputs, str | bytes | list | tuple)
            or hasattr(inputs, "to_numpy")
            or is_array
        ):
            training = args[0] if args else kwargs.get("training")
            inputs = self.preprocess_inputs(inputs, training=bool(training))
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        ids = self._ids(inputs, bool(training)) if are_strings(inputs) else inputs
        return self.network(ids, training=training) / self.temperature

    def adapt(self, texts: Any, labels: Any) -> None:
        """Learn the vocabulary and the log-count ratios of its n-grams.

        Call it once on a new model, with the training texts, before `fit`.

        Some networks use the ratios as initial values, others as fixed features. For fixed
        features, `fit` uses held-out ratios: the ratios of a training text are counted on the
        texts of the other `NUM_FOLDS - 1` folds. Ratios counted on all texts would reveal the
        label of a training text, and the network would learn to rely on them. The fold of a text
        is a hash of the text. Held-out ratios are not saved: a model loaded from a file has only
        the ratios of all texts.

        Args:
            texts: Training texts, as for `fit`.
            labels: The label of each text, as its index or name.

        Raises:
            ValueError: The numbers of labels and texts differ, a label is unknown, a label has no
                text, or the model has a trained backbone with a vocabulary.
        """
        self._check_adaptable()
        texts = as_texts(texts)
        labels = self._check_labels(texts, labels)
        missing = [
            name
            for name, count in zip(self.label_names, self._texts_by_label(labels), strict=True)
            if not count
        ]
        if missing:
            raise ValueError(
                "`adapt` needs texts of every label. Received: none of "
                f"{listed(missing, 'labels')}."
            )
        self.encoder.adapt(texts)
        several = len(self.label_names) > 2 and not self.multi_label
        kind = self.initial_ratios or ("pmi" if several else "log_count")
        if self._has_fixed_ratios:
            folds = self.encoder.folds(texts, NUM_FOLDS).numpy()
            ratios = fixed_ratios(self, self._encode(texts, labels), folds, NUM_FOLDS)
        else:
            ratios = initial_ngram_values(self, self._encode(texts, labels), kind)
        layer = models.ngram_embedding(self.network)
        for order, (ratio, fold_ratios) in enumerate(ratios):
            layer.assign(order, ratio, fold_ratios)
        self._initialize_head(labels)
        self.train_function = None  # a traced function would use the previous ratios

    def adapt_to_split(self, split: TextSplit) -> None:
        """Call `adapt` on a split of a data set, whose labels are indices."""
        labels = split.labels
        if labels.ndim == 1:  # names, because numbers may be the names of other labels
            labels = np.array(self.label_names, dtype=object)[labels]
        self.adapt(split.texts, labels)

    def training_data(self, dataset: Dataset[Any], recipe: Recipe) -> TextTrainingData:
        """Return training and validation texts as batches of ids, see `Task.training_data`."""
        return TextTrainingData(self, dataset, recipe)

    def objective(
        self,
        training: ClassificationTraining,
        labels: np.ndarray,
        validation_labels: np.ndarray,
    ) -> Objective:
        """Return the loss and the metrics of a training run.

        Args:
            training: The section `training` of the recipe.
            labels: The labels of the training texts.
            validation_labels: The labels of the validation texts.
        """
        setting, names = training.class_weights, self.label_names
        weights = class_weights(setting, labels, names)
        selection = selection_metric(setting, weights, validation_labels, names)
        return classification_objective(training.label_smoothing, weights, selection)

    def finalize(self, data: TrainingData) -> dict[str, Any]:
        """Calibrate the scores on the validation texts."""
        assert isinstance(data, TextTrainingData)
        return self._finalize(self.logits(data.validation), data.validation.labels)

    def evaluate_split(self, split: TextSplit) -> dict[str, Any]:
        """Return the metrics of a split.

        Args:
            split: Texts with labels.

        Returns:
            `accuracy` and `f1_macro` in [0, 1], `loss` in nats, the number of `examples`, the
            `calibration_error`, see `keras_attn.tasks.expected_calibration_error`, and
            `by_length`: accuracy and number of texts by ranges of their length in words.
        """
        return self._evaluate(split.texts, split.labels)[0]

    def _evaluate(self, inputs: Any, labels: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
        encoded = self._encode(as_texts(inputs), labels)
        probabilities = softmax(self.logits(encoded).astype("float64"))
        predictions = probabilities.argmax(axis=-1)
        # Long texts count with the words that are read.
        metrics = classification_metrics(probabilities, labels, encoded.lengths)
        return {**metrics, "f1_macro": self._macro_f1(labels, predictions)}, predictions

    def encode(self, texts: Any, labels: Any = None, training: bool = False) -> EncodedTexts:
        """Return texts as ids, for repeated passes over the same texts.

        Args:
            texts: List, array or column of pandas of strings.
            labels: The label of each text, as its index or name. None sets all labels to -1.
            training: Whether the ids should select held-out ratios in training, see `adapt`. Use
                it for the texts that `adapt` was called with, to pass them to `fit`. At inference
                these ids select the same ratios as the others.
        """
        texts = as_texts(texts)
        if labels is not None:
            labels = self._check_labels(texts, labels)
        return self._encode(texts, labels, training)

    def encode_split(self, split: TextSplit, training: bool = False) -> EncodedTexts:
        """Return a split of a data set as ids, with its labels, which are indices."""
        return self._encode(as_texts(split.texts), split.labels, training)

    def _encode(
        self, texts: list[str | bytes], labels: np.ndarray | None, training: bool = False
    ) -> EncodedTexts:
        """Return texts as ids; labels are indices `(N,)`, multi-hot `(N, C)`, or None."""
        labels = np.full(len(texts), -1, "int32") if labels is None else labels
        ids, lengths = [], []
        for start in range(0, len(texts), BATCH):
            rows = self.encoder.lookup(self.encoder.words(texts[start : start + BATCH]))
            ids.append(rows.values.numpy())
            lengths.append(rows.row_lengths().numpy())
        empty = np.zeros((0, len(self.encoder.orders)), "int32")
        row_splits = np.concatenate([[0], *lengths]).cumsum().astype("int64")
        encoded = EncodedTexts(np.concatenate([empty, *ids]), row_splits, labels)
        if not (training and self._has_fixed_ratios):
            return encoded
        return self._with_folds(encoded, self.encoder.folds(texts, NUM_FOLDS).numpy())

    def calibrate(self, texts: Any, labels: Any = None) -> float:
        """Calibrate scores by fitting the temperature to held-out texts.

        The most probable labels do not change, see `keras_attn.tasks.fit_temperature`.

        Args:
            texts: Held-out texts, or `EncodedTexts` with labels.
            labels: The label of each text, as its index or name; not used for `EncodedTexts`.

        Returns:
            The temperature. It is above 1 if the network was overconfident.

        Raises:
            ValueError: There are no labels.
        """
        encoded = self._encode_held_out("calibrate", texts, labels)
        return self._calibrate(self.logits(encoded), encoded.labels)

    def _encode_held_out(self, method: str, texts: Any, labels: Any) -> EncodedTexts:
        """Return held-out texts with labels as ids; raise ValueError if there are no labels."""
        encoded = texts if isinstance(texts, EncodedTexts) else self.encode(texts, labels)
        if (encoded.labels < 0).any():
            raise ValueError(
                f"`{method}` needs the labels of each text. Pass `labels`, or the result of "
                "`encode(texts, labels)`."
            )
        return encoded

    def logits(self, x: Any, batch_size: int = BATCH) -> np.ndarray:
        """Return the float32 logits `(N, C)` of texts, in input order.

        Args:
            x: Texts, as for `fit`, or `EncodedTexts`.
            batch_size: Number of texts in a batch. Texts of similar length are batched together.

        Raises:
            TypeError: An element of `x` is not a string.
            ValueError: `batch_size` is not a positive integer.
        """
        check_positive_integer("batch_size", batch_size)
        x = x if isinstance(x, EncodedTexts) else as_texts(x)
        logits = np.zeros((len(x), len(self.label_names)), "float32")
        for rows, ids in self._by_length(x, batch_size):
            logits[rows] = self.predict_on_batch(ids)
        return logits

    def features(self, x: Any, batch_size: int = BATCH) -> np.ndarray:
        """Return the float32 features `(N, F)` that the head reads, see `backbone`."""
        check_positive_integer("batch_size", batch_size)
        x = x if isinstance(x, EncodedTexts) else as_texts(x)
        features = np.zeros((len(x), self.backbone.output_shape[-1]), "float32")
        for rows, ids in self._by_length(x, batch_size):
            outputs = ops.cast(self.backbone(ids, training=False), "float32")
            features[rows] = ops.convert_to_numpy(outputs)
        return features

    def backbone_settings(self) -> dict[str, Any]:
        """Return the number of classes of the backbone's log-count ratios as a setting."""
        return {"ratio_classes": len(self.label_names)}

    def copy_backbone(self, source: Task) -> list[str]:
        """Copy the vocabulary and backbone of a trained classifier."""
        new_layers = super().copy_backbone(source)
        self.encoder.copy_vocabularies(source.encoder)
        return new_layers

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a sequence of them
        self, texts: str | bytes, *, batch_size: int = BATCH
    ) -> TextClassification: ...

    @overload
    def classify(
        self, texts: Sequence[str] | np.ndarray, *, batch_size: int = BATCH
    ) -> list[TextClassification]: ...

    def classify(
        self, texts: Any, *, batch_size: int = BATCH
    ) -> TextClassification | list[TextClassification]:
        """Classify texts of any length.

        Args:
            texts: A string, or a list, tuple, array or column of pandas of strings. Strings may be
                `str` or `bytes`.
            batch_size: Number of texts in a batch.

        Returns:
            A `TextClassification` for a single text, a list of them for several texts. It says how
            many of the words are known.

        Raises:
            TypeError: An element of `texts` is not a string.

        Warns:
            UserWarning: A text has more words than the model reads.
            ValueError: `batch_size` is not a positive integer.
        """
        if isinstance(texts, str | bytes):
            return self.answers([texts], batch_size=batch_size)[0]
        return self.answers(texts, batch_size=batch_size)

    def answers(
        self, inputs: Sequence[Any], *, batch_size: int = BATCH
    ) -> list[TextClassification]:
        """Return the answer for each text, see `classify`."""
        check_positive_integer("batch_size", batch_size)
        inputs = as_texts(inputs)
        answers: list[TextClassification] = []
        for start in range(0, len(inputs), batch_size):
            batch = inputs[start : start + batch_size]
            encoded = self.encode(batch)
            self._warn_of_long_texts(batch, encoded.lengths, start)
            counts = self.encoder.count_words(encoded.ragged_ids())
            logits = self.logits(encoded, batch_size)
            answers += self._text_answers(logits, *(count.numpy() for count in counts))
        return answers

    def _warn_of_long_texts(self, texts: list[Any], lengths: np.ndarray, start: int) -> None:
        """Warn if words of a text are not read; `start` is the number of texts before these."""
        longest = self.encoder.max_length
        rows = np.flatnonzero(lengths == longest)
        if not len(rows):
            return
        words = self.encoder.words([texts[row] for row in rows], whole=True).row_lengths().numpy()
        cut = np.flatnonzero(words > longest)
        if len(cut):
            warn_user(
                f"{longest:,} words of a text are read, from its beginning and "
                f"its end. {counted(len(cut), 'text')} {'has' if len(cut) == 1 else 'have'} more, "
                f"such as number {start + rows[cut[0]] + 1} with {words[cut[0]]:,}: the words "
                "between are not read."
            )

    def _text_answers(
        self, logits: np.ndarray, words: np.ndarray, known_words: np.ndarray
    ) -> list[Any]:
        """Return the answer for each row of logits `(N, C)`."""
        return text_answers(self.label_names, softmax(logits), words, known_words)

    def explain(self, text: str, label: str | None = None) -> TextExplanation:
        """Explain an answer by the attention weight and the effect of each word.

        Leave-one-out takes a forward pass for each word, in batches; attention and gradient take
        one pass.

        Args:
            text: The text.
            label: The label to explain. None explains the label of the answer.

        Returns:
            A `keras_attn.tasks.TextExplanation`, which `print` and notebooks display.

        Raises:
            TypeError: `text` is not a single string.
            ValueError: The label is unknown.

        Example:

        >>> from keras_attn import tasks
        >>> model = tasks.from_architecture(
        ...     "ngram_attention", ("bad", "good"), vocabulary_sizes=(50, 50)
        ... )
        >>> model.adapt(["a fine film", "fine", "a dull film", "dull"], [1, 1, 0, 0])
        >>> explanation = model.explain("A fine film!", label="good")
        >>> explanation.tokens, explanation.leave_one_out.argmax()
        (('a', 'fine', 'film', '!'), np.int64(1))
        """
        return explain_text(self, text, label)

    def explanation_curves(self, split: TextSplit, count: int = 50) -> dict[str, Any]:
        """Return deletion and insertion curves, see `Task.explanation_curves`."""
        return explanation_curves(self, split.texts[:count])

    def serving_function(self) -> Callable[..., dict[str, Any]]:
        """Return the function to export, from strings to labels with scores.

        It includes normalization, tokenization, vocabulary and calibration.
        """
        import tensorflow as tf

        def serve(texts: Any) -> dict[str, Any]:
            texts = tf.ensure_shape(texts, (None,))  # a signature does not check it
            ids = self.encoder.lookup(self.encoder.words(texts))
            words, known_words = self.encoder.count_words(ids)
            outputs = self._serving_outputs(self(self.encoder.dense(ids), training=False))
            return {**outputs, "words": words, "known_words": known_words}

        return serve

    def export_writers(self) -> dict[str, Callable[..., pathlib.Path]]:
        """Return the functions that write each format, see `Task.export_writers`."""
        return {**super().export_writers(), "onnx": self._write_onnx}

    def onnx_function(self) -> tuple[Callable[..., dict[str, Any]], Signature]:
        def serve(token_ids: Any) -> dict[str, Any]:
            return self._serving_outputs(self(token_ids, training=False))

        axes = ("B", "T", len(self.encoder.orders))
        token_ids = TensorInfo("token_ids", "int32", axes, "of words and n-grams; 0 is padding")
        return serve, Signature((token_ids,), ())

    def onnx_info(self) -> dict[str, Any]:
        """Return also the vocabularies, and the settings of `keras_attn.text.NGramEncoder`."""
        settings = self.encoder.get_config()
        names = ("max_length", "head", "once", "lowercase", "rules")
        return {
            **self.export_info(),
            "encoder": {name: settings[name] for name in names},
            "padding_id": PADDING_ID,
            "unknown_id": UNKNOWN_ID,
            "first_term_id": FIRST_TERM_ID,
            "vocabularies": [list(each.terms) for each in self.encoder.vocabularies],
        }

    def warmup_requests(self) -> Mapping[str, Mapping[str, Any]]:
        return {"serving_default": {"texts": [EXAMPLE]}}

    def _serving_outputs(self, logits: Any) -> dict[str, Any]:
        """Return the named outputs of a SavedModel for logits `(B, C)`, in TensorFlow."""
        import tensorflow as tf

        return serving_outputs(self.label_names, tf.nn.softmax(logits))

    def write_assets(self, folder: str | os.PathLike[str]) -> None:
        """Write the vocabulary to `vocabulary.txt`, with one n-gram per line."""
        self.encoder.write(pathlib.Path(folder, VOCABULARY_FILE))

    def read_assets(self, folder: str | os.PathLike[str]) -> None:
        """Read the vocabulary from `vocabulary.txt`.

        Raises:
            ValueError: The file is missing or damaged, or its vocabulary has another size.
        """
        self.encoder.read(pathlib.Path(folder, VOCABULARY_FILE))

    @property
    def _vocabulary(self) -> Iterable[str]:
        return itertools.chain(*(vocabulary.terms for vocabulary in self.encoder.vocabularies))

    @property
    def _is_adapted(self) -> bool:
        return self.encoder.filled

    @property
    def _has_fixed_ratios(self) -> bool:
        """Return whether the network has log-count ratios as fixed features."""
        return models.ngram_embedding(self.network).num_ratios > 0

    def _by_length(self, x: Any, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row indices and ids of batches of texts of similar length."""
        encoded = x if isinstance(x, EncodedTexts) else self.encode(x)
        batches = EvaluationBatches(encoded, batch_size)
        for index in range(len(batches)):
            rows = batches.order[index * batch_size : (index + 1) * batch_size]
            # Fewer texts at a time if they are long, which bounds the memory of a batch.
            number = max(1, MAX_BATCH_WORDS // max(1, int(encoded.lengths[rows].max(initial=1))))
            for start in range(0, len(rows), number):
                some = rows[start : start + number]
                yield some, encoded.batch(some)[0]

    def _ids(self, texts: Any, training: bool) -> Tensor:
        ids = self.encoder(texts)
        if not (training and self._has_fixed_ratios):
            return ids
        return self.encoder.in_fold(ids, self.encoder.folds(texts, NUM_FOLDS)[:, None, None])

    def _with_folds(self, texts: EncodedTexts, folds: np.ndarray) -> EncodedTexts:
        """Return the texts with ids that select held-out ratios in training."""
        word_folds = np.repeat(folds, texts.lengths)[:, None]
        ids = self.encoder.in_fold(texts.ids, word_folds).numpy()
        return EncodedTexts(ids, texts.row_splits, texts.labels)

    def _initialize_head(self, labels: np.ndarray) -> None:
        """Initialize the biases of the head from the training labels; here they stay 0.

        Logits are small before training, and a prior would outweigh them.
        """

    def _texts_by_label(self, labels: np.ndarray) -> np.ndarray:
        """Return the number of texts of each label `(C,)`."""
        return np.bincount(labels, minlength=len(self.label_names))

    def _check_labels(self, texts: Any, labels: Any) -> np.ndarray:
        indices = np.asarray(self.preprocess_targets(labels))
        if indices.shape != (len(texts),):
            raise ValueError(
                f"There must be one label per text. Received: {counted(len(texts), 'text')}, "
                f"labels of shape {indices.shape}. {SEVERAL_LABELS}"
            )
        if len(indices) and indices.dtype.kind not in "iu":
            raise ValueError(
                f"Labels must be integers from 0 to {len(self.label_names) - 1}, the index of a "
                f"name in ({listed(self.label_names, 'labels')}), or such names. Received: "
                f"{indices.dtype} labels, such as {indices[0]}."
            )
        return indices.astype("int32")
