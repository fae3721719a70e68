"""Run the notebooks and store their outputs, which readers see on GitHub and in the site.

python docs/run_notebooks.py                 # all notebooks
python docs/run_notebooks.py 02_sentiment    # one of them

It needs `pip install -e '.[notebooks]'`. A notebook with outputs that must not be stored, such as
warnings and paths of this machine, is left unchanged.
"""

import copy
import hashlib
import json
import os
import pathlib
import re
import sys
from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 550_000
TIMEOUT = 600  # seconds of a cell
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",  # results of a CPU, which every reader has
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONPATH": str(ROOT),
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<])/\w[\w.-]*/\w|\b[A-Za-z]:\\\w")


def run(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of a notebook, run from top to bottom, with its outputs.

    The log of TensorFlow's C++ code is written to the terminal and not to the notebook.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell raises an error.
    """
    from nbclient import NotebookClient  # with the extra `notebooks`

    executed = copy.deepcopy(notebook)
    client = NotebookClient(
        executed,
        timeout=TIMEOUT,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.capture_fd_output=False"],
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
    )
    client.execute(env={**os.environ, **ENVIRONMENT})
    executed.metadata = NotebookNode(METADATA, keras_attn={"code_sha256": code_digest(executed)})
    return executed


def code_digest(notebook: NotebookNode) -> str:
    """Return the SHA-256 of the code cells, by which stale outputs are detected."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def problems(notebook: NotebookNode) -> list[str]:
    """Return the reasons why a notebook must not be stored: none for a valid one."""
    result = []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        result.append("The code cells were not run once each, in order.")
    if notebook.metadata.get("keras_attn", {}).get("code_sha256") != code_digest(notebook):
        result.append("The outputs belong to other code: run docs/run_notebooks.py.")
    if {**notebook.metadata, "keras_attn": None} != {**METADATA, "keras_attn": None}:
        result.append(f"The metadata is not that of docs/run_notebooks.py: {notebook.metadata}.")
    for number, cell in enumerate(cells, start=1):
        if unexpected := set(cell.metadata) - {"alt", "tags"}:
            result.append(f"Cell {number}: metadata {sorted(unexpected)}.")
        if has_image(cell) != bool(cell.metadata.get("alt")):
            result.append(f"Cell {number}: images need a description, the metadata `alt`.")
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                text = output.get("text", output.get("evalue", ""))
                result.append(f"Cell {number}: an error or warning: {text[:500]}")
        for text in texts(cell):
            if path := ABSOLUTE_PATH.search(text):
                start = max(path.start() - 40, 0)
                result.append(f"Cell {number}: a path: {text[start : path.end() + 40]!r}")
    if (size := len(serialize(notebook).encode())) > MAX_BYTES:
        result.append(f"The file has {size:,} bytes, more than {MAX_BYTES:,}.")
    return result


def has_image(cell: NotebookNode) -> bool:
    """Return whether an output of a cell is an image."""
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def texts(cell: NotebookNode) -> Iterator[str]:
    """Yield the outputs of a cell that are text, HTML included."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.text
        for kind, content in sorted(output.get("data", {}).items()):
            if kind.startswith("text/"):
                yield content


def serialize(notebook: NotebookNode) -> str:
    """Return the content of the notebook's file."""
    return nbformat.writes(notebook) + "\n"


def main(names: list[str]) -> int:
    """Run the notebooks with these names, or all, and return 1 if one cannot be stored."""
    paths = {path.stem: path for path in NOTEBOOKS}
    if unknown := set(names) - set(paths):
        print(f"Unknown notebooks: {sorted(unknown)}. Known: {list(paths)}.", file=sys.stderr)
        return 2
    status = 0
    for name in names or paths:
        notebook = run(nbformat.read(paths[name], as_version=4))
        if reasons := problems(notebook):
            print(f"{name} is left unchanged:", *reasons, sep="\n  ", file=sys.stderr)
            status = 1
        else:
            paths[name].write_text(serialize(notebook), encoding="utf-8")
            print(f"{name}: {paths[name].stat().st_size:,} bytes")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
