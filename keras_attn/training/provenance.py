"""Where a number comes from: the code, the machine, the packages."""

import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
from typing import Any

import keras

PACKAGES = ("keras", "numpy", "tensorflow", "jax", "torch", "tensorflow-datasets")


def provenance() -> dict[str, Any]:
    """Commit, versions and hardware of this process, for a results file.

    The commit ends in `+changes` where the checkout has uncommitted changes to tracked
    files, and is None outside a checkout. Where `KERAS_ATTN_COMMIT` is set it is that: for
    machines to which the files of a commit were carried without its history.
    """
    return {"commit": _commit(), "versions": _versions(), "hardware": _hardware()}


def _commit() -> str | None:
    carried = os.environ.get("KERAS_ATTN_COMMIT")
    if carried:
        if not re.fullmatch("[0-9a-f]{40}", carried):
            raise ValueError(
                "KERAS_ATTN_COMMIT must be what `git rev-parse HEAD` says where the files come "
                f"from, 40 hexadecimal digits. Received: {carried!r}. Unset it in a checkout."
            )
        return carried
    folder = pathlib.Path(__file__).parent
    try:
        # Fails where this file is no part of the checkout that happens to surround it.
        _run(["git", "ls-files", "--error-unmatch", pathlib.Path(__file__).name], folder)
        head = _run(["git", "rev-parse", "HEAD"], folder)
        changed = _run(["git", "status", "--porcelain", "--untracked-files=no"], folder)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+changes" if changed else head


def _run(command: list[str], folder: pathlib.Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


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
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": model, "cores": cores, "accelerators": _accelerators()}


def _accelerators() -> list[str]:
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
