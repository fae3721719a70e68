"""Explanations of text classifiers by attention, gradient and leave-one-out.

Attention weights show where a network attends, but not whether that determines its answer (Jain
and Wallace, NAACL 2019; Wiegreffe and Pinter, EMNLP 2019). They are therefore reported together
with two measures of effect, and with their rank correlation.
"""

import dataclasses
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn import models
from keras_attn._names import unknown
from keras_attn._types import Tensor
from keras_attn.layers import NGramEmbedding
from keras_attn.tasks._agreement import rank_correlation
from keras_attn.tasks._display import Displayed
from keras_attn.tasks.deletion_insertion import ExplainedInput, deletion_insertion_curves
from keras_attn.tasks.texts import _rendering
from keras_attn.tasks.texts.answers import MultiLabelTextClassification, TextClassification
from keras_attn.tasks.texts.plots import plot_explanation

if TYPE_CHECKING:
    from rich.console import RenderableType

    from keras_attn.tasks.texts.classifier import TextClassifier

ROWS = 32  # texts in a batch of leave-one-out
MIN_RANKED = 3  # words of which a rank correlation is reported

# Traced functions by classifier, with the ids of the variables that they read. An attribute of the
# classifier would become part of its exports.
_traced: weakref.WeakKeyDictionary[Any, tuple[list[int], Callable[..., Any]]]
_traced = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True, eq=False)
class TextExplanation(Displayed):
    """Attention weight and effect of each word of a text for one label.

    The log-odds of a label are the logarithm of its probability over the sum of all other
    probabilities; where a text may have several labels, over the probability that it does not have
    this one. The value of an n-gram of several words is split evenly over its words.

    Notebooks and `print` can display the explanation.

    Attributes:
        label: The explained label.
        answer: The classifier's answer, a `MultiLabelTextClassification` where a text may have
            several labels.
        tokens: The `T` words of the text that the network reads, see
            `keras_attn.text.NGramEncoder.words`. Long texts are shortened.
        attention: Float array `(T,)`, the weights of the network's pooling layer `"attention"`,
            averaged over heads; they sum to 1 for `softmax`. None if the network has no such
            layer, or if the layer's positions are neither words nor n-grams.
        gradient_times_input: Float array `(T,)`, the gradient of the label's log-odds with
            respect to the features of `keras_attn.layers.NGramEmbedding`, multiplied by the
            features and summed over them.
        leave_one_out: Float array `(T,)`, the label's log-odds minus those of the text without
            the word. Positive where the word is evidence for the label.
        known: For each word, whether it is in the vocabulary.
    """

    label: str
    answer: TextClassification | MultiLabelTextClassification
    tokens: tuple[str, ...]
    attention: np.ndarray | None
    gradient_times_input: np.ndarray
    leave_one_out: np.ndarray
    known: tuple[bool, ...]

    @property
    def agreement(self) -> dict[str, float | None]:
        """Spearman's rank correlation with the absolute value of `leave_one_out`.

        It is computed for `attention` and for the absolute value of `gradient_times_input`, over
        the known words. It is None if there is no attention, if either array is constant, or if
        fewer than `MIN_RANKED` words are known: an order of one or two words says nothing.
        """
        known = np.array(self.known, bool)
        effect = np.abs(self.leave_one_out)[known]
        methods = {
            "attention": self.attention,
            "gradient_times_input": np.abs(self.gradient_times_input),
        }
        return {
            name: None
            if values is None or known.sum() < MIN_RANKED
            else rank_correlation(values[known], effect)
            for name, values in methods.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as a dictionary that can be written as JSON."""
        return {
            "label": self.label,
            "answer": self.answer.to_dict(),
            "tokens": list(self.tokens),
            "known": list(self.known),
            "attention": None if self.attention is None else self.attention.tolist(),
            "gradient_times_input": self.gradient_times_input.tolist(),
            "leave_one_out": self.leave_one_out.tolist(),
            "agreement": self.agreement,
        }

    def plot(self) -> Any:
        """Return a matplotlib `Figure`: for each word, a bar in a panel for each method.

        Long texts are shown by the words with the largest effect on the log-odds, in the order of
        the text. For scripts that matplotlib's default font lacks, such as Chinese, set
        `matplotlib.rcParams["font.family"]`. It needs `pip install 'keras-attn[plots]'`.
        """
        return plot_explanation(self)

    def to_html(self) -> str:
        """Return an HTML snippet with a row for each method, which needs no style sheet."""
        return _rendering.html(self)

    def to_page(self) -> str:
        """Return a complete HTML page."""
        return _rendering.page(self)

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable: a line for each method, and a table of the top words."""
        return _rendering.terminal(self)

    _repr_html_ = to_html


def explain_text(
    classifier: "TextClassifier", text: str, label: str | None = None
) -> TextExplanation:
    """Explain a classifier's answer for a text, see `TextClassifier.explain`."""
    if not isinstance(text, str | bytes):
        raise TypeError(f"`explain` takes one text, a str. Received: {type(text).__name__}.")
    if label is not None and label not in classifier.label_names:
        raise ValueError(unknown("label", label, classifier.label_names))
    answer = classifier.classify(text)
    if label is None:
        label = max(answer.probabilities, key=lambda name: answer.probabilities[name])
    index = classifier.label_names.index(label)
    words = classifier.encoder.words([text]).values
    tokens = tuple(word.decode() for word in words.numpy())
    attention, gradient = _attention_and_gradient(classifier, words, index)
    effect = _leave_one_out(classifier, words, index)
    known = tuple(classifier.encoder.is_known(words).numpy().tolist())
    return TextExplanation(label, answer, tokens, attention, gradient, effect, known)


def explanation_curves(classifier: "TextClassifier", texts: Iterable[str]) -> dict[str, Any]:
    """Return deletion and insertion curves for texts, see `Task.explanation_curves`.

    The parts are words, and the label is that of the answer. Texts without words are left out.
    """

    def explained(text: str) -> ExplainedInput:
        explanation = explain_text(classifier, text)
        words = np.array([word.encode() for word in explanation.tokens], dtype=object)
        index = classifier.label_names.index(explanation.label)

        def probabilities(present: np.ndarray) -> np.ndarray:
            return _probabilities(classifier, [words[row] for row in present], index)

        scores = {
            "leave_one_out": explanation.leave_one_out,
            "gradient_times_input": explanation.gradient_times_input,
        }
        if explanation.attention is not None:
            scores["attention"] = explanation.attention
        return ExplainedInput(scores, probabilities, explanation.agreement)

    return deletion_insertion_curves(
        explained(text) for text in texts if len(classifier.encoder.words([text]).values)
    )


def _probabilities(
    classifier: "TextClassifier", texts: Sequence[np.ndarray], index: int
) -> np.ndarray:
    """Return the probability `(N,)` of a label for texts, each an array of words."""
    import tensorflow as tf

    order = np.argsort([len(words) for words in texts], kind="stable")
    result = np.zeros(len(texts))
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        words = tf.constant([word for row in rows for word in texts[row]], tf.string)
        ragged = tf.RaggedTensor.from_row_lengths(words, [len(texts[row]) for row in rows])
        result[rows] = 1.0 / (1.0 + np.exp(-_log_odds(classifier, ragged, index)))
    return result


def over_words(weights: np.ndarray) -> np.ndarray:
    """Split the weights of n-grams `(T, G)` evenly over their words, and return `(T,)`.

    Column `g` has the weights of the n-grams of `g + 1` words that start at each word.

    Example:

    >>> over_words(np.array([[1.0, 4.0], [0.0, 0.0], [0.0, 2.0]]))  # the last pair has one word
    array([3., 2., 2.])
    """
    length, orders = weights.shape
    remaining = np.arange(length, 0, -1)
    words = np.zeros(length)
    for order in range(1, orders + 1):
        share = weights[:, order - 1] / np.minimum(order, remaining)
        for offset in range(min(order, length)):
            words[offset:] += share[: length - offset]
    return words


def _attention_and_gradient(
    classifier: "TextClassifier", words: Tensor, index: int
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return attention, or None, and gradient times input of each word."""
    length, orders = len(words), len(classifier.encoder.orders)
    # A change of the variables, such as by `enable_lora` or `quantize`, needs a new graph.
    variables = list(map(id, classifier.network.variables))
    if classifier not in _traced or _traced[classifier][0] != variables:
        _traced[classifier] = variables, _trace_pass(classifier, orders)
    ids = classifier.encoder.dense(classifier.encoder.lookup(_rows(words[None])))
    scores, contributions = _traced[classifier][1](ids, index)
    gradient = over_words(contributions.numpy()[:length].astype("float64"))
    positions = ids.shape[1]
    if scores is None or scores.shape[-1] not in (positions, positions * orders):
        return None, gradient
    # If each n-gram is a position, orders are the innermost axis.
    weights = scores.numpy().astype("float64").reshape(-1, scores.shape[-1]).mean(axis=0)
    return over_words(weights.reshape(positions, -1)[:length]), gradient


def _trace_pass(classifier: "TextClassifier", orders: int) -> Callable[..., Any]:
    """Return a function of ids `(1, T, G)` and a label's index, traced once for all lengths.

    The function returns the attention scores, or None, and gradient times input `(T, G)`.
    """
    import tensorflow as tf

    # The traced function must not hold the classifier, whose key in `_traced` is weak.
    network, temperature = classifier.network, classifier.temperature
    multi_label = classifier.multi_label
    pooling = models.attention_pooling(network)
    embeddings = [layer for layer in network.layers if isinstance(layer, NGramEmbedding)]
    parts = {"features": [layer.output for layer in embeddings], "logits": network.output}
    if pooling is not None:
        parts["pooled"] = pooling.input
    model = keras.Model(network.inputs, parts)

    @tf.function(
        input_signature=[
            tf.TensorSpec((1, None, orders), tf.int32),
            tf.TensorSpec((), tf.int32),
        ]
    )
    def one_pass(ids: Tensor, index: Tensor) -> tuple[Tensor | None, Tensor]:
        with tf.GradientTape() as tape:
            # The gradient with respect to the features needs the tape to record them, which it
            # does if it watches the embedding tables. It does not watch frozen tables by itself.
            for layer in embeddings:
                tape.watch([v.value for v in layer.variables if v.dtype != "int8"])
            outputs = model(ids, training=False)
            logits = tf.cast(outputs["logits"][0], tf.float32) / temperature
            log_odds = logits[index]
            if not multi_label:
                others = tf.where(tf.range(len(logits)) == index, -np.inf, logits)
                log_odds -= tf.reduce_logsumexp(others)
        gradients = tape.gradient(log_odds, outputs["features"])
        contributions = sum(
            _per_order(layer, gradient * features, orders)
            for layer, gradient, features in zip(
                embeddings, gradients, outputs["features"], strict=True
            )
        )
        if pooling is None:
            return None, contributions
        inputs, *masks = keras.tree.flatten(outputs["pooled"])
        padding_mask = masks[0] if masks else None
        _, scores = pooling(inputs, padding_mask=padding_mask, return_attention_scores=True)
        return tf.cast(scores, tf.float32), contributions

    return one_pass


def _per_order(layer: NGramEmbedding, products: Tensor, orders: int) -> Tensor:
    """Sum over the features of each n-gram order: `(1, T, F)` to float32 `(T, G)`."""
    import tensorflow as tf

    parts = tf.split(tf.cast(products, tf.float32)[0], layer.widths, axis=-1)
    parts += [tf.zeros_like(parts[0])] * (orders - len(parts))  # the layer embeds only words
    return tf.stack([tf.reduce_sum(part, axis=-1) for part in parts], axis=-1)


def _leave_one_out(classifier: "TextClassifier", words: Tensor, index: int) -> np.ndarray:
    """Return the label's log-odds minus those of the text without each word."""
    import tensorflow as tf

    length = len(words)
    complete = _log_odds(classifier, _rows(words[None]), index)
    positions = np.arange(length - 1)
    ablated = []
    for start in range(0, length, ROWS):
        omitted = np.arange(start, min(start + ROWS, length))[:, None]
        rows = tf.gather(words, positions + (positions >= omitted))
        ablated.append(_log_odds(classifier, _rows(rows), index))
    return complete - np.concatenate([np.zeros(0), *ablated])


def _log_odds(classifier: "TextClassifier", words: Tensor, index: int) -> np.ndarray:
    """Return the log-odds `(B,)` of a label for texts, ragged words `(B, None)`."""
    encoder = classifier.encoder
    # Use the compiled call, as `classify` does: recurrent networks are slow without it.
    logits = classifier.predict_on_batch(encoder.dense(encoder.lookup(words)))
    logits = np.asarray(logits, "float64")
    if classifier.multi_label:
        return logits[:, index]
    others = np.delete(logits, index, axis=-1)
    return logits[:, index] - np.logaddexp.reduce(others, axis=-1)


def _rows(words: Tensor) -> Tensor:
    """Return words `(B, T)` as a ragged tensor. `T` may be 0."""
    import tensorflow as tf

    rows, length = words.shape
    return tf.RaggedTensor.from_row_lengths(tf.reshape(words, [-1]), [length] * rows)
