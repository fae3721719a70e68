"""Single-head attention against closed forms in NumPy and against Keras, and its masks."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import Attention
from keras_attn.layers.attention import SCORES
from tests.ops import oracles

B, T, S, D, KEY, V, UNITS = 2, 4, 6, 5, 3, 7, 8
RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=(B, T, D)).astype("float32")
KEYS = RANDOM.normal(size=(B, S, D)).astype("float32")
NARROW = RANDOM.normal(size=(B, S, KEY)).astype("float32")
VALUE = RANDOM.normal(size=(B, S, V)).astype("float32")
PADDING_MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0]], bool)
ATTENTION_MASK = oracles.random_mask(B, T, S)
every_score = pytest.mark.parametrize("score", SCORES)


def make(score, key=KEYS, **settings):
    """The layer, built, with all weights drawn: no bias is zero."""
    layer = Attention(score, units=UNITS if score == "additive" else None, **settings)
    layer.build(QUERY.shape, VALUE.shape, key.shape)
    random = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(random.normal(size=weight.shape))
    return layer


def key_of(score):
    """Keys of another size than the queries, where the score compares two sizes."""
    return NARROW if score in ("additive", "bilinear") else KEYS


def scores_of(layer, query, key):
    """The definition of every score, one pair at a time."""
    named = {w.path.split("/", 1)[1]: oracles.numpy(w) for w in layer.weights}

    def score(q, k):
        if layer.score == "additive":
            u = named["key/kernel"].T @ k + named["key/bias"]
            return named["score_vector"] @ np.tanh(named["query/kernel"].T @ q + u)
        if layer.score == "bilinear":
            return q @ named["key/kernel"].T @ k
        if layer.score == "cosine":
            return q @ k / (np.linalg.norm(q) * np.linalg.norm(k))
        return q @ k / (np.sqrt(len(q)) if layer.score == "scaled_dot" else 1.0)

    scores = np.zeros((B, query.shape[1], key.shape[1]))
    for b, t, s in np.ndindex(scores.shape):
        scores[b, t, s] = score(query[b, t].astype("float64"), key[b, s].astype("float64"))
    return scores / layer.temperature


def check(layer, mask, key, query=QUERY, value=VALUE, **arguments):
    output, weights = layer(query, value, key, return_attention_scores=True, **arguments)
    expected = oracles.normalize(layer.normalizer, scores_of(layer, query, key), mask)
    np.testing.assert_allclose(oracles.numpy(weights), expected, atol=2e-6)
    np.testing.assert_allclose(oracles.numpy(output), expected @ value, atol=2e-5)
    without_scores = layer(query, value, key, **arguments)
    np.testing.assert_allclose(oracles.numpy(without_scores), oracles.numpy(output), atol=1e-5)


@every_score
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_every_score_is_its_closed_form(score, temperature):
    check(make(score, key_of(score), temperature=temperature), None, key_of(score))


@every_score
def test_masks_of_both_kinds_together(score):
    both = PADDING_MASK[:, None] & ATTENTION_MASK
    layer = make(score, key_of(score))
    check(layer, both, key_of(score), padding_mask=PADDING_MASK, attention_mask=ATTENTION_MASK)


@every_score
def test_causal_with_padding(score):
    layer, query = make(score), KEYS[:, ::-1]
    seen = oracles.band(S, S, is_causal=True) & PADDING_MASK[:, None]
    check(layer, seen, KEYS, query=query, padding_mask=PADDING_MASK, use_causal_mask=True)


@every_score
def test_other_normalizers(score):
    layer = make(score, key_of(score), normalizer="sparsemax")
    check(layer, PADDING_MASK[:, None], key_of(score), padding_mask=PADDING_MASK)


@every_score
def test_the_value_is_the_key_where_none_is_given(score):
    layer = make(score, VALUE, name="again") if score in ("additive", "bilinear") else make(score)
    value = VALUE if score in ("additive", "bilinear") else KEYS
    np.testing.assert_array_equal(
        oracles.numpy(layer(QUERY, value)), oracles.numpy(layer(QUERY, value, value))
    )


def test_dot_equals_keras():
    theirs = keras.layers.Attention()
    expected = theirs([QUERY, VALUE, KEYS], mask=[None, PADDING_MASK], return_attention_scores=True)
    ours = make("dot")(QUERY, VALUE, KEYS, padding_mask=PADDING_MASK, return_attention_scores=True)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(oracles.numpy(a), oracles.numpy(b), atol=1e-5)


def test_additive_equals_keras_where_nothing_is_projected():
    theirs = keras.layers.AdditiveAttention()
    expected = theirs([QUERY, VALUE, KEYS], mask=[None, PADDING_MASK])
    layer = Attention("additive", units=D)
    layer.build(QUERY.shape, VALUE.shape, KEYS.shape)
    layer.query_dense.kernel.assign(np.eye(D))
    layer.key_dense.kernel.assign(np.eye(D))
    layer.score_vector.assign(theirs.scale)
    ours = layer(QUERY, VALUE, KEYS, padding_mask=PADDING_MASK)
    np.testing.assert_allclose(oracles.numpy(ours), oracles.numpy(expected), atol=1e-5)


@every_score
def test_one_query_at_a_time_over_keys_projected_once(score):
    key = key_of(score)
    layer = make(score, key)
    keys = layer.project_keys(ops.convert_to_tensor(key))
    steps = [
        layer.attend(ops.convert_to_tensor(q), keys, VALUE, padding_mask=PADDING_MASK)
        for q in queries()
    ]
    whole = oracles.numpy(layer(QUERY, VALUE, key, padding_mask=PADDING_MASK))
    np.testing.assert_allclose(np.concatenate(list(map(oracles.numpy, steps)), 1), whole, atol=1e-5)


def queries():
    return [QUERY[:, t : t + 1] for t in range(T)]


@every_score
def test_padding_changes_nothing_real_and_the_mask_matters(score):
    layer = make(score)
    changed = [np.where(PADDING_MASK[..., None], x, 50.0).astype("float32") for x in (VALUE, KEYS)]
    masked, again = layer(QUERY, VALUE, KEYS, PADDING_MASK), layer(QUERY, *changed, PADDING_MASK)
    np.testing.assert_allclose(oracles.numpy(again), oracles.numpy(masked), atol=1e-5)
    unmasked = oracles.numpy(layer(QUERY, VALUE, KEYS))
    assert not np.allclose(unmasked[1], oracles.numpy(masked)[1], atol=1e-3)


@every_score
def test_a_row_of_padding_alone_is_exactly_zero_with_finite_gradients(score):
    layer, nothing = make(score), np.zeros((B, S), bool)
    output, weights = layer(QUERY, VALUE, KEYS, nothing, return_attention_scores=True)
    np.testing.assert_array_equal(oracles.numpy(output), 0.0)
    np.testing.assert_array_equal(oracles.numpy(weights), 0.0)
    for mask in (nothing, PADDING_MASK):
        for x in (QUERY, np.zeros_like(QUERY)):
            slope = oracles.gradient(
                lambda q, mask=mask: ops.sum(layer(q, VALUE, KEYS, mask) ** 2), x
            )
            assert np.isfinite(slope).all()


def test_the_implicit_mask_is_taken_carried_on_and_unharmed():
    tokens = np.array([[3, 1, 2, 4], [2, 1, 0, 0]])
    embedded = keras.layers.Embedding(5, D, mask_zero=True)(tokens)
    unmasked = ops.convert_to_tensor(ops.convert_to_numpy(embedded))
    layer = make("additive", np.zeros((B, 4, D)))
    output = layer(embedded, embedded)
    explicit = layer(unmasked, unmasked, padding_mask=tokens != 0)
    np.testing.assert_allclose(oracles.numpy(output), oracles.numpy(explicit), atol=1e-5)
    assert not np.allclose(oracles.numpy(output), oracles.numpy(layer(unmasked, unmasked)))
    for tensor in (output, embedded):
        np.testing.assert_array_equal(ops.convert_to_numpy(tensor._keras_mask), tokens != 0)
    everything = layer(embedded, embedded, padding_mask=np.ones_like(tokens))
    np.testing.assert_allclose(
        oracles.numpy(everything), oracles.numpy(layer(unmasked, unmasked)), atol=1e-5
    )


@every_score
def test_functional_models_of_unknown_lengths(score):
    query, value, padding_mask = (
        keras.Input((None, D)),
        keras.Input((None, D)),
        keras.Input((None,), dtype="bool"),
    )
    layer = make(score)
    output, weights = layer(query, value, padding_mask=padding_mask, return_attention_scores=True)
    assert (output.shape, weights.shape) == ((None, None, D), (None, None, None))
    model = keras.Model([query, value, padding_mask], [output, weights])
    received = model([QUERY, KEYS, PADDING_MASK])
    expected = layer(QUERY, KEYS, padding_mask=PADDING_MASK, return_attention_scores=True)
    for a, b in zip(received, expected, strict=True):
        np.testing.assert_allclose(oracles.numpy(a), oracles.numpy(b), atol=1e-5)


def test_cosine_of_large_and_zero_vectors_in_float16():
    layer = Attention("cosine", dtype="mixed_float16")
    large = layer(QUERY * 3000.0, VALUE, KEYS, return_attention_scores=True)[1]
    exact = oracles.softmax(scores_of(make("cosine"), QUERY, KEYS)[0, 0])
    np.testing.assert_allclose(oracles.numpy(large)[0, 0], exact, atol=2e-3)
    even = layer(QUERY * 0.0, VALUE, KEYS, return_attention_scores=True)[1]
    np.testing.assert_allclose(oracles.numpy(even), 1 / S, atol=1e-3)


def test_projections_do_not_start_equal():
    layer = Attention("additive", units=D, kernel_initializer=keras.initializers.GlorotUniform())
    layer(QUERY, KEYS)
    kernels = [oracles.numpy(dense.kernel) for dense in (layer.query_dense, layer.key_dense)]
    assert not np.allclose(*kernels)


def test_dropout_acts_in_training_alone_and_repeats_by_seed():
    def outputs(seed):
        layer = Attention("dot", dropout=0.5, seed=seed)
        return [oracles.numpy(layer(QUERY, VALUE, KEYS, training=mode)) for mode in (True, False)]

    dropped, plain = outputs(1)
    assert not np.allclose(dropped, plain)
    np.testing.assert_allclose(
        plain, oracles.numpy(Attention("dot")(QUERY, VALUE, KEYS)), atol=1e-5
    )
    np.testing.assert_array_equal(outputs(1)[0], dropped)
    assert not np.allclose(outputs(2)[0], dropped)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "dott"}, r"`score`: received 'dott'\. Did you mean 'dot'"),
        ({"score": "additive"}, r"`units` must be an integer of at least 1\. Received: None"),
        ({"score": "dot", "units": 3}, r"`units` is only for score=\"additive\""),
        ({"temperature": 0.0}, r"`temperature` must be positive\. Received: 0\.0"),
        ({"dropout": 1.0}, r"`dropout` must be a rate"),
        ({"normalizer": "sofmax"}, r"softmax"),
    ],
)
def test_impossible_arguments_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        Attention(**settings)


def test_impossible_inputs_are_refused():
    with pytest.raises(
        ValueError, match=r"one size .*Received: query \(2, 4, 5\), key \(2, 6, 3\)"
    ):
        Attention("dot")(QUERY, NARROW)
    with pytest.raises(ValueError, match=r"`query` must have shape \(batch, length, features\)"):
        Attention("dot")(QUERY[0], KEYS)
    with pytest.raises(ValueError, match=r"(?s)is a `padding_mask`"):
        Attention("dot")(KEYS, KEYS, attention_mask=PADDING_MASK)
    with pytest.raises(ValueError, match=r"(?s)is a `padding_mask`"):
        Attention("dot")(*[keras.Input((S, D))] * 2, attention_mask=keras.Input((S,), dtype="bool"))
