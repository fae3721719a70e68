"""Pages of the site that are generated when it is built: the API reference, and root documents.

MkDocs calls `on_files` and `on_config`, see https://www.mkdocs.org/user-guide/configuration/#hooks.
"""

import importlib
import inspect
import pathlib
import re
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).parent.parent
REPOSITORY_FOLDERS = ("zoo", "notebooks", "tests", "keras_attn", "benchmarks", "docs", ".github")
# Packages of the reference in the order of the navigation, with the title of their page.
PACKAGES = {
    "": "keras_attn",
    "ops": "Functions: ops",
    "layers": "Layers",
    "models": "Architectures: models",
    "tasks": "Tasks",
    "decoding": "Decoding",
    "text": "Text",
    "training": "Training",
    "recipes": "Recipes",
    "optimizers": "Optimizers",
    "datasets": "Data sets",
    "batching": "Batching",
    "zoo": "Zoo",
    "profiling": "Profiling",
    "export": "Export",
}
ZOO = """---
hide:
  - toc
---

# The zoo

Entries are built by name: `keras_attn.build("cifar10_attention_net")`. Each was trained from
scratch by its recipe; its card says with what code and on what machine, and how to train it again.
Accuracies, and BLEU of translations by sacreBLEU, are means over seeds with their sample standard
deviation, on the test split, which is read once per run. Click on a title to sort.

<div class="sortable" markdown>

{rows}

</div>

![Test accuracy against parameters on CIFAR-10 and CIFAR-100](zoo_cifar.svg)

Published models of the same size, trained from scratch without other data: CCT and ViT-Lite
([arXiv:2104.05704](https://arxiv.org/abs/2104.05704)), SL-ViT
([arXiv:2112.13492](https://arxiv.org/abs/2112.13492)), airbench
([arXiv:2404.00498](https://arxiv.org/abs/2404.00498)). Entries with 6 test-time views. Drawn by
`python docs/plots.py`.
"""
DOCUMENTS = {"changes.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_config(config: Any) -> Any:
    """List the pages of the reference, and the cards of the zoo, in the navigation."""
    reference = [{title: f"api/{name or 'keras_attn'}.md"} for name, title in PACKAGES.items()]
    cards = [f"zoo/{card.parent.name}.md" for card in _cards()]
    generated = {"API": reference, "Zoo": ["zoo.md", *cards]}
    config["nav"] = [
        {title: generated.get(title, pages) for title, pages in item.items()}
        for item in config["nav"]
    ]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for name in PACKAGES:
        page = f"api/{name or 'keras_attn'}.md"
        files.append(File.generated(config, page, content=_reference(name)))
    files.append(File.generated(config, "zoo.md", content=_zoo()))
    for card in _cards():
        page = f"zoo/{card.parent.name}.md"
        files.append(File.generated(config, page, content=_card(card)))
    for page, document in DOCUMENTS.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Name files of the repository, which are not in the site, without a link."""
    folders = "|".join(map(re.escape, REPOSITORY_FOLDERS))
    link = rf"\[([^]]*)\]\((?:\.\./)*(?:{folders})/(?!\w+\.md)[^)]*\)"
    return re.sub(link, r"\1", markdown)


def _reference(name: str) -> str:
    """Return the Markdown of the page of a package, with its public names in groups."""
    package = importlib.import_module(f"keras_attn.{name}" if name else "keras_attn")
    objects = {public: getattr(package, public) for public in sorted(package.__all__)}
    documented = {
        public: value
        for public, value in objects.items()
        if inspect.isclass(value) or inspect.isfunction(value)
    }
    own = {public: value for public, value in documented.items() if _path(value)}
    summary = inspect.getdoc(package) or ""
    lines = [f"# {PACKAGES[name]}", "", f"`import {package.__name__}`", "", summary, ""]
    classes = [public for public, value in own.items() if inspect.isclass(value)]
    functions = [public for public, value in own.items() if not inspect.isclass(value)]
    for title, group in (("Classes", classes), ("Functions", functions)):
        if not group:
            continue
        lines += [f"| {title} | |", "|---|---|"]
        for public in group:
            line = (inspect.getdoc(own[public]) or "").partition("\n")[0].replace("|", "\\|")
            lines.append(f"| [`{public}`][{_path(own[public])}] | {line} |")
        lines.append("")
    for public in (*classes, *functions):
        if name or not _path(own[public]).startswith("keras_attn.zoo."):  # on a page of its own
            lines += [f"::: {_path(own[public])}", ""]
    return "\n".join(lines)


def _zoo() -> str:
    """Return the page of the zoo: the table of the README, with the cards of the site."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"^<!-- zoo: .*?-->\n\n(.*?)\n\n<!-- zoo: end -->", readme, re.M | re.S)
    assert table is not None, "README.md has no table of the zoo"
    rows = re.sub(r"\]\(zoo/(\w+)/README\.md\)", r"](zoo/\1.md)", table[1])
    return ZOO.format(rows=rows)


def _cards() -> list[pathlib.Path]:
    return sorted(ROOT.glob("zoo/*/README.md"))


def _card(path: pathlib.Path) -> str:
    """Return the card of an entry with links to the pages of the site."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\]\(\.\./(\w+)/(?:README\.md)?\)", r"](\1.md)", text)
    return re.sub(r"\]\((?:\.\./)+docs/pages/", "](../", text)


def _path(value: Any) -> str:
    """Return the path of a class or function of this library, "" for others."""
    value = inspect.unwrap(value)
    module = getattr(value, "__module__", "")
    return f"{module}.{value.__qualname__}" if module.startswith("keras_attn") else ""


def _relinked(text: str) -> str:
    """Return a document of the root with links to pages of the site."""
    text = text.replace("](docs/pages/", "](")
    return text.replace("](CONTRIBUTING.md)", "](contributing.md)").replace(
        "](CHANGELOG.md)", "](changes.md)"
    )
