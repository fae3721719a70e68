"""Base class of the layers that attend."""

from typing import Any

import keras
import numpy as np

from keras_attn._names import refuse_renamed

_RENAMED = {
    "is_causal": "`use_causal_mask`",
    "attn_mask": "`attention_mask`, True = attend",
    "key_padding_mask": "`padding_mask`, True for a key that may be attended to",
    "need_weights": "`return_attention_scores`",
}


class AttentionLayer(keras.layers.Layer):
    """A layer that takes masks as lists, and suggests its own names for call arguments."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        refuse_renamed(type(self).__name__, kwargs, _RENAMED)
        for name, value in kwargs.items():
            if name.endswith("_mask") and isinstance(value, list | tuple):
                kwargs[name] = np.asarray(value)
        return super().__call__(*args, **kwargs)
