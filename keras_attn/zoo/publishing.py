"""Publish finished runs: update results, weights and card of an entry."""

import json
import os
import pathlib
import re
import shutil
from collections.abc import Sequence
from typing import Any

from keras_attn._files import replacing, sha256, write_text
from keras_attn.recipes import describe_task
from keras_attn.recipes.figures import Run
from keras_attn.training.artifacts import WEIGHTS_FILE, asset_keys
from keras_attn.training.weights_files import has_digest, non_finite
from keras_attn.zoo import cards, registry
from keras_attn.zoo.results import read_record

MAX_BYTES = 25_000_000  # of a file that the package includes
ASSESSED = {"calibration", "storage"}  # keys of `keras_attn.zoo.assessment` in the weights' record


def publish(name: str, folders: Sequence[str | os.PathLike[str]]) -> registry.Entry:
    """Record runs of an entry, copy the best weights into it, and write its card.

    A run replaces the recorded run of the same variant and seed. Runs of an earlier recipe are
    dropped. The best weights are those of the run with the best primary metric on the validation
    split, among runs of the entry itself, not of its variants.

    Args:
        name: Name of the entry.
        folders: Folders of runs, as written by `keras_attn.training.train`.

    Returns:
        The entry with its new results.

    Raises:
        FileNotFoundError: A folder holds no finished run.
        ValueError: A run has another recipe or data set; its record is damaged; its weights do not
            match its record, are not finite, or are too large.
    """
    entry = registry.describe(name)
    digest = entry.recipe.digest
    recorded = [run for run in entry.results.get("runs", []) if run["recipe_digest"] == digest]
    runs = {(run["variant"], run["seed"]): run for run in recorded}
    sources: dict[tuple[str, int], pathlib.Path] = {}
    for folder in map(pathlib.Path, folders):
        record = _record(folder, entry)
        if record["recipe_digest"] != digest:
            raise ValueError(f"{folder}: the run is not of the recipe that {name!r} has now.")
        if record["data"]["name"] != entry.recipe.dataset:
            raise ValueError(
                f"{folder}: the run was trained on the data set {record['data']['name']!r}, and "
                f"the entry {name!r} is for {entry.recipe.dataset!r}."
            )
        key = (record["variant"], record["seed"])
        runs[key], sources[key] = record, folder / WEIGHTS_FILE
    best = _best([run for run in runs.values() if not run["variant"]], entry)
    if best is None:
        raise ValueError(f"No run of {name!r} itself was passed or recorded, only of its variants.")
    source = sources.get(("", best["seed"]))
    target = entry.folder / WEIGHTS_FILE
    if source is not None:
        _copy_run(source, best, entry)
    elif not _holds_weights_of(entry, best):
        raise ValueError(
            f"The run of {name!r} with seed {best['seed']} is now the best on validation data, and "
            "its weights are not those of the entry. Give its folder as well."
        )
    weights = {
        "file": WEIGHTS_FILE,
        "sha256": sha256(target),  # of the file, which `zoo.build` checks
        "values_sha256": best["weights_sha256"],  # of the run
        "bytes": target.stat().st_size,
        "parameters": best["parameters"],
        "seed": best["seed"],
    }
    results = {"weights": weights, "runs": [runs[key] for key in sorted(runs)]}
    if source is None:  # what `assess` has done to these weights holds
        weights |= {
            key: entry.results["weights"][key]
            for key in ASSESSED
            if key in entry.results["weights"]
        }
        results |= {
            key: entry.results[key] for key in ("examples", "explanations") if key in entry.results
        }
    for file in asset_files(entry):
        stem = pathlib.Path(file).stem
        results[stem] = {
            "file": file,
            "sha256": best[f"{stem}_sha256"],
            "bytes": (entry.folder / file).stat().st_size,
        }
    write_text(entry.folder / "results.json", json.dumps(results, indent=2))
    published = registry.describe(name)
    cards.write(published)
    return published


def _copy_run(source: pathlib.Path, run: Run, entry: registry.Entry) -> None:
    """Copy the weights and assets of a run into an entry, after checking them.

    Args:
        source: The weights file, with the assets beside it.
        run: The record of the run.
        entry: The entry.
    """
    if not has_digest(source, run["weights_sha256"]):
        raise ValueError(f"{source} is not the file that its record.json names.")
    if names := non_finite(source):
        raise ValueError(f"{source} holds NaN or infinity in {names[0]}: training diverged.")
    for key, file in asset_keys(asset_files(entry)).items():
        asset = source.with_name(file)
        if not asset.is_file() or sha256(asset) != run[key]:
            raise ValueError(f"{asset} is not the file that its record.json names.")
    copy_atomically(source, entry.folder / WEIGHTS_FILE)
    for file in asset_files(entry):
        copy_atomically(source.with_name(file), entry.folder / file)


def _holds_weights_of(entry: registry.Entry, run: Run) -> bool:
    """Return whether the weights file of an entry holds the weights of a run.

    Once they are assessed, their values are not exactly those of the run.
    """
    weights = entry.results.get("weights", {})
    if ASSESSED & weights.keys() and weights.get("values_sha256") == run["weights_sha256"]:
        return has_digest(entry.folder / WEIGHTS_FILE, weights["sha256"])
    return has_digest(entry.folder / WEIGHTS_FILE, run["weights_sha256"])


def asset_files(entry: registry.Entry) -> tuple[str, ...]:
    """Return the names of the asset files beside the weights of an entry."""
    return describe_task(entry.recipe.task).model_class().asset_files


def _best(runs: Sequence[Run], entry: registry.Entry) -> Run | None:
    """Return the run with the best primary metric on the validation split."""
    metric = describe_task(entry.recipe.task).primary_metric
    sign = 1 if metric.greater_is_better else -1

    def rank(run: Run) -> tuple[float, int]:
        return sign * run["metrics"]["validation"][metric.key], -run["seed"]

    return max(runs, key=rank, default=None)


def stale_pages(*, write: bool) -> list[pathlib.Path]:
    """Return the paths of the generated pages that are out of date, or show a missing picture.

    Args:
        write: Also update these pages, and draw the missing pictures.

    Raises:
        RuntimeError: The package is not in a checkout, so that there is no README to update.
    """
    catalogue = registry.catalogue()
    readme = catalogue.parent / "README.md"
    if not readme.is_file():
        raise RuntimeError(
            f"The generated pages are part of a checkout, and {catalogue} is not in one. Run this "
            "in the root of a checkout: python -m keras_attn cards."
        )
    entries = [entry for entry in registry.entries() if entry.folder.parent == catalogue]
    pages = {entry.folder / "README.md": cards.card(entry) for entry in entries}
    pages[readme] = cards.in_page(readme.read_text(encoding="utf-8"), cards.table(entries))
    without_pictures = [path for path, text in pages.items() if missing_pictures(path, text)]
    stale = [
        path
        for path, text in pages.items()
        if path in without_pictures or not _has_content(path, text)
    ]
    if write:
        for path in stale:
            write_text(path, pages[path])
        for entry in entries:
            if entry.folder / "README.md" in without_pictures:
                cards.write(entry)
    return stale


def missing_pictures(path: pathlib.Path, page: str) -> list[str]:
    """Return the relative addresses of pictures that a Markdown page shows and that are no files.

    Args:
        path: Path of the page.
        page: Its text.
    """
    shown = re.findall(r"!\[[^]]*\]\(([^):]+)\)", page)
    return [address for address in shown if not (path.parent / address).is_file()]


def _record(folder: pathlib.Path, entry: registry.Entry) -> dict[str, Any]:
    path = folder / "record.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no finished run: there is no record.json. If training was "
            "interrupted, finish it with --resume."
        )
    record = read_record(path, describe_task(entry.recipe.task).primary_metric)
    for key in ("weights_sha256", *asset_keys(asset_files(entry))):
        if not isinstance(record.get(key), str):
            raise ValueError(f"{path} is damaged: it has no {key}.")
    return record


def copy_atomically(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a file into an entry.

    Raises:
        ValueError: The file is larger than `MAX_BYTES`.
    """
    if source.stat().st_size > MAX_BYTES:
        raise ValueError(
            f"{source} has {source.stat().st_size:,} bytes; a file of an entry may have at most "
            f"{MAX_BYTES:,}, because the package includes it."
        )
    with replacing(target) as partial:
        shutil.copyfile(source, partial)


def _has_content(path: pathlib.Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
