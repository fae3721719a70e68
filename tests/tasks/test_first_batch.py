"""The first batch of `fit` on several replicas."""

import types

import numpy as np
import pytest

from keras_attn.tasks._batches import check_first_batch

pytestmark = pytest.mark.tensorflow


def on(replicas):
    strategy = types.SimpleNamespace(num_replicas_in_sync=replicas)
    return types.SimpleNamespace(distribute_strategy=strategy)


@pytest.mark.parametrize(("examples", "batch_size"), [(7, 8), (7, None), (1, 4), (33, 3)])
def test_a_first_batch_that_replicas_cannot_share_is_refused(examples, batch_size):
    with pytest.raises(
        ValueError, match=r"`fit` on 2 replicas.*`batch_size` that is a multiple of 2"
    ):
        check_first_batch(on(2), {"ids": np.zeros((examples, 3))}, batch_size)
    check_first_batch(on(1), np.zeros((examples, 3)), batch_size)


def test_batches_that_replicas_can_share_pass():
    check_first_batch(on(2), np.zeros((33, 3)), 8)
    check_first_batch(on(2), np.zeros((8, 3)), None)
    check_first_batch(on(2), None, None)
    check_first_batch(on(2), (x for x in ()), None)
