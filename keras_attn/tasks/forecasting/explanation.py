"""Explanations of forecasts by attention and occlusion.

Attention shows which patches of the history the blocks attended to, but not whether that determines
the forecast. Occlusion measures the effect: by how much the forecast decreases if a segment of the
history is missing (Zeiler and Fergus, arXiv:1311.2901).
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn._names import unknown
from keras_attn._printable import printable
from keras_attn.layers import TransformerEncoderBlock
from keras_attn.models import SeriesPatches
from keras_attn.tasks._agreement import format_agreement, rank_correlation
from keras_attn.tasks._figures import new_figure
from keras_attn.tasks._plotted import Plotted
from keras_attn.tasks.forecasting.answers import Forecast

if TYPE_CHECKING:
    from rich.console import RenderableType

    from keras_attn.tasks.forecasting.forecaster import Forecaster

SEGMENTS = 48  # largest number of segments of the history that are left out in turn
SHADES = " ▁▂▃▄▅▆▇█"


@dataclasses.dataclass(frozen=True, eq=False)
class ForecastExplanation(Plotted):
    """Where a forecast of one variable attended, and which of the history it depends on.

    Attributes:
        variable: The explained variable.
        forecast: The forecast of all variables.
        segments: Integer array `(S, 2)`: the first row of each segment of the history, and the row
            after its last; they cover the history without overlap, oldest first.
        occlusion: Float array `(S, H)`: decrease of the mean of each step when the rows of that
            segment are missing, in the units of the variable. Positive where they raise it.
        patches: Integer array `(P, 2)`: the rows of each patch, in the same form; patches may
            overlap.
        attention: For each block of the network, by name, a float array `(P,)`: the attention
            weight of each patch, averaged over heads and queries. Empty without attention.
    """

    variable: str
    forecast: Forecast
    segments: np.ndarray
    occlusion: np.ndarray
    patches: np.ndarray
    attention: dict[str, np.ndarray]

    @property
    def importance(self) -> np.ndarray:
        """The mean absolute change of the forecast without each segment, float `(S,)`."""
        return np.abs(self.occlusion).mean(axis=1)

    @property
    def agreement(self) -> dict[str, float | None]:
        """Spearman's rank correlation of the attention of each block with `importance`.

        The weight of a patch is split equally over its rows, and the weights of rows are summed
        over segments. None if either is the same everywhere.
        """
        agreement = {}
        for name, weights in self.attention.items():
            rows = np.zeros(len(self.forecast.history))
            for (start, end), weight in zip(self.patches, weights, strict=True):
                inside = slice(max(0, start), end)
                rows[inside] += weight / max(1, len(rows[inside]))
            sums = np.add.reduceat(rows, self.segments[:, 0])
            agreement[name] = rank_correlation(sums, self.importance)
        return agreement

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation with the forecast as a dictionary that can be written as JSON."""
        return {
            "variable": self.variable,
            "forecast": self.forecast.to_dict(),
            "segments": self.segments.tolist(),
            "occlusion": self.occlusion.tolist(),
            "patches": self.patches.tolist(),
            "attention": {name: weights.tolist() for name, weights in self.attention.items()},
            "agreement": self.agreement,
        }

    def plot(self) -> Any:
        """Return a matplotlib `Figure`: history and forecast, attention, occlusion.

        It needs matplotlib: `pip install 'keras-attn[plots]'`.
        """
        figure = new_figure(9.5, 7.0)
        top, middle, bottom = figure.subplots(3, 1, height_ratios=[3, 2, 3])
        self.forecast.draw(top, self.variable, len(self.forecast.history))
        top.legend(loc="upper left", fontsize="small")
        rows = len(self.forecast.history)
        for name, weights in self.attention.items():
            places = self.patches.mean(axis=1) - rows
            label = f"{name} (agreement {format_agreement(self.agreement[name])})"
            middle.plot(places, weights, marker=".", label=label)
        middle.set(xlim=(-rows, 0), xlabel="rows before the forecast", ylabel="attention weight")
        middle.set_title("Attention to each patch, mean over heads and queries", fontsize="medium")
        if self.attention:
            middle.legend(fontsize="small")
        largest = np.abs(self.occlusion).max() or 1.0
        image = bottom.pcolormesh(
            np.append(self.segments[:, 0], rows) - rows,
            np.arange(self.occlusion.shape[1] + 1),
            self.occlusion.T,
            cmap="PuOr_r",
            vmin=-largest,
            vmax=largest,
        )
        bottom.set(
            xlabel="missing segment: rows before the forecast", ylabel="step of the forecast"
        )
        bottom.set_title(
            "Decrease of the forecast without each segment of the history", fontsize="medium"
        )
        figure.colorbar(image, ax=bottom).set_label(self.variable, parse_math=False)
        return figure

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable: bars for occlusion and attention, oldest first."""
        from rich.console import Group
        from rich.text import Text

        rows = len(self.forecast.history)
        lines = [
            Text(printable(self._heading()), style="bold"),
            Text(f"History of {rows} rows, oldest first. Change of forecast without each segment:"),
            Text(f"  {_bars(self.importance)}  at most {self.importance.max():.4g}"),
        ]
        for name, weights in self.attention.items():
            agreement = format_agreement(self.agreement[name])
            title = f"Attention to each patch in {name!r}; agreement with the above: {agreement}"
            lines.append(Text(title))
            lines.append(Text(f"  {_bars(weights)}  at most {weights.max():.3f}"))
        return Group(*lines)

    def _heading(self) -> str:
        return f"Forecast of {self.variable} for {len(self.forecast)} steps"


def explain_forecast(
    forecaster: "Forecaster", history: Any, variable: str | None
) -> ForecastExplanation:
    """Explain a forecast, see `Forecaster.explain`."""
    forecast = forecaster.forecast(history)
    variable = forecast.names[0] if variable is None else variable
    if variable not in forecast.names:
        raise ValueError(f"`variable`: {unknown('variable', variable, forecast.names)}")
    index, values = forecast.names.index(variable), forecast.history
    size = -(-len(values) // SEGMENTS)
    starts = np.arange(0, len(values), size)
    segments = np.stack([starts, np.append(starts[1:], len(values))], axis=1)
    windows = np.repeat(values[None], len(segments), axis=0)
    for window, (start, end) in zip(windows, segments, strict=True):
        window[start:end] = np.nan
    inputs: Any = windows
    if forecaster.reads_time:
        assert forecast.history_times is not None
        times = forecast.history_times[-1:].astype("int64")
        inputs = {"values": windows, "times": np.repeat(times, len(windows))}
    occluded = forecaster.predict(inputs, batch_size=64, verbose=0)[:, :, index, 0]
    one = keras.tree.map_structure(lambda array: array[:1], inputs)
    one = {**one, "values": values[None]} if forecaster.reads_time else values[None]
    patches, attention = _attention(forecaster, one, index)
    return ForecastExplanation(
        variable, forecast, segments, forecast.mean[:, index] - occluded, patches, attention
    )


def _attention(
    forecaster: "Forecaster", history: Any, index: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the rows of each patch, and the attention that each gets in each block.

    Args:
        forecaster: The model.
        history: The history `(1, L, V)`, with its time if the network reads it.
        index: Index of the variable.
    """
    network = forecaster.network
    cuts = [layer for layer in network.layers if isinstance(layer, SeriesPatches)]
    patches = np.zeros((0, 2), "int64")
    if cuts:
        rows = cuts[0].rows(forecaster.history_length)
        patches = np.stack([rows[:, 0], rows[:, -1] + 1], axis=1)
    blocks = [layer for layer in network.layers if isinstance(layer, TransformerEncoderBlock)]
    if not blocks:
        return patches, {}
    # Each block reads tokens and their padding mask.
    probe = keras.Model(network.input, [tensor for block in blocks for tensor in block.input])
    tensors = probe(forecaster.preprocess_inputs(history), training=False)
    attention = {}
    for number, block in enumerate(blocks):
        x, padding_mask = tensors[2 * number : 2 * number + 2]
        _, scores = block(x, padding_mask=padding_mask, return_attention_scores=True)
        # Rows of the batch are the variables, or the window as a whole.
        row = index if len(scores) == forecaster.num_variables else 0
        scores = keras.ops.convert_to_numpy(scores)[row]
        # Tokens after those of the history are of the forecast itself.
        attention[block.name] = scores.mean(axis=(0, 1))[: len(patches)]
    return patches, attention


def _bars(values: np.ndarray) -> str:
    """Return a bar for each value, as characters.

    Example:

    >>> _bars(np.array([0.0, 1.0, 2.0]))
    ' ▄█'
    """
    largest = values.max() or 1.0
    return "".join(SHADES[round((len(SHADES) - 1) * max(0.0, each / largest))] for each in values)
