"""Time of a training step beside PyTorch, with and without XLA, attention and Muon.

    pip install torch
    python benchmarks/training_step.py [--batch-size 500] [--rounds 7]

Contenders live in processes of their own, which are stopped between their turns, and take turns
step by step. Before that PyTorch's network is given the weights of ours, and must give its
logits. Products of large float32 matrices take turns with them: the fraction of that rate which
a step reaches is of the operations of `keras_attn.explain.cost`, thrice the forward pass. Prints
a table of medians and writes `benchmarks/results/training_step.json`.
"""

import contextlib
import json
import pathlib
import statistics
from typing import Annotated

import rich
import typer
from _measure import Served, cores, median_ratio
from _training_step_contenders import MatrixProducts, OnPyTorch, OnTensorFlow
from rich.table import Table

from keras_attn import zoo
from keras_attn.training.provenance import provenance

RESULTS = pathlib.Path(__file__).parent / "results" / "training_step.json"
OURS, PEER, PRODUCTS = "SGD", "PyTorch, SGD", "matrix products"


def main(
    entry: Annotated[str, typer.Option(help="An attention_net of plain blocks.")] = (
        "cifar10_attention_net"
    ),
    batch_size: Annotated[int, typer.Option(min=8)] = 500,
    rounds: Annotated[int, typer.Option(min=2)] = 7,
) -> None:
    """Measure, print and write."""
    contenders = {
        OURS: (OnTensorFlow, entry, None, batch_size, False, True),
        PEER: (OnPyTorch, entry, batch_size, cores()),
        "the recipe's optimizer": (OnTensorFlow, entry, None, batch_size, False, False),
        "SGD, XLA": (OnTensorFlow, entry, None, batch_size, True, True),
        PRODUCTS: (MatrixProducts,),
    }
    for variant in zoo.describe(entry).recipe.variants:
        contenders[f"SGD, {variant}"] = (OnTensorFlow, entry, variant, batch_size, False, True)
    with contextlib.ExitStack() as stack:
        served = {name: stack.enter_context(Served(*it)) for name, it in contenders.items()}
        difference = served[PEER].call("difference", *served[OURS].call("weights_and_logits"))
        if difference > 1e-3:
            raise SystemExit(f"PyTorch's network is another: its logits differ by {difference}.")
        for contender in served.values():
            for _ in range(2):
                contender.call("step")
        seconds: dict[str, list[float]] = {name: [] for name in served}
        names = list(served)
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                seconds[name].append(served[name].call("step"))
        operations = {name: served[name].call("operations") for name in served if name != PEER}
    operations[PEER] = operations[OURS]
    rate = {name: operations[name] / statistics.median(seconds[name]) for name in served}
    rows = [
        {
            "contender": name,
            "median_seconds": round(statistics.median(times), 4),
            "gflops_per_second": round(rate[name] / 1e9, 1),
            "of_matrix_rate": round(rate[name] / rate[PRODUCTS], 3),
            "images_per_second": round(batch_size / statistics.median(times), 1),
            "throughput_to_pytorch": round(median_ratio(seconds[PEER], times), 3),
            "seconds": [round(value, 4) for value in times],
        }
        for name, times in seconds.items()
    ]
    products = rows[list(seconds).index(PRODUCTS)]
    del products["images_per_second"], products["throughput_to_pytorch"]
    report = {
        "entry": entry,
        "batch_size": batch_size,
        "threads": cores(),
        "largest_difference_of_logits": difference,
        "rows": rows,
        **provenance(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    table = Table("step", "median", "GFLOP/s", "of matrix products", "images/s", "to PyTorch")
    for row in rows:
        table.add_row(
            row["contender"],
            f"{row['median_seconds']:.3f} s",
            f"{row['gflops_per_second']:.0f}",
            f"{row['of_matrix_rate']:.0%}",
            f"{row.get('images_per_second', 0):,.0f}" if "images_per_second" in row else "",
            f"{row['throughput_to_pytorch']:.2f}x" if "throughput_to_pytorch" in row else "",
        )
    rich.print(table)


if __name__ == "__main__":
    typer.run(main)
