"""Assess the published weights of an entry: calibration, storage, examples, explanations."""

import copy
import json
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn import datasets
from keras_attn._files import sha256, write_text
from keras_attn.recipes import describe_task
from keras_attn.tasks import Task
from keras_attn.tasks.calibration import expected_calibration_error, fit_temperature, softmax
from keras_attn.tasks.example_answers import ExampleAnswer
from keras_attn.training.artifacts import WEIGHTS_FILE, without_optimizer
from keras_attn.training.weights_files import save_weights, store_as_float16
from keras_attn.zoo import cards, pictures, registry
from keras_attn.zoo.building import build
from keras_attn.zoo.publishing import copy_atomically

EXPLAINED = 50  # examples whose explanations are measured
MAX_CHANGE = 0.02  # of the primary metric by float16, in the unit of tables


def assess(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    dataset: datasets.Dataset[Any] | None = None,
) -> registry.Entry:
    """Calibrate and compress the published weights of an entry, and record what cards show.

    Everything is decided on validation data:

    - The scores of a classifier are calibrated, unless the run did it. The calibration error of
      the test split is measured before and after.
    - The weights are stored in float16, see `keras_attn.training.weights_files.store_as_float16`,
      unless that changes the primary metric by more than 0.02 in the unit of tables.
    - Example answers are recorded, see `keras_attn.tasks.Task.example_answers`.
    - Deletion and insertion curves show how faithful explanations are, see
      `keras_attn.tasks.Task.explanation_curves`.

    The results, the card and its pictures are written. What was decided before is not repeated
    until other weights are published.

    Args:
        name: Name of a trained entry.
        data_dir: See `keras_attn.datasets.load`.
        dataset: Use this data set in place of the entry's.

    Returns:
        The entry with its new results.

    Raises:
        ValueError: The entry has no trained weights.
        DatasetNotFoundError: The data set is not on disk.
    """
    entry = registry.describe(name)
    target = entry.weights
    dataset = datasets.load(entry.recipe.dataset, data_dir) if dataset is None else dataset
    model = build(name)
    results = copy.deepcopy(entry.results)
    weights = results["weights"]
    run = next(run for run in entry.runs() if run["seed"] == weights["seed"])
    weights.setdefault("values_sha256", run["weights_sha256"])
    calibrates = hasattr(model, "temperature") and "temperature" not in run
    if calibrates and "calibration" not in weights:
        weights["calibration"] = _calibrate(model, dataset)
    if "storage" not in weights:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, WEIGHTS_FILE)
            weights["storage"] = _store(model, path, entry, dataset)
            copy_atomically(path, target)
        weights |= {"sha256": sha256(target), "bytes": target.stat().st_size}
    examples = model.example_answers(dataset["validation"])
    results["examples"] = [example.to_dict() for example in examples]
    if faithfulness := model.explanation_curves(dataset["validation"], EXPLAINED):
        results["explanations"] = {**faithfulness, "weights_sha256": weights["sha256"]}
    write_text(entry.folder / "results.json", json.dumps(results, indent=2))
    _write_images(examples, entry.folder / pictures.EXAMPLES)
    assessed = registry.describe(name)
    cards.write(assessed)
    return assessed


def _calibrate(model: Any, dataset: datasets.Dataset[Any]) -> dict[str, Any]:
    """Fit the temperature to the validation split, and return what it changes."""
    model.temperature.assign(1.0)
    logits = {name: model.logits(dataset[name].inputs) for name in ("validation", "test")}
    temperature = fit_temperature(logits["validation"], dataset["validation"].targets)
    model.temperature.assign(temperature)

    def error(split: str, temperature: float) -> float:
        probabilities = softmax(logits[split].astype("float64") / temperature)
        return expected_calibration_error(probabilities, dataset[split].targets)

    return {
        "temperature": temperature,
        "error_before": {split: error(split, 1.0) for split in logits},
        "error": {split: error(split, temperature) for split in logits},
    }


def _store(
    model: Task, path: pathlib.Path, entry: registry.Entry, dataset: datasets.Dataset[Any]
) -> dict[str, Any]:
    """Write the weights in float16, or in float32 if float16 changes the primary metric.

    Args:
        model: The model. It has the stored values afterwards.
        path: The weights file to write.
        entry: The entry.
        dataset: Its data set.

    Returns:
        The `dtype` of the file, and the primary metric on the validation split by dtype.
    """
    metric = describe_task(entry.recipe.task).primary_metric

    def measure() -> float:
        options = entry.recipe.primary_evaluation
        return float(model.evaluate_split(dataset["validation"], **options)[metric.key])

    save_weights(without_optimizer(model), path)
    rounded = path.with_name(f"float16-{path.name}")
    rounded.write_bytes(path.read_bytes())
    store_as_float16(rounded)
    validation = {"float32": measure()}
    exact = model.get_weights()
    model.load_weights(rounded)
    validation["float16"] = measure()
    change = metric.scale * abs(validation["float16"] - validation["float32"])
    if np.isfinite(change) and change <= MAX_CHANGE * (1 + 1e-6):
        rounded.replace(path)
        return {"dtype": "float16", "validation": validation}
    model.set_weights(exact)
    return {"dtype": "float32", "validation": validation}


def _write_images(examples: Sequence[ExampleAnswer], path: pathlib.Path) -> None:
    """Write the images of examples side by side, if they are images."""
    images = [example.input for example in examples if isinstance(example.input, np.ndarray)]
    if images:
        pictures.write_strip(images, path)
