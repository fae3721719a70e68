"""The search for the best few in groups."""

import numpy as np
import pytest
from keras import ops

from keras_attn.decoding._top_k import top_k


@pytest.mark.parametrize("vocabulary", [9, 2048, 2100, 5000, 5003])
@pytest.mark.parametrize("kinds", [3, 100, 10**6])
def test_it_is_a_stable_sort_of_which_the_head_is_taken(vocabulary, kinds):
    x = np.random.default_rng(0).integers(0, kinds, (6, vocabulary)).astype("float32")
    x[x == 1] = -np.inf
    x[0] = -np.inf
    values, indices = top_k(ops.convert_to_tensor(x), 8)
    expected = np.argsort(-x, axis=-1, kind="stable")[..., :8]
    np.testing.assert_array_equal(ops.convert_to_numpy(indices), expected)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(values), np.take_along_axis(x, expected, axis=-1)
    )
