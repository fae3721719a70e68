"""Cross-entropy of linear logits: blocks of any size equal the closed form."""

import numpy as np
import pytest
from keras import ops

from keras_attn.ops import linear_crossentropy
from tests.ops import oracles

R, D, V = 23, 6, 11
BOUNDS = {"bfloat16": 2e-2, "float16": 4e-3}  # relative to the greatest value


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    states, table = rng.normal(size=(R, D)) * 2, rng.normal(size=(V, D))
    weights = rng.random(R) * (rng.random(R) > 0.2)  # some rows are padding
    return tuple(x.astype("float32") for x in (states, table)), rng.integers(0, V, R), weights


def expected(states, table, targets, weights, label_smoothing):
    """Return the loss and its gradients by the closed form, in float64."""
    states, table = states.astype("float64"), table.astype("float64")
    logits = states @ table.T
    shifted = logits - logits.max(1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    probabilities = np.exp(log_probabilities)
    share = label_smoothing / len(table)
    wanted = np.eye(len(table))[targets] * (1 - label_smoothing) + share
    loss = -(wanted * log_probabilities).sum(1)
    dlogits = weights[:, None] * (probabilities - wanted)
    return (weights * loss).sum(), dlogits @ table, dlogits.T @ states


def check(received, wanted, bound):
    received = ops.convert_to_numpy(ops.cast(received, "float32"))
    np.testing.assert_allclose(received, wanted, atol=bound * np.abs(wanted).max())


@pytest.mark.parametrize("max_rows", [1, 2, 7, 22, 23, 100, None])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_predictions_and_gradients_equal_the_closed_form(max_rows, smoothing):
    (states, table), targets, weights = inputs()
    options = {"label_smoothing": smoothing, "max_rows": max_rows}
    total, predicted = linear_crossentropy(states, table, targets, weights, **options)
    loss, dstates, dtable = expected(states, table, targets, weights, smoothing)
    check(total, loss, 1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(predicted), (states @ table.T).argmax(1))

    def scaled(states, table):  # the gradient that arrives is not 1
        return 3.0 * linear_crossentropy(states, table, targets, weights, **options)[0]

    check(oracles.gradient(lambda x: scaled(x, table), states), 3 * dstates, 1e-5)
    check(oracles.gradient(lambda x: scaled(states, x), table), 3 * dtable, 1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_near_the_closed_form(dtype):
    (states, table), targets, weights = inputs()
    states = ops.convert_to_numpy(ops.cast(ops.cast(states, dtype), "float32"))
    loss, dstates, dtable = expected(states, table, targets, weights, 0.1)

    def total(states, table):
        return linear_crossentropy(
            ops.cast(states, dtype), table, targets, weights, label_smoothing=0.1, max_rows=5
        )[0]

    check(total(states, table), loss, BOUNDS[dtype])
    check(oracles.gradient(lambda x: total(x, table), states), dstates, BOUNDS[dtype])
    check(oracles.gradient(lambda x: total(states, x), table), dtable, BOUNDS[dtype])


def total_with_divergence(states, table, targets, weights, divergence_weight):
    """Return the loss of copies in adjacent rows by its definition, in float64."""
    logits = states.astype("float64") @ table.astype("float64").T
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    wanted = np.eye(len(table))[targets] * 0.9 + 0.1 / len(table)
    losses = -(wanted * log_p).sum(1)
    p, q = np.exp(log_p[::2]), np.exp(log_p[1::2])
    divergence = ((p * np.log(p / q)).sum(1) + (q * np.log(q / p)).sum(1)) / 2
    return (weights * (losses + divergence_weight * np.repeat(divergence, 2))).sum()


@pytest.mark.parametrize("max_rows", [1, 2, 6, 22, None])
def test_the_divergence_of_copies_joins_loss_and_gradients(max_rows):
    (states, table), targets, weights = inputs()
    states, targets, weights = states[:22], np.repeat(targets[:11], 2), weights[:22]
    options = {"label_smoothing": 0.1, "divergence_weight": 5.0, "max_rows": max_rows}

    def total(states, table):
        return linear_crossentropy(states, table, targets, weights, **options)[0]

    def definition(states, table):
        return total_with_divergence(states, table, targets, weights, 5.0)

    check(total(states, table), definition(states, table), 1e-5)
    _, predicted = linear_crossentropy(states, table, targets, weights, **options)
    np.testing.assert_array_equal(ops.convert_to_numpy(predicted), (states @ table.T).argmax(1))
    rng = np.random.default_rng(1)
    for place, argument in enumerate((states, table)):
        direction = rng.normal(size=argument.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [states.astype("float64"), table.astype("float64")]
            moved[place] = moved[place] + step * direction
            ends.append(definition(*moved))
        others = [states, table]

        def at(x, place=place, others=others):
            return total(*[x if n == place else other for n, other in enumerate(others)])

        slope = (oracles.gradient(at, argument) * direction).sum()
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_weights_of_any_size_are_in_the_range_of_float16(scale):
    (states, table), targets, weights = inputs()
    states = ops.convert_to_numpy(ops.cast(ops.cast(states, "float16"), "float32"))
    loss, dstates, dtable = expected(states, table, targets, weights, 0.1)

    def total(states, table):
        values = linear_crossentropy(
            ops.cast(states, "float16"), table, targets, scale * weights, label_smoothing=0.1
        )
        return values[0] / scale

    check(total(states, table), loss, BOUNDS["float16"])
    check(oracles.gradient(lambda x: total(x, table), states), dstates, BOUNDS["float16"])
    check(oracles.gradient(lambda x: total(states, x), table), dtable, BOUNDS["float16"])


@pytest.mark.parametrize("divergence_weight", [0.0, 5.0])
def test_without_gradients_loss_and_predictions_are_the_same(divergence_weight):
    (states, table), targets, weights = inputs()
    arguments = states[:22], table, targets[:22], weights[:22]
    options = {"divergence_weight": divergence_weight, "label_smoothing": 0.1, "max_rows": 6}
    total, predicted = linear_crossentropy(*arguments, **options)
    again, same = linear_crossentropy(*arguments, differentiable=False, **options)
    assert float(again) == pytest.approx(float(total), rel=1e-6)
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (same, predicted)))


def test_great_logits_do_not_overflow():
    (states, table), targets, weights = inputs()
    loss, dstates, _ = expected(100 * states, table, targets, weights, 0.1)

    def total(states):
        return linear_crossentropy(
            states, table, targets, weights, label_smoothing=0.1, max_rows=5
        )[0]

    check(total(100 * states), loss, 1e-5)
    check(oracles.gradient(total, 100 * states), dstates, 1e-5)


def test_rows_of_weight_zero_count_nothing_and_others_one_by_default():
    (states, table), targets, _ = inputs()
    ones = np.ones(R)
    weighted, _ = linear_crossentropy(states, table, targets, ones)
    plain, _ = linear_crossentropy(states, table, targets)
    assert float(plain) == float(weighted)
    ones[5:] = 0
    part, _ = linear_crossentropy(states, table, targets, ones)
    check(part, expected(states[:5], table, targets[:5], ones[:5], 0.0)[0], 1e-5)
    none, predicted = linear_crossentropy(states[:0], table, targets[:0])
    assert float(none) == 0.0
    assert tuple(predicted.shape) == (0,)


@pytest.mark.tensorflow
def test_a_graph_of_unknown_length_gives_the_same():
    import tensorflow as tf

    (states, table), targets, weights = inputs()
    specs = (tf.TensorSpec((None, D)), tf.TensorSpec((V, D)), tf.TensorSpec((None,), tf.int64))

    @tf.function(input_signature=[*specs, tf.TensorSpec((None,))])
    def run(states, table, targets, weights):
        with tf.GradientTape() as tape:
            tape.watch([states, table])
            total, predicted = linear_crossentropy(
                states, table, targets, weights, label_smoothing=0.1, max_rows=5
            )
        return total, predicted, *tape.gradient(total, [states, table])

    for rows in (R, 3, 1, 0):
        arguments = states[:rows], table, targets[:rows], weights[:rows].astype("float32")
        total, predicted, *gradients = run(*arguments)
        if not rows:
            assert float(total) == 0.0
            assert not np.any(gradients[1])
            continue
        np.testing.assert_array_equal(predicted, (states[:rows] @ table.T).argmax(1))
        loss, *wanted = expected(*arguments, 0.1)
        check(total, loss, 1e-5)
        for received, value in zip(gradients, wanted, strict=True):
            check(received, value, 1e-5)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"states": np.zeros((2, 3, D))}, r"`states` must have .*Received: \(2, 3, 6\)"),
        ({"states": np.zeros((R, D), int)}, "`states` must have a float dtype. Received: int"),
        ({"table": np.zeros((V, D), "int8")}, "`table` must have a float dtype. Received: int8"),
        ({"table": np.zeros((V, D + 1))}, r"`table` .*and \(11, 7\)"),
        ({"targets": np.zeros((R, 1), int)}, r"`targets` must .*\(23, 1\)"),
        ({"label_smoothing": 1.0}, r"`label_smoothing` must be in \[0, 1\)\. Received: 1\.0"),
        ({"targets": np.zeros(R - 1, int)}, r"`targets` must .*\(23, 6\)\. .*\(22,\)"),
        ({"weights": np.ones((R, 1))}, r"`weights` must .*\(23, 1\)"),
        ({"divergence_weight": -1.0}, "`divergence_weight` must not be negative. Received: -1.0"),
        ({"divergence_weight": 1.0}, "the number of rows must be even. Received: 23 rows"),
        ({"max_rows": 0}, "`max_rows` must be at least 1. Received: 0"),
    ],
)
def test_what_does_not_fit_is_refused(changes, match):
    (states, table), targets, _ = inputs()
    with pytest.raises(ValueError, match=match):
        linear_crossentropy(**{"states": states, "table": table, "targets": targets, **changes})
