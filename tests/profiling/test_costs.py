"""Costs against counts by hand, written out; attention layers are in test_attention_costs."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import layers, models, zoo
from keras_attn.profiling import Cost, cost
from keras_attn.profiling._attention_counts import count
from keras_attn.tasks import from_architecture

K = keras.layers
T, D = 5, 6  # a sequence
SEQUENCE, IMAGE = (None, T, D), (None, 9, 7, 4)


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (K.Dense(8), (None, D), 6 * 8),
        (K.Dense(8), IMAGE, 9 * 7 * 4 * 8),
        (K.EinsumDense("btd,dnh->btnh", (None, 2, 3)), SEQUENCE, 5 * 6 * 2 * 3),
        (K.EinsumDense("btnh,nhd->btd", (None, 8)), (None, T, 2, 3), 5 * 2 * 3 * 8),
        (K.EinsumDense("...x,xy->...y", 8), IMAGE, 9 * 7 * 4 * 8),
        (K.EinsumDense("btd,td->bt", (T,)), SEQUENCE, 5 * 6),
        (K.Conv1D(8, 3, padding="same"), SEQUENCE, 5 * (3 * 6) * 8),
        (K.Conv2D(8, 3, padding="same"), IMAGE, 9 * 7 * (3 * 3 * 4) * 8),
        (K.Conv2D(8, (3, 2), strides=2), IMAGE, 4 * 3 * (3 * 2 * 4) * 8),
        (K.Conv2D(8, 3, dilation_rate=2), IMAGE, 5 * 3 * (3 * 3 * 4) * 8),
        (K.Conv2D(8, 3, groups=2), IMAGE, 7 * 5 * (3 * 3 * 2) * 8),
        (K.Conv2D(8, 3, data_format="channels_first"), (1, 4, 9, 7), 7 * 5 * (3 * 3 * 4) * 8),
        (K.Conv3D(8, 2), (None, 3, 4, 5, 6), 2 * 3 * 4 * (2 * 2 * 2 * 6) * 8),
        (K.DepthwiseConv1D(3), SEQUENCE, 3 * 3 * 6),
        (K.DepthwiseConv2D(3, depth_multiplier=2), IMAGE, 7 * 5 * (3 * 3) * 4 * 2),
        (K.GRUCell(8), (None, D), 6 * (3 * 8)),  # and the recurrence, below
        (K.LSTMCell(8), (None, D), 6 * (4 * 8)),
        (K.GRU(8), SEQUENCE, 5 * (6 + 8) * (3 * 8)),
        (K.GRU(8, return_sequences=True, reset_after=False), SEQUENCE, 5 * (6 + 8) * (3 * 8)),
        (K.LSTM(8, return_sequences=True), SEQUENCE, 5 * (6 + 8) * (4 * 8)),
        (K.Bidirectional(K.GRU(8, return_sequences=True)), SEQUENCE, 2 * 5 * (6 + 8) * (3 * 8)),
        (
            K.Bidirectional(
                K.GRU(8), merge_mode="sum", backward_layer=K.LSTM(8, go_backwards=True)
            ),
            SEQUENCE,
            5 * (6 + 8) * (3 * 8 + 4 * 8),
        ),
        (layers.PatchWhitening(2), IMAGE, 8 * 6 * (2 * 2 * 4) * (2 * 2 * 2 * 4)),
        (layers.ConvBlock(8, strides=2, pool="max"), IMAGE, 5 * 4 * (3 * 3 * 4) * 8),
        (
            layers.ResidualBlock(8, downsample="max"),
            IMAGE,
            9 * 7 * (3 * 3 * 4) * 8 + 4 * 3 * (3 * 3 * 8) * 8 + 4 * 3 * 4 * 8,
        ),
        (layers.ResidualBlock(4), IMAGE, 2 * 9 * 7 * (3 * 3 * 4) * 4),
        (layers.SqueezeExcite(ratio=2), IMAGE, 4 * 2 + 2 * 4),
        (layers.EfficientChannelAttention(3), IMAGE, 4 * 3),
        (layers.CBAM(2, kernel_size=5), IMAGE, 2 * (4 * 2 + 2 * 4) + 9 * 7 * (5 * 5 * 2)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, K.Layer) else None,
)
def test_layers_are_the_hand_count(layer, shape, macs):
    if isinstance(layer, K.GRUCell | K.LSTMCell):
        gates = 3 if isinstance(layer, K.GRUCell) else 4
        layer.build(shape)
        assert count(layer, (1, *shape[1:])).macs == macs + 8 * gates * 8
        return
    spent = cost(layer, shape)
    assert spent.flops == 2 * macs
    assert (spent.attention_bytes_full, spent.attention_bytes_chunked) == (0, 0)
    assert not layer.built  # it stays as it was
    layer.build((1, *shape[1:]))
    assert spent.parameters == layer.count_params()


@pytest.mark.parametrize(
    ("layer", "shape", "parameters"),
    [
        (K.Embedding(10, D), (None, T), 10 * 6),
        (K.BatchNormalization(), IMAGE, 4 * 4),
        (K.GroupNormalization(2), IMAGE, 2 * 4),
        (K.LayerNormalization(), SEQUENCE, 2 * 6),
        (K.RMSNormalization(), SEQUENCE, 6),
        (K.PReLU(), SEQUENCE, 5 * 6),
        (K.Dropout(0.5), SEQUENCE, 0),
        (K.MaxPooling2D(), IMAGE, 0),
        (layers.ImageNormalization(), IMAGE, 2 * 4),
        (layers.NGramEmbedding((10, 20), (4, 2), gain=3.0), (None, T, 2), 10 * 4 + 20 * 2),
        (layers.PositionEmbedding(11), SEQUENCE, 11 * 6),
        (layers.PositionEmbedding((9, 8)), IMAGE, (9 + 8) * 4),
        (layers.SinusoidalPositionEncoding(), SEQUENCE, 0),
        (layers.RelativePositionBias(2, 32), [SEQUENCE, SEQUENCE], 32 * 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, K.Layer) else None,
)
def test_what_multiplies_no_matrices_has_parameters_alone(layer, shape, parameters):
    assert cost(layer, shape) == Cost(parameters, 0, 0, 0)


def test_every_layer_is_in_the_table():
    for name in layers.__all__:
        kind = getattr(layers, name)
        assert count.dispatch(kind) is not count.dispatch(object), name


@pytest.mark.parametrize("name", zoo.list(task="text_classification", pretrained=True))
def test_the_recorded_flops_of_text_entries_are_those_of_some_length(name):
    entry = zoo.describe(name)
    for run in entry.results["runs"]:
        settings = entry.recipe.settings(run["variant"] or None)
        network = models.build(entry.recipe.architecture, **settings)
        orders = network.input.shape[-1]
        costs = [cost(network, (1, length, orders)) for length in (1, 2, 3)]
        # The mean length of the training texts, rounded; attention is quadratic in it.
        flops = np.polynomial.Polynomial.fit([1, 2, 3], [c.flops for c in costs], 2)
        assert run["forward_flops"] in flops(np.arange(100, 1000)).round()
        assert costs[0].parameters == run["parameters"]


@pytest.mark.parametrize("name", zoo.list(task="image_classification", pretrained=True))
def test_the_recorded_flops_of_the_zoo_still_hold(name):
    entry = zoo.describe(name)
    runs = {run["variant"]: run for run in entry.results["runs"]}
    assert "" in runs
    for variant, run in runs.items():
        settings = entry.recipe.settings(variant or None)
        labels = zoo.build(name, weights=None).label_names
        model = from_architecture(entry.recipe.architecture, labels, **settings)
        spent = cost(model)  # of the classifier, its network
        assert spent == cost(model.network)
        assert spent.flops == run["forward_flops"]
        assert spent.parameters == run["parameters"]
        assert (spent.attention_bytes_full > 0) == (variant != "no_attention")


def test_a_sequential_model_built_or_not():
    def stack(*first):
        return keras.Sequential([*first, K.Dense(8), K.ReLU(), K.Dense(3)])

    expected = Cost(parameters=(6 + 1) * 8 + (8 + 1) * 3, flops=2 * 5 * (6 * 8 + 8 * 3))
    model = stack()
    assert cost(model, SEQUENCE) == expected
    assert not model.built
    assert cost(stack(keras.Input((T, D)))) == expected
    model.build(SEQUENCE)
    assert cost(model) == expected


def test_a_shared_layer_counts_at_each_call_and_with_its_own_shape():
    dense = K.Dense(6)
    short, long = keras.Input((2, 6)), keras.Input((5, 6))
    model = keras.Model([short, long], [dense(dense(short)), dense(long)])
    assert cost(model) == Cost(parameters=6 * 6 + 6, flops=2 * (2 + 2 + 5) * 6 * 6)


def test_models_in_models():
    inner_input = keras.Input((None, 6))
    inner = keras.Model(inner_input, K.Dense(4)(inner_input))
    named = {"a": keras.Input((3, 6), name="a"), "b": keras.Input((7, 6), name="b")}
    pair = keras.Model(named, [inner(named["b"]), keras.Sequential([K.Dense(2)])(named["a"])])
    first, second = keras.Input((7, 6)), keras.Input((3, 6))
    outer = keras.Model([first, second], pair({"b": first, "a": second}))
    assert cost(outer).flops == 2 * (7 * 6 * 4 + 3 * 6 * 2)


def test_batches_that_are_folded_into_other_axes_count_in_full():
    inputs = keras.Input((8, 6))
    windows = ops.reshape(inputs, (-1, 2, 6))
    assert cost(keras.Model(inputs, K.Dense(4)(windows))).flops == 2 * 8 * 6 * 4


def test_flops_do_not_depend_on_the_batch_size():
    expected = 2 * 5 * 6 * 8
    assert cost(K.Dense(8), (32, T, D)).flops == cost(K.Dense(8), SEQUENCE).flops == expected
    inputs = keras.Input((T, D), batch_size=4)
    assert cost(keras.Model(inputs, K.Dense(8)(inputs))).flops == expected


def test_the_model_stays_as_it_is():
    model = from_architecture("small_attention_cnn", ["a", "b"]).network
    model.compile("adam", "mse")
    before = model.get_layer("attention").output
    cost(model)
    cost(model, (8, 32, 32, 3))
    assert model.get_layer("attention").output is before
    assert model.compiled


def test_unknown_sizes_are_refused():
    inputs = keras.Input((None, 6), name="tokens")
    model = keras.Model(inputs, K.Dense(8)(inputs))
    with pytest.raises(ValueError, match=r"not known.*\(1, None, 6\).*Pass `input_shape`"):
        cost(model)
    with pytest.raises(ValueError, match=r"not known.*Pass `input_shape`"):
        cost(model, (None, None, 6))
    assert cost(model, (None, T, 6)).flops == 2 * 5 * 6 * 8
    with pytest.raises(ValueError, match=r"Pass `input_shape`, the batch included"):
        cost(K.Dense(8))


@pytest.mark.parametrize("shape", [(None, 5, 7), (5, 6), [(None, 5, 6)] * 2])
def test_shapes_that_do_not_fit_are_refused(shape):
    inputs = keras.Input((None, 6))
    with pytest.raises(ValueError, match="does not fit"):
        cost(keras.Model(inputs, K.Dense(8)(inputs)), shape)


def test_a_layer_that_was_built_for_other_sizes_is_refused():
    layer = K.Dense(8)
    layer.build((None, 6))
    assert cost(layer, SEQUENCE).parameters == (6 + 1) * 8
    with pytest.raises(ValueError, match="64 parameters, where it has 56"):
        cost(layer, (None, T, 7))


class Unknown(K.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2))

    def call(self, x):
        return x @ self.kernel


class Free(K.Layer):
    def call(self, x):
        return x + 1.0


def test_layers_that_are_not_known_are_refused_by_name():
    inputs = keras.Input((T, D))
    with pytest.raises(TypeError, match="type Unknown is not known: 'mine' has weights"):
        cost(keras.Model(inputs, Unknown(name="mine")(inputs)))
    with pytest.raises(TypeError, match="type SimpleRNN"):
        cost(keras.Sequential([K.SimpleRNN(3)]), SEQUENCE)
    assert cost(Free(), SEQUENCE) == Cost(0, 0, 0, 0)


@pytest.mark.parametrize(
    "product",
    [
        lambda x: K.Dot(2)([x, x]),
        lambda x: K.Attention()([x, x]),
        lambda x: K.AdditiveAttention(use_scale=False)([x, x]),
        lambda x: x @ ops.swapaxes(x, 1, 2),
        lambda x: ops.einsum("btd,bsd->bts", x, x),
    ],
)
def test_products_without_weights_are_not_taken_to_be_free(product):
    inputs = keras.Input((T, D))
    with pytest.raises(TypeError, match="multiplies matrices"):
        cost(keras.Model(inputs, product(inputs)))


def test_a_model_whose_calls_cannot_be_read_is_refused():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(TypeError, match="only of functional and sequential models"):
        cost(Subclassed(), SEQUENCE)
