"""From finished runs to an entry's results, weights, card and the README's table."""

import json
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

from keras_attn.recipes import describe_task
from keras_attn.recipes.figures import Run
from keras_attn.training.artifacts import WEIGHTS_FILE
from keras_attn.training.checkpoint import sha256, write_text
from keras_attn.zoo import cards, registry

MAX_BYTES = 25_000_000


def publish(name: str, folders: Sequence[str | os.PathLike[str]]) -> registry.Entry:
    """Record runs of an entry, ship the weights best on validation data, write its card.

    A run replaces the recorded one of the same variant and seed. Runs of an earlier recipe are
    dropped. Weights are taken from runs of the entry itself, not of variants, by the primary
    metric of the task on the validation split.

    Args:
        name: the entry.
        folders: folders of runs, as written by `keras_attn.training.train`.

    Raises:
        FileNotFoundError: a folder holds no finished run.
        ValueError: a run was of another recipe or other data, its weights are not those
            recorded, or they are too large to ship.
    """
    entry = registry.describe(name)
    digest = entry.recipe.digest
    recorded = [run for run in entry.results.get("runs", []) if run["recipe_digest"] == digest]
    runs = {(run["variant"], run["seed"]): run for run in recorded}
    sources: dict[tuple[str, int], pathlib.Path] = {}
    for folder in map(pathlib.Path, folders):
        record = _record(folder)
        if record["recipe_digest"] != digest:
            raise ValueError(f"{folder}: the run is not of the recipe that {name!r} has now.")
        if record["data"]["name"] != entry.recipe.dataset:
            raise ValueError(
                f"{folder}: the run is on the data {record['data']['name']!r}, and the entry "
                f"{name!r} is of {entry.recipe.dataset!r}."
            )
        key = (record["variant"], record["seed"])
        runs[key], sources[key] = record, folder / WEIGHTS_FILE
    best = _best([run for run in runs.values() if not run["variant"]], entry)
    if best is None:
        raise ValueError(f"No run of {name!r} itself is given, only of its variants.")
    source = sources.get(("", best["seed"]))
    target = entry.folder / WEIGHTS_FILE
    assets = {pathlib.Path(file).stem: file for file in asset_files(entry)}
    if source is not None:
        _ship(source, target, best["weights_sha256"])
        for stem, file in assets.items():
            _ship(source.with_name(file), entry.folder / file, best[f"{stem}_sha256"])
    elif not (target.is_file() and sha256(target) == best["weights_sha256"]):
        raise ValueError(
            f"Of the runs of {name!r}, that of seed {best['seed']} is now the best on validation "
            "data, and its weights are not those shipped. Give its folder as well."
        )
    results = {
        "weights": {
            "file": WEIGHTS_FILE,
            "sha256": best["weights_sha256"],
            "bytes": target.stat().st_size,
            "parameters": best["parameters"],
            "seed": best["seed"],
        },
        "runs": [runs[key] for key in sorted(runs)],
    }
    for stem, file in assets.items():
        results[stem] = {
            "file": file,
            "sha256": best[f"{stem}_sha256"],
            "bytes": (entry.folder / file).stat().st_size,
        }
    write_text(entry.folder / "results.json", json.dumps(results, indent=2))
    published = registry.describe(name)
    write_text(entry.folder / "README.md", cards.card(published))
    return published


def asset_files(entry: registry.Entry) -> tuple[str, ...]:
    """Return the names of the files that come with an entry's weights."""
    return describe_task(entry.recipe.task).model_class().asset_files


def _best(runs: Sequence[Run], entry: registry.Entry) -> Run | None:
    """Return the run that is best on validation data by the primary metric of the task."""
    metric = describe_task(entry.recipe.task).primary_metric
    sign = 1 if metric.greater_is_better else -1

    def rank(run: Run) -> tuple[float, int]:
        return sign * run["metrics"]["validation"][metric.key], -run["seed"]

    return max(runs, key=rank, default=None)


def stale_pages(*, write: bool) -> list[pathlib.Path]:
    """The generated pages of the catalogue that are not what they should be.

    Args:
        write: bring them up to date.

    Raises:
        RuntimeError: the package is installed, and there is no README to hold the table.
    """
    catalogue = registry.catalogue()
    readme = catalogue.parent / "README.md"
    if not readme.is_file():
        raise RuntimeError(
            f"The generated pages belong to a checkout, and {catalogue} is not in one. Run this "
            "from the checkout's root: python -m keras_attn cards."
        )
    entries = [entry for entry in registry.entries() if entry.folder.parent == catalogue]
    pages = {entry.folder / "README.md": cards.card(entry) for entry in entries}
    pages[readme] = cards.in_page(readme.read_text(encoding="utf-8"), cards.table(entries))
    stale = [path for path, text in pages.items() if not _holds(path, text)]
    if write:
        for path in stale:
            write_text(path, pages[path])
    return stale


def _record(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / "record.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no finished run: there is no record.json. If training was "
            "interrupted, finish it with --resume."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _ship(source: pathlib.Path, target: pathlib.Path, digest: str) -> None:
    if sha256(source) != digest:
        raise ValueError(f"{source} is not the file that its record.json names.")
    if source.stat().st_size > MAX_BYTES:
        raise ValueError(
            f"{source} has {source.stat().st_size:,} bytes; an entry's weights may have "
            f"{MAX_BYTES:,}, so that the package carries them."
        )
    partial = target.with_name(f"partial-{target.name}")
    shutil.copyfile(source, partial)
    partial.replace(target)


def _holds(path: pathlib.Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
