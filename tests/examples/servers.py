"""The example server, started for a test."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from tests.conftest import ROOT

START_SECONDS, STOP_SECONDS = 240, 60


@contextlib.contextmanager
def serving(log, *options, environment=None):
    """Run the server until the block ends by itself or by SIGTERM, and give its address.

    Args:
        log: Path of the file that it writes to.
        options: Its options, such as `"model=folder"`, without the port.
        environment: Further environment variables.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "run.py", *options, f"port={port}"],
            cwd=ROOT / "examples" / "serving",
            env={**os.environ, **(environment or {})},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while "is ready at" not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(STOP_SECONDS)
        finally:
            server.kill()
    assert server.returncode == 0, log.read_text()


def ask(url, content=None, kind="application/json"):
    """Return the status and the reply to a request."""
    request = urllib.request.Request(url, content, {"Content-Type": kind})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
