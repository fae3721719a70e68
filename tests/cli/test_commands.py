"""The command line, as it is typed."""

import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_attn import __version__, datasets, demonstration, models, zoo
from keras_attn.cli.output import SafeConsole
from keras_attn.recipes import describe_task
from keras_attn.recipes.tasks import BUILT_IN
from tests.cli import command_line
from tests.conftest import ROOT

run_here = command_line.run  # the command line in this process
NAME = "shapes_small_attention_cnn"
TEXTS, TRANSLATOR = "imdb_ngram_attention", "multi30k_en_de_transformer"


def run(*arguments, cwd=ROOT, code=0, columns="200"):
    environment = {**os.environ, "COLUMNS": columns, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "keras_attn", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )
    assert done.returncode == code, done.stderr[-3000:] + done.stdout[-3000:]
    assert "Traceback" not in done.stderr
    if code:
        assert sum(line.startswith("error:") for line in done.stderr.splitlines()) == 1
    return done.stdout if code == 0 else " ".join(done.stderr.split())


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    split = datasets.load("shapes")["test"].take(slice(0, 3))
    for index, image in enumerate(split.images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder, [
        datasets.describe_dataset("shapes").label_names[label] for label in split.labels
    ]


def test_version():
    assert run("--version").strip() == __version__


def test_list_and_show():
    assert NAME in run("list")
    assert NAME not in run("list", "cifar10_*")
    shown = run("show", NAME)
    assert "Results" in shown
    import tomllib

    recipe = tomllib.loads(shown[shown.index("task =") :])
    assert recipe["optimizer"]["learning_rate"] == 0.005
    assert recipe["variants"]["no_attention"] == {"attention": "none"}


def test_entries_with_and_without_weights_are_listed():
    def names(printed):
        return [
            line.split()[0] for line in printed.splitlines() if re.match(r" {0,2}[a-z0-9]+_", line)
        ]

    for option, pretrained in (("--pretrained", True), ("--untrained", False)):
        assert names(run("list", "cifar*", option)) == zoo.list("cifar*", pretrained=pretrained)
    assert names(run("list", columns="40")) == zoo.list()  # however narrow a terminal is


def test_listing_and_showing_load_no_framework():
    script = (
        "import sys\nfrom keras_attn.cli import app\n"
        f"for arguments in (['list'], ['show', '{NAME}'], ['show', '{TEXTS}'], "
        f"['show', '{TRANSLATOR}'], ['train', '--help']):\n"
        "    try: app(arguments)\n    except SystemExit as stop: assert not stop.code\n"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.slow
def test_predict_labels_image_files(images):
    folder, _ = images
    printed = run("predict", NAME, *sorted(folder.glob("*.png")))
    lines = [line for line in printed.splitlines() if ".png" in line]
    assert len(lines) == 3
    assert all(
        any(label in line for label in datasets.describe_dataset("shapes").label_names)
        for line in lines
    )


def test_photos_are_upright_and_their_size_is_limited(images, run_here, tmp_path):
    from PIL import Image

    folder, _ = images
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(folder / "0.png") as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.png", exif=exif)
    answers = [
        json.loads(run_here("predict", NAME, path, "--json").splitlines()[-1])["probabilities"]
        for path in (folder / "0.png", tmp_path / "photo.png")
    ]
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)
    for command in ("predict", "explain"):
        printed = run_here(command, NAME, folder / "0.png", "--max-pixels", "9", code=1)
        assert "32 x 32 = 1,024 pixels, more than the limit of 9" in printed
    (tmp_path / "photo.tiff").write_bytes(b"II*\0")
    assert "It is TIFF" in run_here("predict", NAME, tmp_path / "photo.tiff", code=1)


def test_a_broken_image_does_not_end_the_prediction_of_others(images, run_here, tmp_path):
    folder, _ = images
    shutil.copytree(folder, tmp_path / "all" / "below")
    (tmp_path / "all" / "bad.png").write_text("no image")
    (tmp_path / "all" / "notes.txt").write_text("no image by its suffix")
    (tmp_path / "all" / ".hidden.png").write_text("")
    message = run_here("predict", NAME, tmp_path / "all", "absent.png", "--json", code=1)
    answers = [json.loads(line) for line in run_here.out.splitlines()]
    names = [os.path.relpath(answer["image"], tmp_path / "all") for answer in answers[:-1]]
    assert names == ["bad.png", "below/0.png", "below/1.png", "below/2.png"]
    assert answers[-1] == {"error": "There is no image file 'absent.png'.", "image": "absent.png"}
    assert "bad.png' is not an image that can be read" in answers[0]["error"]
    expected = [json.loads(run_here("predict", NAME, folder / f"{n}.png", "--json")) for n in "012"]
    assert [answer["label"] for answer in answers[1:-1]] == [each["label"] for each in expected]
    assert "1 file left out: not an image by its suffix, such as notes.txt." in message
    assert "warning: There is no image file 'absent.png'." in message
    assert "error: 2 of 5 images could not be read. The others are answered." in message


def test_a_folder_without_images_does_not_end_the_prediction_of_others(images, run_here, tmp_path):
    folder, _ = images
    (tmp_path / "empty").mkdir()
    message = run_here("predict", NAME, tmp_path / "empty", folder / "0.png", "--json", code=1)
    answers = [json.loads(line) for line in run_here.out.splitlines()]
    assert ["error" in answer for answer in answers] == [True, False]
    assert f"warning: The folder '{tmp_path / 'empty'}' holds no image: no file, here" in message
    assert "error: 1 of 2 images could not be read. The others are answered." in message


def test_predict_averages_over_views(images, run_here):
    folder, _ = images
    plain, six = (
        json.loads(run_here("predict", NAME, folder / "0.png", "--json", *more).splitlines()[-1])
        for more in ((), ("--views", "6"))
    )
    assert plain["probabilities"] != six["probabilities"]
    assert sum(six["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)


def test_explain_shows_where_an_image_decides_the_answer(images, run_here, tmp_path):
    folder, _ = images
    page = tmp_path / "out.html"
    image = folder / "0.png"
    printed = run_here("explain", NAME, image, "--html", page)
    answer = json.loads(run_here("predict", NAME, image, "--json"))
    assert f"Answer: {answer['label']} ({answer['score']:.3f})" in printed
    assert "Attention in layer 'attention'" in printed
    assert f"Written: {page}" in printed
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>")
    assert "data:image/png;base64," in html
    assert "Did you mean 'red'" in run_here("explain", NAME, image, "--label", "rad", code=1)
    other = min(answer["probabilities"], key=answer["probabilities"].get)
    explanation = json.loads(run_here("explain", NAME, image, "--label", other, "--json"))
    assert explanation["label"] == other
    assert explanation["answer"]["label"] == answer["label"]
    assert explanation["answer"]["probabilities"] == pytest.approx(
        answer["probabilities"], abs=1e-5
    )
    assert np.shape(explanation["occlusion"]) == (8, 8)
    assert {name: np.shape(map_) for name, map_ in explanation["attention"].items()} == {
        "attention": (8, 8)
    }


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("predict", NAME, "absent.png", "--beam-size", "2"), "--beam-size"),
        (("predict", TEXTS, "Good.", "--beam-size", "2"), "--beam-size"),
        (("predict", TEXTS, "Good.", "--views", "2"), "--views"),
        (("predict", TRANSLATOR, "Good.", "--views", "2"), "--views"),
        (("explain", TRANSLATOR, "Good.", "--label", "good"), "--label"),
        (("export", NAME, "serving", "--beam-size", "2"), "--beam-size"),
        (("export", TEXTS, "serving", "--views", "2"), "--views"),
        (("export", TRANSLATOR, "serving", "--views", "2"), "--views"),
    ],
)
def test_options_of_other_tasks_are_refused_before_a_model_is_built(
    arguments, option, run_here, monkeypatch
):
    monkeypatch.setattr(zoo, "build", lambda *_, **__: pytest.fail("a model was built"))
    task = zoo.describe(arguments[1]).recipe.task
    message = run_here(*arguments, code=1)
    assert f"error: {option} is not for {arguments[1]}, which does {task}." in message


@pytest.mark.slow
def test_evaluate_prints_the_figure_of_the_card(run_here):
    printed = run_here("evaluate", NAME)
    figure = printed.split("The card says ")[1].split(" %")[0]
    assert f"{figure} %" in printed.split("The card says ")[0]


@pytest.mark.slow
@pytest.mark.tensorflow
def test_ten_lines_of_tensorflow_classify_a_png_after_export(images, tmp_path):
    folder, _ = images
    run("export", NAME, tmp_path / "serving" / "1")
    script = (
        "import sys, tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "png = tf.io.decode_png(tf.io.read_file(sys.argv[2]), channels=3)\n"
        "answer = model(images=png[None])\n"
        "print(answer['label'][0].numpy().decode(), float(answer['score'][0]))\n"
        "assert 'keras_attn' not in sys.modules\n"
    )
    served = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "serving" / "1"), str(folder / "0.png")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout.split()
    line = next(x for x in run("predict", NAME, folder / "0.png").splitlines() if ".png" in x)
    assert served[0] in line
    assert f"{float(served[1]):.3f}" in line


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("show", "cifar10_atention_net"), "Did you mean 'cifar10_attention_net'"),
        (("list", "--task", "sentimnt"), "Unknown task"),
        (("train", NAME, "--strategy", "mirorred"), "Did you mean 'mirrored'"),
        (("train", NAME, "--variant", "none"), "'no_attention'"),
        (("train", NAME, "--devices", "2"), "leaves devices to Keras"),
        (("train", NAME, "--strategy", "multi_worker"), "TF_CONFIG"),
        (("train", NAME, "--workers", "2", "--strategy", "mirrored"), "--workers starts"),
        (("evaluate", NAME, "--split", "valid"), "'validation'"),
        (("predict", NAME, "absent.png"), "no image file"),
        (("predict", NAME, "docs/pages/stylesheets"), "holds no image: no file, here or in"),
        (("explain", NAME, "docs"), "'docs' is a folder. Give image files."),
        (("predict", NAME, "a.png", "--text-column", "x"), "--text-column: not for"),
        (("explain", NAME, "absent.png"), "no image file"),
        (("predict", NAME, "README.md"), "not an image"),
        (("predict", NAME, "a.png", "--views", "3"), "--views must be 1"),
        (("predict", TEXTS, "Good.", "--views", "2"), f"--views is not for {TEXTS}, which does"),
        (("export", TEXTS, "x", "--views", "2"), f"--views is not for {TEXTS}, which does"),
        (("evaluate", "cifar10_attention_net", "--data-dir", "nowhere"), "tensorflow_datasets"),
        (("export", NAME, "tests"), "not an empty folder"),
        (("evaluate", NAME, "--weights", "absent.weights.h5"), "no weights file"),
        (("--catalogue", "docs", "list"), "no catalogue"),
    ],
)
def test_mistakes_get_one_message_and_no_traceback(arguments, match, run_here, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert match in run_here(*arguments, code=1)
    assert not (ROOT / "runs" / f"{NAME}-none-seed0").exists()


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("task", ["image_classification", "forecasting"])
def test_demo(task, tmp_path, monkeypatch):
    """With fewer epochs; what attention is worth in a demo it prints itself."""
    train, output = demonstration.training.train, io.StringIO()

    def short(recipe, folder, **settings):
        length = recipe.training.model_copy(update={"epochs": 2})
        recipe = recipe.model_copy(update={"training": length})
        assert settings["verbose"] == 2  # no progress bar, as the output is no terminal
        return train(recipe, folder, **{**settings, "verbose": 0})

    monkeypatch.setattr(demonstration.training, "train", short)
    result = demonstration.run(tmp_path / "demo", SafeConsole(file=output, width=200), task)
    assert "with attention" in output.getvalue()
    assert "[bold]" not in output.getvalue()
    for path in ("attention/model.weights.h5", "attention/record.json", "serving/1/saved_model.pb"):
        assert (tmp_path / "demo" / path).is_file()
    metric = describe_task(task).primary_metric.key
    assert set(result[metric]) == {"with attention", "without attention"}
    if task == "forecasting":
        assert result["answer"]["mean"].shape == (24, 2)
        assert "mean of shape (24, 2), the first [" in output.getvalue()
    else:
        assert 0 < result["answer"]["score"] <= 1
        assert "not empty" in run("demo", "--out", tmp_path / "demo", code=1)


def test_every_task_has_a_demo_whose_inputs_are_those_of_its_saved_model(run_here):
    for name in set(BUILT_IN) - {"multi_label_text_classification"}:
        shown = describe_task(name).demonstration()
        assert set(shown.serving_inputs) == {
            info.name for info in describe_task(name).signature.inputs
        }
        assert shown.target
        assert ("no_attention" in shown.recipe.variants) == (name != "translation")
        for variant in (None, *shown.recipe.variants):
            models.configure(shown.recipe.architecture, **shown.recipe.settings(variant))
        assert shown.recipe.dataset in datasets.list_datasets(name)
    with pytest.raises(ValueError, match="has no demonstration"):
        demonstration.run(pathlib.Path("demo"), None, "multi_label_text_classification")
    assert "Unknown task" in run_here("demo", "--task", "cooking", code=1)
