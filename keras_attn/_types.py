"""Type aliases that every package shares."""

from typing import Any

# Backends have no tensor class in common, and their packages are not typed.
Tensor = Any
