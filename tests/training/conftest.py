"""A run that several files look at."""

import pytest

from keras_attn import training


@pytest.fixture(scope="session")
def finished(tmp_path_factory, small_recipe, shapes):
    """One uninterrupted run, which several tests look at."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return training.train(small_recipe, folder, dataset=shapes, verbose=0)
