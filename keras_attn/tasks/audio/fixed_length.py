"""Waveforms of one length and rate, which LiteRT models of audio classifiers read."""

from typing import Any


def check_seconds(seconds: Any, max_seconds: float | None = None) -> None:
    """Raise ValueError unless a length is above 0 and at most that of the model, if it is known."""
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if number and seconds > 0 and (max_seconds is None or seconds <= max_seconds):
        return
    most = "" if max_seconds is None else f" and at most the model's `max_seconds`, {max_seconds:g}"
    raise ValueError(f"`seconds` must be above 0{most}. Received: {seconds!r}.")
