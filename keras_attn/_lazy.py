"""Names that are imported when they are first used.

Importing `keras_attn`, and listing its entries, must not wait for TensorFlow.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` for a package of lazy names.

    Args:
        package: the package's `__name__`.
        names: for each submodule the names to take from it; none for the module itself.
    """
    homes = {name: module for module, listed in names.items() for name in listed}
    modules = [module for module, listed in names.items() if not listed]
    public = sorted([*homes, *modules])

    def getattr_(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return getattr_, lambda: public, public
