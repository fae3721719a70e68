"""The results section of the model card of a translator. Imports no Keras."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_attn import datasets
from keras_attn.recipes import Recipe
from keras_attn.recipes.figures import Run, mean_and_deviation, minutes, seeds

Metrics = Mapping[str, Any]

TOKEN_BLEU = "bleu_lowercased_tokens"  # missing if the target language has no rules of Moses


def scores(metrics: Metrics) -> dict[str, str]:
    """Return BLEU and chrF of a split by title."""
    figures = {"BLEU": f"{metrics['bleu']:.2f}", "chrF": f"{metrics['chrf']:.2f}"}
    if TOKEN_BLEU in metrics:
        title = f"BLEU of lower-cased tokens ({metrics['token_language']})"
        figures[title] = f"{metrics[TOKEN_BLEU]:.2f}"
    return figures


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """Return sacreBLEU's signatures, which say how a text was tokenized."""
    return [f"BLEU {metrics['bleu_signature']}", f"chrF {metrics['chrf_signature']}"]


def bleu_figure(runs: Sequence[Run], split: str) -> str:
    """Return mean and standard deviation of BLEU over runs, and the number of runs."""
    values = [run["metrics"][split]["bleu"] for run in runs]
    return f"{mean_and_deviation(values, '.1f')} BLEU ({seeds(runs)})"


def results(recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return the paragraphs of the results section."""
    variants = {name: some for name, some in runs.items() if some}
    all_runs = [run for some in variants.values() for run in some]
    return [
        _introduction(recipe, variants),
        _quality(recipe, variants),
        _signatures(all_runs),
        _cost(variants),
    ]


def _introduction(recipe: Recipe, variants: Mapping[str, Sequence[Run]]) -> str:
    runs = [run for some in variants.values() for run in some]
    names = {name for run in runs for name in run["metrics"] if name.startswith("test")}
    read = "The test split was" if len(names) == 1 else "The test splits were"
    beams = ", ".join(map(str, sorted({metrics["beam_size"] for metrics in _metrics(runs)})))
    sentences = [
        f"Data: {recipe.dataset}, trained on its training split. {read} read once a run, at "
        f"its end. Translations are those of beam search with a beam size of {beams}."
    ]
    single = [name for name, some in variants.items() if len(some) == 1]
    if single:
        sentences.append(
            "In brackets stands the 95 % interval of a single run, by bootstrap over sentences."
        )
    if len(single) < len(variants):
        sentences.append("Mean and sample standard deviation are over seeds.")
    return " ".join(sentences)


def _quality(recipe: Recipe, variants: Mapping[str, Sequence[Run]]) -> str:
    columns = ("chrf", TOKEN_BLEU) if _have_token_bleu(variants) else ("chrf",)
    lines = [
        "| model | split | sentences | BLEU | chrF | BLEU of lower-cased Moses tokens |",
        "|---|---|---|---|---|---|",
    ]
    if TOKEN_BLEU not in columns:
        lines = [line.rsplit("|", 2)[0] + "|" for line in lines]
    titles = datasets.describe_dataset(recipe.dataset).split_titles
    for variant, runs in variants.items():
        for split in runs[0]["metrics"]:
            metrics = [run["metrics"][split] for run in runs]
            cells = [
                variant or "as published",
                f"{split} ({titles[split]})" if split in titles else split,
                f"{metrics[0]['examples']:,}",
                _bleu(metrics),
                *(_mean(metrics, key) for key in columns),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _bleu(metrics: Sequence[Metrics]) -> str:
    mean = _mean(metrics, "bleu")
    if len(metrics) > 1:
        return mean
    low, high = metrics[0]["bleu_interval"]
    return f"{mean} [{low:.1f}, {high:.1f}]"


def _mean(metrics: Sequence[Metrics], key: str) -> str:
    return mean_and_deviation([values[key] for values in metrics], ".1f")


def _have_token_bleu(variants: Mapping[str, Sequence[Run]]) -> bool:
    runs = [run for some in variants.values() for run in some]
    return all(TOKEN_BLEU in metrics for metrics in _metrics(runs))


def _signatures(runs: Sequence[Run]) -> str:
    parts = [
        f"{name} {' and '.join(f'`{signature}`' for signature in signatures)}"
        for name, key in (("BLEU", "bleu_signature"), ("chrF", "chrf_signature"))
        if (signatures := sorted({metrics[key] for metrics in _metrics(runs)}))
    ]
    sentence = f"BLEU and chrF are sacreBLEU's, cased: {', '.join(parts)}."
    if not _have_token_bleu({"": runs}):
        return sentence
    return (
        f"{sentence} The last column is of lower-cased tokens, as older papers report it, and "
        "higher for that alone."
    )


def _cost(variants: Mapping[str, Sequence[Run]]) -> str:
    lines = [
        "| model | parameters | MFLOPs forward, a pair | TFLOPs training | minutes |",
        "|---|---|---|---|---|",
    ]
    for variant, runs in variants.items():
        cells = [
            variant or "as published",
            f"{runs[0]['parameters']:,}",
            f"{runs[0]['forward_flops'] / 1e6:,.3g}",
            f"{runs[0]['train_flops'] / 1e12:,.3g}",
            minutes(runs),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _metrics(runs: Sequence[Run]) -> Iterator[Metrics]:
    """Yield the metrics of every run and split."""
    for run in runs:
        yield from run["metrics"].values()
