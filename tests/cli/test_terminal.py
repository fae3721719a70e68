"""What commands print on terminals, in pipes and as JSON, and how they end."""

import ast
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from keras_attn import __main__, cli, zoo
from keras_attn.cli import output
from tests.cli import command_line
from tests.conftest import ROOT

run = command_line.run  # the command line in this process
NAME, TEXTS = "shapes_small_attention_cnn", "imdb_ngram_attention"
HOSTILE = "good \x1b[31mred\x1b]0;title\x07 \x9b1m \u202eevil [red]x[/red] :smile: 很好"
EXECUTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def start(*arguments, **options):
    """The command line in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "keras_attn", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        **options,
    )


class Answering:
    """A model that answers, without a network."""

    def __init__(self, name):
        self.description = zoo.describe(name)

    def answers(self, inputs, **options):
        from keras_attn.tasks import Classification

        return [Classification(f"label {x}", 1.0, {f"label {x}": 1.0}) for x in inputs]


@pytest.fixture
def answering(monkeypatch):
    monkeypatch.setattr(zoo, "build", lambda name, **_: Answering(name))


def test_only_one_module_prints():
    package = pathlib.Path(cli.__file__).parent
    for path in package.glob("*.py"):
        if path.name == "output.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                printing = ("print", "rich.print", "typer.echo", "typer.secho", "sys.stdout.write")
                assert called not in printing, f"{path.name}:{node.lineno}: use `output`"


def test_inputs_are_not_executed_by_the_terminal(run, answering):
    printed = run("predict", TEXTS, HOSTILE, HOSTILE)
    assert not EXECUTED.search(printed)
    assert r"good \x1b[31mred\x1b]0;title\x07 \x9b1m" in printed
    printed = run("predict", TEXTS, "[red]x[/red] :smile:")
    assert "[red]x[/red] :smile:" in printed


def test_texts_that_are_names_of_files_are_noted(run, answering, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("reviews.csv", "more.csv"):
        (tmp_path / name).touch()
    assert "label reviews.csv" in run("predict", TEXTS, "reviews.csv", "a text")
    assert run.err == (
        "warning: 'reviews.csv' is read as a text, but a file has this name: pass --file to read "
        "it.\n"
    )
    run("predict", TEXTS, "reviews.csv", "more.csv")
    assert run.err.startswith("warning: 'reviews.csv' and 1 more are read as texts, but files have")
    run("predict", TEXTS, "a text", "x" * 5_000)
    assert not run.err

    def refuse(*_, **__):
        raise ValueError("refused")

    monkeypatch.setattr(Answering, "explain", refuse, raising=False)
    monkeypatch.setattr(Answering, "translate", refuse, raising=False)
    for command in (("explain", TEXTS), ("translate", "multi30k_en_de_transformer")):
        message = run(*command, "reviews.csv", code=1)
        assert "warning: 'reviews.csv' is read as a text, but a file has this name" in message


def test_json_is_exact_and_readable(run, answering):
    printed = run("predict", TEXTS, HOSTILE, "--json")
    assert json.loads(printed)["text"] == HOSTILE
    assert not EXECUTED.search(printed)
    assert "很好" in printed


def test_messages_are_not_executed_by_the_terminal(run, tmp_path):
    run("predict", NAME, f"{HOSTILE}.png", code=1)
    assert not EXECUTED.search(run.err)
    run("predict", f"{HOSTILE}", "x", code=1)
    assert not EXECUTED.search(run.err)
    run("predict", TEXTS, "x", f"--{HOSTILE}", code=2)
    assert not EXECUTED.search(run.err)
    assert run.err.startswith("error: No such option: --good \\x1b[31m")
    table = tmp_path / f"{HOSTILE.replace('/', '')}.csv"
    table.write_text("text,label\nx,y\n")
    run("evaluate", TEXTS, "--data", table, "--label-column", HOSTILE, code=1)
    assert not EXECUTED.search(run.err)


def test_descriptions_are_not_executed_by_the_terminal(run, tmp_path):
    recipe = (zoo.describe(NAME).folder / "recipe.toml").read_text()
    hostile = r'description = "\u001B[31mred \u009B1m \u202E [bold]x[/bold]"'
    recipe = re.sub("^description.*", lambda _: hostile + " # \x9b \u202e", recipe, flags=re.M)
    with command_line.registered(tmp_path, "shapes_hostile", recipe):
        for arguments in (("show", "shapes_hostile"), ("show", "shapes_hostile", "--json")):
            printed = run(*arguments)
            assert not EXECUTED.search(printed)
            assert "[bold]x[/bold]" in printed
        assert json.loads(printed)["description"] == "\x1b[31mred \x9b1m \u202e [bold]x[/bold]"


@pytest.mark.parametrize("columns", ["40", "60", "80", "100", "200", None])
def test_names_are_never_cut(columns, run, monkeypatch):
    if columns is None:
        monkeypatch.delenv("COLUMNS")
    else:
        monkeypatch.setenv("COLUMNS", columns)
    lines = run("list").splitlines()
    names = [line.split()[0] for line in lines if re.match(r" {0,2}[a-z0-9]+_", line)]
    assert names == zoo.list()
    if columns in ("100", "200", None):  # one line an entry
        assert all(zoo.describe(line.split()[0]).recipe.task in line for line in lines[3:-1])


def test_lists_and_entries_as_json(run):
    entries = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [entry["name"] for entry in entries] == zoo.list()
    shown = json.loads(run("show", NAME, "--json"))
    assert shown["recipe"]["optimizer"]["learning_rate"] == 0.005
    assert shown["results"] == zoo.describe(NAME).results
    assert shown["test"]["seeds"] == len(zoo.describe(NAME).runs())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("cifar10",), "No entry matches 'cifar10'. Did you mean '*cifar10*'?"),
        (("cfar10*",), "Did you mean 'cifar10*'?"),
        (("imdb*", "--untrained"), "'imdb*', --untrained. Leave out a filter."),
        (("*", "--task", "sentimnt"), "Did you mean 'sentiment'"),
    ],
)
def test_a_list_without_a_match_says_so(arguments, match, run):
    assert match in run("list", *arguments, code=1)


def test_tasks_have_words(run):
    assert run("list", "--task", "sentiment") == run("list", "--task", "text_classification")


@pytest.mark.parametrize(
    ("arguments", "code", "match"),
    [
        (("predict", "imdb_ngrm_attention", "x"), 1, "Did you mean 'imdb_ngram_attention'"),
        (("predict", "absent.keras", "x"), 1, "no model file"),
        (("predict", NAME, "absent.png"), 1, "no image file 'absent.png'"),
        (("predict", TEXTS, "x", "--weights", "absent.h5"), 1, "no weights file 'absent.h5'"),
        (("predict", "cifar10_compact_transformer_large", "README.md"), 1, "no trained weights"),
        (("predict", "{old}", "x", "--views", "2"), 1, "--views is not for"),
        (("translate", "{old}", "x"), 1, "is not a translator"),
        (("explain", NAME, "absent.png"), 1, "no image file"),
        (("explain", NAME, "README.md", "--label", "rad"), 1, "Did you mean 'red'"),
        (("export", TEXTS, "tests"), 1, "not an empty folder"),
        (("evaluate", TEXTS, "--data", "absent.csv"), 1, "absent.csv"),
        (("evaluate", NAME, "--data-dir", "absent"), 1, "no folder or file 'absent'"),
        (("evaluate", NAME, "--plot", "a.xyz"), 1, "must end in .png"),
        (("train", NAME, "--variant", "none"), 1, "'no_attention'"),
        (("train", NAME, "--strategy", "mirorred"), 1, "Did you mean 'mirrored'"),
        (("train", NAME, "--out", "tests"), 1, "is not empty"),
        (
            ("train", NAME, "--set", "training.epoch=3"),
            1,
            "error: --set training.epoch: unknown key",
        ),
        (("train", NAME, "--set", "training.epochs=3", "--epochs", "2"), 1, "set the same key"),
        (
            ("train", NAME, "--learning-rate", "-1"),
            1,
            "error: --learning-rate: must be greater than 0",
        ),
        (("predict", TEXTS, "x", "--top", "none"), 2, "--top"),
        (("predikt",), 2, "No such command"),
        ((), 2, ""),
    ],
)
def test_mistakes_are_reported_before_tensorflow_is_imported(
    arguments, code, match, run, monkeypatch
):
    monkeypatch.chdir(ROOT)
    from keras_attn.cli import framework

    monkeypatch.setattr(framework, "start", lambda: pytest.fail("TensorFlow would be imported"))
    old = ROOT / "tests/tasks/version_0_1/text_classifier.keras"
    run(*(str(argument).format(old=old) for argument in arguments), code=code)
    assert match in run.err


@pytest.mark.slow
def test_such_a_mistake_needs_no_keras():
    script = (
        "import sys\nfrom keras_attn.cli import main\nsys.argv = ['', *sys.argv[1:]]\n"
        "try: main()\nexcept SystemExit as stop: assert stop.code == 1\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    for arguments in (
        ("predict", NAME, "absent.png"),
        ("train", NAME, "--strategy", "mirorred"),
        ("train", TEXTS, "--data", ".", "--validation-data", "absent.csv"),
        ("evaluate", TEXTS, "--data", "absent.csv"),
        ("export", TEXTS, "tests"),
    ):
        command = [sys.executable, "-c", script, *arguments]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)


def test_ctrl_c_while_the_command_line_is_imported(monkeypatch, capsys):
    monkeypatch.delattr("keras_attn.cli")
    monkeypatch.delitem(sys.modules, "keras_attn.cli")

    class Interrupted:
        def find_spec(self, name, *_):
            if name == "keras_attn.cli":
                raise KeyboardInterrupt

    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert stop.value.code == 130
    assert capsys.readouterr().err == "\nInterrupted.\n"


def test_a_closed_pipe_ends_quietly():
    with start("list", "--json", cwd=ROOT) as process:
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


def test_an_interrupt_is_one_line(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(zoo, "build", interrupt)
    run("predict", TEXTS, "x", code=130)
    assert run.err.split() == ["Interrupted."]


def test_texts_and_json_are_utf_8_in_every_locale(tmp_path):
    """Without UTF-8, Python reads the bytes of arguments as halves of surrogate pairs."""
    script = (
        "import sys\nfrom keras_attn.cli import inputs, output\n"
        "output.echo_json([inputs.as_utf8(text) for text in sys.argv[1:]])\n"
        "output.echo('plain')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONUTF8": "0"}
    environment["PYTHONCOERCECLOCALE"] = "0"
    printed = subprocess.run(
        [sys.executable, "-c", script, "很好", "naïve"],
        env=environment,
        check=True,
        capture_output=True,
    ).stdout
    assert printed.decode("utf-8") == '["很好", "naïve"]\nplain\n'


LOG = b"""\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795753166.889402   22139 port.cc:153] oneDNN custom operations are on.
W0000 00:00:1795753166.889402   22139 gpu_device.cc:2341] Cannot dlopen some GPU libraries.
2026-01-01 00:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations
E0000 00:00:1795753171.985648   22139 cuda_platform.cc:52] failed call to cuInit: INTERNAL
E0000 00:00:1795753171.985648   22139 cuda_dnn.cc:8310] Unable to register cuDNN factory
E0000 00:00:1795753171.985648   22139 jpeg_mem.cc:331] Premature end of JPEG data. Stopped at line 2
E0000 00:00:1795753171.98564  22139 u.cc:9] oneDNN supports DT_BOOL only on platforms with AVX-512
E0000 00:00:1795753171.985648   22139 gpu.cc:1] A real error
F0000 00:00:1795753171.985648   22139 cpu_feature_guard.cc:1] The library was compiled to use AVX
Bus error
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["framework.stop()", "os.abort()", "os._exit(0)"])
def test_the_tensorflow_log_is_hidden_and_errors_are_shown(end):
    """Also those before a crash."""
    script = (
        "import os, sys\nfrom keras_attn.cli import framework\n"
        "framework._NVIDIA_DRIVER = framework.pathlib.Path('/absent')\n"
        "framework.start()\nos.write(2, sys.argv[1].encode())\n"
        f"print('from Python', file=sys.stderr)\n{end}\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", script, LOG.decode()]
    written = subprocess.run(command, env=environment, capture_output=True, check=False).stderr
    lines = sorted(line.split(b"] ")[-1] for line in written.splitlines())
    assert lines == [
        b"A real error",
        b"Bus error",
        b"The library was compiled to use AVX",
        b"from Python",
    ]
    # Who asks for the log gets it.
    environment["TF_CPP_MIN_LOG_LEVEL"] = "0"
    written = subprocess.run(command, env=environment, capture_output=True, check=False).stderr
    assert written.count(b"\n") == LOG.count(b"\n") + 1


def test_a_damaged_image_is_named_in_a_warning(tmp_path):
    script = (
        "import os, threading\nfrom keras_attn.cli import framework\nframework.start()\n"
        "from keras_attn.datasets.files.images import log\n"
        "os.write(2, b'Corrupt JPEG data: bad Huffman code\\n')\n"
        "log.debug('%s', 'a\\x1b.jpg')\n"
        "thread = threading.Thread(target=log.debug, args=('%s', 'other.jpg'))\n"
        "thread.start(), thread.join()\n"  # its order is not that of the messages
        "os.write(2, b'Corrupt JPEG data: 3 extraneous bytes before marker 0xd4\\n')\n"
        "framework.stop()\nassert not log.isEnabledFor(10)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    damage = "is damaged, and parts of it may be wrong (Corrupt JPEG data:"
    assert done.stderr.splitlines() == [
        f"warning: an image {damage} bad Huffman code).",
        rf"warning: 'a\x1b.jpg' {damage} 3 extraneous bytes before marker 0xd4).",
    ]


def test_a_spinner_is_for_terminals_only(capfd):
    from keras_attn.cli import framework

    with framework.loading("a model"):
        pass
    assert capfd.readouterr() == ("", "")


def test_a_spinner_is_shown_on_a_terminal_and_erased(monkeypatch):
    pty = pytest.importorskip("pty")
    from keras_attn.cli import framework

    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(framework, "start", lambda: None)
    terminal, end = pty.openpty()
    os.set_blocking(terminal, False)
    with os.fdopen(end, "w", encoding="utf-8") as stderr, os.fdopen(terminal, "rb", 0) as screen:
        monkeypatch.setattr(sys, "stderr", stderr)
        with framework.loading("a [b] model"):
            pass
        stderr.flush()
        # A read returns a part of what was written; None once there is nothing more.
        printed = b"".join(iter(lambda: screen.read(10_000), None))
    shown, name, erased = printed.partition(b"Loading a [b] model ...")
    assert shown.startswith(b"\x1b[?25l") and name, printed
    assert erased.endswith(b"\x1b[2K")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_commands_print_their_answer_and_nothing_else():
    for level in ("2", "3"):
        process = start(
            "predict",
            TEXTS,
            "I loved this film. 很好",
            "--json",
            env={"TF_CPP_MIN_LOG_LEVEL": level},
        )
        printed, errors = process.communicate(timeout=200)
        assert json.loads(printed)["text"] == "I loved this film. 很好"
        assert errors == b""


def wait_until_tensorflow_is_loaded(process):
    """Return once the process has mapped a library of TensorFlow; without /proc, after 2 s."""
    maps = pathlib.Path(f"/proc/{process.pid}/maps")
    if not maps.exists():
        time.sleep(2.0)
        return
    deadline = time.monotonic() + 100
    while "/tensorflow/" not in maps.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "TensorFlow is not loaded after 100 s"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_ctrl_c_while_a_model_loads():
    process = start("predict", TEXTS, "good", start_new_session=True)
    wait_until_tensorflow_is_loaded(process)
    os.killpg(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=100)
    assert process.returncode == 130
    assert printed == b""
    assert errors.split() == [b"Interrupted."]


def test_cells_have_no_line_breaks():
    assert output.cell("a\nb\x85c\u2028d").plain == "a b c d"


def test_the_filter_is_started_once(monkeypatch):
    from keras_attn.cli import framework

    started = []
    monkeypatch.setattr(framework, "_filtered", lambda: contextlib.nullcontext(started.append(1)))
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    framework.start()
    framework.start()
    framework.stop()
    assert started == [1]
    framework.start()
    framework.stop()
    assert started == [1, 1]
