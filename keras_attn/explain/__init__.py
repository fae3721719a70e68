"""What a model looks at, and what it costs."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.explain.costs import Cost, cost
    from keras_attn.explain.maps import AttentionMap, attention_maps
    from keras_attn.explain.plots import plot_alignment, plot_attention

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "maps": ["AttentionMap", "attention_maps"],
        "costs": ["Cost", "cost"],
        "plots": ["plot_alignment", "plot_attention"],
    },
)
