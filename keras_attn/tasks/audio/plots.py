"""Plots of spectrograms and of the attention over them.

They need matplotlib: `pip install 'keras-attn[plots]'`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn.tasks._agreement import format_agreement
from keras_attn.tasks._display import AGAINST, ATTENTION, FOR
from keras_attn.tasks._figures import new_figure
from keras_attn.tasks._report_tables import short_name

if TYPE_CHECKING:
    from keras_attn.tasks.audio.explanation import AudioExplanation

PICTURE_SCALE = 3  # pixels of a cell of the spectrogram in a picture
# Corners of the colors of a picture, dark to bright.
_COLORS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)])


def plot_explanation(explanation: "AudioExplanation") -> Any:
    """Plot the parts of an explanation over time, see `AudioExplanation.plot`."""
    agreement = {name: format_agreement(value) for name, value in explanation.agreement.items()}
    heights = [2.4, *[0.8] * len(explanation.attention), 1.0, 1.0]
    figure = new_figure(7.2, 1.4 + sum(heights))
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    seconds = len(explanation.spectrogram) * explanation.frame_seconds  # drawn
    bands = explanation.spectrogram.shape[1]
    image = axes[0].imshow(
        explanation.spectrogram.T,
        origin="lower",
        aspect="auto",
        extent=(0.0, seconds, 0.0, float(bands)),
        cmap="inferno",
    )
    figure.colorbar(image, ax=axes[0], label="decibels")
    axes[0].set_ylabel("mel filter")
    title = f"Answer: {short_name(explanation.answer.label)} ({explanation.answer.score:.2f})"
    axes[0].set_title(title, fontsize="medium", parse_math=False)
    for axis, (name, weights) in zip(axes[1:-2], explanation.attention.items(), strict=True):
        step = seconds / len(weights)
        places = step * (np.arange(len(weights)) + 0.5)
        axis.bar(places, weights, width=step, color=_rgb(ATTENTION))
        title = f"{name}\nagreement {agreement[name]}"
        axis.set_ylabel(title, rotation=0, ha="right", va="center", parse_math=False)
        axis.set_yticks([])
    axes[1 if explanation.attention else 0].set_xlim(0.0, seconds)
    step = explanation.segment_seconds
    starts = step * np.arange(len(explanation.occlusion))
    widths = np.minimum(step, seconds - starts)
    gradient = f"gradient\nagreement {agreement['gradient_times_input']}"
    signed = [(gradient, explanation.gradient_times_input)]
    signed.append(("decrease of\nlog-odds", explanation.occlusion))
    for axis, (title, values) in zip(axes[-2:], signed, strict=True):
        colors = [_rgb(FOR if value > 0 else AGAINST) for value in values]
        axis.bar(starts, values, width=widths, align="edge", color=colors)
        axis.axhline(0.0, color="black", linewidth=0.8)
        axis.set_ylabel(title, rotation=0, ha="right", va="center")
    label = short_name(explanation.label)
    axes[-1].set_xlabel(
        f"seconds; below: evidence for {label} (purple), against it (orange)", parse_math=False
    )
    return figure


def spectrogram_picture(decibels: np.ndarray) -> np.ndarray:
    """Return a spectrogram as a picture, low frequencies at the bottom. It needs no matplotlib.

    Args:
        decibels: Float array `(T, M)`.

    Returns:
        Uint8 array `(3 * M, 3 * T, 3)`.

    Example:

    >>> spectrogram_picture(np.array([[-50.0, 0.0]]))[[0, -1], 0].tolist()
    [[252, 255, 164], [0, 0, 4]]
    """
    low, high = float(decibels.min()), float(decibels.max())
    share = (decibels.T[::-1] - low) / max(high - low, 1e-6) * (len(_COLORS) - 1)
    corner = np.minimum(share.astype(int), len(_COLORS) - 2)
    weight = (share - corner)[..., None]
    colors = _COLORS[corner] * (1 - weight) + _COLORS[corner + 1] * weight
    picture = colors.round().astype("uint8")
    return picture.repeat(PICTURE_SCALE, axis=0).repeat(PICTURE_SCALE, axis=1)


def _rgb(color: tuple[int, int, int]) -> tuple[float, ...]:
    return tuple(channel / 255 for channel in color)
