"""Grad-CAM: the gradient of a label's log-odds at the last feature map."""

import weakref
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn import models
from keras_attn._types import Tensor
from keras_attn.tasks._gradient import gradient, log_odds_in_graph

_tails: weakref.WeakKeyDictionary[Any, keras.Model | None] = weakref.WeakKeyDictionary()


def grad_cam(
    network: keras.Model, image: Tensor, index: int, temperature: float = 1.0
) -> np.ndarray | None:
    """Return the evidence for a label at each position of the last feature map.

    Selvaraju et al. (arXiv:1610.02391): the sum over the channels of the map, each weighted by the
    gradient of the label's log-odds, averaged over positions. Without the ReLU of the paper, so
    that evidence against the label is negative.

    Args:
        network: A network from images to logits.
        image: One normalized image `(1, H, W, C)`.
        index: Index of the label.
        temperature: What the logits are divided by, see `ImageClassifier.calibrate`.

    Returns:
        Float array `(H', W')`; None if the network is not functional, or if no feature map
        determines its output.

    Example:

    >>> network = models.build("attention_net", stage_filters=(8, 16, 32), num_classes=4)
    >>> grad_cam(network, np.ones((1, 32, 32, 3), "float32"), index=0).shape
    (8, 8)
    """
    if not getattr(network, "outputs", None):
        return None
    feature_map = models.last_feature_map(network)
    if feature_map is None:
        return None
    features = keras.Model(network.inputs[0], feature_map.tensor)(image, training=False)
    tail = _tail(network, feature_map.tensor)
    if tail is None:
        return None

    def log_odds(x: Tensor) -> Tensor:
        return log_odds_in_graph(tail(x, training=False)[0] / temperature, index)

    values = ops.convert_to_numpy(ops.cast(features, "float32"))
    slopes = gradient(log_odds, ops.convert_to_numpy(features))
    values, slopes = (array.reshape(-1, array.shape[-1]) for array in (values, slopes))
    cam = values.astype("float64") @ slopes.mean(axis=0)
    return cam.reshape(feature_map.height, feature_map.width)


def _tail(network: keras.Model, tensor: Tensor) -> keras.Model | None:
    """Return the network from an inner tensor to its output; None if that reads other tensors.

    It is made once for a network: each such model adds calls to the layers.
    """
    if network not in _tails:
        try:
            _tails[network] = keras.Model(tensor, network.outputs[0])
        except ValueError:  # a branch leads past the tensor
            _tails[network] = None
    return _tails[network]
