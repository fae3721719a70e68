"""Type aliases that every package shares."""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the active Keras backend, a `KerasTensor`, or an array that converts to one.

Backends have no tensor class in common, and their packages are not typed.
"""
