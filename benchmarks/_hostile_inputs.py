"""Random inputs that no user means, for the fuzz tests and `reliability.py`."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

BATCH = 16  # the largest
MIN_SAMPLES = 200  # one analysis window at 8 kHz; shorter waveforms are refused
ALPHABETS = (
    (0x00, 0x20),  # control characters
    (0x20, 0x7F),
    (0x80, 0x250),
    (0x300, 0x370),  # combining marks
    (0x590, 0x700),  # written from right to left
    (0xE00, 0xE80),
    (0x1100, 0x1200),
    (0x2000, 0x2070),  # spaces of other widths, directions, joiners
    (0x4E00, 0x9FFF),
    (0xD800, 0xE000),  # surrogates, which are not valid
    (0xFE00, 0xFF00),  # variation selectors, full width, the byte order mark
    (0x1F300, 0x1FB00),
    (0x0, 0x110000),
)
FRAGMENTS = (
    "", " ", "\0", "\n\n", "\t", "a" * 300, "<br />", "&amp;&#0;&#x110000;", "<unk>", "<s>", "</s>",
    "[PAD]", "\ufeff", "\u200b", "\u202e", "%s%n", "{}", "\\x00", "'", '"', "1e999", "-inf", "NaN",
    "\u0301" * 50, "\U0001f468\u200d\U0001f469\u200d\U0001f467", "ﷺ", "İ", "ß", "1,234.5", "\r\n",
    "\x1b[31m", "http://a.b/c?d=e", "film", "A man in a red shirt", "not good",
)  # fmt: skip


def draw_text(random: np.random.Generator) -> bytes:
    """Return random bytes, random characters, or fragments of what has a meaning somewhere."""
    kind = random.integers(3)
    if kind == 0:
        return random.bytes(int(random.integers(0, 120)))
    if kind == 1:
        low, high = ALPHABETS[random.integers(len(ALPHABETS))]
        points = random.integers(low, high, random.integers(0, 60))
        return "".join(map(chr, points)).encode("utf-8", "surrogatepass")
    chosen = random.integers(0, len(FRAGMENTS), random.integers(1, 6))
    return " ".join(FRAGMENTS[index] for index in chosen).encode()


def draw_texts(random: np.random.Generator) -> np.ndarray:
    """Return a batch of texts, an object array `(B,)` of bytes with `B` from 0."""
    return np.array([draw_text(random) for _ in range(random.integers(0, BATCH + 1))], object)


def draw_images(random: np.random.Generator) -> np.ndarray:
    """Return a batch of images of any size, uint8 `(B, H, W, 3)` with `B` from 0."""
    size = random.integers(0, BATCH + 1)
    height, width = random.integers(1, (5, 66, 301)[random.integers(3)], 2)
    shape = (int(size), int(height), int(width), 3)
    kind = random.integers(4)
    if kind == 0:
        return np.full(shape, random.integers(256), "uint8")
    if kind == 1:  # of two values alone
        return (random.integers(0, 2, shape) * 255).astype("uint8")
    if kind == 2:  # nearly constant
        return (random.integers(0, 256) // 2 + random.integers(0, 2, shape)).astype("uint8")
    return random.integers(0, 256, shape).astype("uint8")


def draw_waveforms(random: np.random.Generator) -> np.ndarray:
    """Return a batch of waveforms, float32 `(B, n)` with `B` from 0, none silent or too short."""
    size = int(random.integers(0, BATCH + 1))
    samples = int(random.integers(MIN_SAMPLES, (220, 900, 9_000)[random.integers(3)]))
    loudness = 10.0 ** -random.integers(0, 12)
    kind = random.integers(4)
    if kind == 0:  # constant
        waveforms = np.ones((size, samples))
    elif kind == 1:  # an impulse
        waveforms = np.zeros((size, samples))
        waveforms[:, random.integers(MIN_SAMPLES - 1, samples)] = 1.0
    elif kind == 2:  # a square wave
        waveforms = np.where(np.arange(samples) // random.integers(1, 50) % 2, 1.0, -1.0)
        waveforms = np.tile(waveforms, (size, 1))
    else:
        waveforms = random.uniform(-1.0, 1.0, (size, samples))
    return (loudness * waveforms).astype("float32")


def draw_wrong(random: np.random.Generator) -> np.ndarray:
    """Return an array of another rank, size or dtype than the inputs of a model."""
    dtypes = ("float32", "int64", "bool", "complex64", "uint8", "object")
    while True:
        shape = tuple(int(n) for n in random.integers(0, 6, random.integers(0, 6)))
        dtype = dtypes[random.integers(len(dtypes))]
        fits_images = dtype == "uint8" and len(shape) in (3, 4) and shape[-1] == 3
        fits_texts = dtype == "object" and len(shape) == 1
        # An empty batch may fit, whatever it would hold.
        if not (fits_images or fits_texts or shape[:1] == (0,)):
            break
    if dtype == "object":
        return np.full(shape, b"a", object)
    with np.errstate(all="ignore"):
        return (random.normal(size=shape) * 10.0 ** random.integers(-3, 30)).astype(dtype)


@dataclasses.dataclass
class Counts:
    """Number of inputs that were answered, and of arrays that were refused by an error."""

    answered: int = 0
    refused: int = 0


def attack(
    answer: Callable[[Any], dict[str, np.ndarray]],
    refusals: tuple[type[Exception], ...],
    draw: Callable[[np.random.Generator], np.ndarray],
    inputs: int,
    seed: int = 0,
    fits: Callable[[np.ndarray], bool] = lambda array: False,
) -> Counts:
    """Send hostile inputs to a model, and check every answer.

    Args:
        answer: Function from a batch of inputs to named arrays with a row for each input.
        refusals: Errors that wrong ranks, sizes and dtypes may raise. Any other is a fault.
        draw: Function that draws a batch, such as `draw_texts`.
        inputs: Number of inputs to send; an array of the wrong kind counts as one.
        seed: Seed of the random inputs.
        fits: Function that returns whether an array drawn as a wrong one is an input after all.

    Raises:
        AssertionError: An answer is NaN, infinite or not one for each input, or an array of the
            wrong kind was answered.
    """
    random = np.random.default_rng(seed)
    counts = Counts()
    while counts.answered + counts.refused < inputs:
        batch = draw(random)
        if random.integers(4) == 0:
            wrong = draw_wrong(random)
            if fits(wrong):
                continue
            try:
                answer(wrong)
            except refusals:
                counts.refused += 1
                continue
            raise AssertionError(f"{wrong.dtype} of shape {wrong.shape} was answered")
        for name, values in answer(batch).items():
            assert len(values) == len(batch), f"{name}: {len(values)} for {len(batch)} inputs"
            if values.dtype.kind == "f":
                assert np.isfinite(values).all(), f"{name} is not finite for {batch!r:.500}"
        counts.answered += len(batch)
    return counts


def soak(call: Callable[[int], Any], calls: int, warm_up: int) -> Iterator[float]:
    """Yield the resident memory in MiB after a warm-up, and after each tenth of the calls."""
    for index in range(warm_up):
        call(index)
    yield resident_memory()
    for index in range(calls):
        call(index)
        if (index + 1) % max(1, calls // 10) == 0:
            yield resident_memory()


def resident_memory() -> float:
    """Return the resident memory of this process in MiB."""
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20
