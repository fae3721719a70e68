"""Lazy imports: names are imported when they are first used.

Importing `keras_attn`, and listing its entries, must not import TensorFlow.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, names: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose names are lazy.

    Args:
        package: `__name__` of the package.
        names: The names to import from each submodule.
        modules: Submodules that are public themselves.
    """
    submodules = {name: module for module, exported in names.items() for name in exported}
    public = sorted([*submodules, *modules])

    def getattr_(name: str) -> Any:
        if name in submodules:
            return getattr(importlib.import_module(f"{package}.{submodules[name]}"), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return getattr_, lambda: public, public
