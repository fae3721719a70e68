"""Which tests can run here."""

import argparse
import functools
import os
import pathlib
import re
import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # processes of tests inherit it
if "PYTEST_XDIST_WORKER" in os.environ:  # processes share the cores: a thread each
    for threads in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(threads, "1")

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Importing it registers the toy task, which its own tests do and undo.
collect_ignore = ["tasks/toy_task.py"]
# Data sets that are read from their published files, without preparation, and where these are.
AS_PUBLISHED = (
    *("multi30k", "fra-eng", "cmn-eng", "chnsenticorp"),
    *("tinyshakespeare", "tang_poems"),
    *("ett", "weather", "traffic", "fsdd", "bccd"),
)
PUBLISHED = pathlib.Path(os.environ.get("KERAS_ATTN_DATA") or "~/keras_attn_data").expanduser()


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="Also run the tests marked slow.")
    parser.addoption(
        "--exhaustive", action="store_true", help="Also run the tests marked exhaustive."
    )
    parser.addoption(
        "--part",
        type=_part,
        metavar="K/N",
        help="With --exhaustive: run the K-th of N parts of those tests.",
    )


def _part(text):
    """Read `2/5` as (2, 5)."""
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not match or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"must be K/N, such as 2/5. Received: {text!r}")
    return int(match[1]), int(match[2])


def pytest_configure(config):
    if config.getoption("--part") and not config.getoption("--exhaustive"):
        raise pytest.UsageError("--part is of the exhaustive tests: give --exhaustive as well.")


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their markers
def pytest_collection_modifyitems(config, items):
    if not config.getoption("keyword"):  # which may name any case
        _mark_further_cases(items)
    part = config.getoption("--part") or (1, 1) if config.getoption("--exhaustive") else None
    left_out = items_left_out(items, config.getoption("--slow"), part)
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]
    folder = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    import keras  # only here: the process that starts the others collects no tests

    backend = keras.backend.backend()
    for item in items:
        for marker in item.iter_markers("data"):
            name = marker.args[0] if marker.args else "cifar10"
            if not _on_disk(pathlib.Path(folder).expanduser(), name):
                item.add_marker(pytest.mark.skip(reason=f"{name} is not on disk"))
        if item.get_closest_marker("tensorflow") and backend != "tensorflow":
            item.add_marker(pytest.mark.skip(reason=f"the backend is {backend}"))


def _mark_further_cases(items):
    """Mark all cases of a test but its first as slow."""
    names = set()
    for item in items:
        name = item.nodeid.partition("[")[0]
        if name in names:
            item.add_marker(pytest.mark.slow)
        elif not item.get_closest_marker("slow") and not item.get_closest_marker("exhaustive"):
            names.add(name)


def items_left_out(items, slow, part):
    """The tests that do not run, with `--slow` or not, and with `--part` or None."""
    left_out = {item for item in items if not slow and item.get_closest_marker("slow")}
    exhaustive = [item for item in items if item.get_closest_marker("exhaustive")]
    chosen = exhaustive[part[0] - 1 :: part[1]] if part else []
    return (left_out | set(exhaustive)) - set(chosen)


@functools.cache
def _on_disk(folder, name):
    if name in AS_PUBLISHED and any(any(p.glob(f"{name}/*")) for p in (PUBLISHED, folder)):
        return True
    return any(folder.glob(f"{name}/**/dataset_info.json"))


def real_data_dir(name):
    """What to give as `data_dir` to read a data set that was published as files."""
    return PUBLISHED if (PUBLISHED / name).is_dir() else None


@pytest.fixture(scope="session")
def shapes():
    """A small drawn data set."""
    from keras_attn import datasets

    return datasets.shapes.draw_shapes(seed=1, sizes={"train": 192, "validation": 32, "test": 32})


@pytest.fixture(scope="session")
def small_recipe():
    """A recipe that trains in a second or two."""
    return make_small_recipe()


@pytest.fixture(scope="session")
def small_remarks():
    """A small drawn data set of texts."""
    from keras_attn import datasets

    return datasets.remarks.draw_remarks(seed=1, sizes={"train": 150, "validation": 60, "test": 60})


@pytest.fixture(scope="session")
def small_text_recipe():
    """A recipe on texts that trains in a second or two."""
    from keras_attn.recipes import parse_recipe

    return parse_recipe(
        {
            "task": "text_classification",
            "description": "small",
            "dataset": "remarks",
            "architecture": "ngram_attention",
            "model": {"vocabulary_sizes": (200, 300), "embedding_dim": 2, "dropout": 0.1},
            "variants": {"no_attention": {"attention": "none", "dropout": 0.0}},
            "text": {"max_length": 40, "head": 10, "once": True},
            "optimizer": {"name": "adamw", "learning_rate": 0.01},
            "training": {"epochs": 3, "batch_size": 16, "ema": 0.9},
        }
    )


def make_small_recipe():
    from keras_attn.recipes import parse_recipe

    return parse_recipe(
        {
            "task": "image_classification",
            "description": "small",
            "dataset": "shapes",
            "architecture": "small_attention_cnn",
            "model": {"filters": (4, 8), "key_channels": 4},
            "variants": {"no_attention": {"attention": "none"}},
            "augmentation": {"flip": True, "shift": 2, "cutout": 6, "mixup": 0.2},
            "optimizer": {"name": "sgd", "learning_rate": 0.05, "weight_decay": 0.001},
            "schedule": {"warmup_epochs": 1.0, "decay": "linear", "final_fraction": 0.1},
            "training": {"epochs": 3, "batch_size": 32, "label_smoothing": 0.1, "ema": 0.9},
        }
    )
