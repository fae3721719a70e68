import numpy as np
import pytest
from keras import ops

from keras_attn.ops import NORMALIZERS, normalizers
from tests.ops import oracles

SHAPE, LONG = (3, 4, 7), 4096
every_normalizer = pytest.mark.parametrize("name", list(oracles.NORMALIZERS))
masked_or_not = pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])


def scores_and_mask(masked=True, scale=2.0):
    scores = scale * np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    return scores, oracles.random_mask(*SHAPE) if masked else None


def weights_of(name, scores, mask=None):
    return oracles.numpy(NORMALIZERS[name](ops.convert_to_tensor(scores), mask))


def test_every_normalizer_has_an_oracle():
    assert list(NORMALIZERS) == list(oracles.NORMALIZERS)


@masked_or_not
@every_normalizer
def test_equals_the_closed_form(name, masked):
    scores, mask = scores_and_mask(masked)
    expected = oracles.normalize(name, scores, mask)
    np.testing.assert_allclose(weights_of(name, scores, mask), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(7,), (3, 1, 7)])
@every_normalizer
def test_mask_broadcasts_to_the_scores(name, shape):
    scores, _ = scores_and_mask()
    mask = np.random.default_rng(3).random(shape) < 0.5
    expected = oracles.normalize(name, scores, mask)
    np.testing.assert_allclose(weights_of(name, scores, mask), expected, rtol=1e-5, atol=1e-6)


@every_normalizer
def test_masked_positions_are_exactly_zero(name):
    scores, mask = scores_and_mask()
    weights = weights_of(name, scores, mask)
    assert not weights[~mask].any()
    assert weights[mask].any()


@every_normalizer
def test_row_with_nothing_allowed_is_exactly_zero(name):
    scores, _ = scores_and_mask()
    assert not weights_of(name, scores, np.zeros(SHAPE, bool)).any()


@every_normalizer
def test_masked_scores_change_nothing(name):
    scores, mask = scores_and_mask()
    other = np.where(mask, scores, np.float32(300.0))
    np.testing.assert_array_equal(weights_of(name, scores, mask), weights_of(name, other, mask))


@pytest.mark.parametrize("name", ["softmax", "normalized_sigmoid", "sparsemax", "entmax15"])
def test_masked_keys_are_ignored_beside_very_negative_scores(name):
    scores, mask = scores_and_mask()
    scores -= np.float32(2e4)
    # There the logarithm of the sigmoid is the score itself.
    oracle = "softmax" if name == "normalized_sigmoid" else name
    expected = oracles.normalize(oracle, scores, mask)
    np.testing.assert_allclose(weights_of(name, scores, mask), expected, rtol=1e-5, atol=1e-6)


@every_normalizer
def test_masked_keys_are_equivalent_to_absent_keys(name):
    scores, _ = scores_and_mask()
    mask = np.arange(SHAPE[-1]) < 4
    np.testing.assert_allclose(
        weights_of(name, scores, mask)[..., :4], weights_of(name, scores[..., :4]), atol=1e-6
    )


@pytest.mark.parametrize("name", ["softmax", "normalized_sigmoid", "sparsemax", "entmax15"])
def test_rows_sum_to_one(name):
    scores, mask = scores_and_mask()
    sums = weights_of(name, scores, mask).sum(axis=-1)
    np.testing.assert_allclose(sums, mask.any(axis=-1), atol=1e-6)


@pytest.mark.parametrize("name", ["softmax1", "sigmoid"])
def test_very_negative_scores_attend_to_nothing(name):
    weights = weights_of(name, np.full((1, 5), -60.0, "float32"))
    assert (weights < 1e-20).all()


@pytest.mark.parametrize("name", ["softmax", "sparsemax", "entmax15"])
def test_adding_a_constant_to_the_scores_changes_nothing(name):
    scores, mask = scores_and_mask()
    np.testing.assert_allclose(
        weights_of(name, scores + 8.0, mask), weights_of(name, scores, mask), atol=2e-6
    )


@every_normalizer
def test_equal_scores_share_equally(name):
    weights = weights_of(name, np.zeros(SHAPE, "float32"))
    each = {"softmax1": 1 / 8, "sigmoid": 1 / 8}.get(name, 1 / 7)
    np.testing.assert_allclose(weights, np.full(SHAPE, each), rtol=1e-6)


@every_normalizer
@pytest.mark.parametrize("size", [1e3, 1e6])
def test_huge_scores_stay_exact(name, size):
    scores = np.broadcast_to(np.array([1.0, -1.0, 0.5, -0.25, 0.75, -0.5, 0.0]) * size, SHAPE)
    with np.errstate(over="ignore"):
        expected = oracles.normalize(name, scores)
    np.testing.assert_allclose(weights_of(name, scores.astype("float32")), expected, atol=1e-6)


def test_normalized_sigmoid_does_not_underflow():
    row = np.array([[-400.0, -401.0, -402.0]])
    expected = oracles.softmax(row[0])
    got = weights_of("normalized_sigmoid", row.astype("float32"))
    np.testing.assert_allclose(got[0], expected, rtol=1e-5)


def test_sparsemax_zeroes_more_than_entmax15_and_softmax_none():
    scores, _ = scores_and_mask(scale=0.6)
    support = {name: weights_of(name, scores) > 0 for name in ("sparsemax", "entmax15", "softmax")}
    assert support["softmax"].all()
    assert not (support["sparsemax"] & ~support["entmax15"]).any()
    assert support["sparsemax"].sum() < support["entmax15"].sum() < support["softmax"].sum()


@pytest.mark.parametrize("kept", [1, 10])
@every_normalizer
def test_few_keys_kept_among_many(name, kept):
    scores = np.random.default_rng(0).normal(size=(2, LONG)).astype("float32")
    mask = np.arange(LONG) < kept
    expected = oracles.normalize(name, scores, mask)
    np.testing.assert_allclose(weights_of(name, scores, mask), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tail", [-0.01, -0.99, -1.98, -2.7])
@every_normalizer
def test_one_key_above_a_long_tail(name, tail):
    scores = np.full((2, LONG), tail, "float32")
    scores[:, 7] = 0.0
    expected = oracles.normalize(name, scores)
    np.testing.assert_allclose(weights_of(name, scores), expected, rtol=2e-4, atol=1e-5)


@masked_or_not
@every_normalizer
def test_gradient_equals_finite_differences(name, masked):
    """At the seed's scores no weight of a sparse normalizer is within a step of its kink."""
    scores, mask = scores_and_mask(masked, scale=0.7)
    cotangent = np.random.default_rng(2).normal(size=SHAPE)

    def loss(x):
        return ops.sum(ops.multiply(NORMALIZERS[name](x, mask), cotangent.astype("float32")))

    expected, step = np.zeros(SHAPE), 1e-4
    for i in np.ndindex(SHAPE):
        change = np.zeros(SHAPE)
        change[i] = step
        # Rows are independent: the row of `i` is all that a step there can change.
        rows = [scores[i[:-1]] + change[i[:-1]] * sign for sign in (1.0, -1.0)]
        allowed = None if mask is None else mask[i[:-1]]
        up, down = (oracles.normalize(name, row, allowed) @ cotangent[i[:-1]] for row in rows)
        expected[i] = (up - down) / (2.0 * step)
    np.testing.assert_allclose(oracles.gradient(loss, scores), expected, rtol=1e-3, atol=1e-5)


@every_normalizer
def test_gradient_of_masked_scores_is_exactly_zero(name):
    scores, mask = scores_and_mask()
    cotangent = np.random.default_rng(2).normal(size=SHAPE).astype("float32")

    def loss(x):
        return ops.sum(ops.multiply(NORMALIZERS[name](x, mask), cotangent))

    gradient = oracles.gradient(loss, scores)
    assert not gradient[~mask].any()
    assert np.isfinite(gradient).all()
    assert gradient[mask].any()


@every_normalizer
def test_gradient_is_finite_at_huge_scores(name):
    scores, mask = scores_and_mask(scale=1e4)
    gradient = oracles.gradient(lambda x: ops.sum(ops.square(NORMALIZERS[name](x, mask))), scores)
    assert np.isfinite(gradient).all()


@every_normalizer
def test_get_returns_the_normalizer_of_a_name(name):
    assert normalizers.get(name) is NORMALIZERS[name]


def test_get_suggests_a_near_name():
    with pytest.raises(ValueError, match=r"received 'sofmax'\. Did you mean 'softmax'"):
        normalizers.get("sofmax")


def test_get_lists_the_names_where_none_is_near():
    with pytest.raises(ValueError, match=r"received 'zzz'\. Accepted: 'softmax', .*'entmax15'"):
        normalizers.get("zzz")
