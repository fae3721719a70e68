"""Type aliases shared by the modules of `keras_attn.ops`."""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the active Keras backend, a `KerasTensor`, or an array that converts to one."""

Size: TypeAlias = int | Any
"""A length or an index: a Python integer where it is static, else a scalar integer tensor."""
