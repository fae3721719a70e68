"""What tests look at of a run."""

import os

import numpy as np


def checkpoints_in(folder):
    """The checkpoints of a run, by name, what is not whole left out."""
    found = (folder / "checkpoints").glob("*/state.json")
    names = (path.parent.name for path in found)
    return sorted(name for name in names if not name.startswith("partial"))


def weights_of(run):
    return [np.asarray(w) for w in run.model.get_weights()]


def random_generator():
    """Return a generator of another seed each time, or of the environment's KERAS_ATTN_SEED.

    The seed is printed, so that a failure can be repeated.
    """
    seed = int(os.environ.get("KERAS_ATTN_SEED") or np.random.SeedSequence().entropy)
    print(f"KERAS_ATTN_SEED={seed}")
    return np.random.default_rng(seed)
