"""The command line on texts, and on tables and models of one's own."""

import gzip
import io
import json
import re
import sys

import numpy as np
import pytest

from keras_attn import datasets, zoo
from keras_attn.recipes import load_recipe
from tests.cli import command_line
from tests.cli.command_line import (
    check_trained,
    figures,
    read_record,
    registered,
    run_in,
    type_in,
    write_table,
)
from tests.conftest import ROOT

pytestmark = pytest.mark.tensorflow

run = command_line.run  # the command line in this process
NAME = "remarks_tiny_bag"
IMAGES = "shapes_small_attention_cnn"
RECIPE = """
task = "text_classification"
description = "tiny"
dataset = "remarks"
architecture = "ngram_attention"

[model]
vocabulary_sizes = [400, 400]
embedding_dim = 1

[variants.no_attention]
attention = "none"

[text]
max_length = 64

[optimizer]
name = "sgd"
learning_rate = 0.05

[schedule]
warmup_epochs = 0.5

[training]
epochs = 2
batch_size = 64
"""
CHANGES = (
    "--batch-size", "5", "--learning-rate", "0.125", "--class-weights", "balanced", "--set",
    "schedule.decay=linear",
)  # fmt: skip
TOPICS = {
    "food": ("soup", "bread", "pepper", "cheese", "onion", "plum"),
    "sport": ("goal", "referee", "race", "medal", "trainer", "pitch"),
    "weather": ("rain", "cloud", "storm", "frost", "sunshine", "thunder"),
}
ROWS = [
    (f"The {first} and the {second} of today, number {number}.", label)
    for label, words in TOPICS.items()
    for number, (first, second) in enumerate((a, b) for a in words for b in words if a < b)
]


@pytest.fixture(scope="module", autouse=True)
def catalogue(tmp_path_factory):
    with registered(tmp_path_factory.mktemp("catalogue"), NAME, RECIPE) as folder:
        yield folder


@pytest.fixture(scope="module")
def own(tmp_path_factory, catalogue):
    """A model of three topics, trained on a CSV by the command line."""
    folder = tmp_path_factory.mktemp("own")
    write_table(folder / "topics.csv", [*ROWS, ROWS[0], ("", "food")], ("remark", "topic"))
    printed = run_in(
        folder, "train", NAME, "--data", "topics.csv", "--text-column", "remark", "--label-column",
        "topic", "--epochs", "3", "--validation", "0.2", "--test", "0.2",
    )  # fmt: skip
    return folder / "runs" / f"topics-{NAME}-seed0", printed


def write_latin(path, columns, rows=ROWS):
    """A table in Latin-1, of fields that semicolons part."""
    lines = [";".join(columns), *(f"{text} \u00e9t\u00e9;{label}" for text, label in rows)]
    path.write_text("\n".join(lines), encoding="latin-1")
    return path


def test_training_on_a_csv_says_what_was_read_and_how_to_use_the_model(own):
    folder, printed = own
    assert "topics.csv: 47 rows read, 45 kept, 2 skipped." in printed
    assert "1 exact duplicate (line 47)" in printed
    assert "1 empty text (line 48)" in printed
    assert "Split: 27 train, 9 validation, 9 test." in printed
    assert "Trains with AdamW at a learning rate of" in printed
    assert (
        "Trains at most 3 epochs, keeps the one whose accuracy is best on the validati" in printed
    )
    assert "Set as requested: training.epochs = 3." in printed
    assert "calibration error" in printed
    metrics = read_record(folder)["metrics"]["test"]
    accuracy, macro = (100 * metrics[key] for key in ("accuracy", "f1_macro"))
    assert f"On the 9 test texts: accuracy {accuracy:.1f} % (95 % interval " in printed
    assert (
        f" %), macro F1 {macro:.1f} %. Always answering the most frequent label, 'food', "
        in printed
    )
    assert "'food', gives 33.3 %." in printed
    comparison = printed.strip().splitlines()[-1]
    assert re.fullmatch(
        r"Comparison on the 9 test texts: this model [\d.]+ %, (tf-idf \+ linear SVM|Naive Bayes) "
        r"[\d.]+ % \([+-][\d.]+ points\)\..*",
        comparison,
    )
    check_trained(folder, printed, "predict", epochs=3, data="topics")


@pytest.mark.slow
def test_the_folder_of_a_run_stands_for_its_model(own, run, tmp_path):
    folder, _ = own
    for command, *further in (
        ("predict", "soup and bread"),
        ("explain", "soup and bread"),
        ("evaluate", "--data", write_table(tmp_path / "mine.csv", ROWS, ("text", "label"))),
    ):
        assert run(command, folder, *further) == run(command, folder / "model.keras", *further)
    assert "SavedModel" in run("export", folder, tmp_path / "serving")
    assert "is not a translator" in run("translate", folder, "soup", code=1)
    weights = folder / "model.weights.h5"
    message = run("predict", weights, "soup", code=1)
    assert f"use --weights with it: ENTRY --weights {weights}." in message
    (tmp_path / "model.weights.h5").touch()
    message = run("predict", tmp_path, "soup", code=1)
    assert "holds no model.keras. Its run was on the data of an entry" in message
    assert f"ENTRY --weights {tmp_path / 'model.weights.h5'}." in message
    message = run("predict", folder.parent, "x", code=1)
    assert "Give a .keras file, a folder that `save_to_preset` or `train --data` wrote" in message


def test_an_empty_text_is_called_empty(own, run):
    run("predict", own[0], "")
    assert "warning: the text is empty: it has no words." in run.err


def test_a_model_of_ones_own_labels_texts(own, run):
    path = own[0] / "model.keras"
    texts = ["soup and bread", "the storm, the rain", "[bold]a goal[/bold]"]
    printed = run("predict", path, *texts)
    for shown, label in zip(texts, ("food", "weather", "sport"), strict=True):
        row = next(line for line in printed.splitlines() if shown in line)
        assert row.split(shown)[1].split()[0] == label
        assert all(name in row for name in TOPICS)
    assert "sport 0." not in run("predict", path, "soup", "--top", "1")


def test_json_lines_are_for_pipelines(own, run, tmp_path):
    path = own[0] / "model.keras"
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffsoup\r\n\n\u2028rain \u00fc\nstorm".encode())
    expected = ["soup", "", "\u2028rain \u00fc", "storm"]
    for arguments in (("--file", file), ("--file", "-"), ()):
        printed = run("predict", path, *arguments, "--json", stdin=file.read_bytes())
        answers = [json.loads(line) for line in printed.splitlines()]
        assert [answer["text"] for answer in answers] == expected
        assert answers[0]["label"] == "food"
        assert answers[3]["label"] == "weather"
        for answer in answers:
            assert set(answer) == {
                "label",
                "score",
                "probabilities",
                "words",
                "known_words",
                "text",
            }
            assert list(answer["probabilities"]) == sorted(TOPICS)
            assert answer["score"] == max(answer["probabilities"].values())


ANSWERED = [('Some soup, "hot".', "a"), ("rain\nand cloud", "b"), ("", "a")]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_column_of_a_table_is_labelled_row_by_row(own, run, tmp_path, suffix):
    path = own[0] / "model.keras"
    rows = ANSWERED
    if suffix == "tsv":  # where quotes are characters like others
        rows = [(text.replace("\n", " ").replace('"', ""), number) for text, number in rows]
    for column, options in (("text", ()), ("remark", ("--text-column", "remark"))):
        file = write_table(tmp_path / f"{column}.{suffix}", rows, (column, "id"))
        printed = run("predict", path, "--file", file, *options, "--json")
        answers = [json.loads(line) for line in printed.splitlines()]
        assert [answer["text"] for answer in answers] == [text for text, _ in rows]
        assert [answer["label"] for answer in answers[:2]] == ["food", "weather"]
        assert f"{column}.{suffix}: 3 rows." in run.err
        assert (f"text in column 1 ('{column}')" in run.err) == (suffix != "jsonl")
    message = run("predict", path, "--file", file, code=1)
    assert "received 'text'. Accepted: 'remark', 'id'. Columns are chosen by --text-col" in message


def test_text_files_are_read_by_lines_unless_a_column_is_given(own, run, tmp_path):
    path, file = own[0] / "model.keras", tmp_path / "mine.txt"
    file.write_bytes("id;text\n1;caf\xe9 soup\n".encode("latin-1"))
    message = run("predict", path, "--file", file, code=1)
    assert (
        "is not UTF-8. Try the encoding in which line 2 reads right: --encoding cp1252" in message
    )
    lines = run("predict", path, "--file", file, "--encoding", "latin-1", "--json").splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["id;text", "1;caf\xe9 soup"]
    table = ("--text-column", "text", "--delimiter", ";", "--encoding", "latin-1")
    (line,) = run("predict", path, "--file", file, *table, "--json").splitlines()
    assert json.loads(line)["text"] == "caf\xe9 soup"


def test_rows_that_cannot_be_read_are_reported_and_the_others_labelled(own, run, tmp_path):
    path, file = own[0] / "model.keras", tmp_path / "mine.csv"
    file.write_text("id,text\n1,soup\n2\n3,rain\n")
    message = run("predict", path, "--file", file, "--json", code=1)
    answers = [json.loads(line) for line in run.out.splitlines()]
    assert [answer.get("label") for answer in answers] == ["food", None, "weather"]
    problem = "Line 3 of mine.csv: ragged (another number of fields than the header)."
    assert answers[1] == {"error": problem, "text": None}
    assert f"warning: {problem}" in run.err
    assert "error: 1 of 3 texts could not be read. The others are answered." in message


@pytest.mark.slow
def test_a_text_of_unknown_words_is_noted(own, run):
    path = own[0] / "model.keras"
    assert "3/3" in run("predict", path, "soup and bread")
    assert "warning" not in run.err
    printed = run("predict", path, "soup and bread", "\u4f60\u597d zzz", "--json")
    assert json.loads(printed.splitlines()[1])["known_words"] == 0
    warning = "the model knows 0 of 3 words. The answer says little about the text."
    assert f"warning: text 2: {warning}" in run.err
    assert "The model knows 0 of 3 words" in run("explain", path, "\u4f60\u597d zzz")
    assert f"warning: {warning}" in run.err


@pytest.mark.slow
def test_a_pipe_is_read_where_no_text_is_given(own):
    printed = type_in(
        "predict", "model.keras", "--json", cwd=own[0], input="some soup\nsome rain\n"
    )
    assert [json.loads(line)["label"] for line in printed.splitlines()] == ["food", "weather"]


def test_a_model_of_ones_own_is_evaluated_on_a_table(own, run, tmp_path):
    path = own[0] / "model.keras"
    rows = [row for row in ROWS if row[1] != "food"]  # a label's number is not that of the model
    table = write_latin(tmp_path / "two.csv", ("remark", "topic"), [*rows, rows[0]])
    columns = ("--text-column", "remark", "--label-column", "topic")
    reading = ("--delimiter", ";", "--encoding", "latin-1")
    printed = run("evaluate", path, "--data", table, *columns, *reading)
    assert "31 rows read, 30 kept, 1 skipped." in printed
    assert "The card says" not in printed
    told = figures(printed)
    lines = run("predict", path, *(f"{text} \u00e9t\u00e9" for text, _ in rows), "--json")
    answers = [json.loads(line) for line in lines.splitlines()]
    labelled = [(answer, label) for answer, (_, label) in zip(answers, rows, strict=True)]
    right = np.mean([answer["label"] == label for answer, label in labelled])
    chances = [answer["probabilities"][label] for answer, label in labelled]
    assert told["data"] == "two"
    assert told["examples"] == "30"
    assert told["accuracy"] == f"{100 * right:.2f} %"
    assert float(told["loss"]) == pytest.approx(-np.log(chances).mean(), abs=1e-4)
    assert "calibration error" in told


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ((), "model.keras has no data of its own. Give --data"),
        (("--split", "test"), "model.keras has no data of its own. Give --data"),
        (("--data", "mine.csv"), "'foood'. Did you mean 'food'? Accepted: 'food', 'sport', 'wea"),
        (("--data", "mine.csv"), "Also unknown: 'sports', 'wetter'."),
        (("--data", "mine.csv", "--split", "test"), "--split: for the data of an entry"),
        (("--data", "mine.csv", "--data-dir", "."), "--data-dir: for the data of an entry"),
        (("--data", "mine.csv", "--source-column", "x"), "--source-column: not for"),
        (("--data", "mine.csv", "--label-column", "topic"), "Accepted: 'text', 'label'"),
        (("--data", "absent.csv"), "--data: there is no file or folder 'absent.csv'"),
        (("--data", "mine.csv", "--weights", "x.weights.h5"), "weights of its own"),
    ],
)
def test_what_a_model_of_ones_own_cannot_be_evaluated_on(
    own, run, tmp_path, monkeypatch, options, match
):
    monkeypatch.chdir(tmp_path)
    others = [("Soup.", "foood"), ("A goal.", "sports"), ("Rain.", "wetter")]
    write_table(tmp_path / "mine.csv", [*ROWS, *others], ("text", "label"))
    assert match in run("evaluate", own[0] / "model.keras", *options, code=1)


@pytest.mark.slow
def test_explain(own, run, tmp_path):
    path = own[0] / "model.keras"
    page = tmp_path / "out.html"
    printed = run("explain", path, "soup, then <b>rain</b>", "--label", "food", "--html", page)
    assert "Explained: food" in printed or "Answer: food" in printed
    assert "leave one out" in printed
    assert f"Written: {page}" in printed
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>")
    assert "<b>rain" not in html
    explanation = json.loads(run("explain", path, "soup and rain", "--json", "--label", "food"))
    assert explanation["tokens"] == ["soup", "and", "rain"]
    assert explanation["leave_one_out"][0] > 0 > explanation["leave_one_out"][2]
    assert abs(sum(explanation["attention"]) - 1) < 1e-5
    assert "Answer" in run("explain", path, "")


def test_export_serves_strings(own, run, tmp_path):
    printed = run("export", own[0] / "model.keras", tmp_path / "serving")
    assert "texts string (B,)" in printed
    import tensorflow as tf

    serve = tf.saved_model.load(tmp_path / "serving").signatures["serving_default"]
    answer = serve(texts=tf.constant(["soup and bread"]))
    assert answer["label"].numpy().tolist() == [b"food"]


def test_an_image_model_of_ones_own(run, tmp_path):
    from PIL import Image

    zoo.build(IMAGES).save(tmp_path / "shapes.keras")
    split = datasets.load("shapes")["test"].take(slice(0, 1))
    Image.fromarray(split.images[0]).save(tmp_path / "0.png")
    answers = [
        json.loads(run("predict", name, tmp_path / "0.png", "--json"))
        for name in (tmp_path / "shapes.keras", IMAGES)
    ]
    assert answers[0]["label"] == answers[1]["label"]
    assert answers[0]["probabilities"] == pytest.approx(answers[1]["probabilities"], abs=1e-5)
    assert answers[0]["image"] == str(tmp_path / "0.png")
    assert "images uint8" in run("export", tmp_path / "shapes.keras", tmp_path / "serving")
    assert "no image file 'a text'" in run("explain", tmp_path / "shapes.keras", "a text", code=1)
    message = run("evaluate", tmp_path / "shapes.keras", "--data", tmp_path / "0.png", code=1)
    assert "from a folder that holds a folder for each label. '" in message


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["tsv", "jsonl"])
def test_other_tables(run, tmp_path, suffix, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / f"mine.{suffix}", ROWS, ("text", "label"))
    arguments = ["train", NAME, "--data", f"mine.{suffix}", "--variant", "no_attention"]
    printed = run(*arguments, "--seed", "7", "--epochs", "1", *CHANGES)
    assert "45 rows read, 45 kept, 0 skipped." in printed
    run_folder = tmp_path / "runs" / f"mine-{NAME}-no_attention-seed7"
    assert (run_folder / "model.keras").is_file()
    recipe = load_recipe(tmp_path / "runs" / f"mine-{NAME}-no_attention-seed7" / "recipe.toml")
    assert (recipe.training.epochs, recipe.training.batch_size) == (1, 5)
    assert (recipe.optimizer.learning_rate, recipe.schedule.decay) == (0.125, "linear")
    assert recipe.training.class_weights == "balanced"
    assert "not empty" in run(*arguments, "--seed", "7", "--epochs", "1", code=1)


@pytest.mark.slow
def test_other_delimiters_and_encodings(run, tmp_path):
    path = write_latin(tmp_path / "mine.csv", ("text", "label"))
    arguments = ("train", NAME, "--data", path, "--out", tmp_path / "run", "--epochs", "1")
    printed = run(*arguments, "--delimiter", ";", "--encoding", "latin-1")
    assert "45 kept" in printed
    assert "\u00e9t\u00e9" in (tmp_path / "run" / "vocabulary.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_published_splits_without_a_header(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, rows in (("a", ROWS[:40]), ("b", ROWS[40:]), ("c", ROWS[38:])):
        lines = "".join(f'{label}\t"{text}\n' for text, label in rows)
        (tmp_path / f"{name}.txt").write_text(lines)
    columns = ("--text-column", "2", "--label-column", "1")
    arguments = ("train", NAME, "--data", "a.txt", "--epochs", "1", *columns)
    given = ("--validation-data", "b.txt", "--test-data", "c.txt")
    printed = run(*arguments, *given)
    assert "a.txt: 40 rows read, 40 kept" in printed
    assert "b.txt: 5 rows read, 5 kept" in printed
    assert "Read as separated by tabs, without quoting, without a header" in printed
    assert "Split: 40 train, 5 validation, 7 test." in printed
    assert "7 of the 7 test texts also occur in the training or validation data" in run.err
    printed = run(*arguments, "--test", "0", "--out", "other")
    assert "Split: 35 train, 5 validation." in printed
    assert set(read_record(tmp_path / "other")["metrics"]) == {"validation"}
    assert "one or the other" in run(*arguments, *given, "--test", "0.1", code=1)


@pytest.mark.slow
def test_an_entry_is_trained_and_evaluated(run, tmp_path, monkeypatch):
    small = datasets.remarks.draw_remarks(sizes={"train": 300, "validation": 60, "test": 60})
    monkeypatch.setattr(datasets, "load", lambda name, data_dir=None: small)
    folder = tmp_path / "run"
    assert "calibration error" in run("train", NAME, "--out", folder)
    weights = ("--weights", folder / "model.weights.h5")
    told = figures(run("evaluate", NAME, *weights))
    assert "calibration error" in told
    accuracy = read_record(folder)["metrics"]["test"]["accuracy"]
    assert told["accuracy"] == f"{100 * accuracy:.2f} %"
    assert told.pop("split") == "test"
    # The same texts from a table give the same.
    labels = [small.label_names[label] for label in small["test"].labels]
    rows = zip(small["test"].texts, labels, strict=True)
    table = write_table(tmp_path / "mine.jsonl", rows, ("text", "label"))
    assert figures(run("evaluate", NAME, *weights, "--data", table)) == {"data": "mine", **told}
    answer = json.loads(run("predict", NAME, "A fine cafe.", "--json", *weights))
    assert answer["label"] in datasets.describe_dataset("remarks").label_names


@pytest.mark.parametrize(
    ("rows", "columns", "options", "match"),
    [
        (ROWS, ("text", "topic"), (), "Accepted: 'text', 'topic'"),
        (ROWS[:15], ("text", "label"), (), "only the label 'food'"),
        (ROWS[:3] + ROWS[-3:], ("text", "label"), (), "10 examples at least"),
        (ROWS, ("text", "label"), ("--validation", "0.9", "--test", "0.2"), "must be fractions"),
        (ROWS, ("text", "label"), ("--delimiter", "::"), "one character"),
        (ROWS, ("text", "label"), ("--encoding", "utf-9"), "one that Python knows"),
        (ROWS, ("text", "label"), ("--data-dir", "."), "not both"),
        (ROWS, ("text", "label"), ("--variant", "none"), "'no_attention'"),
    ],
)
def test_tables_that_cannot_be_used(run, tmp_path, monkeypatch, rows, columns, options, match):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "mine.csv", rows, columns)
    assert match in run("train", NAME, "--data", "mine.csv", *options, code=1)
    assert f"{run.out}{run.err}".count("rows read,") <= 1  # the account is printed once
    assert not (tmp_path / "runs").exists()


def test_mistakes_in_a_table_are_reported_before_a_folder_in_use(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "mine.csv", ROWS, ("text", "topic"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").touch()
    command = ("train", NAME, "--data", "mine.csv", "--out", "run")
    assert "Accepted: 'text', 'topic'" in run(*command, "--label-column", "stars", code=1)
    assert "'run' is not empty" in run(*command, "--label-column", "topic", code=1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (
            ("train", NAME, "--data", "absent.csv"),
            "--data: there is no file or folder 'absent.csv'",
        ),
        (("train", IMAGES, "--data", "absent"), "--data: there is no file or folder 'absent'"),
        (("train", NAME, "--text-column", "x", "--test", "0.2"), "--text-column, --test: only"),
        (("evaluate", NAME, "--data", "absent.csv"), "--data: there is no file or folder"),
        (("evaluate", IMAGES, "--data", "absent.csv"), "no file or folder 'absent.csv'"),
        (("evaluate", IMAGES, "--data", "README.md"), "'README.md' is a file"),
        (("evaluate", NAME, "--text-column", "x"), "--text-column: only with --data"),
        (("train", NAME, "--no-baseline"), "--baseline: only with --data"),
        (("train", NAME, "--set", "task=translation"), "--set task: the entry and --data decide"),
        (("train", NAME, "--data", "a", "--set", "dataset=imdb"), "--set dataset: the entry and"),
        (("export", IMAGES, "new", "--banned-word", "x"), "--banned-word is not for"),
        (("evaluate", NAME, "--data", "a.csv", "--data-target", "b"), "--data-target: not for"),
        (("evaluate", NAME, "--data", "a.csv", "--split", "test"), "--split: for the data of"),
        (("evaluate", "absent.keras", "--data", "a.csv"), "no model file 'absent.keras'"),
        (("predict", "runs/absent", "x"), "There is no model 'runs/absent'. Give an entry, a .ker"),
        (("predict", "absent.keras", "x"), "no model file 'absent.keras'"),
        (("predict", NAME, "x"), "no trained weights"),
        (("predict", IMAGES), "give image files"),
        (("predict", IMAGES, "--file", "x.txt"), "give image files"),
        (("explain", IMAGES, "x"), "no image file 'x'"),
        (("explain", "remarks_tiny_bug", "x"), "Did you mean 'remarks_tiny_bag'"),
    ],
)
def test_mistakes_get_one_message(run, monkeypatch, arguments, match):
    monkeypatch.chdir(ROOT)
    assert match in run(*arguments, code=1)


@pytest.mark.parametrize(
    ("arguments", "stdin", "match"),
    [
        ((), b"", "no texts in standard input"),
        (("--file", "-"), b" \n\n", "no texts in standard input"),
        ((), b"soup\nr\xe4in\n", "Line 2 of standard input is not UTF-8"),
        (
            (),
            "soup\nrain\n".encode("utf-16-be"),
            "NUL, as in UTF-16. Read it with --encoding utf-16-be",
        ),
        (
            (),
            gzip.compress(b"soup", mtime=0),
            "standard input is compressed by gzip: unpack it first",
        ),
        (("--file", "absent.txt"), None, "no file 'absent.txt'"),
        (("soup", "--file", "absent.txt"), None, "not both"),
        (("soup", "--weights", "x.weights.h5"), None, "weights of its own"),
        (("soup", "--delimiter", ";"), None, "--delimiter: only with --file, a table"),
        (("soup", "--source-column", "x"), None, "Give --text-column."),
        (("--file", "-", "--text-column", "x"), b"soup", "--text-column: only with --file"),
        (("--file", "absent.csv"), None, "no table 'absent.csv'. The current folder is '"),
    ],
)
def test_mistakes_with_a_model_of_ones_own(own, run, arguments, stdin, match):
    assert match in run("predict", own[0] / "model.keras", *arguments, stdin=stdin, code=1)


def test_utf_16_with_a_mark_is_read(own, run):
    text = "soup and rain\n".encode("utf-16")
    (line,) = run("predict", own[0] / "model.keras", "--json", stdin=text).splitlines()
    assert json.loads(line)["text"] == "soup and rain"


def test_nothing_is_awaited_from_a_keyboard(own, run, monkeypatch):
    class Keyboard(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard())
    assert "Give texts" in run("predict", own[0] / "model.keras", code=1)


def test_evaluation_by_class(own, run, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ("evaluate", own[0] / "model.keras", "--data", write_table(
        tmp_path / "mine.csv", ROWS, ("text", "label")
    ))  # fmt: skip
    printed = run(*arguments, "--plot", tmp_path / "matrix.png")
    assert "macro average" in printed
    assert "Confusion matrix" in printed
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads(run(*arguments, "--json"))
    assert "rows" in run.err  # the account of the table
    assert set(content["classes"]) == set(TOPICS)
    assert sum(map(sum, content["confusion_matrix"])) == content["examples"] == len(ROWS)
    assert (
        figures(printed.partition("Written")[0])["accuracy"] == f"{100 * content['accuracy']:.2f} %"
    )


def test_unknown_labels_and_folders_of_explain(own, run, tmp_path):
    path = own[0] / "model.keras"
    assert "Did you mean 'food'" in run("explain", path, "soup", "--label", "foood", code=1)
    assert "absent" in run("explain", path, "soup", "--html", tmp_path / "absent/x.html", code=1)


def test_files_that_are_no_such_model(run, tmp_path):
    import keras

    path = tmp_path / "broken.keras"
    path.write_bytes(b"PK\x03\x04 no zip")
    assert "cannot be read as a Keras model" in run("predict", path, "x", code=1)
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    other.save(tmp_path / "other.keras")
    assert "holds a Sequential" in run("predict", tmp_path / "other.keras", "x", code=1)


@pytest.mark.slow
def test_a_warm_up_is_shortened_to_the_epochs_unless_it_is_set(run, tmp_path, catalogue):
    folder = tmp_path / "remarks_slow_start"
    folder.mkdir()
    slow = RECIPE.replace("warmup_epochs = 0.5", "warmup_epochs = 2.0")
    slow = slow.replace("ngram_attention", "recurrent_attention")  # which keeps its schedule
    (folder / "recipe.toml").write_text(slow)
    table = write_table(tmp_path / "mine.csv", ROWS, ("text", "label"))
    arguments = ("--catalogue", tmp_path, "train", "remarks_slow_start", "--data", table)
    long = ("--set", "schedule.warmup_epochs=2.0")
    message = run(*arguments, "--epochs", "1", *long, "--out", tmp_path / "run", code=1)
    assert "warmup_epochs (2.0)" in message
    printed = run(*arguments, "--epochs", "1", "--out", tmp_path / "run")
    assert "training.epochs = 1, schedule.warmup_epochs = 0.1." in printed
    assert "warmup_epochs = 0.1" in (tmp_path / "run" / "recipe.toml").read_text()
