"""Answers and explanations of the tabs, without gradio."""

import sys
import types

import pytest

from keras_attn import zoo
from keras_attn.app import page, tabs
from keras_attn.app.models import PageModel
from keras_attn.app.server import address, bind, is_local, names_of
from keras_attn.app.tab import FIELDS, MAX_CHARACTERS
from keras_attn.cli.page import page_models
from keras_attn.recipes import tasks as registry
from tests.cli.command_line import run  # noqa: F401


class Shown(Exception):
    """Stands for gradio.Error."""

    def __init__(self, message, **options):
        super().__init__(message)


GRADIO = types.SimpleNamespace(Error=Shown)


def outputs_of(model, value, **options):
    """All that a tab yields for an input."""
    ((tab, members),) = tabs.group([model])
    run_tab = page.runner(GRADIO, tab, {each.title: each for each in members}, tuple(options))
    return list(run_tab(model.title, value, *options.values()))


@pytest.fixture(scope="module")
def shapes_model():
    return page_models(["shapes_small_attention_cnn"])[0]


@pytest.fixture
def image_file(tmp_path):
    ((_, path), *_) = tabs.ImageTab(registry.describe_task("image_classification")).examples(
        page_models(["shapes_small_attention_cnn"]), tmp_path
    )
    return path


def test_without_names_there_is_a_trained_entry_for_each_task():
    models = page_models(tabs.default_entries())
    assert not any(model.is_loaded for model in models)
    assert all(zoo.describe(model.name).pretrained for model in models)
    for tab, members in tabs.group(models):
        assert [model.name for model in members] == list(tab.entries)
        for name in tab.example_texts:
            assert name in tab.entries
    shown = {model.task.name for model in models}
    assert set(registry.BUILT_IN) - shown == {"multi_label_text_classification"}
    assert set(registry.BUILT_IN) <= set(tabs.TABS)


@pytest.mark.parametrize("package", ["gradio", "matplotlib"])
def test_a_missing_package_is_named_with_its_extra(run, monkeypatch, package):  # noqa: F811
    monkeypatch.setitem(sys.modules, package, None)
    assert "pip install 'keras-attn[app]'" in run("app", code=1)
    if package == "gradio":
        with pytest.raises(ImportError, match=r"keras-attn\[app\]"):
            page.import_gradio()


def test_models_that_cannot_be_shown_are_refused_at_the_start(run, tmp_path):  # noqa: F811
    assert "no trained weights" in run("app", "cifar10_compact_transformer_large", code=1)
    assert "Unknown entry: received 'nothing'" in run("app", "nothing", code=1)
    damaged = tmp_path / "模型.keras"
    damaged.write_bytes(b"no model")
    assert "cannot be read as a Keras model" in run("app", damaged, code=1)


def test_ports_and_hosts_that_cannot_be_used_are_explained():
    with bind("127.0.0.1", 0) as listening:
        assert is_local(listening)
        port = listening.getsockname()[1]
        assert address(listening) == f"http://127.0.0.1:{port}"
        with pytest.raises(OSError, match=rf"The port {port} of 127\.0\.0\.1 is in use.*--port"):
            bind("127.0.0.1", port)
        assert "127.0.0.1" in names_of(listening)
        assert "*" not in names_of(listening)
    with bind("127.0.0.2", 0) as other:
        assert is_local(other)
        assert "127.0.0.2" in names_of(other)
    with bind("0.0.0.0", 0) as everywhere:
        assert names_of(everywhere) == ["*"]
        assert not is_local(everywhere)
        assert address(everywhere).startswith("http://127.0.0.1:")
    for host in ("no such host", "192.0.2.1"):
        with pytest.raises(ValueError, match="`host` must be a name or an address"):
            bind(host, 0)


def test_an_image_is_answered_and_then_explained(shapes_model, image_file):
    waiting, answered, explained = outputs_of(shapes_model, image_file, views=None, label="")
    assert "shapes_small_attention_cnn" in waiting[0] or "Working" in waiting[0]
    assert waiting[1:] == (None, "")
    model = shapes_model.model
    expected = model.classify(image_file)
    assert f"{expected.label} ({expected.score:.3f})" in answered[0]
    assert answered[1] == expected.probabilities
    assert explained[:2] == answered[:2]
    assert model.explain(image_file).to_html() in explained[2]
    assert "Attention rollout" in explained[2]
    other = outputs_of(shapes_model, image_file, label="red", views=2)[-1]
    assert model.explain(image_file, "red").to_html() in other[2]


def test_bad_input_gives_the_message_of_the_library(shapes_model, tmp_path):
    damaged = tmp_path / "照片<b>.png"
    damaged.write_bytes(b"no image")
    with pytest.raises(Shown, match=r"照片&lt;b&gt;\.png") as caught:
        outputs_of(shapes_model, str(damaged))
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(Shown, match=r"There is no image\. Drop a file"):
        outputs_of(shapes_model, None)
    with pytest.raises(Shown, match="`views` must be 1"):
        outputs_of(shapes_model, None, views=3)


def test_texts_and_numbers_are_limited():
    (model,) = page_models(["imdb_ngram_attention"])
    with pytest.raises(Shown, match=r"may have 20,000 characters on this page\. Received: 20,001"):
        outputs_of(model, "好" * (MAX_CHARACTERS + 1))
    message = page._message(tabs.TextTab(model.task), OSError("and/or"), "/")
    assert message == "and/or"  # a text is not taken for a path
    for name in ("beam_size", "max_boxes", "max_length", "no_repeat_ngram_size", "views"):
        assert FIELDS[name].maximum <= 1_000


def test_an_explanation_that_fails_is_a_note(shapes_model, image_file):
    *_, (answer, _, explanation) = outputs_of(shapes_model, image_file, label="purple")
    assert "(" in answer
    assert "No explanation: Unknown label: received &#x27;purple&#x27;" in explanation


def test_a_task_without_a_tab_has_the_plain_one():
    class Description(registry.TaskDescription):
        name = "counting_words"
        example, examples = "line", "lines"
        explanation_options = ("label", "unknown_option")
        signature = registry.describe_task("translation").signature

    class Counter:
        def answers(self, lines):
            cells = {"words": str(len(lines[0].split())), "<i>": "<b>"}
            return [types.SimpleNamespace(to_columns=lambda top: cells)]

        def explain(self, line, label=None):
            raise NotImplementedError

    model = PageModel("mine.keras", "mine", Description(), Counter)
    ((tab, _),) = tabs.group([model])
    assert type(tab) is tabs.Tab
    assert (tab.heading, list(tab.fields)) == ("Counting words", ["label"])
    *_, (answer, explanation) = outputs_of(model, "three 中文 words")
    assert "<th>words</th><td>3</td>" in answer
    assert "<i>" not in answer
    assert "The task has no explanations." in explanation
    with pytest.raises(Shown, match=r"The line is empty\. Type one\."):
        outputs_of(model, " \n")
    with pytest.raises(ValueError, match="has the tab ImageTab already"):
        tabs.register_tab("image_classification", tabs.Tab)


def test_saved_models_have_the_name_of_their_file(shapes_model, tmp_path):
    path = tmp_path / "我的模型.keras"
    shapes_model.build().save(path)
    (mine,) = page_models([str(path)])
    assert mine.title == "我的模型.keras"
    assert mine.about == "A saved model for image classification."
    assert mine.task.name == "image_classification"
    assert tabs.ImageTab(mine.task).examples([mine], tmp_path) == []
    assert page.summary([mine, shapes_model]) == "2 models in 1 tab"


def test_the_command_is_listed(run):  # noqa: F811
    assert "Show models on a page in the browser" in run("--help")


INPUTS = {
    "imdb_ngram_attention": ("I loved every minute of it.", "positive"),
    "chnsenticorp_ngram_attention": ("房间很干净,服务员也很热情,下次还会再来。", "positive"),
    "multi30k_en_de_transformer": ("Two dogs play in the snow.", "Hunde"),
    "tang_quatrain_transformer": ("明月", "明月"),
    "fsdd_keyword_attention": (None, "("),
    "etth1_patch_transformer": (None, "Forecast of 720 steps"),
    "bccd_attention_detector": (None, "objects"),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", INPUTS)
def test_the_default_models_answer_and_explain(name, tmp_path):
    (model,) = page_models([name])
    ((tab, _),) = tabs.group([model])
    value, expected = INPUTS[name]
    if tab.drawn_button:
        value = str(tab.draw(model.model, tmp_path))
    elif model.task.name == "object_detection":
        value = tab.examples([model], tmp_path)[0][1]
    elif value is None:
        value = str(write_tone(tmp_path / "tone.wav"))
    options = {"max_length": 8, "seed": 1} if "max_length" in tab.fields else {}
    *_, last = outputs_of(model, value, **options)
    assert expected in last[0]
    assert "rank correlation" in last[-1]
    assert "No explanation" not in last[-1]


def write_tone(path):
    """A WAV file of half a second."""
    import wave

    import numpy as np

    time = np.arange(4_000) / 8_000
    samples = np.sin(2 * np.pi * 220 * time) * np.hanning(len(time)) * 9_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(samples.astype("int16").tobytes())
    return path


@pytest.mark.slow
def test_tables_that_do_not_fit_are_refused(tmp_path):
    (model,) = page_models(["etth1_patch_transformer"])
    table = tmp_path / "销售.csv"
    table.write_text("date,OT\n2024-01-01 00:00:00,1.0\n2024-01-01 01:00:00,2.0\n")
    with pytest.raises(Shown, match="HUFL"):
        outputs_of(model, str(table))
    (sounds,) = page_models(["fsdd_keyword_attention"])
    wrong = tmp_path / "a.wav"
    wrong.write_text("no sound")
    with pytest.raises(Shown, match=r"a\.wav"):
        outputs_of(sounds, str(wrong))
