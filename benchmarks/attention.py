"""Time and memory of attention: ours, Keras's and PyTorch's, side by side.

    python benchmarks/attention.py [--lengths 64 128 ...] [--long] [--seconds-per-case 3]
                                   [--cases self causal ...] [--candidates auto keras ...]
                                   [--resume] [--table] [--out benchmarks/results]

Writes `attention_<device>.json` after every part, and from all such files the page
`docs/pages/attention_benchmark.md` (into `--out`, if that is another folder). `--candidates`
measures these alone, so that what others leave in the memory does not matter, and adds their
names to that of the file. `--table` only writes the page; `--resume` keeps the parts that an
interrupted run has measured.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import time

import rich
from _attention_candidates import Case, describe, measure_memory, measure_time
from _attention_page import page
from _measure import DiedError, in_fresh_process, preload

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "pages" / "attention_benchmark.md"

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
MEMORY_LENGTHS = (1024, 4096, 16384)
LONGEST_OF_ALL = 8192  # beyond it no layers, and no `auto`, which is one of two that are there
KINDS = ("self", "causal", "cross")

OPS, LAYERS = ("auto", "full", "chunked", "keras", "torch"), ("layer", "keras_layer")
BOTH = ("forward", "training")


@dataclasses.dataclass(frozen=True)
class Part:
    """A case that is measured, and recorded before the next one."""

    measure: str  # "time" or "memory"
    case: Case
    passes: tuple[str, ...]
    candidates: tuple[str, ...]


def parts(arguments: argparse.Namespace, dtypes: list[str]) -> list[Part]:
    """All that is measured, the short ones first."""
    planned = []

    def add(
        case: Case, candidates: tuple[str, ...], passes: tuple[str, ...], *measures: str
    ) -> None:
        for measure in measures:
            few = tuple(x for x in candidates if measure == "time" or x != "auto")
            planned.append(Part(measure, case, passes, few))

    for length in sorted(arguments.lengths):
        for dtype in dtypes:
            for name in KINDS:
                keys = max(1, length // 4) if name == "cross" else length
                case = Case(name, length, keys, dtype=dtype, is_causal=name == "causal")
                few = tuple(x for x in OPS if x != "auto")
                candidates = OPS + LAYERS if length <= LONGEST_OF_ALL else few
                measures = ("memory", "time") if length in arguments.memory_lengths else ("time",)
                add(case, candidates, BOTH, *measures)
    add(Case("padding", 512, 512, batch=8, padding=True), OPS + LAYERS, BOTH, "memory", "time")
    for name in ("heads", "causal heads"):
        case = Case(name, 512, 512, batch=32, heads=8, is_causal=name.startswith("causal"))
        add(case, OPS, BOTH, "memory", "time")
    for length in (512, 2048):
        case = Case("dropout", length, length, dropout=0.1)
        add(case, LAYERS, ("forward",), "memory", "time")
    if arguments.long:
        positions = arguments.long // 4
        case = Case("map", positions, positions, batch=8, heads=1)
        add(case, ("map",), ("training",), "memory")
        for name in ("causal long", "long"):
            case = Case(name, arguments.long, arguments.long, is_causal=name.startswith("causal"))
            add(case, ("chunked",), ("training",), "memory")
    wanted = [part for part in planned if part.case.name in (arguments.cases or [part.case.name])]
    if arguments.candidates is None:
        return wanted
    few = [tuple(x for x in part.candidates if x in arguments.candidates) for part in wanted]
    return [
        dataclasses.replace(part, candidates=names)
        for part, names in zip(wanted, few, strict=True)
        if names
    ]


def measured(part: Part, seconds: float, failed: set) -> list[dict]:
    """The rows of a part, each in processes of its own."""
    rows = []
    if part.measure == "memory":
        for what in part.passes:
            for name in part.candidates:
                try:
                    row = in_fresh_process(method(name), measure_memory, part.case, what, name)
                except DiedError as error:
                    row = {"candidate": name, "pass": what, "failure": str(error)}
                rows.append(row)
        return rows
    peers = [x for x in part.candidates if x == "torch"]
    others = [x for x in part.candidates if x != "torch"]
    for what in part.passes:
        for names, share in ((peers, seconds / 4), (others, seconds)):
            running = [x for x in names if (part.case, what, x) not in failed]
            if not running:
                continue
            asked = part.case, what, running, share
            try:
                rows += in_fresh_process(method(running[0]), measure_time, *asked)
            except DiedError as error:
                failure = {"pass": what, "failure": str(error)}
                rows += [{"candidate": name, **failure} for name in running]
    return rows


def method(candidate: str) -> str:
    """Return the start method of processes: fork is quick, but CUDA does not survive it."""
    gpu = any(pathlib.Path("/dev").glob("nvidia[0-9]*"))
    return "spawn" if gpu or candidate == "torch" else "forkserver"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--memory-lengths", type=int, nargs="*", default=MEMORY_LENGTHS)
    parser.add_argument("--cases", nargs="+", metavar="NAME", help="such as self, causal, heads")
    parser.add_argument("--candidates", nargs="+", metavar="NAME", choices=OPS + LAYERS)
    parser.add_argument("--long", type=int, nargs="?", const=65536, default=0, metavar="LENGTH")
    parser.add_argument("--seconds-per-case", type=float, default=3.0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--table", action="store_true", help="only write the page")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    arguments = parser.parse_args()

    if not arguments.table:
        run(arguments)
    default = arguments.out.resolve() == RESULTS
    target = PAGE if default else arguments.out / PAGE.name
    files = sorted(arguments.out.glob("attention_*.json"))
    target.write_text(page([json.loads(file.read_text()) for file in files]))
    rich.print(f"Wrote {target}")


def run(arguments: argparse.Namespace) -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    preload("tensorflow", "keras")
    origin = in_fresh_process(method("keras"), describe)
    accelerators = origin["hardware"]["accelerators"]
    device = accelerators[0] if accelerators else "cpu"
    slug = re.sub(r"[^a-z0-9]+", "_", device.lower()).strip("_")
    names = arguments.candidates or []
    path = arguments.out / f"attention_{'_'.join([slug, *names])}.json"
    arguments.out.mkdir(parents=True, exist_ok=True)

    report = {"device": device, "alone": names, "parts": {}}
    if arguments.resume and path.exists():
        report = json.loads(path.read_text())
        changed = [name for name in origin if report[name] != origin[name]]
        if changed:
            raise SystemExit(
                f"{path} was measured with another {', '.join(changed)}. Leave out --resume."
            )
    else:
        report |= {**origin, "seconds_per_case": arguments.seconds_per_case}

    has_torch = importlib.util.find_spec("torch") is not None
    dtypes = ["float32", *(["float16", "bfloat16"] if accelerators else [])]
    failed = set()
    for part in parts(arguments, dtypes):
        if not has_torch:
            without = tuple(x for x in part.candidates if x != "torch")
            part = dataclasses.replace(part, candidates=without)  # noqa: PLW2901
        case = part.case
        shape = f"{case.batch}x{case.heads}x{case.queries}x{case.keys}"
        key = f"{part.measure} {case.name} {shape} {case.dtype}"
        if key not in report["parts"]:
            started = time.perf_counter()
            rows = measured(part, arguments.seconds_per_case, failed)
            took = round(time.perf_counter() - started, 1)
            rich.print(f"{key}: {took} s")
            entry = {"measure": part.measure, "case": dataclasses.asdict(case), "took": took}
            report["parts"][key] = {**entry, "rows": rows}
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(report, indent=1) + "\n")
            partial.replace(path)
        rows = report["parts"][key]["rows"]
        failed |= {(case, row["pass"], row["candidate"]) for row in rows if "failure" in row}


if __name__ == "__main__":
    main()
