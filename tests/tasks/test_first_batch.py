"""The first batch of `fit` on several replicas."""

import types

import pytest

from keras_attn.tasks import _fitting, _length_fitting
from keras_attn.tasks._batches import check_first_batch
from tests.tasks.test_fit_inputs import IMAGES, LABELS, TEXTS, images_model, texts_model

pytestmark = pytest.mark.tensorflow


def on(replicas):
    strategy = types.SimpleNamespace(num_replicas_in_sync=replicas)
    return types.SimpleNamespace(distribute_strategy=strategy)


@pytest.mark.parametrize(("examples", "batch_size"), [(7, 8), (7, None), (1, 4), (33, 3)])
def test_a_first_batch_that_replicas_cannot_share_is_refused(examples, batch_size):
    with pytest.raises(
        ValueError, match=r"`fit` on 2 replicas.*`batch_size` that is a multiple of 2"
    ):
        check_first_batch(on(2), examples, batch_size)
    check_first_batch(on(1), examples, batch_size)


def test_batches_that_replicas_can_share_pass():
    check_first_batch(on(2), 33, 8)
    check_first_batch(on(2), 8, None)


@pytest.mark.parametrize("task", ["images", "texts"])
def test_fit_checks_the_examples_that_remain_for_training(monkeypatch, task):
    model = {"images": images_model, "texts": texts_model}[task]()
    x = {"images": IMAGES, "texts": TEXTS}[task]
    numbers = []

    def check(model, examples, batch_size):
        numbers.append((examples, batch_size))
        raise StopIteration

    for module in (_fitting, _length_fitting):
        monkeypatch.setattr(module, "check_first_batch", check)
    for options in (
        {},
        {"validation_split": 0.3},
        {"validation_split": 0.3, "validation_data": (x, LABELS)},
    ):
        with pytest.raises(StopIteration):
            model.fit(x, LABELS, batch_size=3, verbose=0, **options)
    assert numbers == [(4, 3), (2, 3), (4, 3)]
