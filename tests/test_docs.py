"""What the guides show, run."""

import collections
import importlib.util
import json
import os
import re
import subprocess

import pytest

from keras_attn import zoo
from tests.conftest import ROOT

PAGES = [
    "attention.md",
    "audio.md",
    "deployment.md",
    "fine_tuning.md",
    "generation.md",
    "forecasting.md",
    "images.md",
    "index.md",
    "masks.md",
    "quantization.md",
    "sentiment.md",
    "serving.md",
    "sharing.md",
    "tasks.md",
    "translation.md",
]


def script(*path):
    spec = importlib.util.spec_from_file_location(path[-1], ROOT.joinpath(*path).with_suffix(".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def leaks():
    return script("docs", "mask_leaks")


@pytest.mark.tensorflow
def test_padding_leaks_through_none_of_our_stacks_and_is_shown_to_leak_through_keras(leaks):
    cases = leaks.cases()
    assert len(cases) == 4
    for name, (theirs, ours) in cases.items():
        assert leaks.leak(ours) == 0.0, name
        # Should Keras mend one of these, the page is to say so.
        assert leaks.leak(theirs) > 0.01, name
        assert f"| {name} |" in leaks.PAGE.read_text(encoding="utf-8")


def test_the_tables_of_mechanisms_are_those_of_the_results():
    page = script("benchmarks", "_mechanisms_page")
    results = json.loads((ROOT / "benchmarks" / "results" / "mechanisms.json").read_text())
    assert page.tables(results) in page.PAGE.read_text(encoding="utf-8")
    seeds = collections.Counter((run["network"], run["mechanism"]) for run in results["runs"])
    assert set(seeds) == {(network, it) for network in results["steps"] for it in page.MECHANISMS}
    assert len(set(seeds.values())) == 1
    assert min(seeds.values()) >= 3


def test_the_table_of_the_training_step_is_that_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    step = script("benchmarks", "training_step")
    assert step.table(json.loads(step.RESULTS.read_text())) in step.PAGE.read_text(encoding="utf-8")


def test_the_table_of_precisions_is_that_of_the_results():
    precision = script("benchmarks", "precision")
    report = json.loads(precision.RESULTS.read_text(encoding="utf-8"))
    assert precision.table(report) in precision.PAGE.read_text(encoding="utf-8")
    assert len(report["runs"]) >= 2 * len(precision.PRECISIONS)


def test_the_table_of_the_loss_in_blocks_is_that_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    loss = script("benchmarks", "crossentropy")
    report = json.loads(loss.RESULTS.read_text(encoding="utf-8"))
    assert loss.table_of(report) in loss.PAGE.read_text(encoding="utf-8")
    assert len(report["rows"]) == len(loss.CASES) * len(loss.DTYPES) * len(loss.CONTENDERS)


def test_the_table_of_reliability_is_that_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    reliability = script("benchmarks", "reliability")
    results = json.loads(reliability.RESULTS.read_text(encoding="utf-8"))
    page = reliability.PAGE.read_text(encoding="utf-8")
    assert reliability.table(results) in page
    assert not any(result["crashes"] for result in results["entries"].values())
    for path in re.findall(r"`(tests/[\w/]+\.py)`", page):
        assert (ROOT / path).is_file(), path


def test_the_table_of_quantization_is_that_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    quantization = script("benchmarks", "quantization")
    results = json.loads(quantization.RESULTS.read_text(encoding="utf-8"))
    assert quantization.table(results) in quantization.PAGE.read_text(encoding="utf-8")
    assert set(results) <= set(zoo.list(pretrained=True))


def test_the_tables_of_unseen_speakers_noise_and_latency_are_those_of_the_results():
    speakers = script("benchmarks", "speakers")
    page = speakers.PAGE.read_text(encoding="utf-8")
    results = json.loads(speakers.RESULTS.read_text(encoding="utf-8"))
    for name, table in speakers.tables(results).items():
        begin, end = speakers.markers(name)
        assert f"{begin}\n\n{table}\n\n{end}" in page, name
    digest = zoo.describe(speakers.NAME).recipe.digest
    assert {run["recipe_digest"] for run in results.get("speakers", {}).values()} <= {digest}
    weights = zoo.describe(speakers.NAME).results["weights"]["values_sha256"]
    assert results["noise"]["weights"] == weights


def test_the_tables_of_formats_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import formats

    page = formats.PAGE.read_text(encoding="utf-8")
    results = json.loads(formats.RESULTS.read_text(encoding="utf-8"))
    for name, content in formats.tables(results).items():
        begin, end = formats.MARKERS[name]
        assert page.partition(begin)[2].partition(end)[0].strip() == content, name


def test_the_tables_of_serving_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import serving

    page = serving.PAGE.read_text(encoding="utf-8")
    results = json.loads(serving.RESULTS.read_text(encoding="utf-8"))
    contents = serving.tables(results)
    assert set(contents) == set(serving.MARKERS)
    for name, content in contents.items():
        begin, end = serving.MARKERS[name]
        assert page.partition(begin)[2].partition(end)[0].strip() == content, name
    assert results["kill"]["lost"] == 0
    assert results["hostile"]["not_refused"] == []
    assert results["hostile"]["good_requests_failed"] == 0
    assert results["hostile"]["replicas_replaced"] == 0


def test_the_figure_of_the_zoo_has_all_trained_entries_and_their_accuracies():
    figure = (ROOT / "docs" / "pages" / "zoo_cifar.svg").read_text(encoding="utf-8")
    for name in zoo.list("cifar*", pretrained=True):
        assert f">{name.partition('_')[2]}<" in figure, "run python docs/plots.py"


def documented(module):
    """Return the objects of a module of griffe that have a docstring, and those below it."""
    for member in module.members.values():
        if not member.is_alias:
            if member.docstring is not None:
                yield member
            yield from documented(member)


def test_every_section_of_a_docstring_is_parsed_for_the_reference():
    griffe = pytest.importorskip("griffe")
    pytest.importorskip("mkdocstrings_handlers")
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8"))
    plugins = {
        name: it
        for plugin in config["plugins"]
        if isinstance(plugin, dict)
        for name, it in plugin.items()
    }
    options = plugins["mkdocstrings"]["handlers"]["python"]["options"]
    loader = griffe.GriffeLoader(
        extensions=griffe.load_extensions(
            *(str(ROOT / "docs" / it) for it in options["extensions"])
        ),
        search_paths=[ROOT],
        docstring_parser=griffe.Parser(options["docstring_style"]),
        docstring_options=options["docstring_options"],
    )
    package = loader.load("keras_attn", try_relative_path=False)
    titles = collections.Counter()
    for item in documented(package):
        for section in item.docstring.parsed:
            kind = section.kind.value
            assert kind != "admonition", f"{item.path}: {section.title} is not parsed"
            titles[section.title or kind] += 1
            if kind in ("returns", "yields"):
                assert len(section.value) == 1, f"{item.path}: {kind} is split into lines"
                assert section.value[0].annotation is not None, item.path
            elif section.title == "Call arguments:":
                assert section.value, item.path
                assert all(argument.annotation is not None for argument in section.value), item.path
    assert titles["Call arguments:"] >= 30
    assert titles["returns"] >= 150


def test_the_page_of_the_zoo_has_each_entry_once_and_says_which_are_not_trained():
    page = script("docs", "zoo_page").page()
    for name in zoo.list():
        assert page.count(f"](zoo/{name}.md)") == 1, name
        row = re.search(rf"^\| \[`{name}`\].*$", page, flags=re.M)
        assert bool(row) == bool(zoo.describe(name).runs()), name
    assert not re.search(r"^\|.*(BLEU.* % |% .*BLEU)", page, flags=re.M)  # sorted by one unit


def test_the_page_of_the_example_has_its_script():
    builder = script("docs", "end_to_end_page")
    page = builder.PAGE.read_text(encoding="utf-8")
    assert builder.with_script(page) == page, "run docs/end_to_end_page.py --script-only"


@pytest.mark.exhaustive
def test_the_site_is_built_without_warnings_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("material")
    command = ["mkdocs", "build", "--quiet", "-f", "docs/mkdocs.yml", "-d", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list(tmp_path.rglob("*.html"))
    assert {"layers.html", "deployment.html", "cifar10_attention_net.html"} <= {
        p.name for p in pages
    }
    for page in pages:
        loaded = re.findall(
            r'<(?:script|img|link)[^>]*(?:src|href)="(https?:[^"]+)', page.read_text()
        )
        assert loaded == [], page
    # The search works if the site is read from disk.
    assert (tmp_path / "search" / "search_index.js").stat().st_size > 100_000
    assert 'src="javascripts/iframe-worker.js"' in (tmp_path / "index.html").read_text()
    for page in (tmp_path / "api").glob("*.html"):
        assert "<details" not in page.read_text(encoding="utf-8"), page  # of an unparsed section
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        text = (tmp_path / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
        images = re.findall(r'<img alt="[^"]+" src="([^"]+\.png)"', text)
        assert len(images) == notebook.read_text(encoding="utf-8").count('"image/png": ')
        for image in (*images, notebook.name):
            assert (tmp_path / "notebooks" / image).stat().st_size > 1_000
        assert not re.search(r'href="[^"]*\.ipynb"', text.replace(f'href="{notebook.name}"', ""))


def mark(page):
    """Return the mark of a guide: most train models or compile searches."""
    return [] if page == "masks.md" else pytest.mark.exhaustive


@pytest.mark.parametrize("page", [pytest.param(page, marks=mark(page)) for page in PAGES])
def test_the_python_of_a_guide_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    if page == "sharing.md":
        pytest.importorskip("safetensors")
    text = (ROOT / "docs" / "pages" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    assert blocks
    exec("\n".join(blocks), {})
