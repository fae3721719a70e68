"""Names that are imported when they are first used.

Importing `keras_attn`, and listing its entries, must not wait for TensorFlow.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, names: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for a package of lazy names.

    Args:
        package: The package's `__name__`.
        names: For each submodule the names to take from it.
        modules: Submodules that are public themselves.
    """
    homes = {name: module for module, listed in names.items() for name in listed}
    public = sorted([*homes, *modules])

    def getattr_(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return getattr_, lambda: public, public
