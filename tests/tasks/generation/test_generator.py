"""Text generation: fitting, generation, its options, scores, explanation, saving and export."""

import math
import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pandas as pd
import pytest

import keras_attn
from keras_attn import training
from keras_attn.datasets import Dataset
from keras_attn.datasets.documents import document_split
from keras_attn.models.causal_transformer import AveragingBlock
from keras_attn.recipes import describe_task, parse_recipe
from keras_attn.tasks import TextGenerator, from_architecture
from keras_attn.tasks.generation._random_numbers import RANDOM_BITS, random_numbers

pytestmark = pytest.mark.tensorflow
LINES = [f"the {animal} sat on the {thing}.\n" for animal in ("cat", "dog", "cow", "hen")
         for thing in ("mat", "log", "hay", "box")]  # fmt: skip
SETTINGS = {"vocabulary_size": 40, "context_length": 16, "model_dim": 32, "num_heads": 2}
SETTINGS |= {"num_layers": 1, "intermediate_dim": 64}


@pytest.fixture(scope="module")
def generator():
    """A generator that has learned `LINES`."""
    keras.utils.set_random_seed(0)
    model = from_architecture("causal_transformer", **SETTINGS)
    model.adapt(LINES)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=model.loss, metrics=[])
    model.fit(LINES, epochs=40, batch_size=8, verbose=0)
    return model


def test_it_learns_to_write_what_it_was_fitted_to(generator):
    answer = generator.generate("the cat", beam_size=1)
    assert answer.text in LINES
    assert answer.finished
    assert answer.prompt == "the cat"
    assert answer.text == answer.prompt + answer.completion
    texts = [answer.text for answer in generator.generate([""] * 20, seed=1, temperature=0.5)]
    assert sum(text in LINES for text in texts) >= 15
    assert len(set(texts)) > 3


def test_answers_do_not_depend_on_the_batch(generator):
    prompts = ["the cat", "", "the dog sat", "th"]
    options = {"seed": 3, "max_length": 20}
    together = generator.generate(prompts, **options)
    in_parts = generator.generate(prompts, batch_size=1, **options)
    for first, second in zip(together, in_parts, strict=True):
        assert first.text == second.text
        assert first.score == pytest.approx(second.score, abs=1e-3)
    again = generator.generate(pd.Series(prompts), **options)
    assert [answer.text for answer in again] == [answer.text for answer in together]
    other = generator.generate(prompts, **{**options, "seed": 4})
    assert [answer.text for answer in other] != [answer.text for answer in together]


def test_scores_are_those_of_the_completion_alone(generator):
    answer = generator.generate("the cat", seed=0)
    whole, prompt = generator.score([answer.text, "the cat"])
    # `score` counts the end of the prompt, too, which a completion does not have.
    (ids,) = generator.encode(["the cat"]).documents
    logits = generator.predict_on_batch(np.concatenate([[1], ids])[None])
    end = keras.ops.convert_to_numpy(keras.ops.log_softmax(logits[0, -1]))[2]
    assert answer.finished
    assert answer.score == pytest.approx(whole - (prompt - end), abs=1e-3)
    short = generator.generate("the cat", max_length=3, seed=0)
    assert not short.finished
    assert len(short.completion) == 3
    assert short.score > answer.score  # without the end that was not written


def test_several_completions_come_likeliest_first(generator):
    (answers,) = generator.generate(["the"], n=4, seed=0)
    scores = [answer.score for answer in answers]
    assert scores == sorted(scores, reverse=True)
    assert len({answer.text for answer in answers}) > 1
    beams = generator.generate("the", n=3, beam_size=3)
    assert beams[0].score >= max(answer.score for answer in answers) - 1e-3


def test_stop_strings_end_a_completion(generator):
    answer = generator.generate("the cat", stop=" on", beam_size=1)
    assert answer.completion == " sat"
    assert answer.finished
    first = generator.generate("the cat", stop=["mat", "sat"], beam_size=1)
    assert first.completion == " "


def test_options_narrow_the_choice(generator):
    best = generator.generate("the cow", beam_size=1).text
    assert generator.generate("the cow", top_k=1, seed=5).text == best
    assert generator.generate("the cow", top_p=1e-6, seed=5).text == best
    assert generator.generate("the cow", temperature=1e-4, seed=5).text == best
    text = generator.generate("", seed=1, max_length=60, no_repeat_ngram_size=3).completion
    trigrams = [text[n : n + 3] for n in range(len(text) - 2)]
    assert len(trigrams) == len(set(trigrams))


def test_unknown_characters_are_read_and_never_written(generator):
    answer = generator.generate("the 猫", seed=0)
    assert (answer.characters, answer.known_characters) == (5, 4)
    assert "\ufffd" not in answer.completion
    assert answer.coverage == (4, 5, "characters")
    assert answer.prompt == "the 猫"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, r"`temperature` must be a positive number.*beam_size=1"),
        ({"temperature": float("nan")}, "`temperature`"),
        ({"top_p": 1.5}, r"`top_p` must be a probability"),
        ({"top_k": 0}, "top_k"),
        ({"max_length": 0}, "max_length"),
        ({"n": 0}, "`n`"),
        ({"seed": -1}, "`seed` must be an integer from 0"),
        ({"seed": 1.5}, "`seed`"),
        ({"stop": ""}, "`stop` must not be empty"),
        ({"beam_size": 2, "seed": 1}, "`seed` does not apply"),
        ({"beam_size": 2, "n": 3}, "at most `beam_size`"),
        ({"batch_size": 0}, "batch_size"),
        ({"no_repeat_ngram_size": 0}, "no_repeat_ngram_size"),
    ],
)
def test_impossible_options_are_refused(generator, options, message):
    with pytest.raises(ValueError, match=message):
        generator.generate("the", **options)


def test_what_is_no_text_is_refused(generator):
    with pytest.raises(TypeError, match="element 1"):
        generator.generate(["the", None])
    with pytest.raises(TypeError, match="`stop` must be a string or a list"):
        generator.generate("the", stop=3)
    with pytest.raises(TypeError, match="calls its network on ids"):
        generator(["the"])
    with pytest.raises(TypeError, match="`predict` takes ids"):
        generator.predict(["the"])
    with pytest.raises(TypeError, match="must be one string"):
        generator.explain(["the"])
    with pytest.raises(ValueError, match="at least one token"):
        generator.explain("")
    for x in ("the cat", pathlib.Path("the.txt"), pd.DataFrame({"text": LINES})):
        with pytest.raises(TypeError, match="`x` must be a list"):
            generator.fit(x)
    new = from_architecture("causal_transformer", **SETTINGS)
    with pytest.raises(ValueError, match=r"Call generator.adapt\(texts\)"):
        new.generate("the")
    with pytest.raises(ValueError, match="empty texts"):
        new.adapt([""])
    subwords = from_architecture(
        "causal_transformer", preprocessing={"tokens": "subwords"}, **SETTINGS
    )
    with pytest.raises(ValueError, match="a `vocabulary_size` above 259"):
        subwords.adapt(LINES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [1]}, "`y` is not supported.*predicts the texts themselves"),
        ({"sample_weight": [1.0]}, "`sample_weight` is not supported"),
        ({"class_weight": {0: 1.0}}, "`class_weight` is not supported"),
        ({"validation_split": 0.1}, "validation_data=texts"),
        ({"x": []}, "Received: 0 empty documents"),
        ({"x": ["", ""]}, "must have a document that is not empty"),
    ],
)
def test_arguments_that_do_not_apply_are_refused(generator, arguments, message):
    with pytest.raises(ValueError, match=message):
        generator.fit(**{"x": LINES, "verbose": 0, **arguments})


def test_data_sets_of_strings_give_the_same_loss_as_lists(generator):
    import tensorflow as tf

    texts = ["the cat sat on the mat. " * 5, "hen", ""]
    expected = generator.evaluate(texts, verbose=0)
    batches = tf.data.Dataset.from_tensor_slices(texts).batch(2)
    assert generator.evaluate(batches, verbose=0) == pytest.approx(expected, abs=1e-5)
    loss = expected[0] if isinstance(expected, list) else expected
    metrics = generator.evaluate_split(document_split(texts))
    assert metrics["loss"] == pytest.approx(loss, abs=1e-5)
    assert metrics["tokens"] == sum(map(len, texts)) + 3
    assert metrics["perplexity"] == pytest.approx(np.exp(loss), rel=1e-4)
    assert metrics["character_loss"] > metrics["loss"]  # ends are predicted, but no characters


def test_the_loss_is_that_of_numpy(generator):
    text = "the dog"
    (ids,) = generator.encode([text]).documents
    tokens = np.concatenate([[1], ids, [2]])
    logits = generator.predict_on_batch(tokens[None, :-1])[0].astype("float64")
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -log_probabilities[np.arange(len(ids) + 1), tokens[1:]].mean()
    assert generator.evaluate_split(document_split([text]))["loss"] == pytest.approx(expected)


def test_validation_texts_may_be_one_document(generator):
    history = generator.fit(LINES[:2], epochs=1, verbose=0, validation_data=LINES[:1])
    assert np.isfinite(history.history["val_loss"]).all()


def test_explanations_show_surprise_and_attention(generator):
    before = generator.network.embedding.embeddings.numpy()
    generator.network.embedding.embeddings.assign(np.concatenate([before[:-1], before[5:6] * 9]))
    likeliest = generator.explain("the cat").most_likely  # an id without a character is not shown
    generator.network.embedding.embeddings.assign(before)
    assert all(len(token) == 1 or token == "<end>" for token in likeliest)
    explanation = generator.explain("the cat sat on the zzz")
    assert explanation.tokens == (*"the cat sat on the ", *["<unknown>"] * 3)
    assert explanation.surprisal.shape == (22,)
    assert explanation.surprisal[-1] > explanation.surprisal[5:15].mean()
    assert explanation.attention.shape == (1, 2, 22, 22)
    np.testing.assert_allclose(explanation.attention.sum(axis=-1), 1.0, atol=1e-5)
    total = -generator.score(["the cat sat on the zzz"])[0]
    assert explanation.surprisal.sum() < total  # which also counts the end
    assert explanation.perplexity == pytest.approx(np.exp(explanation.surprisal.mean()))
    assert "surprisal" in str(explanation)
    assert explanation.plot().axes
    assert "nats; likeliest" in explanation.to_page()
    assert set(explanation.to_dict()) >= {"tokens", "surprisal", "attention"}
    with pytest.raises(ValueError, match="one of 1 layers"):
        explanation.plot(layer=3)


def test_effects_are_those_of_leaving_characters_out(generator):
    explanation, shorter = generator.explain("the cat"), generator.explain("thecat")
    change = shorter.surprisal[3:] - explanation.surprisal[4:]
    np.testing.assert_allclose(explanation.leave_one_out[4:, 3], change, atol=1e-4)
    assert not np.triu(explanation.leave_one_out).any()
    assert -1.0 <= explanation.agreement["attention"] <= 1.0
    assert generator.explain("t").agreement == {"attention": None}
    quick = generator.explain("the cat", leave_one_out=False)
    assert quick.leave_one_out is quick.to_dict()["leave_one_out"] is None
    assert quick.agreement == {}
    assert len(quick.plot().axes) == 2 + 1  # with the color bar
    assert "Perplexity" in str(quick)


def test_html_escapes_what_it_shows(generator):
    assert "<script>" not in generator.explain("<script>").to_html()


def test_a_saved_model_writes_the_same(generator, tmp_path):
    generator.save(tmp_path / "m.keras")
    loaded = keras_attn.load(tmp_path / "m.keras")
    options = {"seed": 7, "max_length": 30}
    assert loaded.generate("the", **options) == generator.generate("the", **options)
    assert loaded.tokenizer.characters == generator.tokenizer.characters


def test_weights_of_another_vocabulary_are_refused(generator, tmp_path):
    generator.save_weights(tmp_path / "m.weights.h5")
    other = from_architecture("causal_transformer", **SETTINGS)
    other.adapt(["quite other characters"])
    with pytest.raises(ValueError, match="another vocabulary"):
        other.load_weights(tmp_path / "m.weights.h5")


def test_a_network_too_small_for_the_characters_is_named():
    model = from_architecture("causal_transformer", **{**SETTINGS, "vocabulary_size": 8})
    with pytest.raises(ValueError, match=r"different characters.*vocabulary_size="):
        model.adapt(LINES)
    with pytest.raises(ValueError, match="has no labels"):
        TextGenerator.from_architecture("causal_transformer", label_names=["a", "b"])
    with pytest.raises(ValueError, match="`tokens` must be 'characters' or 'subwords'"):
        from_architecture("causal_transformer", preprocessing={"tokens": "words"})


def test_subwords_take_the_place_of_characters():
    keras.utils.set_random_seed(0)
    model = from_architecture(
        "causal_transformer", preprocessing={"tokens": "subwords"},
        **{**SETTINGS, "vocabulary_size": 300},
    )  # fmt: skip
    texts = [line.strip() for line in LINES]
    model.adapt(texts)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=model.loss)
    model.fit(texts, epochs=30, batch_size=8, verbose=0)
    answer = model.generate("the cat sat", beam_size=1)
    assert answer.text in texts
    metrics = model.evaluate_split(document_split(texts))
    assert metrics["tokens"] < metrics["characters"]
    assert metrics["character_loss"] < metrics["loss"]
    assert model.example_answers(document_split(texts))


SERVE = """
    import sys
    sys.modules["keras"] = sys.modules["keras_attn"] = None
    import tensorflow as tf
    serve = tf.saved_model.load({path!r}).signatures["serving_default"]
    def ask(texts, seed):
        answer = serve(texts=tf.constant(texts, tf.string), seed=tf.constant(seed, tf.int64))
        return {{key: value.numpy().tolist() for key, value in answer.items()}}
    first, again, other = (ask(["the cat", "", "the 猫"], seed) for seed in (1, 1, 2))
    assert first == again and first != other, (first, other)
    assert ask(["the cat"], 1)["completion"][0] == first["completion"][0]
    assert ask([], 1)["text"] == []
    for prompt, text, completion in zip(
        ["the cat", "", "the 猫"], first["text"], first["completion"]
    ):
        assert text.decode() == prompt + completion.decode(), (text, completion)
        assert b"." not in completion
    print(first["score"][0])
"""


@pytest.mark.slow
def test_a_saved_model_generates_without_keras(generator, tmp_path):
    generator.export(tmp_path / "s", max_length=40, stop=".", temperature=0.7)
    code = textwrap.dedent(SERVE).format(path=str(tmp_path / "s"))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert float(result.stdout.split()[-1]) < 0.0


def recipe(**training_settings):
    return parse_recipe(
        {
            "task": "text_generation",
            "description": "small",
            "dataset": "shakespeare",
            "architecture": "causal_transformer",
            "model": SETTINGS,
            "variants": {"no_attention": {"attention": "none"}},
            "optimizer": {"name": "adamw", "learning_rate": 0.01},
            "training": {"epochs": 2, "batch_size": 8, **training_settings},
        }
    )


def dataset():
    splits = {"train": LINES, "validation": LINES[:4], "test": LINES[4:8]}
    readers = {name: (lambda part=part: document_split(part)) for name, part in splits.items()}
    return Dataset("shakespeare", (), readers, "en")


@pytest.mark.parametrize("variant", [None, "no_attention"])
def test_a_run_records_its_losses_and_resumes(variant, tmp_path):
    options = {"variant": variant, "dataset": dataset(), "verbose": 0}
    run = training.train(recipe(), tmp_path / "a", **options)
    metrics = run.record["metrics"]["test"]
    assert metrics["tokens"] == sum(map(len, LINES[4:8])) + 4
    assert run.record["history"]["val_loss"][1] < run.record["history"]["val_loss"][0]
    assert run.model.generate("the", seed=1).text.startswith("the")
    again = training.train(recipe(), tmp_path / "a", resume=True, **options)
    assert again.record == run.record
    assert again.model.generate("the", seed=1) == run.model.generate("the", seed=1)


def test_cards_show_losses_and_the_difference_of_attention(tmp_path):
    runs = {
        name: [training.train(recipe(), tmp_path / f"{variant}", variant=variant,
                              dataset=dataset(), verbose=0).record]
        for name, variant in (("", None), ("no_attention", "no_attention"))
    }  # fmt: skip
    sections = "\n".join(describe_task("text_generation").card_results(recipe(), runs))
    for text in ("loss per token", "test perplexity", "Without attention", "windows of 16 tokens"):
        assert text in sections
    task = describe_task("text_generation")
    assert "perplexity" in task.summary(runs[""][0]["metrics"]["test"])
    assert task.metric_columns(runs[""][0]["metrics"]["test"]).keys() >= {"loss per token"}


def test_examples_continue_the_beginnings_of_documents(generator):
    examples = generator.example_answers(document_split(LINES), 3)
    assert [example.input for example in examples] == [line[:40].rstrip("\n") for line in LINES[:3]]
    whole = generator.example_answers(document_split(["".join(LINES)]), 3)
    assert len(whole) == 3
    assert all(example.input and example.target in "".join(LINES) for example in whole)


STOPS = ["sat on", "on", "t on t"]


def test_scores_end_with_the_stop_string(generator):
    prompts = ["the cat", "the dog sat"]
    answers = generator.generate(prompts, stop=STOPS, beam_size=1)
    for prompt, answer in zip(prompts, answers, strict=True):
        whole = generator.generate(prompt, beam_size=1)
        # "on" and "sat on" end together: the longer one is left out of the text.
        stop = "sat on" if prompt == "the cat" else "on"
        length = whole.completion.index(stop) + len(stop)
        assert answer.completion == whole.completion[: length - len(stop)]
        cut = generator.generate(prompt, max_length=length, beam_size=1)
        assert answer.score == pytest.approx(cut.score, abs=1e-4)
        assert answer.score > whole.score


@pytest.mark.parametrize("tokens", ["characters", "subwords"])
def test_the_graph_draws_stops_and_scores_as_python_does(tokens, generator):
    import tensorflow as tf

    model = generator
    if tokens == "subwords":
        model = from_architecture(
            "causal_transformer", preprocessing={"tokens": "subwords"},
            **{**SETTINGS, "vocabulary_size": 300},
        )  # fmt: skip
        model.adapt([line.strip() for line in LINES])
        model.fit([line.strip() for line in LINES], epochs=2, batch_size=8, verbose=0)
    prompts = ["the cat", "", "the dog sat "]
    options = {"max_length": 24, "temperature": 1.0}
    stop = ["on", "e", "at t"]
    serve = model.serving_function(stop=stop, **options)
    for seed in (1, 2**31 - 1):
        outputs = serve(tf.constant(prompts), tf.constant(seed, tf.int64))
        answers = model.generate(prompts, seed=seed, stop=stop, **options)
        texts = [text.decode() for text in outputs["completion"].numpy()]
        assert texts == [answer.completion for answer in answers]
        scores = [answer.score for answer in answers]
        np.testing.assert_allclose(outputs["score"].numpy(), scores, atol=1e-3)


def test_long_prompts_cost_no_more_than_the_receptive_field(generator, monkeypatch):
    import tensorflow as tf

    prompts = ["".join(LINES * 4) + "the cat", "the dog"]
    options = {"seed": 2, "max_length": 20}
    searched = []
    function = generator._search._function

    def recording(*arguments):
        run = function(*arguments)
        return lambda prefix, numbers: searched.append(prefix.shape) or run(prefix, numbers)

    monkeypatch.setattr(generator._search, "_function", recording)
    answers = generator.generate(prompts, **options)
    generator.generate(prompts, no_repeat_ngram_size=8, **options)
    field = generator.network.receptive_field
    assert searched[0][1] <= 16 * math.ceil(field / 16) < len(prompts[0])
    assert searched[1][1] > len(prompts[0])  # all of the prompt counts
    serve = generator.serving_function(max_length=20)
    served = serve(tf.constant(prompts), tf.constant(2, tf.int64))
    network = type(generator.network)
    monkeypatch.setattr(network, "receptive_field", 10**9)
    whole = generator.generate(prompts, **options)
    assert [x.text for x in answers] == [x.text for x in whole]
    assert [x.decode() for x in served["text"].numpy()] == [x.text for x in whole]
    for scores in ([x.score for x in answers], served["score"].numpy()):
        np.testing.assert_allclose(scores, [x.score for x in whole], atol=1e-3)


def test_random_numbers_are_uniform_and_independent():
    numbers = random_numbers(
        np.int64(5), np.arange(40)[:, None, None], np.arange(5)[:, None], np.arange(200)
    )
    values = numbers.ravel() / 2**RANDOM_BITS
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 43.8  # chi-square, 19 degrees, p = 0.001
    for axis in range(3):
        first, second = numbers.take(range(4), axis), numbers.take(range(1, 5), axis)
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1
    others = random_numbers(np.int64(6), np.arange(40)[:, None, None], 0, np.arange(200))
    assert abs(np.corrcoef(others.ravel(), numbers[:, :1].ravel())[0, 1]) < 0.05
    large = random_numbers(np.int64(2**40 + 5), np.int64(0), np.int64(0), np.arange(200))
    assert (large != numbers[0, 0]).all()


def test_the_sliding_loss_reads_a_full_context(generator):
    text = "".join(LINES[:6])
    metrics = generator.evaluate_split(document_split([text]))
    tokens = generator.encode([text]).tokens(0)
    length, losses = SETTINGS["context_length"], []
    for start in range(0, len(tokens) - 1, length):
        begin, end = max(0, start - length), min(start + length, len(tokens) - 1)
        logits = generator.predict_on_batch(tokens[None, begin:end])[0, start - begin :]
        log_probabilities = keras.ops.convert_to_numpy(keras.ops.log_softmax(logits))
        losses += [-row[token] for row, token in
                   zip(log_probabilities, tokens[start + 1 : end + 1], strict=True)]  # fmt: skip
    assert len(losses) == metrics["tokens"]
    assert metrics["sliding_loss"] == pytest.approx(np.mean(losses), abs=1e-4)


def test_the_mean_of_values_is_exact_in_half_precision():
    block = AveragingBlock(8, dtype="mixed_bfloat16")
    block.build((None, None, 4))
    cache = block.make_cache(1)
    x = np.ones((1, 1000, 4), "float32")
    _, cache = block(x, cache=cache)
    assert float(cache["count"][0, 0]) == 1000


def test_a_recipe_follows_the_size_of_other_texts():
    text = "".join(chr(0x4E00 + n) for n in range(300)) * 3
    task = describe_task("text_generation")
    adapted, notes = task.fit_to_data(recipe(), document_split([text]))
    assert adapted.model["vocabulary_size"] == 304
    assert any("300 characters" in note for note in notes)
    run_model = from_architecture("causal_transformer", **adapted.model)
    run_model.adapt([text])
    assert run_model.tokenizer.size == 304


def test_beam_search_finds_the_likeliest_completion():
    keras.utils.set_random_seed(0)
    settings = {**SETTINGS, "vocabulary_size": 16, "model_dim": 16, "intermediate_dim": 32}
    model = from_architecture("causal_transformer", **settings)
    documents = ["ab"] * 4 + ["acdefgh"] * 6
    model.adapt(documents)
    model.compile(optimizer=keras.optimizers.Adam(3e-2), loss=model.loss, metrics=[])
    model.fit(documents, epochs=60, verbose=0)
    cut, ended = (model.generate("a", max_length=3, beam_size=4, n=n) for n in (1, 3))
    assert cut.completion == "cde"  # its end would be unlikely
    assert ended[0].completion == "cde"
    assert ended[1].completion == "b"
    assert cut.score == pytest.approx(ended[0].score, abs=1e-5)
