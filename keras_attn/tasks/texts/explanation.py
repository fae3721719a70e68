"""Why a text got its answer: where attention lies, and what really moved the answer.

Attention weights tell where a network looked. Whether that is why it answered as it did is
another matter (Jain and Wallace, NAACL 2019; Wiegreffe and Pinter, EMNLP 2019), and so they
are given beside two measures of effect, with how well they agree.
"""

import dataclasses
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn import models
from keras_attn._names import unknown
from keras_attn._types import Tensor
from keras_attn.layers import NGramEmbedding
from keras_attn.tasks.classification import Classification
from keras_attn.tasks.texts import _rendering

if TYPE_CHECKING:
    from rich.console import RenderableType

    from keras_attn.tasks.texts.classifier import TextClassifier

ROWS = 32  # texts at a time of those that lack a word

# What was traced for a classifier; an attribute of it would go into its exports.
_traced: weakref.WeakKeyDictionary[Any, Callable[..., Any]] = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True, eq=False)
class TextExplanation:
    """What each word of a text has to do with one label.

    The log-odds of a label are its logit less the logarithm of the sum of the others'
    exponentials: the logarithm of its probability over that of all others. What an n-gram
    of several words gets is split evenly over them.

    Notebooks show it, and so does `rich.print`.

    Attributes:
        label: the label that is explained.
        answer: the classifier's answer.
        tokens: the `T` words of the text as the network reads them, see
            `keras_attn.text.NGramEncoder.words`; a long text is shortened.
        attention: float array `(T,)`, the weights of the network's pooling layer
            `"attention"`, the mean over heads; they sum to 1 for `softmax`. None if it has
            none, or one over other positions than the words or their n-grams.
        gradient_times_input: float array `(T,)`, the gradient of the label's log-odds with
            respect to the features of `keras_attn.layers.NGramEmbedding`, times them, summed.
        leave_one_out: float array `(T,)`, the label's log-odds less those of the text
            without that word; above 0 where the word speaks for the label.
    """

    label: str
    answer: Classification
    tokens: tuple[str, ...]
    attention: np.ndarray | None
    gradient_times_input: np.ndarray
    leave_one_out: np.ndarray

    @property
    def agreement(self) -> dict[str, float | None]:
        """Spearman's rank correlation of each with the size of `leave_one_out`.

        Of `attention`, and of the size of `gradient_times_input`; None where one is the
        same for all words, or not there.
        """
        effect = np.abs(self.leave_one_out)
        return {
            "attention": None
            if self.attention is None
            else rank_correlation(self.attention, effect),
            "gradient_times_input": rank_correlation(np.abs(self.gradient_times_input), effect),
        }

    def to_dict(self) -> dict[str, Any]:
        """The explanation as what JSON holds."""
        return {
            "label": self.label,
            "answer": self.answer._asdict(),
            "tokens": list(self.tokens),
            "attention": None if self.attention is None else self.attention.tolist(),
            "gradient_times_input": self.gradient_times_input.tolist(),
            "leave_one_out": self.leave_one_out.tolist(),
            "agreement": self.agreement,
        }

    def to_html(self) -> str:
        """A snippet of HTML that needs no style sheet: a row a method."""
        return _rendering.html(self)

    def to_page(self) -> str:
        """The snippet in a whole page, for a file."""
        return _rendering.page(self)

    def to_rich(self) -> "RenderableType":
        """For terminals: a line a method, and the words that matter most with numbers."""
        return _rendering.terminal(self)

    _repr_html_ = to_html
    __rich__ = to_rich


def explain_text(
    classifier: "TextClassifier", text: str, label: str | None = None
) -> TextExplanation:
    """Explain a classifier's answer to a text; see `TextClassifier.explain`."""
    if not isinstance(text, str | bytes):
        raise TypeError(f"`explain` takes one text, a str. Received: {type(text).__name__}.")
    if label is not None and label not in classifier.label_names:
        raise ValueError(unknown("label", label, classifier.label_names))
    answer = classifier.classify(text)
    label = answer.label if label is None else label
    index = classifier.label_names.index(label)
    words = classifier.encoder.words([text]).values
    tokens = tuple(word.decode() for word in words.numpy())
    attention, gradient = _one_pass(classifier, words, index)
    return TextExplanation(
        label, answer, tokens, attention, gradient, _leave_one_out(classifier, words, index)
    )


def over_words(weights: np.ndarray) -> np.ndarray:
    """Weights of n-grams `(T, G)`, the order `g + 1` at `g`, split evenly over their words.

    Example:

    >>> over_words(np.array([[1.0, 4.0], [0.0, 0.0], [0.0, 2.0]]))  # the last pair has one word
    array([3., 2., 2.])
    """
    length, orders = weights.shape
    left = np.arange(length, 0, -1)
    words = np.zeros(length)
    for order in range(1, orders + 1):
        share = weights[:, order - 1] / np.minimum(order, left)
        for offset in range(min(order, length)):
            words[offset:] += share[: length - offset]
    return words


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None if either is constant.

    What differs by rounding alone counts as constant.

    Example:

    >>> rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3]))
    1.0
    """
    for values in (first, second):
        if len(values) < 2 or np.ptp(values) <= 1e-6 * np.abs(values).max():
            return None
    ranks = [_mean_ranks(values) for values in (first, second)]
    first, second = (values - values.mean() for values in ranks)
    cosine = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    return round(float(cosine), 12)


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]


def _one_pass(
    classifier: "TextClassifier", words: Tensor, index: int
) -> tuple[np.ndarray | None, np.ndarray]:
    """Attention and gradient times input of each word."""
    length, orders = len(words), len(classifier.encoder.orders)
    if classifier not in _traced:
        _traced[classifier] = _traced_pass(classifier.network, classifier.temperature, orders)
    ids = classifier.encoder.dense(classifier.encoder.lookup(_rows(words[None])))
    scores, contributions = _traced[classifier](ids, index)
    gradient = over_words(contributions.numpy()[:length].astype("float64"))
    positions = ids.shape[1]
    if scores is None or scores.shape[-1] not in (positions, positions * orders):
        return None, gradient
    # Orders are innermost where each n-gram is a position of its own.
    weights = scores.numpy().astype("float64").reshape(-1, scores.shape[-1]).mean(axis=0)
    return over_words(weights.reshape(positions, -1)[:length]), gradient


def _traced_pass(network: keras.Model, temperature: Any, orders: int) -> Callable[..., Any]:
    """A function of ids `(1, T, G)` and a label's index, traced once for all lengths.

    It gives the attention scores, or None, and gradient times input `(T, G)`.
    """
    import tensorflow as tf

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
            # Features are of the tables alone; a tape records them if it watches these,
            # and would not do so by itself for tables that are frozen.
            for layer in embeddings:
                tape.watch([table.value for table in layer.variables])
            found = model(ids, training=False)
            logits = tf.cast(found["logits"][0], tf.float32) / temperature
            others = tf.where(tf.range(len(logits)) == index, -np.inf, logits)
            log_odds = logits[index] - tf.reduce_logsumexp(others)
        gradients = tape.gradient(log_odds, found["features"])
        contributions = sum(
            _per_order(layer, gradient * features, orders)
            for layer, gradient, features in zip(
                embeddings, gradients, found["features"], strict=True
            )
        )
        if pooling is None:
            return None, contributions
        inputs, *mask = keras.tree.flatten(found["pooled"])
        padding = mask[0] if mask else None
        _, scores = pooling(inputs, padding_mask=padding, return_attention_scores=True)
        return tf.cast(scores, tf.float32), contributions

    return one_pass


def _per_order(layer: NGramEmbedding, products: Tensor, orders: int) -> Tensor:
    """The sums over the features of each order: `(1, T, F)` to float32 `(T, G)`."""
    import tensorflow as tf

    parts = tf.split(tf.cast(products, tf.float32)[0], layer.widths, axis=-1)
    parts += [tf.zeros_like(parts[0])] * (orders - len(parts))  # it knows words alone
    return tf.stack([tf.reduce_sum(part, axis=-1) for part in parts], axis=-1)


def _leave_one_out(classifier: "TextClassifier", words: Tensor, index: int) -> np.ndarray:
    """The label's log-odds less those of the text without each word."""
    import tensorflow as tf

    length = len(words)
    whole = _log_odds(classifier, words[None], index)
    kept = np.arange(length - 1)
    without = []
    for start in range(0, length, ROWS):
        left_out = np.arange(start, min(start + ROWS, length))[:, None]
        rows = tf.gather(words, kept + (kept >= left_out))
        without.append(_log_odds(classifier, rows, index))
    return whole - np.concatenate([np.zeros(0), *without])


def _log_odds(classifier: "TextClassifier", words: Tensor, index: int) -> np.ndarray:
    """The log-odds of a label for texts of equally many words `(B, T)`."""
    encoder = classifier.encoder
    # As `classify` does: a compiled call, for a recurrent network is slow without.
    logits = classifier.predict_on_batch(encoder.dense(encoder.lookup(_rows(words))))
    logits = np.asarray(logits, "float64")
    others = np.delete(logits, index, axis=-1)
    return logits[:, index] - np.logaddexp.reduce(others, axis=-1)


def _rows(words: Tensor) -> Tensor:
    """Words `(B, T)` as a ragged tensor, which may be of no words."""
    import tensorflow as tf

    rows, length = words.shape
    return tf.RaggedTensor.from_row_lengths(tf.reshape(words, [-1]), [length] * rows)
