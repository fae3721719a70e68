"""Inputs that the library draws, as examples of the page."""

import csv
import os
import pathlib
import tempfile
from typing import Any

DAY = 86_400  # seconds


def new_file(folder: pathlib.Path, ending: str) -> pathlib.Path:
    """Return the path of a new file, so that the inputs of two browsers are apart.

    Args:
        folder: The folder.
        ending: The end of the name, such as ".png".
    """
    descriptor, name = tempfile.mkstemp(ending, "drawn_", folder)
    os.close(descriptor)
    return pathlib.Path(name)


def write_images(images: Any, folder: pathlib.Path) -> list[pathlib.Path]:
    """Write images `(H, W, 3)` as PNG files, and return their paths."""
    from PIL import Image

    paths = []
    for pixels in images:
        paths.append(new_file(folder, ".png"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


def draw_series(model: Any, path: pathlib.Path) -> pathlib.Path:
    """Write a table that a forecaster reads: a rhythm of a day, or of 7 rows, with noise.

    Args:
        model: The forecaster.
        path: The file to write.
    """
    import numpy as np

    random = np.random.default_rng(0)
    names, step, rows = model.variable_names, model.step, model.history_length
    count = model.num_variables
    names = names or tuple(f"variable_{number + 1}" for number in range(count))
    period = DAY / step if step and step < DAY else 7.0
    time = np.arange(rows)[:, None]
    phase = np.linspace(0.0, np.pi / 2, count)
    wave = np.sin(2.0 * np.pi * time / period + phase)
    drift = np.cumsum(random.standard_normal((rows, count)), axis=0) / np.sqrt(rows)
    values = 0.8 * wave + 0.5 * drift + 0.2 * random.standard_normal((rows, count))
    mean, std = (np.asarray(each, "float64") for each in (model.mean, model.std))
    values = mean + std * values
    header, start = list(names), np.datetime64("2024-01-01T00:00:00", "s")
    if step:
        header.insert(0, model.time_column or "time")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row, numbers in enumerate(values):
            cells = [f"{number:.4f}" for number in numbers]
            if step:
                cells.insert(0, str(start + row * np.timedelta64(int(step), "s")).replace("T", " "))
            writer.writerow(cells)
    return path
