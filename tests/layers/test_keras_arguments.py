"""Arguments of `keras.layers.MultiHeadAttention`: each has the same meaning here, or a remedy."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import layers
from keras_attn.layers import MultiHeadAttention

B, T, S, D = 2, 3, 4, 6
RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=(B, T, D)).astype("float32")
VALUE = RANDOM.normal(size=(B, S, D)).astype("float32")

# Each constructor argument of the Keras layer: values with the same meaning here.
SAME = {
    "num_heads": [2],
    "key_dim": [3],
    "value_dim": [None, 3],
    "dropout": [0.0, 0.3],
    "use_bias": [True, False],
    "output_shape": [None, 5, (5,)],
    "attention_axes": [None, 1, (1,)],
    "sliding_window": [None],
    "flash_attention": [None, False],
    "kernel_initializer": ["he_normal"],
    "bias_initializer": ["ones"],
    "kernel_regularizer": ["l2"],
    "bias_regularizer": ["l1"],
    "activity_regularizer": ["l2"],
    "kernel_constraint": ["max_norm"],
    "bias_constraint": ["non_neg"],
    "use_gate": [False],
    "seed": [3],
}
# Values that are refused, and what the message says.
REFUSED = {
    "attention_axes": ((1, 2), "Attention is over axis 1 alone"),
    "sliding_window": (3, "Pass it as `window`"),
    "flash_attention": (True, "Pass `implementation`"),
    "use_gate": (True, "Keep the Keras layer"),
    "output_shape": ((2, 3), "must be one size"),
}
# Each call argument of the Keras layer.
CALL = ["query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask"]
CALL += ["return_attention_scores", "training", "use_causal_mask"]


def parameters(function):
    return [
        name for name in inspect.signature(function).parameters if name not in ("self", "kwargs")
    ]


def array(x):
    return ops.convert_to_numpy(x)


def test_every_argument_of_keras_has_a_case():
    theirs = keras.layers.MultiHeadAttention
    assert set(parameters(theirs.__init__)) <= set(SAME)
    assert set(parameters(theirs.call)) <= set(CALL)
    assert set(CALL) <= set(parameters(MultiHeadAttention.call))


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SAME.items() for value in values]
)
def test_an_argument_means_what_it_means_in_keras(name, value):
    if name not in parameters(keras.layers.MultiHeadAttention.__init__):
        pytest.skip("this Keras does not have it")
    settings = {"num_heads": 2, "key_dim": 3, name: value}
    theirs, ours = keras.layers.MultiHeadAttention(**settings), MultiHeadAttention(**settings)
    theirs(QUERY, VALUE), ours(QUERY, VALUE)
    drawn = [RANDOM.uniform(-2.0, 2.0, w.shape).astype("float32") for w in ours.weights]
    for layer in (theirs, ours):
        layer.set_weights(drawn[: len(layer.weights)])
    for training in (False, True):
        if training and name == "dropout":
            continue
        outputs = [array(layer(QUERY, VALUE, training=training)) for layer in (ours, theirs)]
        np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)
        losses = [[float(loss) for loss in layer.losses] for layer in (ours, theirs)]
        np.testing.assert_allclose(sum(losses[0]), sum(losses[1]), rtol=1e-4)
        assert bool(losses[0]) == name.endswith("_regularizer")
    for mine, other in zip(ours.trainable_weights, theirs.trainable_weights, strict=True):
        assert (mine.constraint is None) == (other.constraint is None)
    again = MultiHeadAttention.from_config(ours.get_config())
    assert again.get_config() == ours.get_config()
    converted = MultiHeadAttention.from_keras(theirs)
    np.testing.assert_allclose(array(converted(QUERY, VALUE)), outputs[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_that_is_missing_is_refused_with_a_remedy(name):
    value, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"MultiHeadAttention: `{name}`.*{message}") as error:
        MultiHeadAttention(2, 3, **{name: value})
    assert f"{value}" in str(error.value)


@pytest.mark.parametrize("name", ["key_mask", "value_mask"])
def test_masks_of_keys_and_values_exclude_keys_as_in_keras(name):
    theirs = keras.layers.MultiHeadAttention(2, 3)
    theirs(QUERY, VALUE)
    ours = MultiHeadAttention.from_keras(theirs)
    mask = np.array([[1, 1, 0, 1], [0, 1, 1, 1]], bool)
    output = array(ours(QUERY, VALUE, VALUE, **{name: mask}))
    expected = array(theirs(QUERY, VALUE, VALUE, **{name: mask}))
    np.testing.assert_allclose(output, expected, atol=1e-5)
    np.testing.assert_array_equal(output, array(ours(QUERY, VALUE, VALUE, padding_mask=mask)))


def test_a_key_must_be_allowed_by_every_explicit_mask():
    layer = MultiHeadAttention(2, 3)
    masks = dict(
        zip(("padding_mask", "key_mask", "value_mask"), ~np.eye(4, dtype=bool)[:3], strict=True)
    )
    masks = {name: np.stack([mask, mask]) for name, mask in masks.items()}
    output, scores = layer(QUERY, VALUE, VALUE, return_attention_scores=True, **masks)
    np.testing.assert_allclose(array(scores)[..., 3], 1.0)
    only = np.tile([False, False, False, True], (B, 1))
    np.testing.assert_allclose(
        array(output), array(layer(QUERY, VALUE, padding_mask=only)), atol=1e-6
    )


@pytest.mark.parametrize("cached", [False, True])
def test_a_query_mask_zeroes_masked_queries_only(cached):
    layer = MultiHeadAttention(2, 3, bias_initializer="ones")
    mask = np.array([[1, 1, 0], [0, 1, 1]], bool)
    more = {"return_attention_scores": True}
    if cached:
        more |= {"cache": layer.make_cache(B, 5), "cache_index": 0}
    plain, plain_scores, *_ = layer(QUERY, QUERY, **more)
    output, scores, *_ = layer(QUERY, QUERY, query_mask=mask, **more)
    np.testing.assert_array_equal(array(output)[mask], array(plain)[mask])
    np.testing.assert_array_equal(array(output)[~mask], 1.0)  # the bias of the projection
    assert not array(scores).swapaxes(1, 2)[~mask].any()
    np.testing.assert_array_equal(
        array(scores).swapaxes(1, 2)[mask], array(plain_scores).swapaxes(1, 2)[mask]
    )


def test_the_implicit_mask_of_the_query_is_carried_and_not_applied():
    layer, masking = MultiHeadAttention(2, 3), keras.layers.Masking()
    query = QUERY.copy()
    query[:, 2] = 0.0
    output = layer(masking(query), VALUE)
    np.testing.assert_array_equal(array(output), array(layer(query, VALUE)))
    np.testing.assert_array_equal(array(output._keras_mask), [[True, True, False]] * B)


@pytest.mark.parametrize("name", ["query_mask", "key_mask", "value_mask"])
def test_masks_that_keras_ignores_or_reads_wrongly_are_refused(name):
    layer, length = MultiHeadAttention(2, 3), T if name == "query_mask" else S
    inputs = (QUERY, VALUE, VALUE)
    with pytest.raises(ValueError, match=f"`{name}` must be boolean.*from -1e\\+09 to 0"):
        layer(*inputs, **{name: np.full((B, length), [-1e9] + [0.0] * (length - 1), "float32")})
    with pytest.raises(ValueError, match=f"`{name}` must have shape"):
        layer(*inputs, **{name: np.ones((B, T, S), bool)})


MAKERS = {
    "Attention": (layers.Attention, (QUERY, VALUE)),
    "MultiHeadAttention": (lambda: MultiHeadAttention(2, 3), (QUERY, VALUE)),
    "TransformerEncoderBlock": (lambda: layers.TransformerEncoderBlock(2, 8), (QUERY,)),
    "TransformerDecoderBlock": (lambda: layers.TransformerDecoderBlock(2, 8), (QUERY, VALUE)),
}


ELSEWHERE = {
    "causal": "Pass `use_causal_mask`",
    "is_causal": "Pass `use_causal_mask`",
    "need_weights": "Pass `return_attention_scores`",
    "return_weights": "Pass `return_attention_scores`",
    "key_padding_mask": r"Pass `padding_mask`, \(batch, keys\).*pass `~mask`",
    "attn_mask": r"Pass `attention_mask`, \(batch, queries, keys\), True = attend.*pass `~mask`",
    "batch_first": "leave `batch_first` out",
    "attention_masks": "Did you mean 'attention_mask'",
}


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("kind", MAKERS)
def test_names_of_other_libraries_are_refused_with_ours(kind, name):
    make, inputs = MAKERS[kind]
    with pytest.raises(TypeError, match=f"^{kind}: .*{name}.*{ELSEWHERE[name]}"):
        make()(*inputs, **{name: True})


@pytest.mark.parametrize("kind", ["Attention", "MultiHeadAttention", "TransformerDecoderBlock"])
def test_a_mask_of_no_kind_is_refused_with_both_kinds(kind):
    make, inputs = MAKERS[kind]
    with pytest.raises(TypeError, match=r"`mask`. Pass `padding_mask`.*, or `attention_mask`"):
        make()(*inputs, mask=np.ones((B, S), bool))


def test_an_argument_that_a_layer_lacks_is_refused_without_a_wrong_hint():
    with pytest.raises(TypeError, match="Unknown argument: received 'is_causal'") as error:
        layers.AttentionPooling()(QUERY, is_causal=True)
    assert "use_causal_mask" not in str(error.value)
    with pytest.raises(TypeError, match="Pass `padding_mask`") as error:
        layers.AttentionPooling()(QUERY, attn_mask=np.ones((B, T), bool))
    assert "attention_mask" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "advice"),
    {
        "embed_dim": "Pass `key_dim`, the size of each head",
        "num_attention_heads": "Pass `num_heads`",
        "dropout_rate": "Pass `dropout`",
        "bias": "Pass `use_bias`",
        "batch_first": "leave `batch_first` out",
        "is_causal": "Pass `use_causal_mask` in the call",
    }.items(),
)
@pytest.mark.parametrize("kind", ["MultiHeadAttention", "TransformerEncoderBlock"])
def test_constructor_names_of_other_libraries_are_refused_with_ours(kind, name, advice):
    # Alone, so that arguments are missing: their absence must not hide the advice.
    with pytest.raises(TypeError, match=f"^{kind}: .*`{name}`. .*{advice}"):
        getattr(layers, kind)(**{name: 1})


def test_a_subclass_may_have_arguments_of_any_name():
    class Mine(MultiHeadAttention):
        def __init__(self, embed_dim, **kwargs):
            super().__init__(2, embed_dim // 2, **kwargs)

        def call(self, query, value, key=None, is_causal=False):
            return super().call(query, value, key, use_causal_mask=is_causal)

    layer = Mine(embed_dim=6)
    causal, whole = (array(layer(QUERY, QUERY, is_causal=causal)) for causal in (True, False))
    assert np.abs(causal - whole).max() > 1e-4
    with pytest.raises(TypeError, match=r"^Mine: .*received 'causal'. Did you mean 'is_causal'"):
        layer(QUERY, QUERY, causal=True)


def test_errors_name_the_class_that_was_written():
    class Mine(layers.TransformerEncoderBlock):
        pass

    for kind in (layers.TransformerEncoderBlock, layers.TransformerDecoderBlock, Mine):
        name = kind.__name__
        with pytest.raises(ValueError, match=f"^{name}: `num_kv_heads` must divide"):
            kind(4, 8, num_kv_heads=3)
        with pytest.raises(ValueError, match=f"passed to {name}"):
            kind(4, 8, kernel_size=3)
    block = layers.TransformerEncoderBlock(2, 8, name="block")
    with pytest.raises(ValueError, match="block: `padding_mask` must have shape"):
        block(QUERY, padding_mask=np.ones((B, T, T), bool))


def test_missing_and_misspelled_arguments_are_named_by_the_layer():
    with pytest.raises(TypeError, match=r"^MultiHeadAttention: missing `key_dim`\.$"):
        MultiHeadAttention(2)
    with pytest.raises(TypeError, match=r"^MultiHeadAttention: missing `num_heads` and `key_dim`"):
        MultiHeadAttention()
    with pytest.raises(TypeError, match=r"unknown argument `num_key_heads`. Pass `num_kv_heads`"):
        MultiHeadAttention(2, 4, num_key_heads=1)
    with pytest.raises(TypeError, match=r"MultiHeadAttention: .*'dropuot'. Did you mean 'dropout'"):
        MultiHeadAttention(2, 4, dropuot=0.1)
    assert MultiHeadAttention(2, 4, name="heads", dtype="float32").name == "heads"
