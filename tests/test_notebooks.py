"""The stored outputs of the notebooks, and the notebooks run from top to bottom, offline."""

import copy
import importlib.util
import re

import nbformat
import pytest

from tests.conftest import ROOT
from tests.test_docs import script

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBER = re.compile(r"[-+]?\d+\.\d*(?:e[-+]?\d+)?")  # integers are compared as text
TOLERANCE = 0.02  # absolute and relative, for results of another processor
all_notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def runner():
    return script("docs", "run_notebooks")


def read(path):
    return nbformat.read(path, as_version=4)


@all_notebooks
def test_stored_outputs_belong_to_the_code_and_hold_nothing_of_the_machine(path, runner):
    notebook = read(path)
    nbformat.validate(notebook)
    assert runner.problems(notebook) == []
    assert sum(runner.has_image(cell) for cell in notebook.cells) >= 5


@all_notebooks
def test_links_of_notebooks_are_to_files_or_https(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#]+)", text)
    to_files = [link for link in links if not link.startswith("https://")]
    assert to_files
    for link in to_files:
        assert (path.parent / link).is_file(), link


def test_problems_of_stored_outputs_are_reported(runner):
    notebook = read(NOTEBOOKS[0])

    def problems(change):
        changed = copy.deepcopy(notebook)
        change(changed, [cell for cell in changed.cells if cell.cell_type == "code"])
        return "\n".join(runner.problems(changed))

    def edit(_, cells):
        cells[0].source += "\n"

    def drop(_, cells):
        cells[1].update(outputs=[], execution_count=None)

    def print_text(name, text):
        def change(_, cells):
            cells[0].outputs.append(nbformat.v4.new_output("stream", name=name, text=text))

        return change

    def add_timing(_, cells):
        cells[0].metadata["execution"] = {}

    def add_kernel(changed, _):
        changed.metadata["language_info"]["version"] = "3.11.7"

    assert "other code" in problems(edit)
    assert "not run once each" in problems(drop)
    assert "an error or warning: Careful" in problems(print_text("stderr", "Careful"))
    for text in ("Written: /tmp/x/model", "'/home/me/x.py'", r"File C:\Users\me"):
        assert "a path" in problems(print_text("stdout", text)), text
    assert problems(print_text("stdout", "1/2 of layers/heads and/or <b>a</b> http://a/b")) == ""
    assert "metadata ['execution']" in problems(add_timing)
    assert "metadata is not that" in problems(add_kernel)


def differences(stored, fresh, runner):
    """Return how the outputs of a notebook differ from the stored ones.

    Numbers may differ by `TOLERANCE`. For cells with the tag `machine-dependent`, which show
    results of training, only the kinds of outputs are compared.
    """
    result = []
    for cell, other in zip(stored.cells, fresh.cells, strict=True):
        if cell.cell_type != "code":
            continue
        kinds = [
            [(output.output_type, *sorted(output.get("data", {}))) for output in it.outputs]
            for it in (cell, other)
        ]
        if kinds[0] != kinds[1]:
            result.append(f"{cell.id}: {kinds[0]} became {kinds[1]}")
        elif "machine-dependent" not in cell.metadata.get("tags", []):
            pairs = zip(runner.texts(cell), runner.texts(other), strict=True)
            result += [f"{cell.id}: {a!r} became {b!r}" for a, b in pairs if not same_text(a, b)]
    return result


def same_text(a, b):
    """Return whether two texts are the same but for spaces and small differences of numbers."""
    words = [NUMBER.sub("#", text).split() for text in (a, b)]
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (a, b)]
    return words[0] == words[1] and numbers[1] == pytest.approx(
        numbers[0], rel=TOLERANCE, abs=TOLERANCE
    )


def test_texts_are_compared_with_a_tolerance_for_numbers():
    assert same_text("accuracy 0.931 of 3", "accuracy 0.929 of 3")
    assert same_text(" -9.99 a", "-10.01  a")
    assert not same_text("accuracy 0.93", "accuracy 0.97")
    assert not same_text("3 texts", "4 texts")
    assert not same_text("red 0.5", "green 0.5")


def with_requirements(path):
    """Return a notebook as a case of a test, which is skipped without what it requires."""
    marks = [pytest.mark.data("cifar10")] if path.stem == "08_fine_tuning" else []
    if path.stem == "09_deploying" and not importlib.util.find_spec("ray"):
        marks.append(pytest.mark.skip(reason="Ray is not installed"))
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.exhaustive
@pytest.mark.tensorflow
@pytest.mark.parametrize("path", [with_requirements(path) for path in NOTEBOOKS])
# The kernel's client polls a socket with a deprecated call of its own.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebooks_run_and_print_what_is_stored(path, runner):
    stored = read(path)
    fresh = runner.run(stored)
    assert runner.problems(fresh) == []
    assert differences(stored, fresh, runner) == []
