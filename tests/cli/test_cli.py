"""The command line, as it is typed."""

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from keras_attn import __version__, datasets, demonstration
from tests.conftest import ROOT

NAME = "shapes_small_attention_cnn"


def run(*arguments, cwd=ROOT, code=0):
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
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


def test_list_loads_no_framework():
    script = (
        "import sys\nfrom keras_attn.cli import app\n"
        "try: app(['list'])\nexcept SystemExit: pass\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True)


def test_predict_labels_image_files(images):
    folder, _ = images
    printed = run("predict", NAME, *sorted(folder.glob("*.png")))
    lines = [line for line in printed.splitlines() if ".png" in line]
    assert len(lines) == 3
    assert all(
        any(label in line for label in datasets.describe_dataset("shapes").label_names)
        for line in lines
    )


def test_predict_averages_over_views(images):
    folder, _ = images
    plain, six = (
        json.loads(run("predict", NAME, folder / "0.png", "--json", *more).splitlines()[-1])
        for more in ((), ("--views", "6"))
    )
    assert plain["probabilities"] != six["probabilities"]
    assert sum(six["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)


def test_evaluate_prints_the_figure_of_the_card():
    printed = run("evaluate", NAME)
    figure = printed.split("The card says ")[1].split(" %")[0]
    assert f"{figure} %" in printed.split("The card says ")[0]


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
        (("predict", NAME, "README.md"), "not an image"),
        (("predict", NAME, "a.png", "--views", "3"), "`views` must be 1"),
        (("predict", "imdb_ngram_attention", "Good.", "--views", "2"), "--views is for images"),
        (("export", "imdb_ngram_attention", "x", "--views", "2"), "--views is for images"),
        (("evaluate", "cifar10_attention_net", "--data-dir", "nowhere"), "tensorflow_datasets"),
        (("export", NAME, "tests"), "not an empty folder"),
        (("evaluate", NAME, "--weights", "absent.weights.h5"), "no weights file"),
        (("--catalogue", "docs", "list"), "no catalogue"),
    ],
)
def test_mistakes_get_one_message_and_no_traceback(arguments, match):
    assert match in run(*arguments, code=1)
    assert not (ROOT / "runs" / f"{NAME}-none-seed0").exists()


@pytest.mark.tensorflow
def test_demo(tmp_path, monkeypatch):
    """With fewer epochs; what attention is worth there is in the entry's results."""
    train, output = demonstration.training.train, io.StringIO()

    def short(recipe, folder, **settings):
        length = recipe.training.model_copy(update={"epochs": 2})
        recipe = recipe.model_copy(update={"training": length})
        return train(recipe, folder, **{**settings, "verbose": 0})

    monkeypatch.setattr(demonstration.training, "train", short)
    result = demonstration.run(tmp_path / "demo", Console(file=output, width=200))
    assert "with attention" in output.getvalue()
    for path in ("attention/model.weights.h5", "attention/record.json", "serving/1/saved_model.pb"):
        assert (tmp_path / "demo" / path).is_file()
    assert set(result["accuracy"]) == {"with attention", "its twin without attention"}
    assert 0 < result["answer"]["score"] <= 1
    assert "not empty" in run("demo", "--out", tmp_path / "demo", code=1)
