"""Load models without the log of TensorFlow, and show a spinner on terminals.

TensorFlow writes its log from C++ to file descriptor 2, in part before its settings are read, so
that `TF_CPP_MIN_LOG_LEVEL` does not stop it. Here a process of its own reads what is written there,
drops lines of the log that report no fault, and passes everything else on at once: errors are
shown even if TensorFlow ends the process.

The same process makes a warning of what libjpeg, which TensorFlow includes, writes about damaged
images. It names the file if images are decoded one after the other, in the main thread: the command
writes the name of each into the pipe, before it is decoded.
"""

import contextlib
import logging
import os
import pathlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

from rich.text import Text

from keras_attn._printable import printable
from keras_attn.cli.output import SafeConsole
from keras_attn.datasets.files import images

# Information and warnings, in the format of absl and in that of earlier versions.
_LOG = (
    r"^WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR",
    r"^[IW]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] ",
    r"^\d{4}-\d\d-\d\d [\d:.]+: [IW] ",
    r"^fully_quantize: \d, inference_type: ",  # of the converter to LiteRT
)
# Errors that are logged whenever TensorFlow starts: libraries that register twice, and kernels of
# which another one is used; and those of images that cannot be decoded, which are reported with the
# name of the file.
_HARMLESS = (
    r"oneDNN supports DT_\w+ only on platforms with AVX-512",
    r"Unable to register cu\w+ factory",
    r"computation_placer.*already registered",
    r"jpeg_mem\.cc:\d+\] ",
)
# ... and, on machines without a GPU, that there is none.
_WITHOUT_GPU = (r"failed call to cuInit", r"no CUDA-capable device is detected")
_NVIDIA_DRIVER = pathlib.Path("/dev/nvidiactl")

# The warnings of libjpeg, which are not errors: decoding continues.
_DAMAGED = (
    r"^(Corrupt JPEG data: .*|Premature end of JPEG file|Inconsistent progression sequence .*|"
    r"Invalid SOS parameters for sequential JPEG|Warning: unknown JFIF revision number .*)"
)
_MARK = "\x1fimage "  # starts a line with the name of the image that is decoded next

_FILTER = """
import os, re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
drop, damaged, mark = (re.compile(text.encode()) for text in sys.argv[1:])
image = b"an image"
for line in iter(sys.stdin.buffer.readline, b""):
    if mark.match(line):
        image = line[mark.match(line).end() :].strip()
    elif damaged.match(line):
        reason = b" is damaged, and parts of it may be wrong (" + damaged.match(line)[1].strip()
        os.write(1, b"warning: " + image + reason + b").\\n")
    elif not drop.search(line):
        os.write(1, line)
"""


_running = contextlib.ExitStack()
_state = {"started": False}


def start() -> None:
    """Filter what native code writes to standard error from now on; call it before TensorFlow.

    It does nothing if it was called before, if TensorFlow is imported already, or if
    `TF_CPP_MIN_LOG_LEVEL` asks for the log. `sys.stderr` is not filtered.
    """
    wants_log = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1")
    if not wants_log and "tensorflow" not in sys.modules and not _state["started"]:
        _state["started"] = True
        _running.enter_context(_filtered())


def stop() -> None:
    """Pass on what is left in the filter, and end it."""
    _running.close()
    _state["started"] = False


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Import TensorFlow and load a model inside the block, with a spinner on a terminal."""
    start()
    if not sys.stderr.isatty():
        yield
        return
    with SafeConsole(stderr=True).status(Text(f"Loading {name} ...")):
        yield


@contextlib.contextmanager
def _filtered() -> Iterator[None]:
    sys.stderr.flush()
    original, python_stderr = os.dup(2), sys.stderr
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _FILTER, _pattern(), _DAMAGED, re.escape(_MARK)],
        stdin=subprocess.PIPE,
        stdout=original,
        start_new_session=True,  # Ctrl-C is for the command, whose remaining output it passes on
    )
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    # Not closed at the end: handlers of logs may hold it.
    sys.stderr = open(  # noqa: SIM115
        original,
        "w",
        buffering=1,
        encoding=python_stderr.encoding,
        errors="backslashreplace",
        closefd=False,
    )
    marks = _ImageMarks()
    images.log.addHandler(marks)
    images.log.setLevel(logging.DEBUG)
    images.log.propagate = False
    try:
        yield
    finally:
        images.log.removeHandler(marks)
        images.log.setLevel(logging.NOTSET)
        images.log.propagate = True
        sys.stderr.flush()
        os.dup2(original, 2)  # closes the pipe, at whose end the process ends
        sys.stderr = python_stderr
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)


class _ImageMarks(logging.Handler):
    """Writes the name of each image that is decoded in the main thread into the pipe."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a name."""
        if threading.current_thread() is threading.main_thread():
            os.write(2, f"{_MARK}{printable(repr(record.getMessage()))}\n".encode())


def _pattern() -> str:
    harmless = _HARMLESS if _NVIDIA_DRIVER.exists() else (*_HARMLESS, *_WITHOUT_GPU)
    return "|".join((*_LOG, *(rf"^E.*{text}" for text in harmless)))
