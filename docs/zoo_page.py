"""The page of the zoo on the site: a table for each task, from recipes and results."""

import re
from collections.abc import Callable, Sequence

from keras_attn.recipes import TaskDescription, describe_task
from keras_attn.recipes.figures import (
    Run,
    mean_and_deviation,
    minutes_by_hardware,
    seeds,
    values_of,
)
from keras_attn.recipes.recipe import WITHOUT_ATTENTION
from keras_attn.zoo import registry

TITLES = {
    "image_classification": "Images",
    "text_classification": "Texts",
    "translation": "Translation",
    "text_generation": "Text generation",
    "forecasting": "Forecasting",
    "audio_classification": "Spoken words",
    "object_detection": "Object detection",
}
PAGE = """---
hide:
  - toc
---

# The zoo

Entries are built by name: `keras_attn.build("cifar10_attention_net")`. Each was trained from
scratch by its recipe; its card says with what code and on what machine, and how to train it again.

Figures are those of the test split, which is read once per run: accuracy in percent, BLEU by
sacreBLEU, mAP50 of object detection by pycocotools, and for forecasts the mean squared error of
standardized values, the lower the better.
With several seeds they are the mean and the sample standard deviation over them. Compare figures of
the same data only. "6 views" is test-time augmentation: the mean of the answers to an image and its
mirror image, each at three places a pixel apart ([more](images.md#test-time-augmentation)).
"Without attention" is the same network with attention replaced by an average; for forecasts and
object detection, with blocks of feed-forward networks only. The training time is the wall time of a
run, the median if there are several.

Click on the title of a column to sort. On a narrow screen the tables scroll sideways.

{tables}

![Test accuracy against parameters on CIFAR-10 and CIFAR-100](zoo_cifar.svg)

Published models of the same size, trained from scratch without other data: CCT and ViT-Lite
([arXiv:2104.05704](https://arxiv.org/abs/2104.05704)), SL-ViT
([arXiv:2112.13492](https://arxiv.org/abs/2112.13492)), airbench
([arXiv:2404.00498](https://arxiv.org/abs/2404.00498)). Entries with 6 test-time views. Drawn by
`python docs/plots.py`.
"""


def page() -> str:
    """Return the Markdown of the page."""
    tasks: dict[str, list[registry.Entry]] = {}
    for entry in registry.entries():
        tasks.setdefault(entry.recipe.task, []).append(entry)
    order = [*TITLES, *sorted(tasks.keys() - TITLES.keys())]
    return PAGE.format(
        tables="\n\n".join(_section(name, tasks[name]) for name in order if name in tasks)
    )


def with_line_breaks(html: str) -> str:
    """Let the names of entries in tables be broken after an underscore, on narrow screens."""
    return re.sub(
        r'(?<=<td><a href="zoo/)([^>]*><code>)(\w+)',
        lambda match: match[1] + match[2].replace("_", "_<wbr>"),
        html,
    )


def _section(name: str, entries: Sequence[registry.Entry]) -> str:
    trained = [entry for entry in entries if entry.runs()]
    lines = [f"## {TITLES.get(name, name)}", ""]
    lines += ['<div class="sortable" markdown>', "", *_table(describe_task(name), trained), ""]
    lines.append("</div>")
    rest = [f"[`{entry.name}`](zoo/{entry.name}.md)" for entry in entries if not entry.runs()]
    if rest:
        lines += ["", f"Not trained yet, a recipe without weights: {', '.join(rest)}."]
    return "\n".join(lines)


def _table(task: TaskDescription, entries: Sequence[registry.Entry]) -> list[str]:
    """Return the lines of a table. Columns that would be empty are left out."""
    metric = task.primary_metric
    percent = metric.unit.strip() == "%"
    form = ".2f" if percent else ".1f" if metric.greater_is_better else f".{metric.digits}f"

    def primary(runs: Sequence[Run]) -> str:
        return mean_and_deviation(values_of(metric, runs, "test"), form) if runs else ""

    def by_views(runs: Sequence[Run]) -> str:
        values = [run["metrics"]["test"].get("views_accuracy") for run in runs]
        return "" if None in values else mean_and_deviation([100 * it for it in values], form)

    def without_attention(entry: registry.Entry) -> str:
        runs, baseline = entry.runs(), entry.runs(WITHOUT_ATTENTION)
        note = f" ({seeds(baseline)})" if baseline and len(baseline) != len(runs) else ""
        return primary(baseline) + note

    columns: dict[str, Callable[[registry.Entry], str]] = {
        "entry": lambda entry: f"[`{entry.name}`](zoo/{entry.name}.md)",
        "data": lambda entry: entry.recipe.dataset,
        "parameters": lambda entry: f"{entry.runs()[0]['parameters'] / 1e6:.2f}M",
        f"{metric.title} %" if percent else metric.title: lambda entry: primary(entry.runs()),
        "with 6 views": lambda entry: by_views(entry.runs()),
        "without attention": without_attention,
        "seeds": lambda entry: str(len(entry.runs())),
        "training time": lambda entry: minutes_by_hardware(entry.runs()),
    }
    cells = {title: [of(entry) for entry in entries] for title, of in columns.items()}
    cells = {title: column for title, column in cells.items() if any(column)}
    lines = [f"| {' | '.join(cells)} |", "|---" * len(cells) + "|"]
    return lines + [
        f"| {' | '.join(cell or '-' for cell in row)} |"
        for row in zip(*cells.values(), strict=True)
    ]
