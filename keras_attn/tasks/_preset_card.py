"""The card of a saved model, with the metadata that the Hugging Face Hub reads."""

import importlib
import json
import re
from collections.abc import Sequence
from typing import Any

from keras_attn import __version__

TAGS = ("keras_attn", "attention")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_CODE = "```python\n{}\n```"


def check_metadata(license: str | None, tags: Sequence[str]) -> None:  # noqa: A002
    """Raise ValueError unless a license and tags can be metadata of a card."""
    if license is not None and not (isinstance(license, str) and _LICENSE.fullmatch(license)):
        raise ValueError(
            "`license` must be an identifier in lower case, such as 'apache-2.0' or 'cc-by-4.0', "
            f"or 'other'. Received: {license!r}."
        )
    if isinstance(tags, str) or not all(isinstance(tag, str) and tag.strip() for tag in tags):
        raise ValueError(f"`tags` must be a list of words. Received: {tags!r}.")


def model_card(
    model: Any,
    title: str,
    license: str | None,  # noqa: A002
    tags: Sequence[str],
) -> str:
    """Return the card of a model in Markdown, after a block of metadata in YAML.

    For the weights of an entry of the zoo the metadata has its data set and its primary metric on
    the test split, and the text is that of its card.

    Args:
        model: The task model.
        title: Its name.
        license: Identifier of its license, or None.
        tags: Further tags.
    """
    task, published = model.description, model.published
    metadata: dict[str, Any] = {} if license is None else {"license": license}
    metadata["library_name"] = "keras"
    if task.pipeline_tag is not None:
        metadata["pipeline_tag"] = task.pipeline_tag
    metadata["tags"] = list(dict.fromkeys([*TAGS, task.name, *tags]))
    if published is not None:
        metadata |= _results(title, published.entry, task)
    # JSON is YAML too, and quotes what YAML would read as another type.
    block = "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in metadata.items()
    )
    return f"---\n{block}\n---\n\n{_text(model, title)}\n"


def _results(title: str, name: str, task: Any) -> dict[str, Any]:
    """Return the data set of an entry, and what its published weights reach on the test split."""
    # Imported by name, because the zoo depends on the tasks.
    entry = importlib.import_module("keras_attn.zoo").describe(name)
    seed, metric = entry.results["weights"]["seed"], task.primary_metric
    run = next(run for run in entry.runs() if run["seed"] == seed)
    value = round(metric.scale * run["metrics"]["test"][metric.key], metric.digits)
    unit = f" ({metric.unit.strip()})" if metric.unit.strip() not in ("", metric.title) else ""
    data = entry.recipe.dataset
    result = {
        "task": {"type": task.pipeline_tag or task.name},
        "dataset": {"name": data, "type": data, "split": "test"},
        "metrics": [{"type": metric.key, "name": f"{metric.title}{unit}", "value": value}],
    }
    return {
        "datasets": [data],
        "metrics": [metric.key],
        "model-index": [{"name": title, "results": [result]}],
    }


def _text(model: Any, title: str) -> str:
    task, published = model.description, model.published
    names = getattr(model, "label_names", ())
    usage = (
        "import keras_attn\n\n"
        'model = keras_attn.load("FOLDER")  # or "hf://OWNER/NAME@COMMIT"\n'
        f"model.{task.usage}"
    )
    facts = [
        f"- Task: {task.name.replace('_', ' ')}",
        f"- Model: `{type(model).__name__}` of keras_attn {__version__}, "
        f"{model.network.count_params():,} parameters",
    ]
    if names:
        facts.append(f"- Labels: {len(names)}, listed in `metadata.json`")
    sections = [
        f"# {title}",
        "\n".join(facts),
        _CODE.format(usage),
        "`pip install 'keras-attn[hub]'` installs what loading from a hub needs. Loading checks "
        "every file against `manifest.json`, unpickles nothing and executes no code of the folder.",
    ]
    if published is not None:
        sections.append(f"The weights are those of `{published.entry}` in the zoo of keras_attn.")
        sections.append(_entry_text(published.card))
    return "\n\n".join(section for section in sections if section)


def _entry_text(card: str) -> str:
    """Return the results of an entry's card, without pictures and links to files beside it."""
    _, _, results = card.partition("\n## Results\n")
    results, _, _ = results.partition("\n## Train it again\n")
    if not results:
        return ""
    lines = [line for line in results.splitlines() if not line.startswith("![")]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return "## Results\n\n" + re.sub(r"\[([^\]]+)\]\(\.\.?/[^)]*\)", r"\1", text)
