"""Text classification: from strings to labels with calibrated scores."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_attn.batching import EncodedTexts, EvaluationBatches
from keras_attn.export import import_tensorflow, write_saved_model
from keras_attn.tasks.calibration import fit_temperature, softmax
from keras_attn.tasks.classification import (
    answer,
    check_export_arguments,
    checked_label_names,
    served,
)
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.task import TaskModel
from keras_attn.tasks.texts.explanation import TextExplanation, explain
from keras_attn.tasks.texts.naive_bayes import held_out_ratios, log_count_ratios, ngram_counts
from keras_attn.text import NGramEncoder

Tensor = Any
FOLDS = 5  # parts of the training texts, of which each has ratios counted without it
BATCH = 256  # texts that are encoded at a time


@keras.saving.register_keras_serializable(package="keras_attn")
class TextClassifier(TaskModel):
    """A network with its vocabulary and its labels: strings in, answers out.

    It is a `keras.Model`: `fit`, `evaluate` and `predict` take lists or arrays of strings,
    or a `tf.data.Dataset` of `(strings, labels)` batches, with integer labels; `save` writes
    the vocabulary along. It comes compiled with Adam; compile it again to choose
    otherwise. A new one is given its vocabulary by `adapt`, before anything else.

    Args:
        network: a model from ids `(B, T, G)` to logits `(B, C)`, whose layer `"ngrams"`
            embeds them.
        encoder: what makes ids of strings.
        label_names: the name of each of the `C` labels.

    Call arguments:
        inputs: string tensor `(B,)`, or integer ids `(B, T, G)` of its encoder.

    Returns:
        float32 logits `(B, C)`, over the temperature that `calibrate` sets.

    Raises:
        ValueError: the number of labels is not that of the network's outputs, or the
            encoder makes other ids than the network embeds.

    Example:

    >>> from keras_attn import tasks
    >>> sizes = {"vocabulary_sizes": (50, 50)}
    >>> model = tasks.from_architecture("ngram_attention", ("bad", "good"), **sizes)
    >>> encoded = model.adapt(["a fine film", "fine", "a dull film", "dull"], [1, 1, 0, 0])
    >>> model.classify("how fine!").label
    'good'
    """

    _parts = ("network", "encoder")

    def __init__(
        self,
        network: keras.Model,
        encoder: NGramEncoder,
        label_names: Sequence[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        outputs = network.output_shape[-1]
        self.label_names = checked_label_names("TextClassifier", label_names, outputs)
        sizes = network.get_layer("ngrams").vocabulary_sizes
        if sizes != encoder.vocabulary_sizes:
            raise ValueError(
                "The encoder must make the ids that the network embeds. Received: an encoder of "
                f"{encoder.vocabulary_sizes} ids, a network of {sizes}."
            )
        self.network = network
        self.encoder = encoder
        self.temperature = self.add_weight(
            name="temperature", shape=(), initializer="ones", trainable=False, dtype="float32"
        )
        self.built = True
        self.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=compile_mode(),
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        ids = self._ids(inputs, bool(training)) if _are_strings(inputs) else inputs
        return self.network(ids, training=training) / self.temperature

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], len(self.label_names))

    def adapt(
        self, texts: Sequence[str] | np.ndarray, labels: Sequence[int] | np.ndarray
    ) -> EncodedTexts:
        """Learn the vocabulary, and the log-count ratios of each n-gram.

        Call it once, on the training texts, before a new model's `fit`. A network either
        starts at the ratios, or has them as features that stay. In the second case `fit`
        gives each text ratios that were counted without it: those of all texts tell its
        label, and the network would learn to trust them. A text's fold is a hash of it, and
        the ratios without each of `FOLDS` folds last as long as this object: a model loaded
        from a file has those of all texts alone.

        Args:
            texts: training texts.
            labels: the index of each one's label, from 0.

        Returns:
            The texts as ids to train on: what `encode` gives with `training=True`.

        Raises:
            ValueError: there are not as many labels as texts, a label is not known, or a
                label has no text.
        """
        labels = self._checked_labels(texts, labels)
        missing = sorted(set(range(len(self.label_names))) - set(labels.tolist()))
        if missing:
            raise ValueError(
                "`adapt` needs texts of every label. Received: none of "
                f"{', '.join(repr(self.label_names[index]) for index in missing)}."
            )
        texts = list(texts)
        self.encoder.adapt(texts)
        encoded = self.encode(texts, labels)
        layer = self.network.get_layer("ngrams")
        num_folds = FOLDS if self._holds_out else 1
        folds = self.encoder.folds(texts, num_folds).numpy()
        labels_and_folds = len(self.label_names), folds, num_folds
        counts = ngram_counts(encoded, layer.vocabulary_sizes, *labels_and_folds)
        known = sum(len(vocabulary.terms) for vocabulary in self.encoder.vocabularies)
        ratios = log_count_ratios([count.sum(axis=0) for count in counts], known)
        held_out = held_out_ratios(counts, known) if self._holds_out else [None] * len(ratios)
        for order, (ratio, without_folds) in enumerate(zip(ratios, held_out, strict=True)):
            layer.assign(order, ratio, without_folds)
        self.train_function = None  # one that was traced holds the ratios of before
        return self._in_folds(encoded, folds) if self._holds_out else encoded

    def encode(self, texts: Any, labels: Any = None, training: bool = False) -> EncodedTexts:
        """Texts as ids, for many passes over the same texts.

        Args:
            texts: list or array of strings.
            labels: the index of each one's label; None are -1, which is no label.
            training: give ids that ask for the ratios without a text's fold, see `adapt`:
                those of the texts that `adapt` learned from, for `fit`. Outside of training
                they mean the same as the others.
        """
        if labels is None:
            labels = np.full(len(texts), -1, "int32")
        else:
            labels = self._checked_labels(texts, labels)
        ids, lengths = [], []
        for start in range(0, len(texts), BATCH):
            rows = self.encoder.lookup(self.encoder.words(list(texts[start : start + BATCH])))
            ids.append(rows.values.numpy())
            lengths.append(rows.row_lengths().numpy())
        empty = np.zeros((0, len(self.encoder.orders)), "int32")
        row_splits = np.concatenate([[0], *lengths]).cumsum().astype("int64")
        encoded = EncodedTexts(np.concatenate([empty, *ids]), row_splits, labels)
        if not (training and self._holds_out):
            return encoded
        return self._in_folds(encoded, self.encoder.folds(list(texts), FOLDS).numpy())

    def calibrate(self, texts: Any, labels: Any = None) -> float:
        """Set the temperature by held-out texts, so that scores are what they say.

        Answers stay; see `keras_attn.tasks.fit_temperature`.

        Args:
            texts: held-out texts, or `EncodedTexts` with their labels.
            labels: the index of each one's label, if they are strings.

        Returns:
            The temperature: above 1 where the network was too sure of itself.

        Raises:
            ValueError: the texts come without labels, or as `encode`.
        """
        encoded = texts if isinstance(texts, EncodedTexts) else self.encode(texts, labels)
        if (encoded.labels < 0).any():
            raise ValueError(
                "`calibrate` needs the label of each text. Pass `labels`, or what `encode(texts, "
                "labels)` gives."
            )
        logits, targets = self.logits(encoded)
        # As the network gave them: a call divides by the temperature that there is.
        logits = logits.astype("float64") * float(self.temperature)
        self.temperature.assign(fit_temperature(logits, targets))
        return float(self.temperature)

    def logits(self, texts: EncodedTexts, batch_size: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
        """Logits `(N, C)` and labels `(N,)` of encoded texts, in the order of their length."""
        if not len(texts):
            return np.zeros((0, len(self.label_names)), "float32"), texts.labels
        batches = EvaluationBatches(texts, batch_size)
        parts = [
            (self.predict_on_batch(ids), labels)
            for ids, labels in (batches[index] for index in range(len(batches)))
        ]
        logits, labels = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(labels)

    def classify(self, texts: Any) -> Any:
        """Label texts of any length.

        Args:
            texts: a string, or a list, tuple or array of them; bytes as well.

        Returns:
            A `Classification` for a single text, a list of them for several.

        Raises:
            TypeError: something in `texts` is not a string.
        """
        if isinstance(texts, str | bytes):
            return self.classify([texts])[0]
        answers = []
        for start in range(0, len(texts), BATCH):
            logits = self.predict_on_batch(self.encoder(list(texts[start : start + BATCH])))
            answers += [answer(self.label_names, row) for row in softmax(logits)]
        return answers

    def explain(self, text: str, label: str | None = None) -> TextExplanation:
        """What each word has to do with a label: attention, beside what moved the answer.

        Leaving each word out takes a pass a word, in batches; the rest one pass.

        Args:
            text: the text.
            label: the label to explain; None is the answer's.

        Returns:
            A `keras_attn.tasks.TextExplanation`; print it with `rich.print`, or let a
            notebook show it.

        Raises:
            TypeError: `text` is not one string.
            ValueError: there is no such label.

        Example:

        >>> from keras_attn import tasks
        >>> model = tasks.from_architecture(
        ...     "ngram_attention", ("bad", "good"), vocabulary_sizes=(50, 50)
        ... )
        >>> _ = model.adapt(["a fine film", "fine", "a dull film", "dull"], [1, 1, 0, 0])
        >>> explanation = model.explain("A fine film!", label="good")
        >>> explanation.tokens, explanation.leave_one_out.argmax()
        (('a', 'fine', 'film', '!'), np.int64(1))
        """
        return explain(self, text, label)

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Train on strings or ids, as `keras.Model.fit` does.

        Of texts that `adapt` learned from, take the ids that it returned, or those of
        `encode(texts, labels, training=True)`.
        """
        if kwargs.get("validation_data") is not None:
            kwargs["validation_data"] = self._encoded(kwargs["validation_data"])
        if hasattr(x, "element_spec"):
            kwargs.setdefault("shuffle", False)  # a data set has its own order
        return super().fit(self._encoded(x, training=True), _array(y), **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Evaluate on strings or ids, as `keras.Model.evaluate` does."""
        return super().evaluate(self._encoded(x), _array(y), **kwargs)

    def predict(self, x: Any, **kwargs: Any) -> np.ndarray:
        """Logits of strings or ids, as `keras.Model.predict` gives them."""
        return super().predict(self._encoded(x), **kwargs)

    def export(self, filepath: str | os.PathLike[str], **kwargs: Any) -> pathlib.Path:
        """Write a SavedModel of plain TensorFlow that takes strings.

        Its signatures `serving_default` and `serve` take `texts`, string `(B,)`, in UTF-8,
        and give `label` (string `(B,)`), `score` (float32 `(B,)`) and `probabilities`
        (float32 `(B, C)`, in the order of `label_names`). Normalization, words, vocabulary
        and calibration are inside; nothing else is needed to run it.

        Args:
            filepath: folder to write, such as `"serving/1"`; it may exist if it is empty.
            **kwargs: none are taken.

        Returns:
            The folder's path.

        Raises:
            TypeError: other arguments are given, such as Keras's `format`.
            RuntimeError: the Keras backend is not TensorFlow, or there is no vocabulary.
            FileExistsError: the folder exists and is not empty.
        """
        check_export_arguments("TextClassifier", kwargs)
        tf = import_tensorflow()

        def serve(texts: Any) -> dict[str, Any]:
            return served(self.label_names, tf.nn.softmax(self(texts, training=False)))

        spec = tf.TensorSpec((None,), tf.string)
        return write_saved_model(filepath, serve, self, texts=spec)

    def write_vocabulary(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary, one n-gram a line."""
        self.encoder.write(path)

    def read_vocabulary(self, path: str | os.PathLike[str]) -> None:
        """Read it again; a ValueError if the file is missing, damaged or of other sizes."""
        self.encoder.read(path)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_names": list(self.label_names)}

    @property
    def _holds_out(self) -> bool:
        """Whether the network has ratios as features that stay."""
        return self.network.get_layer("ngrams").num_ratios > 0

    def _encoded(self, x: Any, training: bool = False) -> Any:
        """Strings as ids, alone or as the first part of a tuple or of a data set's elements."""
        if isinstance(x, tuple) and not all(isinstance(part, str | bytes) for part in x):
            return (self._encoded(x[0], training), *map(_array, x[1:]))
        if hasattr(x, "element_spec"):
            spec = x.element_spec
            first = spec[0] if isinstance(spec, tuple) else spec
            if not _are_strings(first):
                return x
            if isinstance(spec, tuple):
                return x.map(lambda texts, *rest: (self._ids(texts, training), *rest))
            return x.map(lambda texts: self._ids(texts, training))
        return self._ids(x, training).numpy() if _are_strings(x) else x

    def _ids(self, texts: Any, training: bool) -> Tensor:
        ids = self.encoder(texts)
        if not (training and self._holds_out):
            return ids
        return self.encoder.in_fold(ids, self.encoder.folds(texts, FOLDS)[:, None, None])

    def _in_folds(self, texts: EncodedTexts, folds: np.ndarray) -> EncodedTexts:
        of_words = np.repeat(folds, texts.lengths)[:, None]
        ids = self.encoder.in_fold(texts.ids, of_words).numpy()
        return EncodedTexts(ids, texts.row_splits, texts.labels)

    def _checked_labels(self, texts: Any, labels: Any) -> np.ndarray:
        labels = np.asarray(labels)
        known = len(self.label_names)
        if labels.shape != (len(texts),):
            raise ValueError(
                f"There must be one label a text. Received: {len(texts)} texts, labels of shape "
                f"{labels.shape}."
            )
        integers = labels.dtype.kind in "iu"
        wrong = labels[(labels < 0) | (labels >= known)] if integers else labels
        if len(wrong):
            raise ValueError(
                f"Labels must be integers from 0 to {known - 1}, the index of a name in "
                f"{self.label_names}. Received: {labels.dtype} labels, such as {wrong[0]!r}."
            )
        return labels.astype("int32")


def _are_strings(x: Any) -> bool:
    """Whether `x` holds texts, and not their ids."""
    if isinstance(x, str | bytes | list | tuple):
        return True
    dtype = getattr(x, "dtype", None)
    return (
        getattr(dtype, "kind", None) in ("U", "S", "O") or getattr(dtype, "name", dtype) == "string"
    )


def _array(labels: Any) -> Any:
    """A list of labels as an array, which Keras wants beside an array of ids."""
    return np.asarray(labels) if isinstance(labels, list | tuple) else labels
