"""`keras-attn app` in a process of its own, as a user starts it."""

import contextlib
import os
import re
import subprocess
import sys

from tests.conftest import ROOT


@contextlib.contextmanager
def served(folder, *arguments):
    """The process, and the address of the page; what it reports is in `folder / "stderr"`.

    Its temporary files are in `folder / "temporary"`.
    """
    (folder / "temporary").mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(folder / "temporary"),
    }
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_attn", "app", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env=environment,
        )
    with process:
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found, (folder / "stderr").read_text()
            yield process, found[0]
        finally:
            process.kill()
