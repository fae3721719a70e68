"""Explanations of audio classifiers by attention over time, gradient and occlusion.

Attention shows when a network attends, but not whether that determines its answer. Occlusion
measures the effect on the answer: by how much the log-odds of a label decrease when the frames of a
segment are hidden (Zeiler and Fergus, arXiv:1311.2901).
"""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_attn import models
from keras_attn._names import unknown
from keras_attn._printable import printable
from keras_attn._types import Tensor
from keras_attn.layers import TransformerEncoderBlock
from keras_attn.tasks._agreement import (
    average_over_cells,
    cell_edges,
    format_agreement,
    rank_correlation,
)
from keras_attn.tasks._display import AGAINST, ATTENTION, FOR, Color, rgb
from keras_attn.tasks._gradient import gradient, log_odds_in_graph
from keras_attn.tasks._plotted import PlottedExplanation, log_odds
from keras_attn.tasks.audio.plots import plot_explanation, spectrogram_picture
from keras_attn.tasks.calibration import softmax
from keras_attn.tasks.classification import Classification, classification_answers
from keras_attn.tasks.deletion_insertion import ExplainedInput, deletion_insertion_curves

if TYPE_CHECKING:
    from rich.console import RenderableType

    from keras_attn.tasks.audio.classifier import AudioClassifier

BATCH = 128  # versions of a sound
COLUMNS = 80  # of a printed explanation
BARS = " ▁▂▃▄▅▆▇█"


@dataclasses.dataclass(frozen=True, eq=False)
class AudioExplanation(PlottedExplanation):
    """The spectrogram of a sound, the attention over it, and the effect of each segment.

    Attributes:
        label: The explained label.
        answer: The classifier's answer.
        seconds: The duration of the sound, without zeros at its end.
        spectrogram: Float array `(T, M)`, decibels below the loudest frame.
        frame_seconds: Distance of two frames.
        occlusion: Float array `(S,)`: decrease of the log-odds of the label when the frames of a
            segment are hidden. Positive where the segment is evidence for the label.
        gradient_times_input: Float array `(S,)`: the gradient of the log-odds with respect to the
            features of a segment's frames, multiplied by the features, in sum. It estimates
            `occlusion`, whose hidden frames are 0.
        segment_seconds: Length of a segment; the last may be shorter.
        attention: For each layer that attends over time, by name, a float array `(P,)`: the
            attention weight of each position, averaged over heads and queries. The last is that of
            the pooling, on which the answer rests. Positions are equally spaced over the sound.
            Empty if the network has no such layer.
    """

    label: str
    answer: Classification
    seconds: float
    spectrogram: np.ndarray
    frame_seconds: float
    occlusion: np.ndarray
    gradient_times_input: np.ndarray
    segment_seconds: float
    attention: dict[str, np.ndarray]

    @property
    def agreement(self) -> dict[str, float | None]:
        """Spearman's rank correlation of each other method with occlusion, over the segments.

        `gradient_times_input` is compared with `occlusion`; the attention of each layer, which has
        no sign, with its absolute value. None if either is the same everywhere.
        """
        values = self.value_per_segment()
        effect = values.pop("occlusion")
        return {
            name: rank_correlation(
                each, effect if name == "gradient_times_input" else np.abs(effect)
            )
            for name, each in values.items()
        }

    def value_per_segment(self) -> dict[str, np.ndarray]:
        """Return the value of each segment by each method, `(S,)`; the mean of attention."""
        frames = len(self.spectrogram)
        edges = cell_edges(round(self.segment_seconds / self.frame_seconds), frames)
        return {
            "occlusion": self.occlusion,
            "gradient_times_input": self.gradient_times_input,
            **{
                name: average_over_cells(weights, edges) for name, weights in self.attention.items()
            },
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation without the spectrogram, to be written as JSON."""
        return {
            "label": self.label,
            "answer": self.answer.to_dict(),
            "seconds": self.seconds,
            "segment_seconds": self.segment_seconds,
            "occlusion": self.occlusion.tolist(),
            "gradient_times_input": self.gradient_times_input.tolist(),
            "attention": {name: weights.tolist() for name, weights in self.attention.items()},
            "agreement": self.agreement,
        }

    def plot(self) -> Any:
        """Return a matplotlib `Figure`: the spectrogram, over it the attention, then occlusion.

        It needs matplotlib: `pip install 'keras-attn[plots]'`.
        """
        return plot_explanation(self)

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable: bars over time."""
        from rich.console import Group
        from rich.text import Text

        lines: list[RenderableType] = [Text(printable(self._heading()), style="bold")]
        lines.append(Text(f"{self.seconds:.2f} seconds, from left to right"))
        energy = np.maximum(self.spectrogram.max(axis=1) - self.spectrogram.min(), 0.0)
        lines += [Text("Loudness"), _bars(energy, (128, 128, 128))]
        agreement = {name: format_agreement(value) for name, value in self.agreement.items()}
        for name, weights in self.attention.items():
            title = f"Attention in layer {name!r}; agreement with occlusion: {agreement[name]}"
            lines += [Text(title), _bars(weights, ATTENTION)]
        lines.append(
            Text.assemble(
                "Change of log-odds without each segment: evidence ",
                ("for", rgb(FOR)),
                f" {printable(self.label)!r} and, in the line below, ",
                ("against", rgb(AGAINST)),
                " it",
            )
        )
        lines += _signed_bars(self.occlusion)
        name = "gradient_times_input"
        lines.append(Text(f"The same, estimated by the gradient; agreement: {agreement[name]}"))
        lines += _signed_bars(self.gradient_times_input)
        return Group(*lines)


def explain_waveform(
    classifier: "AudioClassifier",
    samples: np.ndarray,
    label: str | None = None,
    segment_seconds: float = 0.05,
) -> AudioExplanation:
    """Explain a classifier's answer for samples `(n,)` at its rate, see `explain`."""
    if label is not None and label not in classifier.label_names:
        raise ValueError(unknown("label", label, classifier.label_names))
    spectrogram = classifier.spectrogram
    frame_seconds = spectrogram.sequence_stride / spectrogram.sampling_rate
    number = isinstance(segment_seconds, int | float) and not isinstance(segment_seconds, bool)
    if not number or not segment_seconds >= frame_seconds:
        raise ValueError(
            f"`segment_seconds` must be at least {frame_seconds:g}, the distance of two frames. "
            f"Received: {segment_seconds!r}."
        )
    features = _features(classifier, samples)
    used = features.shape[1]
    size = max(1, round(segment_seconds / frame_seconds))
    segments = -(-used // size)
    present = ~np.eye(segments, dtype=bool)  # each segment is left out in turn
    present = np.concatenate([np.ones((1, segments), bool), present])
    logits = _logits_of_segments(classifier, features, size, present)
    temperature = float(ops.convert_to_numpy(classifier.temperature))
    (answer,) = classification_answers(classifier.label_names, softmax(logits[:1]))
    label = answer.label if label is None else label
    index = classifier.label_names.index(label)
    odds = log_odds(logits, index)
    products = features[0] * _slopes(classifier.network, features, index, temperature)[0]
    return AudioExplanation(
        label,
        answer,
        len(samples) / classifier.rate,
        _decibels(classifier, samples)[:used],
        frame_seconds,
        odds[0] - odds[1:],
        np.add.reduceat(products.sum(axis=1, dtype="float64"), np.arange(0, used, size)),
        size * frame_seconds,
        attention_over_time(classifier.network, features),
    )


def explanation_curves(
    classifier: "AudioClassifier", sounds: Iterable[np.ndarray]
) -> dict[str, Any]:
    """Return deletion and insertion curves for sounds, see `Task.explanation_curves`.

    The parts are the segments of `occlusion`, and the label is that of the answer.

    Args:
        classifier: The classifier.
        sounds: The samples of each, `(n,)` at the classifier's rate.
    """

    def explained(samples: np.ndarray) -> ExplainedInput:
        explanation = explain_waveform(classifier, samples)
        features = _features(classifier, samples)
        size = round(explanation.segment_seconds / explanation.frame_seconds)
        index = classifier.label_names.index(explanation.label)

        def probabilities(present: np.ndarray) -> np.ndarray:
            logits = _logits_of_segments(classifier, features, size, present)
            return softmax(logits)[:, index]

        return ExplainedInput(explanation.value_per_segment(), probabilities, explanation.agreement)

    return deletion_insertion_curves(explained(samples) for samples in sounds)


def _features(classifier: "AudioClassifier", samples: np.ndarray) -> np.ndarray:
    """Return the features `(1, T, M)` of samples, without padding."""
    features = ops.convert_to_numpy(classifier.spectrogram(samples[None]))
    return features[:, : int(features.any(axis=(0, 2)).sum())]


def _logits_of_segments(
    classifier: "AudioClassifier", features: np.ndarray, size: int, present: np.ndarray
) -> np.ndarray:
    """Return the calibrated logits `(N, C)` of a sound with only some of its segments.

    Args:
        classifier: The classifier.
        features: Float array `(1, T, M)`.
        size: Frames of a segment.
        present: Boolean array `(N, S)`. The frames of the other segments are 0, as padding is.
    """
    frames = present.repeat(size, axis=1)[:, : features.shape[1], None]
    temperature = float(ops.convert_to_numpy(classifier.temperature))
    parts = []
    for start in range(0, len(frames), BATCH):
        versions = np.where(frames[start : start + BATCH], features, np.float32(0.0))
        parts.append(ops.convert_to_numpy(classifier.network(versions, training=False)))
    return np.concatenate(parts).astype("float64") / temperature


def _slopes(
    network: keras.Model, features: np.ndarray, index: int, temperature: float
) -> np.ndarray:
    """Return the gradient of the calibrated log-odds of a label, `(1, T, M)`."""

    def function(x: Tensor) -> Tensor:
        return log_odds_in_graph(network(x, training=False)[0] / temperature, index)

    return gradient(function, features)


def attention_over_time(network: keras.Model, features: np.ndarray) -> dict[str, np.ndarray]:
    """Return the attention weight of each position, by the name of each layer that attends.

    Args:
        network: A functional model whose `TransformerEncoderBlock`s and pooling attend over time.
        features: Float array `(1, T, M)` without padding.

    Returns:
        Float arrays `(P,)`, averaged over heads and queries, first layer to last.

    Example:

    >>> network = models.build("keyword_attention")
    >>> attention = attention_over_time(network, np.ones((1, 30, 40), "float32"))
    >>> {name: weights.shape for name, weights in attention.items()}
    {'block_1': (15,), 'block_2': (15,), 'attention': (15,)}
    """
    layers = [each for each in network.layers if isinstance(each, TransformerEncoderBlock)]
    if (pooling := models.attention_pooling(network)) is not None:
        layers.append(pooling)
    if not layers:
        return {}
    inputs = {layer.name: layer.input for layer in layers}
    values = keras.Model(network.input, inputs)(features)
    result = {}
    for layer in layers:
        x, *masks = keras.tree.flatten(values[layer.name])
        padding_mask = masks[0] if masks else None
        _, scores = layer(x, padding_mask=padding_mask, return_attention_scores=True)
        weights = ops.convert_to_numpy(ops.cast(scores, "float32"))[0]
        result[layer.name] = weights.reshape(-1, weights.shape[-1]).mean(axis=0)
    return result


def picture_of(classifier: "AudioClassifier", samples: np.ndarray) -> np.ndarray:
    """Return the spectrogram of samples `(n,)` as a picture, uint8 `(H, W, 3)`."""
    return spectrogram_picture(_decibels(classifier, samples))


def _decibels(classifier: "AudioClassifier", samples: np.ndarray) -> np.ndarray:
    """Return the spectrogram `(T, M)` of samples before normalization."""
    decibels, _ = classifier.spectrogram.decibels(ops.convert_to_tensor(samples[None], "float32"))
    return ops.convert_to_numpy(decibels)[0]


def _signed_bars(values: np.ndarray) -> "list[RenderableType]":
    """Return two lines of bars: the values above 0, and those below."""
    scale = float(np.abs(values).max(initial=0.0))
    return [
        _bars(np.maximum(values, 0.0), FOR, scale),
        _bars(np.maximum(-values, 0.0), AGAINST, scale),
    ]


def _bars(values: np.ndarray, color: Color, scale: float | None = None) -> "RenderableType":
    """Return values over time as a line of bars."""
    from rich.text import Text

    largest = (float(values.max(initial=0.0)) if scale is None else scale) or 1.0
    places = (np.arange(COLUMNS) * len(values)) // COLUMNS
    bars = "".join(
        BARS[min(len(BARS) - 1, round((len(BARS) - 1) * float(value) / largest))]
        for value in values[places]
    )
    return Text(f"  {bars}", rgb(color))
