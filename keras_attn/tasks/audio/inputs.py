"""Checks and conversion of what users pass as waveforms."""

import numbers
import os
from typing import Any

import numpy as np

from keras_attn._arrays import as_array
from keras_attn.datasets import Waveform, decode_wav
from keras_attn.datasets.waveforms import check_duration, scale_samples
from keras_attn.tasks.audio.resampling import resample

Sound = str | os.PathLike[str] | Waveform | np.ndarray

_ACCEPTED = (
    "a path of a WAV file, a keras_attn.datasets.Waveform, an array (samples,) with `rate`, or a "
    "list or column of pandas of these; or an array (batch, samples) with `rate`"
)


def is_one_waveform(x: Any) -> bool:
    """Return whether `x` is one sound: a path, a `Waveform`, a 1-D array or a list of numbers."""
    if isinstance(x, str | bytes | os.PathLike | Waveform):
        return True
    if isinstance(x, list | tuple):
        return len(x) > 0 and isinstance(x[0], numbers.Real)
    return isinstance(x, np.ndarray) and x.ndim == 1 and x.dtype.kind not in "OUS"


def are_waveforms(x: Any) -> bool:
    """Return whether `x` is a list, column or array of sounds."""
    if x is None or is_one_waveform(x):
        return False
    return isinstance(x, list | tuple | np.ndarray) or hasattr(x, "to_numpy")


def as_waveforms(x: Any, rate: int | None = None) -> list[Any]:
    """Return sounds as a list of paths, of bytes of files, and of `Waveform`s.

    Args:
        x: Sounds, as for `fit`.
        rate: Samples per second of those that are arrays.

    Raises:
        TypeError: `x` is nothing of that, such as a dictionary.
        ValueError: There are arrays, and `rate` is None; or the other way round; or an array is
            not a waveform.
    """
    if is_one_waveform(x):
        raise TypeError(f"Expected several waveforms. Put this one in a list: [{x!r:.80}].")
    x = as_array(x)
    if not isinstance(x, list | tuple | np.ndarray) and hasattr(x, "__array__"):
        x = np.asarray(x)  # a tensor
    if not isinstance(x, list | tuple | np.ndarray):
        raise TypeError(f"Waveforms must be {_ACCEPTED}. Received: {type(x).__name__}.")
    if isinstance(x, np.ndarray) and x.dtype.kind not in "OUS":
        _check_batch(x)
    sounds = [each if is_sound(each) else _from_array(each, rate) for each in x]
    if rate is not None and sounds and all(is_sound(each) for each in x):
        raise ValueError(
            "`rate` is for arrays: files and `Waveform`s say theirs. Received: "
            f"rate={rate!r}. Leave it out."
        )
    return sounds


def is_sound(x: Any) -> bool:
    """Return whether `x` knows its rate: a path, bytes of a file, or a `Waveform`."""
    return isinstance(x, str | bytes | os.PathLike | Waveform)


def with_rate(x: Any, rate: int | None) -> Any:
    """Return one sound as a path, bytes of a file, or a `Waveform`, see `as_waveforms`."""
    if not is_sound(x):
        return _from_array(x, rate)
    if rate is not None:
        raise ValueError(
            "`rate` is for arrays: files and `Waveform`s say theirs. Received: "
            f"rate={rate!r}. Leave it out."
        )
    return x


def prepare(sound: Any, rate: int, min_seconds: float, max_seconds: float) -> np.ndarray:
    """Return one sound as samples at the rate of a model, without zeros at the end.

    Args:
        sound: A path, bytes of a file, or a `Waveform`.
        rate: Samples per second of the result.
        min_seconds: The shortest sound to accept, without zeros at the end.
        max_seconds: The longest sound to accept: a file by its header, and arrays without zeros at
            the end.

    Returns:
        Float32 array `(n,)`, with `n` of at least 1.

    Raises:
        FileNotFoundError, ValueError: See `keras_attn.datasets.decode_wav`; or the sound is
            empty, silent, too short or too long.
    """
    name = "The waveform"
    if not isinstance(sound, Waveform):
        name = "The file" if isinstance(sound, bytes) else repr(os.fspath(sound))
        sound = decode_wav(sound, max_seconds=max_seconds)
    remedy = ", or raise `model.max_seconds`"
    samples = check_duration(sound, name, min_seconds, max_seconds, remedy)
    samples = resample(samples, sound.rate, rate)
    if not samples.any():
        raise ValueError(f"{name} is silent at {rate:,} samples per second.")
    return samples


def check_model_batch(x: np.ndarray) -> np.ndarray:
    """Return a batch of waveforms at the model's rate as float32 `(B, n)`, or raise."""
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(
            "A batch of waveforms must have shape (batch, samples), with one sample at least. "
            f"Received: shape {x.shape}."
        )
    return scale_samples(x)


def _check_batch(x: np.ndarray) -> None:
    if x.ndim != 2:
        raise ValueError(f"Waveforms must be {_ACCEPTED}. Received: {x.dtype} of shape {x.shape}.")
    if 0 < x.shape[1] <= 8 < x.shape[0]:
        raise ValueError(
            "An array of several waveforms has shape (batch, samples). Received: shape "
            f"{x.shape}, which looks like one sound of {x.shape[1]} channels. Pass "
            "keras_attn.datasets.Waveform(samples, rate)."
        )


def _from_array(x: Any, rate: int | None) -> Waveform:
    if isinstance(x, dict | set) or x is None:
        raise TypeError(f"Waveforms must be {_ACCEPTED}. Received: {type(x).__name__}.")
    if rate is None:
        raise ValueError(
            "An array of samples does not say how many of them make a second: pass `rate`, such "
            "as rate=16_000. (`model.rate` is that of the model.)"
        )
    return Waveform(np.asarray(x), rate)
