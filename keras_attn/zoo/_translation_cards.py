"""What the card of a translator says of its results."""

from collections.abc import Iterator
from typing import Any

from keras_attn.zoo._figures import mean_and_deviation, minutes
from keras_attn.zoo.registry import Entry

# What the splits of a data set are, where their names do not say it.
SPLITS = {
    "multi30k": {
        "test": "Flickr 2016",
        "test_2017": "Flickr 2017",
        "test_coco": "COCO 2017, ambiguous verbs",
    }
}


def results(entry: Entry) -> list[str]:
    """The paragraphs of the section on results."""
    variants = [(name, runs) for name in ("", *entry.recipe.variants) if (runs := entry.runs(name))]
    all_runs = [run for _, runs in variants for run in runs]
    return [
        _introduction(entry, all_runs),
        _quality(entry, variants),
        _signatures(all_runs),
        _cost(variants),
    ]


def _introduction(entry: Entry, runs: list[dict[str, Any]]) -> str:
    names = {name for run in runs for name in run["metrics"] if name.startswith("test")}
    read = "The test split was" if len(names) == 1 else "The test splits were"
    beams = ", ".join(map(str, sorted({metrics["beam_size"] for metrics in _metrics(runs)})))
    sentences = [
        f"Data: {entry.recipe.dataset}, trained on its training split. {read} read once a run, at "
        f"its end. Translations are those of beam search with {beams} beams."
    ]
    alone = {variant for variant in (run["variant"] for run in runs) if _count(runs, variant) == 1}
    if alone:
        sentences.append(
            "In brackets stands the 95 % interval of a single run, by bootstrap over sentences."
        )
    if len(alone) < len({run["variant"] for run in runs}):
        sentences.append("Mean and sample standard deviation are over seeds.")
    return " ".join(sentences)


def _quality(entry: Entry, variants: list[tuple[str, list[dict[str, Any]]]]) -> str:
    lines = [
        "| model | split | sentences | BLEU | chrF | BLEU of lower-cased Moses tokens |",
        "|---|---|---|---|---|---|",
    ]
    family = next((key for key in SPLITS if entry.recipe.dataset.startswith(f"{key}_")), "")
    for variant, runs in variants:
        for split in runs[0]["metrics"]:
            metrics = [run["metrics"][split] for run in runs]
            told = SPLITS.get(family, {}).get(split)
            cells = [
                variant or "as published",
                f"{split} ({told})" if told else split,
                f"{metrics[0]['examples']:,}",
                _bleu(metrics),
                *(_mean(metrics, key) for key in ("chrf", "bleu_lowercased_tokens")),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _bleu(metrics: list[dict[str, Any]]) -> str:
    told = _mean(metrics, "bleu")
    if len(metrics) > 1:
        return told
    low, high = metrics[0]["bleu_interval"]
    return f"{told} [{low:.1f}, {high:.1f}]"


def _mean(metrics: list[dict[str, Any]], key: str) -> str:
    return mean_and_deviation([values[key] for values in metrics], ".1f")


def _signatures(runs: list[dict[str, Any]]) -> str:
    told = [
        f"{name} {' and '.join(f'`{signature}`' for signature in signatures)}"
        for name, key in (("BLEU", "bleu_signature"), ("chrF", "chrf_signature"))
        if (signatures := sorted({metrics[key] for metrics in _metrics(runs)}))
    ]
    return (
        f"BLEU and chrF are sacreBLEU's, cased: {', '.join(told)}. The last column is of "
        "lower-cased tokens, as older papers report it, and higher for that alone."
    )


def _cost(variants: list[tuple[str, list[dict[str, Any]]]]) -> str:
    lines = [
        "| model | parameters | MFLOPs forward, a pair | TFLOPs training | minutes |",
        "|---|---|---|---|---|",
    ]
    for variant, runs in variants:
        cells = [
            variant or "as published",
            f"{runs[0]['parameters']:,}",
            f"{runs[0]['forward_flops'] / 1e6:,.3g}",
            f"{runs[0]['train_flops'] / 1e12:,.3g}",
            minutes(runs),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _metrics(runs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Those of every run and split."""
    for run in runs:
        yield from run["metrics"].values()


def _count(runs: list[dict[str, Any]], variant: str) -> int:
    return sum(run["variant"] == variant for run in runs)
