"""What tests look at of a run."""

import numpy as np


def checkpoints_in(folder):
    """The checkpoints of a run, by name, what is not whole left out."""
    found = (folder / "checkpoints").glob("*/state.json")
    names = (path.parent.name for path in found)
    return sorted(name for name in names if not name.startswith("partial"))


def weights_of(run):
    return [np.asarray(w) for w in run.model.get_weights()]
