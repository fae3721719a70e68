"""Messages name options as they are typed, and say what is accepted."""

import re
import shlex
import types

import pytest
import typer

from keras_attn import zoo
from keras_attn.cli import app, options, training
from keras_attn.recipes import describe_task, load_recipe
from tests.cli import command_line
from tests.cli.command_line import read_record, write_table

run = command_line.run
TEXTS, IMAGES = "imdb_ngram_attention", "cifar10_attention_net_quick"
ROWS = [(f"A text of number {number}.", "ab"[number % 2]) for number in range(20)]


COMMANDS = typer.main.get_command(app).commands


@pytest.fixture
def train_options():
    options.use_options_of(typer.main.get_command(app).commands["train"])
    yield
    options._options.clear()


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("`text_column` and `label_column`", "--text-column and --label-column"),
        ("Pass `header=True`.", "Pass --header."),
        ("Pass `quoting=False`.", "Pass --no-quoting."),
        (r"Pass `delimiter='\t'`.", r"Pass --delimiter '\t'."),
        ("Pass `encoding='utf-16'`.", "Pass --encoding utf-16."),
        ("Received: `devices=['GPU:0', 'GPU:1']`.", "Received: --devices GPU:0,GPU:1."),
        ("`second` must be another file", "--data-target must be another file"),
        ("See `fit`, `image_size` and `label_names=[x]`.",) * 2,  # no options
    ],
)
def test_arguments_of_python_become_options(train_options, message, named):
    assert options.name_options(message) == named


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--text-column", "x"), "chosen by --text-column and --label-column; in a table"),
        (("--text-column", "7"), "error: --text-column must be a name, or a number from 1 to 2"),
        (("--text-column", "label"), "error: --text-column and --label-column must be two columns"),
        (("--encoding", "foo"), "error: --encoding must be one that Python knows"),
        (("--delimiter", "ab"), "error: --delimiter is one character"),
        (("--delimiter", ";"), "were ',': pass --delimiter ,."),
        (("--label-separator", ""), "error: --label-separator must be a string"),
        (("--validation", "2"), "--validation and --test must be fractions"),
        (("--validation", "2"), "Received: 2 and 0.1."),
        (("--class-weights", "{0:5}"), "--class-weights: must be 'balanced', or a table of"),
        (("--class-weights", "balance"), "Received: 'balance'."),
        (("--class-weights", "{a = -1}"), "--class-weights: a: must be greater than 0. Received"),
        (
            ("--set", "training.epochs=x"),
            "--set training.epochs: must be an integer. Received: 'x'",
        ),
        (
            ("--set", "learning_rate=1"),
            "--set learning_rate: unknown key. Did you mean 'optimizer.",
        ),
        (("--set", "foo.bar=1"), "error: --set foo.bar: unknown key. Accepted here: task,"),
        (("--set", "x"), "error: --set: A change of the recipe has the form KEY=VALUE"),
        (("--set", "model.dropuot=0.1"), "error: --set model.dropuot: The settings of"),
        (("--set", "model.dropuot=0.1"), "Did you mean 'dropout'?"),
        (
            ("--set", "optimizer={name = adamw}"),
            "where strings need quotes. Write it like \"optimizer={name = 'adamw'}\".",
        ),
        (("--from", "nope"), "error: --from: Unknown entry: received 'nope'"),
        (("--from", TEXTS, "--set", "initial_entry=nope"), "--from and --set initial_entry set"),
        (("--set", "initial_entry=nope"), "error: --set initial_entry: Unknown entry: received"),
        (
            ("--set", "initial_entry=imdb_transformer"),
            "'imdb_transformer', which has the architecture",
        ),
        (("--text-column", "x", "--set", "initial_entry=imdb_ngram_attention"), "received 'x'"),
        (
            ("--epochs", "1", "--set", "schedule.warmup_epochs=2.0"),
            "--set schedule.warmup_epochs (2.0) must not exceed --epochs (1).",
        ),
    ],
)
def test_errors_of_training_name_options(run, tmp_path, monkeypatch, arguments, match):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "mine.csv", ROWS, ("text", "label"))
    message = run("train", TEXTS, "--data", "mine.csv", *arguments, code=1)
    assert match in message
    for internal in ("Input should", "literal[", "dict[", "constrained", "text_column"):
        assert internal not in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("train", TEXTS, "--epochs", "x"), "error: --epochs must be an integer. Received: 'x'."),
        (("train", TEXTS, "--epochs", "0"), "error: --epochs must be at least 1. Received: '0'."),
        (("train", TEXTS, "--seed", "-1"), "--seed must be at least 0. Received: '-1'."),
        (("translate", "x", "--length-penalty", "-1"), "--length-penalty must be at least 0."),
        (("translate", "x", "--max-length", "0"), "--max-length must be at least 1."),
    ],
)
def test_values_of_options_are_refused_without_internals(run, arguments, match):
    run(*arguments, code=2)
    assert match in run.err
    assert f"See keras-attn {arguments[0]} --help." in run.err


def test_accounts_name_options(run, tmp_path):
    rows = [("one\ntwo", "a"), *ROWS]
    table = write_table(tmp_path / "mine.csv", rows, ("text", "label"))
    run("train", TEXTS, "--data", table, "--validation", "2", code=1)
    assert "If each line is a row of its own, pass --no-quoting." in run.out


def test_labels_that_mean_a_missing_value_are_skipped_unless_they_are_kept(run, tmp_path):
    table = write_table(tmp_path / "mine.csv", [*ROWS, ("Other.", "None")], ("text", "label"))
    command = ("train", TEXTS, "--data", table, "--validation", "2")
    run(*command, code=1)
    assert "1 missing label, written 'None' (line 22)" in run.out
    assert "If they are names of labels, pass --keep-na-labels." in run.out
    run(*command, "--keep-na-labels", code=1)
    assert "Examples: 'None' 1, 'a' 10, 'b' 10." in run.out
    assert "skipped." in run.out
    assert "--keep-na-labels" not in run.out


def test_a_table_is_read_with_such_labels_if_the_model_has_them():
    reader = describe_task("text_classification").table
    model = types.SimpleNamespace(label_names=("None", "some"))
    assert reader.read_options(model) == {"keep_na_labels": True}
    assert reader.read_options(types.SimpleNamespace(label_names=("none", "some"))) == {}


def test_a_table_of_class_weights_is_written_as_in_toml(run, tmp_path):
    table = write_table(tmp_path / "mine.csv", ROWS, ("text", "label"))
    command = ("train", TEXTS, "--data", table, "--out", tmp_path / "run")
    message = run(*command, "--class-weights", "{c = 5}", "--epochs", "1", code=1)
    assert "Unknown label in --class-weights: received 'c'. Accepted: 'a', 'b'." in message


@pytest.mark.parametrize(
    ("arguments", "reason", "accepted"),
    [
        (
            (IMAGES, "--from", "cifar10_attention_net"),
            "has other settings: stage_filters is [64, 256, 248] there, and [64, 128, 128] here.",
            f"'{IMAGES}'",
        ),
        (
            (IMAGES, "--variant", "no_attention", "--set", "initial_entry=" + IMAGES),
            "has other settings: attention is softmax there, and none here.",
            "none",
        ),
        (
            ("cifar10_compact_transformer", "--from", IMAGES),
            "has the architecture attention_net",
            "'cifar100_compact_transformer', 'cifar10_compact_transformer'",
        ),
        (
            (IMAGES, "--from", "cifar10_compact_transformer_large"),
            "has no trained weights",
            f"'{IMAGES}'",
        ),
    ],
)
def test_initial_entries_that_do_not_fit_are_refused_before_data_is_read(
    run, tmp_path, arguments, reason, accepted
):
    (tmp_path / "pets").mkdir()  # it cannot be read
    message = run("train", *arguments, "--data", tmp_path / "pets", code=1)
    option = "--from" if "--from" in arguments else "--set initial_entry"
    assert f"error: {option}: the model of '{arguments[0]}'" in message
    assert reason in message
    assert f"Accepted: {accepted}." in message
    if (initial := arguments[-1].rpartition("=")[2]) != "cifar10_compact_transformer_large":
        assert f"train that entry itself: keras-attn train {initial} --from {initial}." in message


def test_a_run_from_scratch_names_the_alternative_where_there_is_one(capsys):
    for name, printed in (
        (IMAGES, "Trains from scratch; --from ENTRY starts from trained weights.\n"),
        ("cifar10_compact_transformer_large", ""),
        ("multi30k_en_de_transformer", ""),
    ):
        training._print_start(zoo.describe(name).recipe, None, own_data=True)
        assert capsys.readouterr().out == printed
    training._print_start(zoo.describe(IMAGES).recipe, None, own_data=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_for_users_has_examples_of_one_line(run, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    printed = run(command, "--help")
    examples = re.findall(r"^ +\u2022 keras-attn (.*\S)", printed, flags=re.M)
    assert printed.count(" \u2022 ") == len(examples)
    assert bool(examples) == (command not in ("publish", "assess", "cards"))
    for example in examples:
        name, *arguments = shlex.split(example)
        assert name == command
        COMMANDS[name].make_context(name, arguments)  # raises for what it does not accept


def test_help_has_data_first_and_the_commands_of_maintainers_apart(run):
    printed = run("train", "--help")
    own_data = printed.partition("Your own data")[2].partition("Changes of the recipe")[0]
    names = re.findall(r"^\W*--([a-z-]+)", own_data, flags=re.M)
    assert names[:3] == ["data", "data-target", "text-column"]
    assert names.index("label-column") < names.index("validation")
    assert "likewise" not in printed
    users, _, maintainers = run("--help").partition("For maintainers")
    assert "demo" in users
    assert "publish" not in users
    assert "publish" in maintainers


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_trained_backbone_is_fitted_to_other_labels_in_a_folder_of_its_own(
    run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rows = [(f"A text of number {number}.", "abc"[number % 3]) for number in range(30)]
    write_table(tmp_path / "mine.csv", rows, ("text", "label"))
    command = ("train", TEXTS, "--data", "mine.csv", "--epochs", "1", "--no-baseline")
    printed = run(*command, "--from", TEXTS)
    assert f"Starts from the trained weights of '{TEXTS}', with a new head." in printed
    assert "Trains from scratch" not in printed
    folder = tmp_path / "runs" / f"mine-{TEXTS}-seed0"
    assert read_record(folder)["initial"]["entry"] == TEXTS
    recipe = load_recipe(folder / "recipe.toml")
    assert (recipe.model["ratio_classes"], recipe.training.epochs) == (2, 1)  # of the entry
    # A second run does not mix with the first.
    message = run(*command, code=1)
    assert f"error: The run's folder 'runs/mine-{TEXTS}-seed0' is not empty." in message
    message = run(*command, "--resume", code=1)
    assert f"--from is '{TEXTS}' in the checkpoint, and not set here." in message
    assert "differ from the requested run: recipe, initial model." in message
