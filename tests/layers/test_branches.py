"""One of several branches in training, their mean otherwise."""

import numpy as np
import pytest

from keras_attn.layers import BranchMean
from tests.ops import oracles

DRAWN = np.random.default_rng(0).normal(size=(300, 3, 4)).astype("float32")


def test_it_is_the_mean_outside_of_training():
    for training in (False, None):
        output = oracles.numpy(BranchMean()(DRAWN, training=training))
        np.testing.assert_allclose(output, DRAWN.mean(axis=1), atol=1e-6)


def test_each_example_gets_one_branch_in_training():
    layer = BranchMean(seed=1)
    first, second = (oracles.numpy(layer(DRAWN, training=True)) for _ in range(2))
    taken = (first[:, None] == DRAWN).all(axis=-1)
    assert (taken.sum(axis=1) == 1).all()
    assert (taken.sum(axis=0) > 60).all()
    assert np.abs(first - second).max() > 0.1  # drawn anew
    again = oracles.numpy(BranchMean(seed=1)(DRAWN, training=True))
    np.testing.assert_array_equal(first, again)


def test_other_ranks_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, branches, features\)"):
        BranchMean()(DRAWN[0])
