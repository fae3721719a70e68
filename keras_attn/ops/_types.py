"""Type aliases shared by the modules of `keras_attn.ops`."""

from typing import Any, TypeAlias

from keras_attn._types import Tensor

__all__ = ["Size", "Tensor"]

Size: TypeAlias = int | Any
"""A length or an index: a Python integer where it is static, else a scalar integer tensor."""
