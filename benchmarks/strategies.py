"""One short run on CIFAR-10, four ways: plain, mirrored, two workers, killed and resumed.

    python benchmarks/strategies.py [--images 6000] [--epochs 2]

Trains the network of `cifar10_attention_net_quick`, without augmentation and by SGD at a low rate
(at the rates of its recipe what differs by rounding grows with every step), on the first so many
training images: on one device; on two virtual devices; in two processes; and in one that is killed
at a random step of the last epoch and resumed. Prints a table of losses, accuracies and the largest
differences of weights, and writes `benchmarks/results/strategies.json`.
"""

import functools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Annotated, Any

import keras
import numpy as np
import rich
import typer
from rich.table import Table

from keras_attn import datasets, training, zoo
from keras_attn.recipes.recipe import Optimizer
from keras_attn.tasks.images.description import Augmentation
from keras_attn.training.launcher import launch
from keras_attn.training.provenance import provenance

RESULTS = pathlib.Path(__file__).parent / "results" / "strategies.json"
WAYS = ("plain", "mirrored, 2 devices", "2 workers", "killed and resumed")
GENTLE = Optimizer(name="sgd", learning_rate=0.02)
DataDir = Annotated[pathlib.Path | None, typer.Option(help="See keras_attn.datasets.load.")]


def main(
    images: Annotated[int, typer.Option(min=512, help="Training images.")] = 6_000,
    epochs: Annotated[int, typer.Option(min=2)] = 2,
    seed: Annotated[int, typer.Option(help="Of the step at which it is killed.")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Run all four ways, and compare."""
    steps = images // 512
    kill_at = (epochs - 1) * steps + random.Random(seed).randint(1, steps - 1)
    rows: list[dict[str, Any]] = []
    plain: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as root:
        for way in WAYS:
            folder = pathlib.Path(root, way.replace(" ", "_").replace(",", ""))
            rich.print(f"[bold]{way}[/bold]")
            started = time.perf_counter()
            given = [str(folder), str(images), str(epochs)]
            given += ["--data-dir", str(data_dir)] if data_dir else []
            if way == "killed and resumed":
                given += ["--checkpoint-steps", "3"]
                killed = _run(*given, "--kill-at", str(kill_at))
                if killed != -signal.SIGKILL:
                    raise SystemExit(f"It was to be killed, and ended with {killed}.")
                given += ["--resume"]
            if way == "mirrored, 2 devices":
                given += ["--strategy", "mirrored", "--devices", "2"]
            if way == "2 workers":
                given += ["--strategy", "multi_worker"]
                status = launch(_command(*given), 2, folder.with_name("logs"))
            else:
                status = _run(*given)
            if status:
                raise SystemExit(f"{way}: ended with {status}.")
            record = json.loads((folder / "record.json").read_text())
            with np.load(folder / "weights.npz") as arrays:
                weights = [arrays[name] for name in arrays.files]
            plain = plain or weights
            test = record["metrics"]["test"]
            rows.append(
                {
                    "way": way,
                    "seconds": round(time.perf_counter() - started, 1),
                    "loss": test["loss"],
                    "accuracy": test["accuracy"],
                    "largest_difference": max(
                        float(np.abs(a - b).max()) for a, b in zip(weights, plain, strict=True)
                    ),
                    "equal_bits": all(
                        np.array_equal(a, b) for a, b in zip(weights, plain, strict=True)
                    ),
                }
            )
    report = {"images": images, "epochs": epochs, "killed_at_step": kill_at, "rows": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**report, **provenance()}, indent=2) + "\n")
    table = Table("", "test loss", "test accuracy", "largest difference of weights", "seconds")
    for row in rows:
        equal = " (equal bits)" if row["equal_bits"] else ""
        table.add_row(
            row["way"],
            f"{row['loss']:.6f}",
            f"{100 * row['accuracy']:.2f} %",
            f"{row['largest_difference']:.1e}{equal}",
            f"{row['seconds']:.0f}",
        )
    rich.print(table)


def run_one(
    folder: pathlib.Path,
    images: int,
    epochs: int,
    strategy: str = "none",
    devices: int | None = None,
    checkpoint_steps: int | None = None,
    kill_at: int | None = None,
    resume: bool = False,
    data_dir: DataDir = None,
) -> None:
    """One of the runs, or a worker of one."""
    recipe = zoo.describe("cifar10_attention_net_quick").recipe
    settings = recipe.training.model_copy(update={"epochs": epochs, "batch_size": 512, "views": 1})
    recipe = recipe.model_copy(
        update={"training": settings, "augmentation": Augmentation(), "optimizer": GENTLE}
    )
    whole = datasets.load("cifar10", data_dir)
    rows = {"train": images, "validation": 1_000, "test": 2_000}
    # Read when asked for: a strategy must be made before TensorFlow does anything.
    readers = {
        name: functools.cache(lambda name=name, count=count: whole[name].take(slice(0, count)))
        for name, count in rows.items()
    }
    done = training.train(
        recipe,
        folder,
        dataset=datasets.Dataset("cifar10", whole.label_names, readers),
        strategy=strategy,
        devices=devices,
        checkpoint_steps=checkpoint_steps,
        resume=resume,
        callbacks=[] if kill_at is None else [_Kill(kill_at)],
        verbose=2,
    )
    if done.record:
        weights = [np.array(weight) for weight in done.model.get_weights()]
        np.savez(folder / "weights.npz", *weights)


class _Kill(keras.callbacks.Callback):
    """Kills the process at a step, without a word."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(np.array(self.model.optimizer.iterations)) == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, __file__, "run", *arguments]


def _run(*arguments: str) -> int:
    return subprocess.run(_command(*arguments), check=False).returncode


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        del sys.argv[1]
        typer.run(run_one)
    else:
        typer.run(main)
