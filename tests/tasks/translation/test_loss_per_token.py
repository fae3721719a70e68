"""The loss that Keras reports: the mean over target tokens, however they are batched."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_attn import tasks
from keras_attn.tasks.item_loss import ItemLossModel
from tests.conftest import ROOT
from tests.tasks.small_translators import new_translator

pytestmark = pytest.mark.tensorflow

SOURCES = ["a dog runs in the snow .", "two cats", "x", "a bird sings .", "a dog and two cats run"]
TARGETS = ["un chien court dans la neige .", "deux chats", "y", "un oiseau chante .", ""]
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5, 3.0], "float32")


def new_model(learning_rate=0.0):
    model = new_translator()
    model.adapt(SOURCES, TARGETS)
    model.compile(
        keras.optimizers.SGD(learning_rate),
        tasks.SequenceCrossentropy(),
        metrics=[tasks.TokenAccuracy()],
        weighted_metrics=[tasks.TokenAccuracy(name="weighted")],
    )
    return model


@pytest.fixture(scope="module")
def model():
    return new_model()


def batched(size, *columns):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((SOURCES, TARGETS, *columns)).batch(size)


def per_token(model, weights=1.0):
    """The loss per token by `score`, which sums over each pair."""
    tokens = model.encode(SOURCES, TARGETS).target_lengths
    return -(weights * model.score(SOURCES, TARGETS)).sum() / (weights * tokens).sum()


@pytest.mark.exhaustive
@pytest.mark.parametrize("size", [2, 5])
def test_it_is_the_same_for_every_batching(model, size):
    expected = pytest.approx(per_token(model), rel=1e-5)
    assert model.evaluate(batched(size), verbose=0, return_dict=True)["loss"] == expected
    assert model.evaluate(SOURCES, TARGETS, batch_size=size, verbose=0)[0] == expected
    seen = []
    spy = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))
    data = batched(size)
    history = model.fit(data, validation_data=data, callbacks=[spy], verbose=0).history
    for logs in ({name: values[0] for name, values in history.items()}, seen[0]):
        assert logs["loss"] == expected
        assert logs["val_loss"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 4])
def test_weights_of_pairs_are_weights_of_their_tokens(model, size):
    found = model.evaluate(batched(size, WEIGHTS), verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(per_token(model, WEIGHTS), rel=1e-5)
    right = [
        (values.argmax(axis=-1) == np.append(ids, 2)).sum()
        for values, ids in zip(
            model.logits(SOURCES, TARGETS), model.encode(SOURCES, TARGETS).targets, strict=True
        )
    ]
    tokens = model.encode(SOURCES, TARGETS).target_lengths
    assert found["accuracy"] == pytest.approx(sum(right) / tokens.sum())
    assert found["weighted"] == pytest.approx(
        (WEIGHTS * right).sum() / (WEIGHTS * tokens).sum(), abs=1e-6
    )


def test_weights_of_tokens_and_of_nothing():
    ids = np.array([[3, 1, 0], [2, 4, 5]])
    logits = np.random.default_rng(0).normal(size=(2, 3, 6)).astype("float32")
    loss = tasks.SequenceCrossentropy()
    rows = [float(loss(ids[row : row + 1], logits[row : row + 1])) for row in (0, 1)]
    by_rows = float(loss(ids, logits, sample_weight=np.array([0.1, 0.3])))
    assert by_rows == pytest.approx((0.2 * rows[0] + 0.9 * rows[1]) / 1.1, rel=1e-5)
    by_tokens = float(loss(ids, logits, sample_weight=np.array([[0.1] * 3, [0.3] * 3])))
    assert by_tokens == pytest.approx(by_rows, rel=1e-5)
    assert float(loss(ids, logits, sample_weight=np.zeros(2))) == 0.0
    with pytest.raises(ValueError, match=r"`sample_weight` must have .* shape \(1, 2, 3\)"):
        loss(ids, logits, sample_weight=np.zeros((1, 2, 3)))


def test_weights_of_lists_are_refused(model):
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="`sample_weight` is not supported for pairs of texts"):
            use(SOURCES, TARGETS, sample_weight=WEIGHTS)
    with pytest.raises(ValueError, match=r"pairs of texts\. Received: \{1: 2\.0\}"):
        model.fit(batched(2), class_weight={1: 2.0})
    with pytest.raises(ValueError, match=r"Lists of texts are \(sources, targets\)"):
        model.fit(SOURCES, TARGETS, validation_data=(SOURCES, TARGETS, WEIGHTS))


def test_weights_without_a_shape_are_refused(model):
    import tensorflow as tf

    types = (tf.string, tf.string, tf.float32)
    data = tf.data.Dataset.from_generator(
        lambda: iter([(SOURCES, TARGETS, WEIGHTS)]), output_types=types
    )
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"weights of the .* have no shape.*output_signature"):
            use(data, verbose=0)


class TwoReplicas(ItemLossModel):
    """A model on the second of two replicas, where Keras does not know of the first."""

    replicas = 2

    def loss_size(self, y, sample_weight=None):
        return keras.ops.ones(())

    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("loss", "factor"),
    [
        ("mean_squared_error", 2),
        (keras.losses.mean_squared_error, 2),
        (keras.losses.MeanSquaredError(), 2),
        (keras.losses.MeanSquaredError("mean"), 2),
        (keras.losses.MeanSquaredError("mean_with_sample_weight"), 2),
        (lambda y, y_pred: keras.ops.mean((y - y_pred) ** 2), 2),
    ],
)
def test_means_are_multiplied_by_the_replicas(loss, factor):
    two, one = TwoReplicas(), keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    y, y_pred = np.zeros((3, 1), "float32"), np.array([[1.0], [2.0], [3.0]], "float32")
    values = []
    for each in (one, two):
        each.compile(loss=loss)
        values.append(float(each.compute_loss(y=y, y_pred=y_pred, training=False)))
    assert values[1] == pytest.approx(factor * values[0])


def test_a_sum_is_refused_on_several_replicas():
    model, values = TwoReplicas(), np.zeros((3, 1), "float32")
    model.compile(loss=keras.losses.MeanSquaredError("sum"))
    with pytest.raises(ValueError, match=r"TwoReplicas: .* must be a mean.*reduction='sum'"):
        model.compute_loss(y=values, y_pred=values)


@pytest.mark.slow
def test_a_loaded_model_reports_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(batched(2), verbose=0) == model.evaluate(batched(2), verbose=0)


@pytest.mark.exhaustive
def test_replicas_train_and_evaluate_as_one_device():
    script = """
import numpy as np
from keras_attn.training.strategies import distribution
strategy = distribution("mirrored", 2).strategy
from tests.tasks.translation.test_loss_per_token import batched, new_model
one = new_model(1.0)
with strategy.scope():
    two = new_model(1.0)
data = batched(2).take(2)
for use in (
    lambda model: model.evaluate(data, verbose=0),
    lambda model: list(model.fit(data, validation_data=data, verbose=0).history.values()),
    lambda model: np.concatenate([weight.ravel() for weight in model.get_weights()]),
):
    np.testing.assert_allclose(use(two), use(one), rtol=1e-5, atol=1e-6)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
