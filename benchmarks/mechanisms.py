"""Compare attention mechanisms in the same place of two networks, trained alike.

    python benchmarks/mechanisms.py [--network hybrid] [--network small] [--seeds 3]

Trains each mechanism with each seed on CIFAR-10 (hybrid: the recipe of the zoo's
`cifar10_attention_net_quick` in three epochs; small: `benchmarks/mechanisms_small.toml`), measures
the time of a training step, in turns, and its peak memory, in fresh processes; and writes
`benchmarks/results/mechanisms.json`, the tables and the plot of `docs/pages/mechanisms.md`.
Runs that are recorded and of the same recipe are not repeated: after a stop the same command
goes on.
"""

import json
import pathlib
import statistics
import tempfile
from typing import Annotated, Any

import numpy as np
import rich
import typer
from _measure import ProcessMemory, in_fresh_process, take_turns
from _mechanisms_page import MECHANISMS, write_page

from keras_attn import datasets, recipes, training, zoo
from keras_attn.training.provenance import provenance

ROOT = pathlib.Path(__file__).parent
RESULTS = ROOT / "results" / "mechanisms.json"
NETWORKS = ("hybrid", "small")
HYBRID_EPOCHS = 3
STEP_BATCH = 250
MAPS = 500  # validation images whose attention is looked at


def main(
    network: Annotated[list[str], typer.Option(help="hybrid, small")] = list(NETWORKS),  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="Of the recipe's, the first so many.")] = 3,
    data_dir: Annotated[
        pathlib.Path | None, typer.Option(help="See keras_attn.datasets.load.")
    ] = None,
    step_seconds: Annotated[float, typer.Option(help="For the times of a network's steps.")] = 120,
    train: Annotated[bool, typer.Option(help="Train what is not recorded.")] = True,
    measure: Annotated[bool, typer.Option(help="Measure time and memory of a step.")] = True,
) -> None:
    """Train, measure, and write results, tables and plot."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"runs": [], "steps": {}}
    for name in network:
        if name not in NETWORKS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(NETWORKS)}.")
        recipe = recipe_of(name)
        if train:
            dataset = datasets.load(recipe.dataset, data_dir)
            for seed in recipe.training.seeds[:seeds]:
                for mechanism in MECHANISMS:
                    train_one(results, name, recipe, mechanism, seed, dataset)
        if measure:
            results["steps"][name] = {**steps(recipe, step_seconds), **provenance()}
            write(results)
    if not results["runs"]:
        raise SystemExit(f"{RESULTS} records no run, so there is no table. Leave out --no-train.")
    write_page(results)


def recipe_of(network: str) -> recipes.Recipe:
    """The recipe that every mechanism is trained by."""
    if network == "hybrid":
        recipe = zoo.describe("cifar10_attention_net_quick").recipe
        shorter = recipe.training.model_copy(update={"epochs": HYBRID_EPOCHS, "views": 1})
        return recipe.model_copy(update={"training": shorter})
    return recipes.load_recipe(ROOT / "mechanisms_small.toml")


def with_mechanism(recipe: recipes.Recipe, mechanism: str) -> recipes.Recipe:
    """The recipe with another mechanism in the place of its attention."""
    return recipe.model_copy(update={"model": {**recipe.model, "attention": mechanism}})


def train_one(
    results: dict[str, Any],
    network: str,
    recipe: recipes.Recipe,
    mechanism: str,
    seed: int,
    dataset: datasets.Dataset[datasets.ImageSplit],
) -> None:
    """Train and record, if it is not recorded yet."""
    recipe = with_mechanism(recipe, mechanism)
    run = {"network": network, "mechanism": mechanism, "seed": seed, "recipe": recipe.digest}
    if any(run.items() <= recorded.items() for recorded in results["runs"]):
        return
    with tempfile.TemporaryDirectory() as folder:
        done = training.train(
            recipe, pathlib.Path(folder, "run"), seed=seed, dataset=dataset, verbose=0
        )
    record = done.record
    keep = ("parameters", "forward_flops", "train_flops", "train_seconds", "metrics")
    run |= {key: record[key] for key in keep}
    run["entropy"] = entropy(done.model, dataset["validation"].images[:MAPS])
    run |= {key: record[key] for key in ("finished", "commit", "versions", "hardware")}
    # What was recorded of another recipe is of no use beside it.
    results["runs"] = [
        old
        for old in results["runs"]
        if not (old["network"] == network and old["mechanism"] == mechanism)
        or old["recipe"] == recipe.digest
    ]
    results["runs"].append(run)
    write(results)
    accuracy = 100 * run["metrics"]["test"]["accuracy"]
    rich.print(f"{network:8} {mechanism:20} seed {seed}: {accuracy:.2f} %")


def entropy(classifier: Any, images: np.ndarray) -> float | None:
    """The mean entropy of a row of weights over that of uniform ones; None of gates."""
    from keras_attn.tasks import attention_maps

    try:
        (found,) = attention_maps(classifier, images)
    except ValueError:  # no weights to look at
        return None
    keys = np.prod(found.weights.shape[-2:])
    return float(found.entropy().mean() / np.log(keys))


def steps(recipe: recipes.Recipe, seconds: float) -> dict[str, Any]:
    """Time and peak memory of a training step of each mechanism."""
    memory = {
        mechanism: in_fresh_process("spawn", peak_of_a_step, with_mechanism(recipe, mechanism))
        for mechanism in MECHANISMS
    }
    calls = {mechanism: step_of(with_mechanism(recipe, mechanism)) for mechanism in MECHANISMS}
    times, _ = take_turns(calls, seconds)
    return {
        "batch_size": STEP_BATCH,
        "rounds": len(times["none"]),
        "seconds": {name: statistics.median(values) for name, values in times.items()},
        "ratio": {
            name: statistics.median(a / b for a, b in zip(values, times["none"], strict=True))
            for name, values in times.items()
        },
        "peak_bytes": memory,
    }


def step_of(recipe: recipes.Recipe) -> Any:
    """A function that makes one training step, of the model, loss and optimizer of a recipe."""
    import keras

    from keras_attn.tasks import compile_mode, from_architecture
    from keras_attn.training.optimizer import build_optimizer

    labels = datasets.describe_dataset(recipe.dataset).label_names
    model = from_architecture(recipe.architecture, labels, **recipe.settings())
    model.compile(
        build_optimizer(recipe, 100),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=compile_mode(),
    )
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (STEP_BATCH, 32, 32, 3)).astype("uint8")
    targets = random.integers(0, len(labels), STEP_BATCH)
    return lambda: model.train_on_batch(images, targets)


def peak_of_a_step(recipe: recipes.Recipe) -> int:
    """Bytes over what the process held when a model had made a step of one image."""
    import keras

    from keras_attn.tasks import from_architecture

    labels = datasets.describe_dataset(recipe.dataset).label_names
    warm = from_architecture(recipe.architecture, labels, **recipe.settings())
    warm.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    warm.train_on_batch(np.zeros((1, 32, 32, 3), "uint8"), np.zeros(1, "int32"))
    step = step_of(recipe)
    memory = ProcessMemory()
    memory.start()
    step()
    return memory.peak()


def write(results: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    partial = RESULTS.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=2) + "\n")
    partial.replace(RESULTS)


if __name__ == "__main__":
    typer.run(main)
