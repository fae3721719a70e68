"""Unseen speakers, noise, and the time of an answer: `fsdd_keyword_attention` beyond its split.

    python benchmarks/speakers.py [--data-dir FOLDER] [--only speakers|noise|latency|page]

- `speakers`: six runs of the entry's recipe, each without one of the six speakers, whose 500
  recordings are the test. Of the others, recordings with an index below 5 are the validation split,
  which calibrates the scores and decides nothing else.
- `noise`: the published weights on the official test split with white noise, at several
  signal-to-noise ratios (SNR).
- `latency`: the SavedModel and the LiteRT model on single recordings, on one thread.

Writes `benchmarks/results/speakers.json`, and the tables and the plot of `docs/pages/audio.md`.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from keras_attn import datasets, training, zoo
from keras_attn.datasets import Dataset, Waveform, WaveformSplit
from keras_attn.training.provenance import provenance
from keras_attn.zoo.cards import in_page

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "speakers.json"
PAGE = ROOT / "docs" / "pages" / "audio.md"
PICTURE = ROOT / "docs" / "pages" / "audio_noise.svg"
EXPLAINED = ROOT / "docs" / "pages" / "audio_explained.png"
NAME = "fsdd_keyword_attention"
VALIDATION = 5  # recordings of a speaker and digit that are held out for validation
RATIOS = (20, 15, 10, 5, 0)  # decibels
DRAWS = 3  # of the noise
SPEAKERS = 6
CALLS = 200


def all_recordings(data_dir: str | None) -> tuple[WaveformSplit, np.ndarray]:
    """Return all recordings as one split, and whether each is among the first of its kind."""
    dataset = datasets.load("fsdd", data_dir)
    parts = [dataset[name] for name in ("train", "validation", "test")]
    split = WaveformSplit(
        tuple(waveform for part in parts for waveform in part.waveforms),
        np.concatenate([part.labels for part in parts]),
        tuple(speaker for part in parts for speaker in part.speakers),
    )
    first = np.concatenate([np.full(len(part), part is parts[-1]) for part in parts])
    return split, first


def without_speaker(data_dir: str | None, speaker: str) -> Dataset[WaveformSplit]:
    """Return a data set whose test split is all of one speaker, who is in no other split."""
    split, first = all_recordings(data_dir)
    held_out = np.array([name == speaker for name in split.speakers])
    rows = {"train": ~held_out & ~first, "validation": ~held_out & first, "test": held_out}
    parts = {name: split.take(mask) for name, mask in rows.items()}
    readers = {name: (lambda part=part: part) for name, part in parts.items()}
    return Dataset("fsdd", datasets.load("fsdd", data_dir).label_names, readers)


def measure_speakers(results: dict[str, Any], data_dir: str | None) -> None:
    """Train without each speaker in turn, and add the accuracy on that speaker."""
    recipe = zoo.describe(NAME).recipe
    split, _ = all_recordings(data_dir)
    runs = results.setdefault("speakers", {})
    for speaker in sorted(set(split.speakers)):
        known = runs.get(speaker)
        if known is not None and known["recipe_digest"] == recipe.digest:
            continue
        with tempfile.TemporaryDirectory() as folder:
            run = training.train(
                recipe,
                pathlib.Path(folder, "run"),
                seed=0,
                dataset=without_speaker(data_dir, speaker),
                verbose=0,
            )
        report = run.model.report(without_speaker(data_dir, speaker)["test"])
        kept = ("recipe_digest", "seed", "epochs", "train_seconds", "metrics", "hardware")
        runs[speaker] = {
            **{key: run.record[key] for key in kept},
            "confusion": report.confusion.tolist(),
            **provenance(),
        }
        print(speaker, run.record["metrics"]["test"]["accuracy"], flush=True)
        write(results)


def with_noise(waveform: Waveform, ratio: float, random: np.random.Generator) -> Waveform:
    """Return a waveform with white noise, `ratio` decibels below it."""
    noise = random.normal(size=len(waveform.samples))
    power = np.square(waveform.samples).mean() / np.square(noise).mean()
    noisy = waveform.samples + noise * np.sqrt(power) * 10.0 ** (-ratio / 20)
    return Waveform(noisy.astype("float32"), waveform.rate)


def measure_noise(results: dict[str, Any], data_dir: str | None) -> None:
    """Add the accuracy of the published weights on the test split with noise."""
    model, test = zoo.build(NAME), datasets.load("fsdd", data_dir)["test"]
    curve = {"clean": model.evaluate_split(test)["accuracy"]}
    for ratio in RATIOS:
        accuracies = []
        for draw in range(DRAWS):
            random = np.random.default_rng([ratio, draw])
            noisy = tuple(with_noise(waveform, ratio, random) for waveform in test.waveforms)
            split = WaveformSplit(noisy, test.labels)
            accuracies.append(model.evaluate_split(split)["accuracy"])
        curve[str(ratio)] = statistics.fmean(accuracies)
        print(ratio, curve[str(ratio)], flush=True)
    digest = zoo.describe(NAME).results["weights"]["values_sha256"]
    results["noise"] = {"accuracy": curve, "weights": digest, **provenance()}
    write(results)


def median_milliseconds(call: Callable[[Any], Any], inputs: list[Any]) -> float:
    """Return the median time of a call after a warm-up."""
    for each in inputs[:20]:
        call(each)
    seconds = []
    for index in range(CALLS):
        started = time.perf_counter()
        call(inputs[index % len(inputs)])
        seconds.append(time.perf_counter() - started)
    return 1_000 * statistics.median(seconds)


def measure_latency(results: dict[str, Any], data_dir: str | None) -> None:
    """Add the median time of an answer to one recording, on one thread."""
    import tensorflow as tf

    model, test = zoo.build(NAME), datasets.load("fsdd", data_dir)["test"]
    waveforms = test.waveforms[::5]
    with tempfile.TemporaryDirectory() as folder:
        loaded = tf.saved_model.load(str(model.export(pathlib.Path(folder, "1"))))
        lite = model.export(pathlib.Path(folder, "model.tflite"), format="litert", seconds=1.0)
        interpreter = tf.lite.Interpreter(str(lite), num_threads=1)
        bytes_of_lite = lite.stat().st_size
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    default, wav = (loaded.signatures[name] for name in ("serving_default", "wav"))
    arrays = [tf.constant(waveform.samples[None]) for waveform in waveforms]
    doubled = [tf.constant(np.repeat(w.samples, 2)[None]) for w in waveforms]
    files = [tf.audio.encode_wav(w.samples[:, None], w.rate)[None] for w in waveforms]
    seconds = [np.zeros((1, model.rate), "float32") for _ in waveforms]
    for row, waveform in zip(seconds, waveforms, strict=True):
        samples = waveform.samples[: model.rate]
        row[0, : len(samples)] = samples

    def run_lite(samples: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], samples)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    rates = {rate: tf.constant(rate) for rate in (8_000, 16_000)}
    results["latency"] = {
        "milliseconds": {
            "SavedModel, samples at 8 kHz": median_milliseconds(
                lambda x: default(waveforms=x, rate=rates[8_000])["label"].numpy(), arrays
            ),
            "SavedModel, samples at 16 kHz": median_milliseconds(
                lambda x: default(waveforms=x, rate=rates[16_000])["label"].numpy(), doubled
            ),
            "SavedModel, WAV files": median_milliseconds(
                lambda x: wav(files=x)["label"].numpy(), files
            ),
            "LiteRT, a second at 8 kHz": median_milliseconds(run_lite, seconds),
        },
        "calls": CALLS,
        "threads": 1,
        "seconds_of_a_recording": statistics.median(w.seconds for w in waveforms),
        "litert_bytes": bytes_of_lite,
        **provenance(),
    }
    write(results)


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the Markdown of each generated part of the page."""
    runs = results.get("speakers", {})
    accuracies = {name: runs[name]["metrics"]["test"]["accuracy"] for name in sorted(runs)}
    cells = [f"{100 * value:.1f} %" for value in accuracies.values()]
    speakers = [
        "The accuracy on unseen speakers is not measured yet for this recipe; `python "
        "benchmarks/speakers.py --only speakers` measures it."
    ]
    if len(runs) == SPEAKERS:
        mean = 100 * statistics.fmean(accuracies.values())
        speakers = [
            "For each speaker, the recipe is trained without any of their recordings, and tested "
            "on all 500:",
            "",
            f"| unseen speaker | {' | '.join(accuracies)} | mean of {len(cells)} |",
            "|---" * (len(cells) + 2) + "|",
            f"| accuracy | {' | '.join(cells)} | {mean:.1f} % |",
        ]
    curve = results["noise"]["accuracy"]
    titles = ["none", *(f"{name} dB" for name in curve if name != "clean")]
    noise = [
        f"| noise | {' | '.join(titles)} |",
        "|---" * (len(curve) + 1) + "|",
        f"| accuracy | {' | '.join(f'{100 * value:.1f} %' for value in curve.values())} |",
    ]
    latency = results["latency"]
    rows = [f"| {name} | {value:.1f} ms |" for name, value in latency["milliseconds"].items()]
    note = (
        f"Medians of {latency['calls']} calls on one thread of {latency['hardware']['processor']}; "
        f"tensorflow {latency['versions']['tensorflow']}."
    )
    times = ["| model and input | one recording |", "|---|---|", *rows, "", note]
    return {
        name: "\n".join(lines)
        for name, lines in {"speakers": speakers, "noise": noise, "latency": times}.items()
    }


def markers(name: str) -> tuple[str, str]:
    """Return the lines around a generated part of the page."""
    return f"<!-- {name}: generated by benchmarks/speakers.py -->", f"<!-- {name}: end -->"


def write_page(results: dict[str, Any], data_dir: str | None) -> None:
    """Write the tables and the pictures of the page."""
    from keras_attn.tasks._figures import new_figure
    from keras_attn.zoo.pictures import _save_svg

    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables(results).items():
        text = in_page(text, table, *markers(name))
    PAGE.write_text(text, encoding="utf-8")
    curve = results["noise"]["accuracy"]
    figure = new_figure(5.0, 3.2)
    axis = figure.subplots()
    ratios = [int(name) for name in curve if name != "clean"]
    axis.plot(ratios, [100 * curve[str(ratio)] for ratio in ratios], "o-", label="with noise")
    axis.axhline(100 * curve["clean"], linestyle=":", color="gray", label="without")
    axis.set_xlabel("signal-to-noise ratio (SNR), white noise (dB)")
    axis.set_ylabel("test accuracy (%)")
    axis.invert_xaxis()
    axis.legend()
    _save_svg(figure, PICTURE)
    model, test = zoo.build(NAME), datasets.load("fsdd", data_dir)["test"]
    seven = next(w for w, label in zip(test.waveforms, test.labels, strict=True) if label == 7)
    model.explain(seven).plot().savefig(EXPLAINED, dpi=110)


def write(results: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measure what is asked for, and write results and page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--only", choices=("speakers", "noise", "latency", "page"))
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    parts = {"speakers": measure_speakers, "noise": measure_noise, "latency": measure_latency}
    for name, measure in parts.items():
        if options.only in (None, name):
            measure(results, options.data_dir)
    if options.only in (None, "page"):
        write_page(results, options.data_dir)


if __name__ == "__main__":
    main()
