"""What a model looks at, and what it costs."""

from keras_attn import _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "maps": ["AttentionMap", "attention_maps"],
        "costs": ["Cost", "cost"],
        "plots": ["plot_attention"],
    },
)
