"""Time of a training step, with and without XLA, with attention and without.

    python benchmarks/training_step.py [--entry NAME] [--batch-size 512] [--steps 5]

All kinds take turns in one process, so that a busy machine slows them alike. Prints a table
of medians and writes `benchmarks/results/training_step.json`.
"""

import argparse
import json
import pathlib
import statistics
import time

import keras
import numpy as np
import rich
from rich.table import Table

from keras_attn import data, zoo
from keras_attn.explain import cost
from keras_attn.tasks import from_architecture
from keras_attn.training.provenance import provenance

RESULTS = pathlib.Path(__file__).parent / "results" / "training_step.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entry", default="cifar10_attention_net")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()

    recipe = zoo.describe(arguments.entry).recipe
    labels = data.LABELS[recipe.dataset]
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (arguments.batch_size, 32, 32, 3)).astype("uint8")
    targets = random.integers(0, len(labels), arguments.batch_size)

    models, seconds = {}, {}
    for variant in (None, *recipe.variants):
        for xla in (False, True):
            model = from_architecture(recipe.architecture, labels, **recipe.settings(variant))
            model.compile(
                keras.optimizers.SGD(0.01, momentum=0.9),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                jit_compile=xla,
            )
            model.train_on_batch(images, targets)
            models[variant or "as published", xla] = model
            seconds[variant or "as published", xla] = []
    for _ in range(arguments.steps):
        for kind, model in models.items():
            started = time.perf_counter()
            model.train_on_batch(images, targets)
            seconds[kind].append(time.perf_counter() - started)

    rows = []
    for (variant, xla), times in seconds.items():
        median = statistics.median(times)
        flops = 3 * cost(models[variant, xla].network).flops * arguments.batch_size
        rows.append(
            {
                "variant": variant,
                "xla": xla,
                "median_seconds": round(median, 4),
                "gflops_per_second": round(flops / median / 1e9, 1),
                "seconds": [round(value, 4) for value in times],
            }
        )
    report = {
        "entry": arguments.entry,
        "batch_size": arguments.batch_size,
        "rows": rows,
        **provenance(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    table = Table("variant", "XLA", "median step", "GFLOP/s")
    for row in rows:
        table.add_row(
            row["variant"],
            str(row["xla"]),
            f"{row['median_seconds']:.3f} s",
            f"{row['gflops_per_second']:.0f}",
        )
    rich.print(table)


if __name__ == "__main__":
    main()
