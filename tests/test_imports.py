"""The import graph: layers as charted, no circles between files, no heavy import by accident."""

import importlib.util
import inspect

import grimp
import pytest

import keras_attn
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def imports():
    """For each module the modules of the package that it imports, also inside functions."""
    graph = grimp.build_graph("keras_attn", exclude_type_checking_imports=True, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def test_the_chart_in_contributing_is_that_of_the_contract():
    spec = importlib.util.spec_from_file_location("import_chart", ROOT / "docs/import_chart.py")
    chart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(chart)
    assert chart.page() == chart.PAGE.read_text(), "run docs/import_chart.py"


def test_no_file_imports_itself_by_way_of_others(imports):
    reachable = {name: set(targets) for name, targets in imports.items()}
    changed = True
    while changed:
        changed = False
        for name, targets in reachable.items():
            further = set().union(*(reachable[target] for target in targets)) - targets
            if further:
                reachable[name] = targets | further
                changed = True
    assert [name for name, targets in reachable.items() if name in targets] == []


def test_no_library_file_outside_its_folder_imports_a_task(imports):
    """A task is one folder: `tasks` and the registry of built-in tasks alone lead to it."""
    for folder in (
        "audio",
        "detection",
        "forecasting",
        "generation",
        "images",
        "texts",
        "translation",
    ):
        package = f"keras_attn.tasks.{folder}"
        importers = {
            name
            for name, targets in imports.items()
            if not name.startswith(package)
            and any(target.startswith(package) for target in targets)
        }
        assert importers == set()


@pytest.mark.parametrize(
    "package", ["", *sorted(set(keras_attn.__all__) - {"build", "list_models", "load"})]
)
def test_no_module_has_the_name_of_what_its_package_exports(package):
    folder = ROOT / "keras_attn" / package
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    exported = keras_attn if not package else getattr(keras_attn, package)
    names = {name for name in exported.__all__ if not inspect.ismodule(getattr(exported, name))}
    assert modules & names == set()
