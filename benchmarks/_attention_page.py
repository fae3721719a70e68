"""The page of the attention benchmark, from its results files."""

from typing import Any

from _attention_candidates import CANDIDATES, Case

HOW = """# Attention: time and memory

Written by `python benchmarks/attention.py` from `benchmarks/results/attention_*.json`.

**Time** is the median over rounds, after warm-up calls. Candidates on TensorFlow run under
`tf.function`, without XLA, and take turns within one process, so that a busy machine slows them
alike; in parentheses is the median of each round's ratio to Keras's (our layer to Keras's layer,
the others to `keras.ops.dot_product_attention`): below 1 is faster than Keras. PyTorch's
`scaled_dot_product_attention` runs just before, in a process of its own with the same number of
threads; its ratio is that of the medians. A training step is the forward pass and the gradients
by query, key and value, and for layers by input and weights.

**Memory** is the peak during one call over the size before it, outputs included, each in a fresh
process in which a tiny call has loaded the libraries: of the process (resident) on a CPU, of the
framework's allocator on a GPU. `auto` has the memory of the path that it takes. "Out of memory"
is beyond nine tenths of what the machine had free.

Self and causal attention have N queries and N keys; cross attention has N queries and N / 4 keys.
Unless said otherwise the batch is 1, with 4 heads of 64, and the layers have 256 features; ours
is `MultiHeadAttention.from_keras` of Keras's.
"""
TITLES = {"self": "Self-attention", "causal": "Causal self-attention", "cross": "Cross attention"}
PASSES = {"forward": "forward", "training": "training step"}
EXTRAS = {
    "padding": "a key padding mask",
    "heads": "many heads",
    "causal heads": "many heads, causal",
    "dropout": "layers with dropout, at inference",
    "map": "`SelfAttention2D` on a feature map",
    "long": "a long sequence",
    "causal long": "a long sequence, causal",
}
Rows = dict[Case, dict[tuple[str, str, str], dict]]


def page(reports: list[dict]) -> str:
    """Markdown for all devices, those of CPUs first."""
    ordered = sorted(reports, key=lambda report: (report["device"] != "cpu", report["device"]))
    return "\n".join([HOW, *(line for report in ordered for line in _device(report))])


def _device(report: dict) -> list[str]:
    hardware, versions = report["hardware"], dict(report["versions"])
    versions.pop("backend")
    rows: Rows = {}
    for part in report["parts"].values():
        of_case = rows.setdefault(Case(**part["case"]), {})
        of_case |= {(part["measure"], row["pass"], row["candidate"]): row for row in part["rows"]}
    title = "CPU" if report["device"] == "cpu" else report["device"]
    minutes = sum(part["took"] for part in report["parts"].values()) / 60
    alone = report.get("alone", [])
    title += f": {', '.join(alone)} without the others" if alone else ""
    lines = [f"## {title}", ""]
    machine = f"{hardware['processor']}, {report['threads']} threads"
    if hardware["accelerators"]:
        machine += f"; {', '.join(hardware['accelerators'])}"
    lines += [f"- Hardware: {machine}"]
    lines += [f"- Versions: {', '.join(f'{name} {x}' for name, x in versions.items())}"]
    lines += [f"- Commit: `{report['commit']}`"]
    lines += [f"- Rounds: as many as fit into {report['seconds_per_case']:g} s, 2 to 100, for all"]
    lines += [f"  TensorFlow candidates together; measured in {minutes:.0f} minutes", ""]
    lines += _crossover(rows, report["crossovers"])
    for dtype in sorted({case.dtype for case in rows}, key=("float32").__ne__):
        for name, title in TITLES.items():
            cases = [case for case in rows if case.name == name and case.dtype == dtype]
            for measure, unit in (("time", _time), ("memory", _memory)):
                for what, described in PASSES.items():
                    heading = f"### {title}, {dtype}: {measure} of {_article(described)}"
                    lines += _series(heading, sorted(cases, key=_size), rows, measure, what, unit)
    return lines + _extras(rows)


def _article(what: str) -> str:
    return "the forward pass" if what == "forward" else f"a {what}"


def _size(case: Case) -> int:
    return case.queries


def _series(
    heading: str, cases: list[Case], rows: Rows, measure: str, what: str, unit: Any
) -> list[str]:
    cases = [case for case in cases if any(key[:2] == (measure, what) for key in rows[case])]
    if not cases:
        return []
    present = {key[2] for case in cases for key in rows[case] if key[:2] == (measure, what)}
    names = [name for name in CANDIDATES if name in present]
    table = [["N", *(CANDIDATES[name] for name in names)]]
    for case in cases:
        cells = [unit(rows[case], what, name) for name in names]
        table.append([str(case.queries), *cells])
    return [heading, "", *_markdown(table), ""]


def _extras(rows: Rows) -> list[str]:
    table = [["case", "batch x heads x queries x keys", "pass", "candidate", "time", "memory"]]
    for case, of_case in rows.items():
        present = {key[1:] for key in of_case if case.name in EXTRAS}
        asked = [(what, name) for what in PASSES for name in CANDIDATES]
        for what, name in (pair for pair in asked if pair in present):
            table.append(
                [
                    EXTRAS[case.name],
                    f"{case.batch} x {case.heads} x {case.queries} x {case.keys}",
                    PASSES[what],
                    CANDIDATES[name],
                    _time(of_case, what, name),
                    _memory(of_case, what, name),
                ]
            )
    if len(table) == 1:
        return []
    note = "A time with a star is that of the first and only call, which measured the memory."
    return ["### Other cases", "", note, "", *_markdown(table), ""]


def _crossover(rows: Rows, crossovers: dict[str, int]) -> list[str]:
    """Return a table of the sizes at which the streaming path overtakes the full one."""
    head = ["case", "queries x keys", "scores a head", "scores", *PASSES.values(), "`auto` takes"]
    table, overtakes = [head], {}
    for case in sorted(rows, key=lambda case: (case.is_causal, case.name, case.scores)):
        of_case = {what: rows[case].get(("time", what, "chunked"), {}) for what in PASSES}
        ratios = {what: row["to_full"] for what, row in of_case.items() if "to_full" in row}
        if not ratios or case.dtype != "float32":
            continue
        pairs = case.queries * case.keys
        cells = [case.name, f"{case.queries} x {case.keys}", _count(pairs), _count(case.scores)]
        cells += [f"{ratios[what]:.2f}" if what in ratios else "" for what in PASSES]
        table.append([*cells, of_case[next(iter(ratios))]["auto"]])
        for what, ratio in ratios.items():
            overtakes.setdefault((case.name, what), []).append((pairs, ratio))
    if len(table) == 1:
        return []
    sizes = ", ".join(f"`{name}` is {_count(size)}" for name, size in crossovers.items())
    lines = ["### Where `auto` changes paths", ""]
    lines += ["Time of the streaming path over that of the full one, the median of each round's"]
    lines += [f"ratio. In `keras_attn/ops/dispatch.py` {sizes}.", "", *_markdown(table), ""]
    lines += ["Streaming is at least as fast at all measured sizes from:", ""]
    for (name, what), measured in overtakes.items():
        if name not in TITLES:
            continue
        slower = [pairs for pairs, ratio in measured if ratio > 1.0]
        faster = [pairs for pairs, _ in measured if not slower or pairs > max(slower)]
        found = f"{_count(min(faster))} scores a head" if faster else "none of the sizes"
        lines.append(f"- {TITLES[name]}, {PASSES[what]}: {found}")
    return [*lines, ""]


def _count(count: int) -> str:
    power = count.bit_length() - 1
    return f"2^{power}" if count == 2**power else f"{count:,}"


def _time(of_case: dict, what: str, name: str) -> str:
    row = of_case.get(("time", what, name))
    if row is None:
        row = of_case.get(("memory", what, name), {})
        if "seconds" not in row:
            return row.get("failure", "")
        return f"{_seconds(row['seconds'])} *"
    if "failure" in row:
        return row["failure"]
    ratio = row.get("to_peer")
    keras = of_case.get(("time", what, "keras"), {})
    if name == "torch" and "seconds" in keras:
        ratio = row["seconds"] / keras["seconds"]
    return _seconds(row["seconds"]) + ("" if ratio is None else f" ({ratio:.2f})")


def _memory(of_case: dict, what: str, name: str) -> str:
    row = of_case.get(("memory", what, name), {})
    if "bytes" not in row:
        return row.get("failure", "")
    size = row["bytes"] / 2**20
    return f"{size / 1024:.2f} GiB" if size >= 1024 else f"{size:.1f} MiB"


def _seconds(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _markdown(table: list[list[str]]) -> list[str]:
    head, *body = (f"| {' | '.join(row)} |" for row in table)
    return [head, "|" + "---|" * len(table[0]), *body]
