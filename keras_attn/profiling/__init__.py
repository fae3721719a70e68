"""Cost of a layer or a model: parameters, floating-point operations, attention memory."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.profiling.costs import Cost, cost

__getattr__, __dir__, __all__ = _lazy.attach(__name__, {"costs": ["Cost", "cost"]})
