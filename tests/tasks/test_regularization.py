"""Regularization of layers under a strategy: a step of two replicas is that of one device."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.tensorflow

# The regularization moves the weights by more than the data do, so that a wrong share of it shows.
SCRIPT = """
import sys
import keras, numpy as np
from keras_attn.training.strategies import distribution
strategy = distribution("mirrored", 2).strategy
from keras_attn import tasks
from keras_attn.tasks.training_data import Objective
from keras_attn.training.learner import Learner
from tests.tasks.small_translators import new_translator

random = np.random.default_rng(0)
pairs = (["a dog runs", "two cats", "x", "a bird sings ."], ["un chien", "deux chats", "y", "un"])
images = random.integers(0, 256, (8, 6, 6, 3)).astype("uint8")
labels = random.integers(0, 3, 8)


def classifier():
    inputs = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(0.1))(inputs / 255)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = tasks.ImageClassifier(keras.Model(inputs, keras.layers.Dense(3)(x)), ["a", "b", "c"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss)
    return model


def translator():
    model = new_translator()
    model.adapt(*pairs)
    for weight in model.trainable_variables:
        weight.regularizer = keras.regularizers.L2(0.1)
    model.compile(keras.optimizers.SGD(1.0), tasks.SequenceCrossentropy())
    return model


def learner():
    task = translator()
    model = Learner(task, Objective(tasks.SequenceCrossentropy(), tasks.TokenAccuracy()), [])
    model.objective.size = task.loss_size
    model.compile(keras.optimizers.SGD(1.0), tasks.SequenceCrossentropy())
    return model


def encoded():
    batch = translator().encode(*pairs).batch(np.arange(4), multiple=1)
    return {"x": batch[0], "y": batch[1], "batch_size": 4}


make, data = {
    "classifier": lambda: (classifier, {"x": images, "y": labels, "batch_size": 8}),
    "translator": lambda: (translator, {"x": pairs[0], "y": pairs[1]}),
    "learner": lambda: (learner, encoded()),
}[sys.argv[1]]()


def train():
    keras.utils.set_random_seed(0)
    model = make()
    before = np.concatenate([np.ravel(x) for x in model.get_weights()])
    losses = model.fit(**data, shuffle=False, verbose=0).history["loss"]
    return losses, np.concatenate([np.ravel(x) for x in model.get_weights()]) - before


one = train()
with strategy.scope():
    two = train()
np.testing.assert_allclose(two[0], one[0], rtol=1e-5)
np.testing.assert_allclose(two[1], one[1], rtol=1e-4, atol=1e-5)
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["classifier", "translator", "learner"])
def test_two_replicas_regularize_as_one_device(kind):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
