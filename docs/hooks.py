"""Pages of the site that are generated when it is built: API reference, notebooks, root documents.

MkDocs calls the functions `on_...`, see https://www.mkdocs.org/user-guide/configuration/#hooks.
"""

import importlib
import inspect
import pathlib
import posixpath
import re
from typing import Any

import zoo_page
from mkdocs.structure.files import File, Files

from keras_attn import zoo

ROOT = pathlib.Path(__file__).parent.parent
REPOSITORY_FOLDERS = (
    "zoo",
    "notebooks",
    "tests",
    "keras_attn",
    "benchmarks",
    "docs",
    "examples",
    ".github",
)
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
# Outputs of a cell are in a division of their own. Their images are described by the cell's `alt`,
# and link to themselves: on a narrow screen they are reduced.
NOTEBOOK_TEMPLATE = """
{%- extends "markdown/index.md.j2" -%}
{% block outputs %}

<div class="notebook-output" markdown>
{{ super() }}
</div>

{% endblock outputs %}
{% block stream %}

````{ .text .no-copy }
{{ output.text.rstrip() | strip_ansi }}
````

{% endblock stream %}
{% block data_text scoped %}

````{ .text .no-copy }
{{ output.data["text/plain"].rstrip() | strip_ansi }}
````

{% endblock data_text %}
{% block data_png %}

{%- set name = output.metadata.filenames["image/png"] | path2url %}

[![{{ cell.metadata.alt }}]({{ name }})]({{ name }})

{% endblock data_png %}
"""
DOCUMENTS = {"changes.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_config(config: Any) -> Any:
    """List the pages of the reference, the cards of the zoo and the notebooks in the navigation."""
    reference = [{title: f"api/{name or 'keras_attn'}.md"} for name, title in PACKAGES.items()]
    cards = [_card_title(card.parent.name) for card in _cards()]
    notebooks = [
        {path.stem.partition("_")[2].capitalize(): f"notebooks/{path.stem}.md"}
        for path in _notebooks()
    ]
    generated = {"API": reference, "Zoo": ["zoo.md", *cards], "Notebooks": notebooks}
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
    files.append(File.generated(config, "zoo.md", content=zoo_page.page()))
    for card in _cards():
        page = f"zoo/{card.parent.name}.md"
        files.append(File.generated(config, page, content=_card(card)))
        for picture in (*card.parent.glob("*.svg"), *card.parent.glob("*.png")):
            target = f"zoo/{card.parent.name}/{picture.name}"
            files.append(File.generated(config, target, content=picture.read_bytes()))
    for path in _notebooks():
        page, images = _notebook(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page))
        files.append(File.generated(config, f"notebooks/{path.name}", content=path.read_bytes()))
        for name, image in images.items():
            files.append(File.generated(config, f"notebooks/{name}", content=image))
    for page, document in DOCUMENTS.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Link to the pages of notebooks. Name other files of the repository without a link."""
    notebooks = posixpath.relpath("notebooks", posixpath.dirname(page.file.src_uri) or ".")
    pattern = r"\]\((?:\.\./)*notebooks/(\w+)\.ipynb"
    markdown = re.sub(pattern, rf"]({notebooks}/\1.md", markdown)
    folders = "|".join(map(re.escape, REPOSITORY_FOLDERS))
    link = rf"\[([^]]*)\]\((?:\.\./)*(?:{folders})/(?!\w+\.md)[^)]*\)"
    return re.sub(link, r"\1", markdown)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Let long names in the tables of the zoo be broken."""
    return zoo_page.with_line_breaks(html) if page.file.src_uri == "zoo.md" else html


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


def _cards() -> list[pathlib.Path]:
    return sorted(ROOT.glob("zoo/*/README.md"))


def _card_title(name: str) -> str | dict[str, str]:
    """Return the item of an entry in the navigation, which says if it is not trained."""
    page = f"zoo/{name}.md"
    return page if zoo.describe(name).runs() else {f"{name} (not trained)": page}


def _card(path: pathlib.Path) -> str:
    """Return the card of an entry with links to the pages of the site."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\]\(\.\./(\w+)/(?:README\.md)?\)", r"](\1.md)", text)
    text = re.sub(r"\]\((\w+\.(?:svg|png))\)", rf"]({path.parent.name}/\1)", text)
    return re.sub(r"\]\((?:\.\./)+docs/pages/", "](../", text)


def _notebooks() -> list[pathlib.Path]:
    return sorted(ROOT.glob("notebooks/*.ipynb"))


def _notebook(path: pathlib.Path) -> tuple[str, dict[str, bytes]]:
    """Return the Markdown of a notebook with links to pages of the site, and its images by name."""
    import nbformat
    from nbconvert import MarkdownExporter

    exporter = MarkdownExporter(raw_template=NOTEBOOK_TEMPLATE)
    notebook = nbformat.read(path, as_version=4)
    text, resources = exporter.from_notebook_node(notebook, {"unique_key": path.stem})
    text = text.replace("](../docs/pages/", "](../")
    text = re.sub(r"\]\(\.\./zoo/(\w+)/README\.md\)", r"](../zoo/\1.md)", text)
    text = re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", text)
    title, _, rest = text.strip().partition("\n")
    download = f"[Download this notebook]({path.name})"
    return f"{title}\n\n{download}\n{rest}", resources["outputs"]


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
