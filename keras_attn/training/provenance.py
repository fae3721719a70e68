"""Provenance of a result: commit, package versions and hardware."""

import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
from typing import Any

import keras

DETERMINING = (":(top,glob)**/*.py", ":(top,glob)**/*.toml")  # files that determine a result
CPUINFO = pathlib.Path("/proc/cpuinfo")
PACKAGES = ("keras", "numpy", "tensorflow", "jax", "torch", "tensorflow-datasets")


def provenance() -> dict[str, Any]:
    """Return commit, versions and hardware of this process, for a results file.

    The commit ends in `+changes` if Python or TOML files that git tracks have uncommitted
    changes, and is None outside a checkout. Other files, such as the results of an earlier run,
    are not compared. The environment variable `KERAS_ATTN_COMMIT` overrides it, for
    machines to which the files of a commit were copied without the repository.

    Raises:
        ValueError: `KERAS_ATTN_COMMIT` is not a full commit hash.
    """
    return {"commit": _commit(), "versions": _versions(), "hardware": _hardware()}


def _commit() -> str | None:
    variable = os.environ.get("KERAS_ATTN_COMMIT")
    if variable:
        if not re.fullmatch("[0-9a-f]{40}", variable):
            raise ValueError(
                "KERAS_ATTN_COMMIT must be the output of `git rev-parse HEAD` in the checkout that "
                f"the files come from, 40 hexadecimal digits. Received: {variable!r}. Unset it in "
                "a checkout."
            )
        return variable
    folder = pathlib.Path(__file__).parent
    try:
        # Fails if git does not track this file, although a checkout contains its folder.
        _run(["git", "ls-files", "--error-unmatch", pathlib.Path(__file__).name], folder)
        head = _run(["git", "rev-parse", "HEAD"], folder)
        status = ["git", "status", "--porcelain", "--untracked-files=no", "--", *DETERMINING]
        changed = _run(status, folder)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+changes" if changed else head


def _run(command: list[str], folder: pathlib.Path) -> str:
    completed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return completed.stdout.strip()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "backend": keras.backend.backend()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _hardware() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    if CPUINFO.is_file():
        text = CPUINFO.read_text()
        names = [line for line in text.splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
        if "amx_bf16" in text.split():  # processors with and without it share a name
            model += " with AMX"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": model, "cores": cores, "accelerators": accelerators()}


def accelerators() -> list[str]:
    """Return the names of the GPUs and TPUs that the backend sees."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(device) for device in devices]
        return [detail.get("device_name", "GPU") for detail in details]
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    if keras.backend.backend() == "torch":
        import torch

        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return []
