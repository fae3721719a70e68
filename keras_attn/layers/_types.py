"""Type aliases of the layers."""

from keras_attn._types import Tensor

Tensors = dict[str, Tensor]
