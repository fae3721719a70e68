"""The command line, as it is typed or in this process, and what it is given."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys

import pytest

from keras_attn import cli
from tests.conftest import ROOT
from tests.zoo.catalogues import registering


@contextlib.contextmanager
def registered(folder, name, recipe):
    """A catalogue of one entry in a new folder, until the block ends."""
    (folder / name).mkdir()
    (folder / name / "recipe.toml").write_text(recipe)
    with registering(folder):
        yield folder


@pytest.fixture
def run(capfd, monkeypatch):
    """The command line in this process: what it prints, or its one error message.

    `run.out` and `run.err` are what it printed to standard output and standard error.
    """
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, code=0, stdin=None):
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["keras-attn", *map(str, arguments)])
            if stdin is not None:
                patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            try:
                cli.main()
                status = 0
            except SystemExit as stop:
                status = stop.code or 0
        out, err = capfd.readouterr()
        run.out, run.err = out, err
        assert status == code, err + out
        assert "Traceback" not in err, err
        if code == 1:
            assert sum(line.startswith("error:") for line in err.splitlines()) == 1, err
            return " ".join(err.split())
        return out

    return run


def run_in(folder, *arguments):
    """Return what a command prints that succeeds in this process, run in a folder."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", ["keras-attn", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert not stop.value.code, printed.getvalue()
    return printed.getvalue()


def type_in(*arguments, cwd, **options):
    """What the command line prints in a process of its own, which must end well."""
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "keras_attn", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def write_table(path, rows, columns):
    """Rows as a .csv, .tsv or .jsonl file, by the suffix; the path."""
    if path.suffix == ".jsonl":
        lines = (json.dumps(dict(zip(columns, row, strict=True))) for row in rows)
        path.write_text("\n".join(lines))
        return path
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([columns, *rows])
    return path


def read_record(folder):
    """The record of a run."""
    return json.loads((folder / "record.json").read_text())


def check_trained(folder, printed, command, epochs, data):
    """That a run on data of one's own says how to use its model, and is recorded as such."""
    relative = folder.relative_to(folder.parent.parent)
    assert f'keras-attn {command} {relative}/model.keras "a text"' in printed, printed
    assert (folder / "model.keras").is_file()
    record = read_record(folder)
    assert (record["epochs"], record["data"]["name"]) == (epochs, data), record


def figures(printed):
    """The one row of the table that `evaluate` prints last, by the titles of its columns."""
    lines = printed.partition("The card says")[0].strip().splitlines()[-3:]
    titles, row = (re.split(" {2,}", line.strip()) for line in (lines[0], lines[2]))
    return dict(zip(titles, row, strict=True))
