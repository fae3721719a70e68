"""The command line on translations, from pairs of one's own to the SavedModel."""

import json
import re

import numpy as np
import pytest

from keras_attn import datasets, training, zoo
from keras_attn.cli import translation
from keras_attn.cli.inputs import Examples
from keras_attn.cli.output import on_one_line
from keras_attn.recipes import describe_task
from keras_attn.tasks import from_architecture
from tests.cli import command_line
from tests.cli.command_line import (
    check_trained,
    figures,
    read_record,
    registered,
    run_in,
    write_table,
)
from tests.conftest import ROOT

pytestmark = pytest.mark.tensorflow

run = command_line.run  # the command line in this process
NAME = "pairs_tiny_transformer"
IMAGES, TEXTS = "shapes_small_attention_cnn", "imdb_ngram_attention"
RECIPE = """
task = "translation"
description = "tiny"
dataset = "multi30k_en_fr"
architecture = "translation_transformer"

[model]
vocabulary_size = 320
model_dim = 16
encoder_layers = 1
decoder_layers = 1
num_heads = 2
intermediate_dim = 16
dropout = 0.0

[optimizer]
name = "adamw"
learning_rate = 0.02

[training]
epochs = 1
batch_size = 2048
"""
WORDS = {
    "the": "les", "one": "un", "two": "deux", "three": "trois", "dogs": "chiens", "cats": "chats",
    "men": "hommes", "boys": "garçons", "run": "courent", "eat": "mangent", "sleep": "dorment",
    "jump": "sautent", "sing": "chantent", "now": "maintenant",
}  # fmt: skip
COUNTS, WHO, VERBS = list(WORDS)[1:4], list(WORDS)[4:8], list(WORDS)[8:13]
SOURCES = [f"the {count} {who} {verb} now" for count in COUNTS for who in WHO for verb in VERBS]
PAIRS = [(text, " ".join(WORDS[word] for word in text.split())) for text in SOURCES]
ONE = "the two dogs run now"
COVERAGE = ("characters", "known_characters")
SPELLING = "Targets keep their quotes, dashes and full-width forms."
TITLES = {"BLEU": "bleu", "chrF": "chrf"}
TOKENS = "BLEU of lower-cased tokens (fr)"


@pytest.fixture(scope="module", autouse=True)
def catalogue(tmp_path_factory):
    with registered(tmp_path_factory.mktemp("catalogue"), NAME, RECIPE) as folder:
        yield folder


@pytest.fixture(scope="module")
def own(tmp_path_factory, catalogue):
    """A translator that was trained on a TSV by the command line."""
    folder = tmp_path_factory.mktemp("own")
    write_table(folder / "mine.tsv", [*PAIRS, PAIRS[0], ("", "rien")], ("en", "fr"))
    printed = run_in(
        folder, "train", NAME, "--data", "mine.tsv", "--source-column", "en", "--target-column",
        "fr", "--epochs", "6",
    )  # fmt: skip
    return folder / "runs" / f"mine-{NAME}-seed0", printed


def write_sides(folder, pairs, *names):
    """Sources and targets as two plain files; their paths."""
    for name, side in zip(names, zip(*pairs, strict=True), strict=True):
        (folder / name).write_text("\n".join(side), encoding="utf-8")
    return [folder / name for name in names]


def test_training_on_a_table_says_what_was_read_and_how_to_use_the_model(own):
    folder, printed = own
    assert "mine.tsv: 62 rows read, 60 kept, 2 skipped." in printed
    assert "1 exact duplicate (line 62)" in printed
    assert "1 empty source (line 63)" in printed
    assert "Split: 48 train, 6 validation, 6 test." in printed
    assert "batches of 2048 make few steps; they are lowered to" in printed
    assert "chrF" in printed
    check_trained(folder, printed, "predict", epochs=6, data="mine")
    for split in ("validation", "test"):
        assert f"{read_record(folder)['metrics'][split]['bleu']:.2f}" in printed


@pytest.mark.slow
def test_a_model_of_ones_own_is_evaluated_on_a_table(own, run, tmp_path):
    """On the pairs that its run was tested on, as it was."""
    path = own[0] / "model.keras"
    columns = {"source_column": "en", "target_column": "fr"}
    test = datasets.split_pairs(datasets.read_pairs(own[0].parents[1] / "mine.tsv", **columns))[
        "test"
    ]
    rows = list(zip(test.sources, test.targets, strict=True))
    table = write_table(tmp_path / "mine.csv", rows, ("en", "fr"))
    options = ("--source-column", "en", "--target-column", "fr")
    printed = run("evaluate", path, "--data", table, *options)
    assert "mine.csv: 6 rows read, 6 kept, 0 skipped." in printed
    assert "The card says" not in printed
    metrics = read_record(own[0])["metrics"]["test"]
    told = figures(printed)
    assert metrics["target_language"] is None
    assert not any("tokens" in title for title in told)  # no language has been said
    assert told["data"] == "mine"
    assert told["examples"] == "6"
    for title, key in TITLES.items():
        assert told[title] == f"{metrics[key]:.2f}"
    assert float(told["loss"]) == pytest.approx(metrics["loss"], abs=1e-4)


def test_all_rows_are_evaluated_and_those_of_a_source_all_count_as_right(tmp_path):
    rows = [("Run!", "Cours !"), ("Hi.", "Salut."), ("Run!", "Courez !")]
    pairs = datasets.read_pairs(write_table(tmp_path / "mine.tsv", rows, ("source", "target")))
    split = describe_task("translation").table.examples(pairs, None)
    assert split.sources.tolist() == ["Run!", "Hi."]
    assert split.references == (("Cours !", "Courez !"), ("Salut.",))


@pytest.mark.slow
def test_one_translation_a_line(own, run, tmp_path):
    path = own[0] / "model.keras"
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffthe two dogs run now\r\n\nthe two dogs run now\n".encode())
    lines = run("translate", path, "--file", file, "--beam-size", "2").split("\n")
    assert len(lines) == 4  # the last of them what follows the last line's end
    assert lines[0] == lines[2] != ""
    assert lines[1] == lines[3] == ""
    assert run("translate", path, ONE, "--beam-size", "2") == f"{lines[0]}\n"
    assert run("translate", path, "--beam-size", "2", stdin=f"{ONE}\n{ONE}".encode()) == 2 * (
        f"{lines[0]}\n"
    )


@pytest.mark.exhaustive
def test_several_translations_with_their_scores_in_lines_and_in_json(own, run):
    path = own[0] / "model.keras"
    texts = [ONE, "", "the two men sing now"]
    by_score = ("--beam-size", "3", "--length-penalty", "0")
    arguments = ("translate", path, *texts, *by_score, "--n-best", "2")
    groups = run(*arguments).removesuffix("\n").split("\n\n")
    assert len(groups) == 3
    answers = [json.loads(line) for line in run(*arguments, "--json").splitlines()]
    for text, group, answer in zip(texts, groups, answers, strict=True):
        assert set(answer) == {"source", "text", "score", *COVERAGE, "n_best"}
        assert answer["source"] == text
        first, second = answer["n_best"]
        assert first == {key: answer[key] for key in ("text", "score", *COVERAGE)}
        assert first["score"] >= second["score"]
        written = [f"{best['score']:.4f}\t{best['text']}" for best in answer["n_best"]]
        assert group.split("\n") == written
    assert answers[1]["text"] == ""
    alone = json.loads(run("translate", path, texts[0], *by_score, "--json"))
    assert alone == {key: answers[0][key] for key in ("source", "text", "score", *COVERAGE)}


@pytest.mark.slow
def test_many_texts_are_translated_part_by_part_and_cut_ones_are_noted(capfd, monkeypatch):
    settings = {"model_dim": 4, "encoder_layers": 1, "decoder_layers": 1, "num_heads": 1}
    model = from_architecture(
        "translation_transformer", preprocessing={"max_length": 3}, vocabulary_size=300, **settings
    )
    model.adapt(SOURCES, SOURCES)
    monkeypatch.setattr(translation, "CHUNK_SIZE", 2)
    texts = ["the", "now", ONE]
    answers = list(translation._translations(model, Examples(texts), 1, 1, {}))
    (line,) = (line for line in capfd.readouterr().err.splitlines() if "subwords" in line)
    assert line.startswith("warning: from text 2 on: ")
    with pytest.warns(UserWarning, match="subwords"):
        alone = [(text, model.translate(text, 1).text) for text in texts]
    assert [(texts[row], best.text) for row, (best,) in answers] == alone


def test_a_translation_is_one_line():
    assert on_one_line("a\nb\r\nc\u00a0!\u2028") == "a b c\u00a0!\u2028"


@pytest.mark.slow
def test_predict_translates_as_translate_does(own, run):
    path = own[0] / "model.keras"
    texts = [ONE, "the one men sing now", ""]
    for size in ("1", "3"):
        options = (path, *texts, "--beam-size", size)
        expected = [
            {"sentence" if key == "source" else key: value for key, value in answer.items()}
            for answer in map(json.loads, run("translate", *options, "--json").splitlines())
        ]
        assert list(map(json.loads, run("predict", *options, "--json").splitlines())) == expected
        printed = run("predict", *options)
        for answer in expected[:2]:
            row = rf"{answer['sentence']} +{re.escape(answer['text'])} +{answer['score']:.3f}"
            assert re.search(row, printed)


@pytest.mark.slow
def test_a_sentence_of_unknown_characters_is_noted(own, run):
    for command in ("predict", "translate"):
        run(command, own[0] / "model.keras", ONE, "\u4f60\u597d the", "--beam-size", "1")
        assert "text 1" not in run.err
        run(command, own[0] / "model.keras", "\u4f60\u597d", "--beam-size", "1")
        assert "warning: the model knows 0 of 2 characters." in run.err


@pytest.mark.slow
def test_a_sentence_that_is_cut_is_noted(own, run):
    long = " ".join(SOURCES)
    for command in ("predict", "translate"):
        run(command, own[0] / "model.keras", long, "--beam-size", "1")
        (line,) = (line for line in run.err.splitlines() if "subwords" in line)
        assert line.startswith("warning: ")


@pytest.mark.slow
def test_an_alignment_is_explained(own, run, tmp_path):
    path = own[0] / "model.keras"
    page = tmp_path / "out.html"
    printed = run("explain", path, "the two <b> dogs run", "--html", page)
    assert "attended to most" in printed
    assert f"Written: {page}" in printed
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>")
    assert "<b>\u00b7dogs" not in html
    explanation = json.loads(run("explain", path, ONE, "--json"))
    sides = len(explanation["target_tokens"]), len(explanation["source_tokens"])
    assert np.shape(explanation["cross"])[2:] == sides
    assert np.sum(explanation["cross"], axis=-1) == pytest.approx(1.0, abs=1e-5)
    assert np.shape(explanation["encoder"])[2:] == (sides[1], sides[1])
    assert "--label is not for" in run("explain", path, ONE, "--label", "x", code=1)
    assert "at least one word" in run("explain", path, " ", code=1)


@pytest.mark.slow
def test_a_picture_of_an_alignment(own, run, tmp_path):
    path = own[0] / "model.keras"
    picture = tmp_path / "out.png"
    printed = run("translate", path, ONE, "--beam-size", "1", "--alignments", picture)
    assert len(printed.splitlines()) == 1
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.exhaustive
def test_searches_are_restricted_and_items_are_copied(own, run, tmp_path):
    path = own[0] / "model.keras"
    (first, *_) = run("translate", path, ONE, "--beam-size", "2").split()
    options = ("--beam-size", "2", "--banned-word", first, "--banned-word", "x")
    options = (*options, "--min-length", "3", "--no-repeat-ngram-size", "2")
    options = (*options, "--length-penalty", "0.5")
    restricted = run("translate", path, ONE, *options).removesuffix("\n")
    assert first not in restricted.split()
    run("export", path, tmp_path / "serving", *options)
    import tensorflow as tf

    serve = tf.saved_model.load(tmp_path / "serving").signatures["serving_default"]
    assert serve(texts=tf.constant([ONE]))["text"].numpy()[0].decode() == restricted
    # This model has learned to copy nothing, and says so.
    plain = run("translate", path, "the dogs {x}", "--beam-size", "1")
    for options in (("--copy",), ("--keep", "dogs")):
        assert run("translate", path, "the dogs {x}", "--beam-size", "1", *options) == plain
        assert "copies no stand-in for " in run.err
    assert "'{x}'" in run.err
    assert "is not for" in run("export", IMAGES, "serving", "--min-length", "2", code=1)


@pytest.mark.exhaustive
def test_a_column_is_translated_row_by_row(own, run, tmp_path):
    path, file = own[0] / "model.keras", tmp_path / "mine.csv"
    file.write_text(f"id,en\n1,{ONE}\n2\n3,\n")
    search = ("--beam-size", "2")
    (translation,) = run("translate", path, ONE, *search).splitlines()
    command = ("translate", path, "--file", file, *search)
    assert "Columns are chosen by --source-column" in run(*command, code=1)
    message = run(*command, "--source-column", "en", code=1)
    assert run.out == f"{translation}\n\n\n"
    assert "warning: Line 3 of mine.csv: ragged" in message
    assert "error: 1 of 3 sentences could not be read. The others are answered." in message
    run(*command, "--source-column", "en", "--json", code=1)
    sources = [json.loads(line)["source"] for line in run.out.splitlines()]
    assert sources == [ONE, None, ""]
    run("predict", path, "--file", file, *search, "--source-column", "en", "--json", code=1)
    assert json.loads(run.out.splitlines()[0])["text"] == translation


@pytest.mark.slow
def test_prefix_length_and_its_penalty_are_those_of_the_translator(own, run):
    import keras_attn

    path = own[0] / "model.keras"
    model = keras_attn.load(path)
    settings = {"length_penalty": 0.0, "prefix": "le", "max_length": 4}
    expected = model.translate(ONE, 2, **settings)
    options = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
    (line,) = run("translate", path, ONE, "--beam-size", "2", *options, "--json").splitlines()
    answer = json.loads(line)
    assert (answer["text"], answer["score"]) == (expected.text, pytest.approx(expected.score))
    assert answer["text"].startswith("le")
    message = run("translate", path, ONE, "--prefix", "le chien mange", "--max-length", "1", code=1)
    assert "at most 1 subword cannot begin with a prefix of" in message
    assert "Shorten --prefix, or raise --max-length." in message
    message = run("translate", path, ONE, "--min-length", "9", "--max-length", "5", code=1)
    assert "error: --min-length must be at most --max-length = 5. Received: 9." in message


@pytest.mark.slow
def test_the_language_of_a_table_is_said(own, run, tmp_path):
    rows = [("the two dogs run now", "你好吗你好"), ("the one dog runs now", "我很好谢谢")]
    table = write_table(tmp_path / "mine.tsv", rows, ("source", "target"))
    for options, rules in (((), "tok:zh"), (("--target-language", "th"), "tok:char")):
        printed = run("evaluate", own[0] / "model.keras", "--data", table, *options)
        assert f"|{rules}|" in printed.replace("\n", "")
        assert "lower-cased" not in printed
    arguments = ("evaluate", own[0] / "model.keras", "--data", table, "--target-language", "Thai!")
    assert "--target-language must be the code of a language" in run(*arguments, code=1)


@pytest.mark.slow
def test_export_serves_translations(own, run, tmp_path):
    path = own[0] / "model.keras"
    printed = run("export", path, tmp_path / "serving", "--beam-size", "2")
    assert "texts string (B,) -> text string (B,), score float32 (B,)" in printed
    import tensorflow as tf

    serve = tf.saved_model.load(tmp_path / "serving").signatures["serving_default"]
    answer = serve(texts=tf.constant([ONE]))
    expected = json.loads(run("translate", path, ONE, "--beam-size", "2", "--json"))
    assert answer["text"].numpy()[0].decode() == expected["text"]
    assert float(answer["score"][0]) == pytest.approx(expected["score"], abs=1e-4)


@pytest.mark.slow
def test_an_entry_is_trained_on_two_files_published_and_evaluated(run, tmp_path, monkeypatch):
    name = "pairs_other_transformer"
    entry = tmp_path / "zoo" / name
    entry.mkdir(parents=True)
    (entry / "recipe.toml").write_text(RECIPE)
    zoo.register(entry)
    write_sides(tmp_path, PAIRS, "a.en", "b.fr")
    monkeypatch.chdir(tmp_path)
    arguments = ("train", name, "--data", "a.en", "--data-target", "b.fr", "--out", "run")
    options = ("--validation", "0.2", "--test", "0.2", "--target-language", "fr")
    printed = run(*arguments, *options)
    assert "a.en and b.fr: 60 rows read, 60 kept, 0 skipped." in printed
    assert "Split: 36 train, 12 validation, 12 test." in printed
    # From here on the pairs stand for the entry's data, and the run for one of its recipe.
    table = datasets.read_pairs("a.en", "b.fr", target_language="fr")
    small = datasets.split_pairs(table, validation=0.2, test=0.2)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir=None: small)
    record = read_record(tmp_path / "run")
    record["recipe_digest"] = zoo.describe(name).recipe.digest
    record["data"]["name"] = "multi30k_en_fr"
    (tmp_path / "run" / "record.json").write_text(json.dumps(record))
    run("publish", name, "run")
    printed = run("evaluate", name)
    told, said = figures(printed), printed.partition("The card says ")[2]
    for title, key in {**TITLES, TOKENS: "bleu_lowercased_tokens"}.items():
        figure = f"{record['metrics']['test'][key]:.2f}"
        assert told[title] == figure
        assert figure in said
    assert "for these weights (seed 0)" in said
    assert told.pop("split") == "test"
    assert record["metrics"]["test"]["bleu_signature"] in printed.replace("\n", "")
    # The same pairs from two files give the same.
    rows = zip(small["test"].sources, small["test"].targets, strict=True)
    source, target = write_sides(tmp_path, rows, "c.en", "d.fr")
    printed = run("evaluate", name, "--data", source, "--data-target", target)
    assert figures(printed) == {"data": "c", **told}
    assert "The card says" not in printed


def pairs_of(count, words):
    random = np.random.default_rng(0)
    names = [f"w{number}" for number in range(200)]
    texts = [" ".join(random.choice(names, words)) for _ in range(2 * count)]
    return datasets.PairSplit(np.array(texts[:count], object), np.array(texts[count:], object))


@pytest.mark.parametrize(
    ("count", "words", "vocabulary_size", "batch_size"),
    [(10, 4, 305, 9), (400, 12, 771, 256), (5_000, 12, 2069, 1486)],
)
def test_recipes_are_fitted_to_fewer_pairs(count, words, vocabulary_size, batch_size):
    recipe = zoo.describe("multi30k_en_de_transformer").recipe
    fitted, notes = training.fit_recipe(recipe, {"train": pairs_of(count, words)})
    assert fitted.model["vocabulary_size"] == vocabulary_size
    assert fitted.training.batch_size == batch_size
    assert fitted.training.epochs == recipe.training.epochs
    vocabulary, batches, spelling, selection = notes
    assert (fitted.training.keep, fitted.training.patience) == ("best", 15)
    assert "keeps the one whose accuracy of tokens is best on the validation split" in selection
    assert f"5,000 is lowered to {vocabulary_size:,}." in vocabulary
    assert f"lowered to {batch_size}." in batches
    assert spelling == SPELLING
    assert fitted.subwords.fold_targets is False


def test_on_as_many_pairs_as_its_own_a_recipe_keeps_its_settings():
    recipe = zoo.describe("multi30k_en_de_transformer").recipe
    pairs = pairs_of(29_000, 16)
    fitted, notes = training.fit_recipe(recipe, {"train": pairs})
    assert (notes[0], len(notes)) == (SPELLING, 2)
    kept = {"keep": "best", "patience": fitted.training.patience}
    assert fitted.model_dump() == {
        **recipe.model_dump(),
        "training": {**recipe.training.model_dump(), **kept},
        "subwords": {**recipe.subwords.model_dump(), "fold_targets": False},
    }
    shorter, notes = training.fit_recipe(recipe, {"train": pairs}, epochs=5)
    assert (shorter.training.epochs, len(notes)) == (5, 3)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("translate", TEXTS, "x"), "is not a translator; it does text_classification"),
        (("translate", IMAGES, "x"), "is not a translator; it does image_classification"),
        (("translate", "multi30k_en_de_transfomer", "x"), "'multi30k_en_de_transformer'"),
        (("translate", NAME, "x"), "no trained weights"),
        (("translate", NAME, "x", "--n-best", "5"), "--n-best 5 needs as many beams"),
        (("translate", NAME, "x", "y", "--alignments", "x.png"), "Received: 2 texts"),
        (("translate", NAME, "x", "--file", "x.txt"), "not both"),
        (("translate", NAME, "--file", "absent.txt"), "no file 'absent.txt'"),
        (("predict", NAME, "x"), "no trained weights"),
        (("explain", NAME, "x"), "no trained weights"),
        (("explain", NAME, "x", "--label", "y"), f"--label is not for {NAME}, which does transl"),
        (("export", IMAGES, "serving", "--beam-size", "2"), f"--beam-size is not for {IMAGES}"),
        (("train", NAME, "--data-target", "b.fr"), "--data-target: only with --data"),
        (("train", NAME, "--data", "a.csv", "--label-column", "x"), "--label-column: not for"),
        (("train", TEXTS, "--data", "a.csv", "--data-target", "x"), "--data-target: not for"),
        (("train", NAME, "--data", "absent.tsv"), "absent.tsv"),
        (("train", NAME, "--data", "a.tsv", "--test-target", "b"), "only with --test-data"),
        (
            ("train", NAME, "--data", "a.tsv", "--test-data", "a", "--test-target", "b"),
            "must have one format",
        ),
        (("train", NAME, "--test-data", "a.tsv"), "--test-data: only with --data"),
        (("evaluate", NAME, "--data-target", "b.fr"), "--data-target: only with --data"),
        (("evaluate", NAME, "--data", "a.csv", "--text-column", "x"), "--text-column: not for"),
        (("evaluate", NAME, "--data", "absent.tsv"), "no file or folder 'absent.tsv'"),
    ],
)
def test_mistakes_get_one_message(run, tmp_path, monkeypatch, arguments, match):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "a.tsv", "b"):
        (tmp_path / name).touch()
    assert match in run(*arguments, code=1)
    assert not (ROOT / "serving").exists()


def test_beams_are_counted_from_one(run):
    assert run("translate", NAME, "x", "--beam-size", "0", code=2) == ""


@pytest.mark.parametrize(
    ("arguments", "stdin", "match"),
    [
        ((), b"", "no texts in standard input"),
        ((), b"two\nd\xe9ux\n", "Line 2 of standard input is not UTF-8"),
        (("--file", "-"), b"two\nmen\n", None),
        (("two", "--weights", "x.weights.h5"), None, "weights of its own"),
        ((" ", "--alignments", "x.png", "--beam-size", "1"), None, "at least one word"),
    ],
)
def test_mistakes_with_a_model_of_ones_own(own, run, arguments, stdin, match):
    path = own[0] / "model.keras"
    if match is None:
        two = run("translate", path, *arguments, "--beam-size", "1", stdin=stdin)
        assert len(two.splitlines()) == 2
    else:
        assert match in run("translate", path, *arguments, stdin=stdin, code=1)


def test_a_file_of_another_task_is_refused(own, run, tmp_path):
    zoo.build(IMAGES).save(tmp_path / "shapes.keras")
    message = run("translate", tmp_path / "shapes.keras", "x", code=1)
    assert "shapes.keras is not a translator; it does image_classification" in message
    path = own[0] / "model.keras"
    message = run("evaluate", path, "--data", "a.csv", "--label-column", "x", code=1)
    assert "--label-column: not for" in message
    assert "which does translation" in message


def test_entries_are_listed_with_their_figure(run, catalogue):
    printed = run("list", "--task", "translation")
    assert NAME in printed
    assert re.search(r"multi30k_en_de_transformer.*(not trained|BLEU)", printed)
    assert IMAGES not in printed


def test_figures_are_named():
    figures = {"bleu": 1.0, "chrf": 2.0, "bleu_lowercased_tokens": 3.0, "token_language": "fr"}
    told = describe_task("translation").summary(figures)
    assert told == "1.00 BLEU, 2.00 chrF, 3.00 BLEU of lower-cased tokens (fr)"
