"""Explanations of images: what moved the answer, beside attention."""

import json

import keras
import numpy as np
import pytest
from rich.console import Console

import keras_attn
from keras_attn import models, tasks
from keras_attn.layers import SelfAttention2D
from keras_attn.tasks._agreement import rank_correlation
from keras_attn.tasks.images.grad_cam import grad_cam

NAMES = ("a", "b", "<c>")


def make(**settings):
    keras.utils.set_random_seed(0)
    settings = {"filters": (4, 8), "key_channels": 4, **settings}
    return tasks.from_architecture("small_attention_cnn", NAMES, **settings)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")


@pytest.fixture(scope="module")
def trained():
    return keras_attn.build("shapes_small_attention_cnn")


@pytest.fixture(scope="module")
def shape_images():
    return keras_attn.datasets.load("shapes")["test"].images[:6]


@pytest.fixture(scope="module")
def model(image):
    model = make()
    model.adapt(image[None])
    return model


def log_odds(model, image, label):
    share = model.classify(image).probabilities[label]
    return np.log(share) - np.log1p(-share)


@pytest.mark.parametrize("label", [None, *NAMES])
def test_occlusion_is_what_the_model_says_of_the_image_without_the_square(model, image, label):
    explanation = model.explain(image, label, patch_size=16)
    assert explanation.answer.label == model.classify(image).label
    assert explanation.label == (label or explanation.answer.label)
    assert explanation.occlusion.shape == (2, 2)
    logits = model.logits(image[None].astype("float32"))[0].astype("float64")
    index = NAMES.index(explanation.label)
    whole = logits[index] - np.logaddexp.reduce(np.delete(logits, index))
    for row in range(2):
        for column in range(2):
            hidden = image.astype("float32")
            hidden[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = image.mean((0, 1))
            logits = model.logits(hidden[None])[0].astype("float64")
            odds = logits[index] - np.logaddexp.reduce(np.delete(logits, index))
            assert explanation.occlusion[row, column] == pytest.approx(whole - odds, abs=1e-4)


def test_attention_is_what_each_position_receives(model, image):
    explanation = model.explain(image)
    (received,) = explanation.attention.values()
    expected = tasks.attention_maps(model, image[None])[0].received()
    np.testing.assert_allclose(received, expected, atol=1e-6)
    assert received.sum() == pytest.approx(1.0, abs=1e-4)
    assert make(attention="none").explain(image).attention == {}


def mean_then_dense(kernel):
    """Return a network whose feature map equals its input: `H * W` pixels, averaged."""
    images = keras.Input((4, 4, 3))
    same = keras.layers.Conv2D(3, 1, use_bias=False)
    head = keras.layers.Dense(kernel.shape[1], use_bias=False)
    network = keras.Model(images, head(keras.layers.GlobalAveragePooling2D()(same(images))))
    same.set_weights([np.eye(3)[None, None]])
    head.set_weights([kernel])
    return network


def test_grad_cam_of_a_linear_network_is_its_class_activation_map():
    generator = np.random.default_rng(0)
    kernel, image = generator.normal(size=(3, 2)), generator.normal(size=(1, 4, 4, 3))
    cam = grad_cam(mean_then_dense(kernel), image.astype("float32"), index=1)
    # For two classes the log-odds are the difference of the logits, and the map sums to them.
    expected = image[0] @ (kernel[:, 1] - kernel[:, 0]) / 16
    np.testing.assert_allclose(cam, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["small_attention_cnn", "attention_net", "compact_transformer"])
def test_grad_cam_is_the_gradient_at_the_last_map(name, image):
    keras.utils.set_random_seed(1)
    sizes = {"compact_transformer": {"num_layers": 1}}.get(name, {})
    network = models.build(name, num_classes=3, **sizes)
    pixels = image[None].astype("float32") / 255
    cam = grad_cam(network, pixels, index=2)
    feature_map = models.last_feature_map(network)
    assert cam.shape == (feature_map.height, feature_map.width)
    values = np.asarray(keras.Model(network.input, feature_map.tensor)(pixels))
    tail = keras.Model(feature_map.tensor, network.output)

    def odds(features):
        logits = np.asarray(tail(features))[0].astype("float64")
        return logits[2] - np.logaddexp.reduce(logits[:2])

    # The slope of a channel, averaged over positions, by a difference of the whole channel.
    channel, step = 1, 1e-2
    moved = [values.copy() for _ in range(2)]
    moved[0][..., channel] += step
    moved[1][..., channel] -= step
    slope = (odds(moved[0]) - odds(moved[1])) / (2 * step) / (cam.size)
    without = values.copy()
    without[..., channel] = 0.0
    rest = np.zeros_like(cam)
    for index in range(values.shape[-1]):
        if index == channel:
            continue
        moved = [values.copy() for _ in range(2)]
        moved[0][..., index] += step
        moved[1][..., index] -= step
        rest += ((odds(moved[0]) - odds(moved[1])) / (2 * step) / cam.size) * values[
            0, ..., index
        ].reshape(cam.shape)
    expected = rest + slope * values[0, ..., channel].reshape(cam.shape)
    np.testing.assert_allclose(cam, expected, atol=2e-3 * np.abs(expected).max() + 1e-5)


def test_grad_cam_is_of_the_calibrated_logits(image):
    keras.utils.set_random_seed(4)
    network = models.build("small_attention_cnn", num_classes=3)
    pixels = image[None].astype("float32") / 255
    before = len(network.layers[-1]._inbound_nodes)
    divided = keras.Model(network.input, network.output / 3.0)
    expected = grad_cam(divided, pixels, index=1)
    for _ in range(3):
        np.testing.assert_allclose(grad_cam(network, pixels, 1, temperature=3.0), expected)
    assert len(network.layers[-1]._inbound_nodes) <= before + 2  # one for each of both networks


def test_there_is_no_feature_map_before_the_first_weights():
    images = keras.Input((8, 8, 3))
    nested = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    )
    x = nested(keras.layers.Rescaling(1 / 255)(images))
    network = keras.Model(images, keras.layers.Dense(2)(x))
    assert models.last_feature_map(network) is None
    sequence = keras.layers.Reshape((16, 16))(keras.layers.Conv2D(4, 3, padding="same")(images))
    x = keras.layers.GRU(5, return_sequences=True)(sequence)
    network = keras.Model(images, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    assert models.last_feature_map(network).tensor.shape == (None, 8, 8, 4)
    assert grad_cam(network, np.ones((1, 8, 8, 3), "float32"), 0).shape == (8, 8)


def test_a_branch_past_the_last_map_has_no_grad_cam():
    images = keras.Input((8, 8, 3))
    shallow = keras.layers.Conv2D(4, 3)(images)
    deep = keras.layers.Conv2D(4, 3)(shallow)
    pools = [keras.layers.GlobalAveragePooling2D()(x) for x in (deep, shallow)]
    network = keras.Model(images, keras.layers.Dense(2)(keras.layers.Concatenate()(pools)))
    assert grad_cam(network, np.ones((1, 8, 8, 3), "float32"), 0) is None


def test_there_is_no_rollout_past_convolutions(image):
    settings = {"stage_filters": (8, 8, 8), "stage_downsample": ("max", "max", "max")}
    network = models.build("attention_net", num_classes=3, attention_stage=2, **settings)
    pixels = image[None].astype("float32") / 255
    assert tasks.attention_maps(network, pixels)
    assert tasks.attention_rollout(network, pixels) is None
    last = models.build("attention_net", num_classes=3, **settings)
    assert tasks.attention_rollout(last, pixels).shape == (1, 4, 4)


def test_rollout_multiplies_the_attention_of_all_layers(image):
    keras.utils.set_random_seed(2)
    network = models.build("compact_transformer", num_layers=2, num_classes=3)
    pixels = image[None].astype("float32") / 255
    first, second = tasks.attention_maps(network, pixels)
    layers = [each.weights[0].mean(axis=0).reshape(64, 64) for each in (first, second)]
    steps = [0.5 * layer + 0.5 * np.eye(64) for layer in layers]
    pooling = models.attention_pooling(network)
    features = keras.Model(network.input, pooling.input)(pixels)
    _, scores = pooling(features, return_attention_scores=True)
    expected = np.asarray(scores).reshape(1, 64) @ steps[1] @ steps[0]
    rollout = tasks.attention_rollout(network, pixels)
    np.testing.assert_allclose(rollout[0], expected.reshape(8, 8), atol=1e-5)


def test_rollout_splits_a_downsampled_key_over_its_positions(image):
    keras.utils.set_random_seed(3)
    images = keras.Input((8, 8, 3))
    layer = SelfAttention2D(num_heads=1, downsample=2)
    network = keras.Model(images, keras.layers.GlobalAveragePooling2D()(layer(images)))
    pixels = image[None, :8, :8].astype("float32") / 255  # each key has some weight
    (layer_map,) = tasks.attention_maps(network, pixels)
    rollout = tasks.attention_rollout(network, pixels)[0]
    received = np.repeat(np.repeat(layer_map.received(), 2, axis=0), 2, axis=1) / 4
    np.testing.assert_allclose(rollout, 0.5 / 64 + 0.5 * received, atol=1e-6)


def test_rollout_has_no_weight_where_no_key_is(image):
    keras.utils.set_random_seed(5)
    images = keras.Input((9, 9, 3))
    layer = SelfAttention2D(num_heads=1, downsample=2)
    network = keras.Model(images, keras.layers.GlobalAveragePooling2D()(layer(images)))
    pixels = image[None, :9, :9].astype("float32") / 255  # each key has some weight
    (layer_map,) = tasks.attention_maps(network, pixels)
    expected = np.zeros((9, 9))  # the last row and column are in no key
    expected[:8, :8] = np.repeat(np.repeat(layer_map.received(), 2, axis=0), 2, axis=1) / 4
    rollout = tasks.attention_rollout(network, pixels)[0]
    np.testing.assert_allclose(rollout, 0.5 / 81 + 0.5 * expected, atol=1e-6)


def test_agreement_is_measured_over_the_occluded_squares(model, image):
    explanation = model.explain(image, patch_size=16)
    halves = [each.reshape(2, 4, 2, 4).mean((1, 3)) for each in (explanation.grad_cam,)]
    effect = explanation.occlusion.ravel()
    assert explanation.agreement["grad_cam"] == rank_correlation(halves[0].ravel(), effect)
    (name,) = explanation.attention
    received = explanation.attention[name].reshape(2, 4, 2, 4).mean((1, 3)).ravel()
    assert explanation.agreement[name] == rank_correlation(received, np.abs(effect))
    assert set(make(attention="none").explain(image).agreement) == {"grad_cam"}


def test_explanations_change_with_the_weights(trained, shape_images):
    """Compare with random weights (Adebayo et al., arXiv:1810.03292)."""
    fresh = trained.__class__.from_config(trained.get_config())
    fresh.set_weights(trained.get_weights())
    for layer in fresh.network.layers:
        weights = layer.get_weights()
        generator = np.random.default_rng(0)
        layer.set_weights(
            [generator.permutation(each.ravel()).reshape(each.shape) for each in weights]
        )
    correlations = {"occlusion": [], "grad_cam": [], "rollout": []}
    for pixels in shape_images:
        label = trained.classify(pixels).label
        answers = [each.explain(pixels, label) for each in (trained, fresh)]
        for name, values in correlations.items():
            maps = [getattr(answer, name).ravel() for answer in answers]
            values.append(rank_correlation(*maps) or 0.0)
    for name, values in correlations.items():
        assert np.mean(values) < 0.5, name


def test_images_of_any_size_and_files_are_explained(model, image, tmp_path):
    from PIL import Image

    Image.fromarray(image).save(tmp_path / "image.png")
    expected = model.explain(image)
    again = model.explain(tmp_path / "image.png")
    np.testing.assert_array_equal(again.occlusion, expected.occlusion)
    large = model.explain(np.repeat(image, 3, axis=0))
    assert large.image.shape == (32, 32, 3)
    assert large.occlusion.shape == expected.occlusion.shape == (8, 8)


def test_it_is_shown_in_every_form(model, image):
    explanation = model.explain(image, "<c>")
    back = json.loads(json.dumps(explanation.to_dict()))
    assert back["label"] == "<c>"
    assert back["answer"]["label"] == explanation.answer.label
    np.testing.assert_allclose(back["occlusion"], explanation.occlusion)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(explanation)
    assert f"Answer: {explanation.answer.label}" in capture.get()
    lines = [line.ljust(2 + 2 * 8) for line in capture.get().splitlines()]
    for title, values in zip(
        ("Change of log-odds", "Grad-CAM", "Attention rollout", "Attention in"),
        (
            explanation.occlusion,
            explanation.grad_cam,
            explanation.rollout,
            *explanation.attention.values(),
        ),
        strict=True,
    ):
        (start,) = (row for row, line in enumerate(lines) if line.startswith(title))
        shown = lines[start + 1 : start + 9]
        row, column = np.unravel_index(np.abs(values).argmax(), values.shape)
        strongest = "-█" if values[row, column] < 0 else "██"
        assert shown[row][2 + 2 * column : 4 + 2 * column] == strongest
        marks = {line[2 + 2 * i] for line in shown for i in range(8)}
        assert ("-" in marks) == (values / np.abs(values).max() < -0.2).any()
    html = explanation.to_html()
    assert html.startswith("<img")
    assert "<c>" not in html
    assert html in explanation.to_page()
    assert explanation._repr_html_() == html
    assert len(explanation.plot().axes) == 5 + 4  # images and color bars


def test_what_cannot_be_explained_is_refused(model, image):
    with pytest.raises(ValueError, match="Unknown label: received 'd'"):
        model.explain(image, "d")
    for wrong in (0, 33, 2.0, True):
        with pytest.raises(ValueError, match="`patch_size` must be an integer from 1 to 32"):
            model.explain(image, patch_size=wrong)
    with pytest.raises(ValueError, match="height, width, 3"):
        model.explain(np.stack([image, image]))
