"""Every notebook runs from top to bottom, offline."""

import os
import re

import nbformat
import pytest

from keras_attn import zoo
from tests.conftest import ROOT

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
# The kernel's client polls a socket with a deprecated call of its own.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebooks_run(path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    assert os.environ["PYTHONPATH"]
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), (
        "commit notebooks without output"
    )
    _skip_without_weights(notebook)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    images = sum(
        "image/png" in output.get("data", {})
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    assert images >= 5


def _skip_without_weights(notebook):
    """Skip a notebook about one entry, `ENTRY = "..."`, that is not trained yet."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    found = re.search(r'^ENTRY = "(\w+)"$', code, flags=re.M)
    if found and found[1] not in zoo.list(pretrained=True):
        pytest.skip(f"no trained weights are in the zoo of {found[1]}")
