"""The translator: strings in and strings out, whatever the strings."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_attn import tasks, zoo
from keras_attn.batching import PairBatches
from keras_attn.datasets import PairSplit
from keras_attn.decoding import beam_search
from keras_attn.tasks import Alignment, SequenceCrossentropy, TokenAccuracy, Translator
from keras_attn.tasks.coverage import coverage_warnings
from keras_attn.tasks.translation._search import BATCH, Searches, search_batch
from tests.conftest import ROOT
from tests.tasks.small_translators import new_translator

SOURCES = ["a dog runs .", "two dogs run .", "a cat sleeps .", "two cats sleep .", "the dog eats ."]
TARGETS = ["un chien court .", "deux chiens courent .", "un chat dort .", "deux chats dorment ."]
TARGETS = [*TARGETS, "le chien mange ."]
TINY = {"model_dim": 32, "intermediate_dim": 32}
ODD = ["", " \t ", "😀 да нет", "a\x00b", "\udcff", "e\u0301", "..."]


def _new() -> Translator:
    model = new_translator(vocabulary_size=330, **TINY)
    model.adapt(SOURCES, TARGETS)
    return model


@pytest.fixture(scope="module")
def fitted() -> Translator:
    model = _new()
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=SequenceCrossentropy(),
        metrics=[TokenAccuracy()],
    )
    model.fit(SOURCES, TARGETS, batch_size=100, epochs=60, verbose=0)
    return model


def test_fit_on_strings_learns_the_pairs(fitted):
    found = fitted.translate(SOURCES)
    assert [translation.text for translation in found] == TARGETS
    loss, accuracy = fitted.evaluate(SOURCES, TARGETS, verbose=0)
    assert accuracy == 1.0
    assert loss < 0.1


@pytest.mark.slow
def test_scores_are_log_probabilities_of_what_was_written(fitted):
    for beam_size in (1, 3):
        found = fitted.translate(SOURCES, beam_size)
        scores = fitted.score(SOURCES, [translation.text for translation in found])
        np.testing.assert_allclose([t.score for t in found], scores, rtol=1e-4, atol=1e-4)


def test_the_answer_does_not_depend_on_the_batch(fitted):
    long = " ".join(SOURCES * 3)
    together = fitted.translate([SOURCES[0], long, "", SOURCES[1]])
    alone = [fitted.translate(text) for text in (SOURCES[0], long, "", SOURCES[1])]
    assert [t.text for t in together] == [t.text for t in alone]
    np.testing.assert_allclose([t.score for t in together], [t.score for t in alone], atol=1e-3)


def test_one_text_gives_one_answer_and_n_best_a_ranked_list(fitted):
    assert fitted.translate(SOURCES[0]).text == TARGETS[0]
    best = fitted.translate(SOURCES[0], beam_size=4, n_best=3, length_penalty=0)
    assert best[0].text == TARGETS[0]
    assert len({t.text for t in best}) == 3
    assert best[0].score >= best[1].score >= best[2].score
    assert fitted.translate([]) == []


def test_a_prefix_begins_the_translation(fitted):
    assert fitted.translate(SOURCES[0], prefix="deux").text.startswith("deux")
    found = fitted.translate(SOURCES[:2], prefix=["le", ""])
    assert found[0].text.startswith("le")
    assert found[1].text == TARGETS[1]
    with pytest.raises(TypeError, match="string"):
        fitted.translate(SOURCES[:2], prefix=[None, ""])
    with pytest.raises(ValueError, match="1 prefix, 2 texts"):
        fitted.translate(SOURCES[:2], prefix=["le"])
    with pytest.raises(ValueError, match=r"at most 1 subword cannot begin with a prefix of"):
        fitted.translate(SOURCES[0], prefix="le chien mange", max_length=1)
    with pytest.raises(ValueError, match=rf"at most {fitted.max_length} subwords cannot begin"):
        fitted.translate(SOURCES[0], prefix="le chien mange " * fitted.max_length)


@pytest.mark.slow
def test_max_length_bounds_the_subwords(fitted):
    short = fitted.translate(SOURCES[0], max_length=2).text
    assert fitted.tokenizer([short]).row_lengths()[0] <= 2
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="`max_length` must be an integer of at least 1"):
            fitted.translate(SOURCES[0], max_length=wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beam_size": 0}, "`beam_size` must be an integer of at least 1. Received: 0"),
        ({"beam_size": [4]}, r"`beam_size` must be .* Received: \[4\]"),
        ({"beam_size": True}, "`beam_size` must be .* Received: True"),
        ({"n_best": 0}, "`n_best` must be"),
        ({"beam_size": 2, "n_best": 3}, "`n_best` must be at most `beam_size` = 2"),
        ({"length_penalty": -0.5}, "`length_penalty` must be 0.* Received: -0.5"),
        ({"length_penalty": "long"}, "`length_penalty` must be 0.* Received: 'long'"),
    ],
)
def test_impossible_searches_are_refused(fitted, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        fitted.translate(SOURCES, **arguments)
    if "n_best" not in arguments:
        with pytest.raises(ValueError, match=message):
            fitted.export(tmp_path / "2", **arguments)


def test_odd_texts_are_answered_and_spoil_nothing(fitted):
    found = fitted.translate([*ODD, SOURCES[0]])
    assert found[-1].text == TARGETS[0]
    assert found[0] == found[1] == ("", 0.0, 0, 0)
    assert all(isinstance(t.text, str) and t.score <= 0.0 for t in found)
    assert all(t.text == t.text.strip() for t in found)
    of_bytes = fitted.translate([text.encode("utf-8", "surrogatepass") for text in ODD])
    assert [t.text for t in of_bytes] == [t.text for t in found[:-1]]


@pytest.mark.parametrize("wrong", [[1, 2], [None], [SOURCES]])
def test_what_are_no_texts_is_refused(fitted, wrong):
    with pytest.raises((TypeError, ValueError), match="`texts` must"):
        fitted.translate(wrong)


@pytest.mark.slow
def test_a_long_text_is_cut_with_a_warning():
    model = _new()
    model.max_length = 6
    model.network.embedding.embeddings.assign(0 * model.network.embedding.embeddings)  # ends soon
    with pytest.warns(UserWarning, match=r"The first 6 subwords .* 1 of 2 texts .* text 2"):
        found = model.translate(["a dog", "dog " * 2000])
    assert len(found) == 2
    cut = model.tokenizer.detokenize(model.tokenizer(["dog " * 2000])[:, :6]).numpy()[0]
    assert found[1].text == model.translate(cut).text


@pytest.mark.slow
def test_samples_are_repeatable_and_follow_temperature(fitted):
    drawn = fitted.sample(SOURCES[0], 4, seed=7, temperature=3.0)
    assert drawn == fitted.sample(SOURCES[0], 4, seed=7, temperature=3.0)
    assert drawn != fitted.sample(SOURCES[0], 4, seed=8, temperature=3.0)
    assert fitted.sample(SOURCES[0], seed=1, top_k=1).text == TARGETS[0]
    with pytest.raises(ValueError, match="temperature"):
        fitted.sample(SOURCES[0], seed=1, temperature=0.0)
    for wrong in (None, -1, 1.0, True):
        with pytest.raises(ValueError, match="`seed` must be an integer from 0"):
            fitted.sample(SOURCES[0], seed=wrong)


@pytest.mark.parametrize("text", ["", SOURCES[0]])
@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"n": 0}, "`n` must be an integer of at least 1"),
        ({"temperature": -1.0}, "`temperature` must be a positive number"),
        ({"top_k": 0}, "`top_k` must be an integer of at least 1"),
        ({"top_p": 1.5}, "`top_p` must be a probability"),
    ],
)
def test_what_nothing_can_be_drawn_by_is_refused(fitted, text, settings, match):
    with pytest.raises(ValueError, match=match):
        fitted.sample(text, seed=1, **settings)


def test_seeds_share_a_graph_and_batches_draw_other_numbers(fitted):
    fitted.sample(SOURCES[0], seed=1, temperature=3.0)
    graphs = len(fitted._searches._compiled)
    drawn = fitted.sample([SOURCES[0]] * (2 * BATCH), seed=2, temperature=3.0)
    assert len(fitted._searches._compiled) == graphs
    assert drawn[:BATCH] != drawn[BATCH:]


def test_effects_are_those_of_leaving_words_out(fitted):
    alignment = fitted.explain(SOURCES[0], TARGETS[0])
    words = SOURCES[0].split()
    assert [word.strip("\u2581") for word in alignment.source_words] == words
    for column in range(len(words)):
        rest = " ".join(words[:column] + words[column + 1 :])
        change = fitted.score([SOURCES[0]], [TARGETS[0]]) - fitted.score([rest], [TARGETS[0]])
        effect = alignment.leave_one_out[:, column].sum()
        np.testing.assert_allclose(effect, change[0], atol=1e-4)
    assert -1.0 <= alignment.agreement["attention"] <= 1.0
    axes = alignment.plot("leave_one_out").axes[0]
    assert len(axes.get_xticklabels()) == len(words)
    with pytest.raises(ValueError, match="no layers and heads"):
        alignment.plot("leave_one_out", layer=0)
    with pytest.raises(ValueError, match="no effects"):
        Alignment(alignment.source_tokens, alignment.target_tokens, alignment.cross).plot(
            "leave_one_out"
        )


def test_explanations_hold_every_attention(fitted):
    alignment = fitted.explain(SOURCES[0])
    assert alignment.source_tokens[-1] == alignment.target_tokens[-1] == "<end>"
    assert "".join(alignment.target_tokens[:-1]).replace("\u2581", " ").strip() == TARGETS[0]
    rows, columns = len(alignment.target_tokens), len(alignment.source_tokens)
    assert alignment.cross.shape == (1, 2, rows, columns)
    assert alignment.encoder.shape == (1, 2, columns, columns)
    for stage in ("cross", "encoder", "decoder"):
        weights, row_names, column_names = alignment.attention(stage)
        assert weights.shape[-2:] == (len(row_names), len(column_names))
        np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)
    assert np.triu(alignment.decoder[0, 0], 1).max() == 0.0
    with pytest.raises(ValueError, match="`stage` must be one of"):
        alignment.attention("memory")
    with pytest.raises(ValueError, match="at least one word"):
        fitted.explain(" ")
    with pytest.raises(TypeError, match="one string"):
        fitted.explain(SOURCES)


@pytest.mark.parametrize(("count", "rows"), [(3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_examples_are_at_equal_distances(fitted, count, rows):
    sources = ["a dog", "a cat", "a dog runs", "a cat runs", "two dogs run here"]
    targets = [str(number) for number in range(5)]
    split = PairSplit(np.array(sources, object), np.array(targets, object))
    examples = fitted.example_answers(split, count)
    assert [example.target for example in examples] == [targets[row] for row in rows]
    answers = fitted.translate([sources[row] for row in rows])
    assert [example.answer for example in examples] == [answer.text for answer in answers]


def test_pairs_of_unequal_number_are_refused(fitted):
    with pytest.raises(ValueError, match="5 sources, 2 targets"):
        fitted.fit(SOURCES, TARGETS[:2])
    with pytest.raises(ValueError, match="1 source, 0 targets"):
        fitted.score(["a"], [])


def test_what_are_no_pairs_of_texts_is_refused(fitted):
    for run in (fitted.fit, fitted.evaluate):
        with pytest.raises(TypeError, match="Received one string: 'a dog'"):
            run("a dog", "un chien")
        with pytest.raises(TypeError, match="`targets` must be a list"):
            run(SOURCES)
    with pytest.raises(TypeError, match=r"`targets` must be .* Received: NoneType"):
        fitted.fit(SOURCES, TARGETS, validation_data=(SOURCES,))
    with pytest.raises(ValueError, match="For weights of pairs pass"):
        fitted.fit(SOURCES, TARGETS, validation_data=(SOURCES, TARGETS, np.ones(5)))


@pytest.mark.slow
@pytest.mark.tensorflow
def test_data_sets_of_strings_are_read_as_lists_are(fitted):
    texts = (np.array(texts, dtype=object) for texts in (SOURCES, TARGETS))
    dataset = PairSplit(*texts).batches(5)
    expected = fitted.evaluate(SOURCES, TARGETS, verbose=0)
    np.testing.assert_allclose(fitted.evaluate(dataset, verbose=0), expected, rtol=1e-4)
    model = _new()
    seen = model.fit(dataset, validation_data=dataset, epochs=2, verbose=0).history
    assert seen["val_loss"][1] < seen["val_loss"][0]


@pytest.mark.slow
def test_fit_resumes_from_an_epoch(monkeypatch):
    model, asked, batch = _new(), [], PairBatches.__getitem__
    monkeypatch.setattr(
        PairBatches, "__getitem__", lambda self, index: asked.append(index) or batch(self, index)
    )
    history = model.fit(SOURCES, TARGETS, batch_size=12, initial_epoch=1, epochs=3, verbose=0)
    assert history.epoch == [1, 2]
    steps = PairBatches(model.encode(SOURCES, TARGETS), 12, seed=0, epochs=1).steps
    assert model.optimizer.iterations == 2 * steps > 2
    # The first of all is only looked at, for its shapes.
    assert set(asked) - {0} == set(range(steps, 3 * steps))


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True])
@pytest.mark.parametrize("name", ["max_length", "min_count"])
def test_numbers_below_one_are_refused(name, wrong):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least 1"):
        new_translator(preprocessing={name: wrong}, **TINY)


def test_without_subwords_it_says_what_to_do():
    model = new_translator(**TINY)
    with pytest.raises(RuntimeError, match="no pieces"):
        model.translate("a")


def test_the_tokenizer_must_fit_the_network(fitted):
    small = new_translator(vocabulary_size=290, **TINY)
    with pytest.raises(ValueError, match=r"tokenizer of \d+ ids, a network of 290"):
        Translator(small.network, fitted.tokenizer)


def test_labels_are_refused():
    with pytest.raises(ValueError, match="A translator has no labels"):
        tasks.from_architecture("translation_transformer", ("a", "b"))


@pytest.mark.slow
def test_saving_keeps_subwords_and_weights(fitted, tmp_path):
    fitted.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.translate(SOURCES) == fitted.translate(SOURCES)


@pytest.fixture(scope="module")
def exported(fitted, tmp_path_factory):
    return fitted.export(tmp_path_factory.mktemp("serving") / "1", beam_size=3)


CLIENT = r"""
import json, sys
sys.modules["keras"] = sys.modules["keras_attn"] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
found = model.signatures["serving_default"](texts=tf.constant(json.loads(sys.argv[2])))
none = model.serve(texts=tf.constant([], tf.string))
assert none["text"].shape == (0,) and none["score"].shape == (0,)
invalid = model.serve(texts=tf.constant([b"a \xff dog", b"a dog"]))
assert invalid["text"].shape == (2,)
try:
    model.serve(texts=tf.constant("one text"))
except tf.errors.InvalidArgumentError as error:
    assert "Shape of tensor" in str(error), error
else:
    raise AssertionError("A scalar was accepted.")
text = [value.decode() for value in found["text"].numpy()]
known = [found[key].numpy().tolist() for key in ("characters", "known_characters")]
print(json.dumps([text, found["score"].numpy().tolist(), *known]))
"""


@pytest.mark.tensorflow
def test_the_saved_model_translates_alone(fitted, exported):
    texts = [*SOURCES, "", "😀 да", "a\x00b"]
    arguments = [sys.executable, "-c", CLIENT, str(exported), json.dumps(texts)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=exported)
    text, score, characters, known = json.loads(done.stdout.splitlines()[-1])
    expected = fitted.translate(texts, beam_size=3)
    assert text == [t.text for t in expected]
    np.testing.assert_allclose(score, [t.score for t in expected], atol=1e-3)
    assert characters == [t.characters for t in expected]
    assert known == [t.known_characters for t in expected]


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_saved_model_reads_no_more_than_its_longest(fitted, monkeypatch, tmp_path):
    import tensorflow as tf

    monkeypatch.setattr(fitted, "max_length", 6)
    assert fitted.source_ids(np.array(["dog " * 2000, "dog"])).shape == (2, 7)
    model = tf.saved_model.load(str(fitted.export(tmp_path / "1", beam_size=1)))
    found = model.serve(texts=tf.constant(["dog " * 2000, "dog " * 7, "dog " * 6]))
    assert len(set(found["text"].numpy().tolist())) == 1


@pytest.mark.slow
def test_a_saved_translator_is_read_in_a_new_process(fitted, tmp_path):
    fitted.save(tmp_path / "model.keras")
    script = (
        "import sys, keras_attn\n"
        "model = keras_attn.load(sys.argv[1])\n"
        "print(model.translate(sys.argv[2]).text)"
    )
    command = [sys.executable, "-c", script, tmp_path / "model.keras", SOURCES[0]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == fitted.translate(SOURCES[0]).text


@pytest.mark.tensorflow
def test_the_saved_model_holds_core_operations_alone(exported):
    import tensorflow as tf

    graph = tf.saved_model.load(str(exported)).signatures["serving_default"].graph.as_graph_def()
    used = {node.op for function in graph.library.function for node in function.node_def}
    used |= {node.op for node in graph.node}
    assert "StatelessWhile" in used or "While" in used
    assert not [op for op in used if op.startswith("Xla")]


@pytest.mark.tensorflow
def test_export_takes_nothing_that_it_would_ignore(fitted, tmp_path):
    with pytest.raises(ValueError, match=r"beam search.*Use 'ctranslate2'"):
        fitted.export(tmp_path / "2", format="onnx")
    with pytest.raises(TypeError, match=r"takes a path.*Received: views"):
        fitted.export(tmp_path / "2", views=2)


def test_adapt_parts_punctuation_and_leaves_out_what_is_rare():
    model = new_translator(preprocessing={"min_count": 9}, vocabulary_size=330, **TINY)
    model.adapt(["a dog."] * 9 + ["a zoo."] * 2, ["un chien."] * 11)
    pieces = model.tokenizer.pieces
    assert "\u2581dog" in pieces
    assert [piece for piece in pieces if "." in piece] == ["."]
    assert not any("z" in piece for piece in pieces)


@pytest.mark.slow
def test_a_row_that_never_ends_is_ended_by_its_own_limit_and_its_prefix_has_room():
    network = _new().network
    network.decoder_norm.gamma.assign(0 * network.decoder_norm.gamma)
    network.decoder_norm.beta.assign(0 * network.decoder_norm.beta + 1)
    network.embedding.embeddings.assign(np.eye(330, TINY["model_dim"], -9))  # id 9 for ever
    source = np.array([[5, 2, 0, 0], [5, 6, 7, 2]], "int32")

    def lengths(prefix):
        ids = search_batch(network, beam_search, {"num_beams": 1}, 256, source, prefix).ids
        return (keras.ops.convert_to_numpy(ids) != 0).sum(axis=-1)[:, 0].tolist()

    assert lengths(np.zeros((2, 0), "int32")) == [2 * 2 + 8 + 1, 2 * 4 + 8 + 1]
    assert lengths(np.full((2, 20), 9, "int32")) == [21, 21]


@pytest.mark.exhaustive
def test_what_is_written_is_spelled_as_targets_are(tmp_path):
    import tensorflow as tf

    sources = ["good\uff1f", "bad\uff01", "yes\uff0c ok"] * 4
    targets = ["\u597d\uff1f", "\u574f\uff01", "\u662f\uff0c\u300c\u2026\u300d"] * 4
    keras.utils.set_random_seed(0)
    model = new_translator(vocabulary_size=330, **TINY)
    model.adapt(sources, targets)
    pairs = model.encode(sources[:3], targets[:3])
    written = model.tokenizer.detokenize(
        tf.ragged.constant([ids.tolist() for ids in pairs.targets])
    )
    assert [text.decode() for text in written.numpy()] == targets[:3]
    assert model.tokenizer.detokenize(pairs.sources[0][None, :-1]).numpy()[0] == b"good?"
    batch, _ = model.preprocess_batch(tf.constant(sources[:3]), tf.constant(targets[:3]))
    assert batch["target"].numpy()[0].tolist()[1:][: len(pairs.targets[0])] == list(
        pairs.targets[0]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=SequenceCrossentropy())
    model.fit(sources, targets, epochs=30, verbose=0)
    assert model.translate(sources[0]).text == targets[0]
    assert model.translate(sources[0], prefix="\u597d\uff1f").text.startswith("\u597d\uff1f")
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").target_normalizer.fold is False


def test_decomposed_sources_and_targets_are_the_same_pairs(fitted):
    pairs = [
        ("d\u00f6g \ud55c", "\u00e9t\u00e9"),
        ("do\u0308g \u1112\u1161\u11ab", "e\u0301te\u0301"),
    ]
    encoded = fitted.encode(*zip(*pairs, strict=True))
    for rows in (encoded.sources, encoded.targets):
        np.testing.assert_array_equal(*rows)


def test_a_translator_of_version_0_1_folds_its_targets(fitted):
    config = fitted.get_config()
    assert Translator.from_config(config).fold_targets is False
    del config["fold_targets"]
    assert Translator.from_config(config).fold_targets is True


def test_entries_fold_targets_and_models_with_fresh_weights_do_not():
    name = "multi30k_en_de_transformer"
    assert zoo.build(name).fold_targets is True
    assert zoo.build(name, weights=None).fold_targets is False


def test_an_answer_says_how_many_characters_are_known(fitted):
    known, unknown, empty = fitted.translate(["a dog .", "\u6211 dog \U0001f600!", ""])
    assert (known.characters, known.known_characters) == (5, 5)
    assert (unknown.characters, unknown.known_characters) == (6, 3)
    assert (empty.characters, empty.coverage) == (0, None)
    best = fitted.translate("\u6211", beam_size=2, n_best=2)
    assert [answer.coverage for answer in best] == [(0, 1, "characters")] * 2
    assert coverage_warnings([best]) == [
        "the model knows 0 of 1 characters. The answer says little about the text."
    ]


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("change", ["lora", "int8"])
def test_a_translation_is_that_of_the_changed_network(change):
    model = _new()
    text = "a dog runs . two cats sleep ."
    before = model.translate(text)
    if change == "int8":
        model.quantize("int8")
    else:
        for layer in model.network._flatten_layers():
            if isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense) and layer.built:
                layer.enable_lora(2)
                noise = np.random.default_rng(0).normal(0, 1, layer.lora_kernel_b.shape)
                layer.lora_kernel_b.assign(noise)
    after = model.translate(text)
    model._searches = Searches(model.network)  # with nothing compiled
    assert (after.text, after.score) == (model.translate(text).text, model.translate(text).score)
    assert after.score != before.score
