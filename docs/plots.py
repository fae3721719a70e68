"""Draw the figures of the site from recorded results.

    python docs/plots.py

`zoo_cifar.svg`: accuracy against parameters of the image entries, beside published models of the
same size that were trained from scratch without outside data. `attention_length.svg`: time and
memory of attention against length. `forecast_etth1.svg`: a forecast of an entry on real data, which
must be on disk, and what happened.
"""

import json
import pathlib
import statistics
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from keras_attn import datasets, zoo

PAGES = pathlib.Path(__file__).parent / "pages"
ATTENTION = PAGES.parent.parent / "benchmarks" / "results" / "attention_cpu.json"
plt.rcParams |= {"svg.hashsalt": "keras_attn", "svg.fonttype": "none", "font.size": 9}


class Peer(NamedTuple):
    """A published model: its name, parameters, and test accuracy in % on CIFAR-10 and CIFAR-100."""

    name: str
    parameters: float
    cifar10: float | None
    cifar100: float | None


# CCT and ViT-Lite: Hassani et al., arXiv:2104.05704, and the tables of their repository, 200
# epochs, CCT-7/3x1 300 epochs. SL-ViT: Lee et al., arXiv:2112.13492, and the tables of their
# repository. airbench: Jordan, arXiv:2404.00498, with 6 test-time views.
PEERS = (
    Peer("CCT-2/3x2", 0.28e6, 89.17, 66.90),
    Peer("CCT-4/3x2", 0.48e6, 91.45, 70.46),
    Peer("CCT-6/3x1", 3.17e6, 94.81, 76.71),
    Peer("CCT-7/3x1", 3.76e6, 96.53, 80.92),
    Peer("ViT-Lite-7/4", 3.72e6, 91.38, 69.75),
    Peer("SL-ViT", 2.8e6, 94.53, 76.92),
    Peer("airbench94 (no attention)", 1.97e6, 94.01, None),
)
SELF = {"name": "self", "batch": 1, "heads": 4, "head_dim": 64, "dtype": "float32"}
CANDIDATES = {
    "keras": ("keras.ops.dot_product_attention", "#546e7a", "o-"),
    "torch": ("PyTorch", "#7e57c2", "s-"),
    "full": ("keras_attn, full", "#ffab91", "^-"),
    "chunked": ("keras_attn, chunked", "#d84315", "v-"),
}
OURS, THEIRS = "#d84315", "#546e7a"


def main() -> None:
    """Draw all figures."""
    draw_zoo()
    draw_attention()
    draw_forecast()


def draw_zoo() -> None:
    """Draw accuracy against parameters, a panel for each data set."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for axis, data, title in zip(
        axes, ("cifar10", "cifar100"), ("CIFAR-10", "CIFAR-100"), strict=True
    ):
        points = [
            (peer.name, peer.parameters, getattr(peer, data), THEIRS)
            for peer in PEERS
            if getattr(peer, data) is not None
        ]
        for name in zoo.list(f"{data}_*", pretrained=True):
            runs = zoo.describe(name).runs()
            accuracy = statistics.fmean(run["metrics"]["test"]["views_accuracy"] for run in runs)
            points.append(
                (name.removeprefix(f"{data}_"), runs[0]["parameters"], 100 * accuracy, OURS)
            )
        for _, parameters, accuracy, color in points:
            axis.plot(parameters, accuracy, "o", color=color)
        annotate(axis, points, ours_on_the_left=data == "cifar100")
        axis.set_xscale("log")
        axis.set_xlim(0.13e6, 14e6)
        axis.set_xticks([0.3e6, 1e6, 3e6], ["0.3M", "1M", "3M"])
        axis.minorticks_off()
        axis.set(title=title, xlabel="parameters", ylabel="test accuracy, %")
        axis.grid(alpha=0.3)
    axes[0].plot([], [], "o", color=OURS, label="keras_attn, 6 views")
    axes[0].plot([], [], "o", color=THEIRS, label="published")
    axes[0].legend(loc="lower right")
    save(figure, "zoo_cifar.svg")


def annotate(
    axis: Any, points: list[tuple[str, float, float, str]], *, ours_on_the_left: bool
) -> None:
    """Write names beside the points, ours on one side, and apart where they would overlap."""
    low, high = min(point[2] for point in points), max(point[2] for point in points)
    step = (high - low) / 20
    placed: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for name, parameters, accuracy, color in sorted(points, key=lambda point: point[2]):
        y = accuracy
        while any(abs(y - other) < step for other in placed[color]):
            y += step / 4
        placed[color].append(y)
        is_left = (color == OURS) == ours_on_the_left
        axis.annotate(
            name,
            (parameters, accuracy),
            (parameters / 1.08 if is_left else parameters * 1.08, y),
            color=color,
            ha="right" if is_left else "left",
            va="center",
            fontsize=8,
        )


def draw_attention() -> None:
    """Draw time and memory of a training step of self-attention against length."""
    parts = json.loads(ATTENTION.read_text(encoding="utf-8"))["parts"].values()
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    panels = (("time", "seconds", 1.0, "seconds"), ("memory", "bytes", 2**20, "MiB"))
    for axis, (measure, key, unit, label) in zip(axes, panels, strict=True):
        curves: dict[str, list[tuple[int, float]]] = {name: [] for name in CANDIDATES}
        for part in parts:
            case = part["case"]
            if part["measure"] != measure or any(case[k] != v for k, v in SELF.items()):
                continue
            for row in part["rows"]:
                if row["pass"] == "training" and row["candidate"] in curves and row.get(key):
                    curves[row["candidate"]].append((case["queries"], row[key] / unit))
        for name, (title, color, marker) in CANDIDATES.items():
            if curves[name]:
                axis.plot(
                    *zip(*sorted(curves[name]), strict=True), marker, color=color, label=title
                )
        lengths = sorted({length for points in curves.values() for length, _ in points})
        axis.set(xscale="log", yscale="log", xlabel="length", ylabel=label)
        axis.set_title(f"{measure.capitalize()} of a training step")
        axis.set_xticks(lengths, [f"{length:,}" for length in lengths], rotation=45)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend()
    save(figure, "attention_length.svg")


def draw_forecast() -> None:
    """Draw the forecast of an entry on the first window of the test rows, and what happened.

    It reads the data set from the disk, see `keras_attn.datasets.load`.
    """
    test = datasets.load("etth1")["test"]
    model = zoo.build("etth1_patch_transformer")
    forecast = model.forecast(test.take(slice(0, 0)), horizon=240)
    figure, axis = plt.subplots(figsize=(10, 3.4), layout="constrained")
    forecast.draw(axis, "OT", steps=504)
    actual = test.inputs[: len(forecast), test.names.index("OT")]
    axis.plot(forecast.times, actual, color="#263238", linewidth=0.8, label="what happened")
    axis.set(ylabel="oil temperature (degrees Celsius)")
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left", fontsize="small")
    save(figure, "forecast_etth1.svg")


def save(figure: Any, name: str) -> None:
    """Write a figure without the date, so that equal figures are equal files."""
    figure.savefig(PAGES / name, metadata={"Date": None})


if __name__ == "__main__":
    main()
