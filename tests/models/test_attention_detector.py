"""The architecture of detectors: its map, its settings, and what a position attends to."""

import numpy as np
import pytest
from keras import ops

from keras_attn import models
from tests.tasks.detection.small_detector import SMALL


@pytest.mark.parametrize("attention", ["softmax", "none"])
def test_the_map_has_logits_and_distances_for_each_position(attention):
    network = models.build("attention_detector", num_classes=5, attention=attention, **SMALL)
    assert network.output_shape == (None, 6, 8, 5 + 4)
    output = ops.convert_to_numpy(network(np.zeros((2, 48, 64, 3), "float32")))
    assert output.dtype == "float32"
    # Each label begins with a score of 1 %, and boxes with a size of some positions.
    np.testing.assert_allclose(1 / (1 + np.exp(-output[..., :5])), 0.01, atol=0.003)
    np.testing.assert_allclose(output[..., 5:], 1.0, atol=0.3)
    blocks = [layer for layer in network.layers if type(layer).__name__.endswith("EncoderBlock")]
    assert len(blocks) == (1 if attention == "softmax" else 0)


def test_a_position_reads_the_whole_image_by_attention_alone():
    for attention, expected in (("softmax", True), ("none", False)):
        network = models.build(
            "attention_detector", attention=attention, **{**SMALL, "image_size": (64, 512)}
        )
        random = np.random.default_rng(0)
        for weight in network.trainable_weights:
            weight.assign(random.normal(0.0, 0.3, weight.shape))
        images = random.normal(size=(1, 64, 512, 3)).astype("float32")
        changed = images.copy()
        changed[:, :, -16:] = 0.0
        before, after = (ops.convert_to_numpy(network(x))[0, 0, 0] for x in (images, changed))
        assert (not np.allclose(before, after, atol=1e-5)) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": (50, 64)}, "multiples of 16"),
        ({"stage_blocks": (1,)}, "one value a stage"),
        ({"num_heads": 3}, "must divide the last of"),
        ({"image_size": 64}, "image_size"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        models.build("attention_detector", **settings)
