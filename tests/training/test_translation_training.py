"""A recipe of translation, trained for a moment: resumed, recorded, measured."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_attn import datasets, models, tasks, training
from keras_attn.layers._tied_embedding import TiedEmbedding
from keras_attn.ops import crossentropy
from keras_attn.recipes import Recipe, RecipeError, parse_recipe
from keras_attn.tasks.sequence_loss import TiedCrossentropy
from keras_attn.tasks.translation import quality
from keras_attn.tasks.translation.training_data import TranslationObjective, ValidationBleu
from keras_attn.training.learner import Learner

WORDS = {"a": "un", "the": "le", "dog": "chien", "cat": "chat", "runs": "court", "eats": "mange"}


def _split(rows: range) -> datasets.PairSplit:
    rng = np.random.default_rng([1, rows.start])
    sources, targets = [], []
    for _ in rows:
        picked = [rng.choice(pair) for pair in (("a", "the"), ("dog", "cat"), ("runs", "eats"))]
        sources.append(" ".join(picked))
        targets.append(" ".join(WORDS[word] for word in picked))
    return datasets.PairSplit(np.array(sources, object), np.array(targets, object))


@pytest.fixture(scope="module")
def dataset():
    splits = {"train": range(60), "validation": range(60, 70), "test": range(70, 80)}
    readers = {name: (lambda rows=rows: _split(rows)) for name, rows in splits.items()}
    return datasets.Dataset("multi30k_en_fr", (), {**readers, "test_coco": readers["test"]}, "fr")


def _recipe(**changes) -> Recipe:
    return parse_recipe(
        {
            "task": "translation",
            "description": "",
            "dataset": "multi30k_en_fr",
            "architecture": "translation_transformer",
            "model": {
                "vocabulary_size": 320,
                "model_dim": 16,
                "encoder_layers": 1,
                "decoder_layers": 1,
                "num_heads": 2,
                "intermediate_dim": 16,
                "dropout": 0.1,
            },
            "subwords": {"dropout": 0.1},
            "optimizer": {"name": "adamw", "learning_rate": 0.01, "beta_2": 0.98},
            "training": {
                "epochs": 2,
                "batch_size": 100,
                "label_smoothing": 0.1,
                "ema": 0.9,
                "r_drop": 1.0,
            },
            **changes,
        }
    )


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return training.train(_recipe(), folder, dataset=dataset, verbose=0)


@pytest.fixture
def unmeasured(monkeypatch):
    """Do not translate the splits at the end of training, for tests that read no metrics."""
    monkeypatch.setattr(tasks.Translator, "evaluate_split", lambda *_, **__: {"bleu": 0.0})


@pytest.fixture
def without_bleu(unmeasured, monkeypatch):
    """Do not translate after epochs either."""
    monkeypatch.setattr(ValidationBleu, "on_epoch_end", lambda *_, **__: None)


@pytest.mark.slow
def test_the_record_has_the_metrics_of_every_split(whole, dataset):
    record = json.loads((whole.folder / "record.json").read_text())
    assert set(record["metrics"]) == {"validation", "test", "test_coco"}
    test = record["metrics"]["test"]
    assert 0.0 <= test["bleu"] <= 100.0
    assert test["bleu_interval"][0] <= test["bleu"] <= test["bleu_interval"][1]
    assert "tok:13a" in test["bleu_signature"]
    assert test["beam_size"] == 5
    assert {"chrf", "bleu_lowercased_tokens", "loss", "accuracy", "examples"} <= set(test)
    scores = whole.model.score(list(dataset["test"].sources), list(dataset["test"].targets))
    lengths = whole.model.encode(dataset["test"].sources, dataset["test"].targets)
    assert test["loss"] == pytest.approx(-scores.sum() / lengths.target_lengths.sum(), rel=1e-4)
    _, accuracy = whole.model.evaluate(dataset["test"].sources, dataset["test"].targets)
    assert test["accuracy"] == pytest.approx(accuracy, rel=1e-4)
    assert record["parameters"] == whole.model.network.count_params()
    assert record["vocabulary_sha256"]
    epochs = list(csv.DictReader((whole.folder / "log.csv").read_text().splitlines()))
    assert all("val_bleu" in row for row in epochs)
    assert float(epochs[-1]["loss"]) < float(epochs[0]["loss"])
    lengths = [len(text.split()) + 1 for text in dataset["train"].sources]
    assert np.mean(lengths) == 4
    assert record["train_flops"] == 3 * record["forward_flops"] * 2 * 60 * 2


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(whole, dataset, tmp_path):
    class StopError(Exception):
        pass

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            if epoch == 1:
                raise StopError

    settings = {"dataset": dataset, "verbose": 0}
    with pytest.raises(StopError):
        training.train(_recipe(), tmp_path / "run", callbacks=[Stop()], **settings)
    resumed = training.train(_recipe(), tmp_path / "run", resume=True, **settings)
    for ours, theirs in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_what_was_written_is_read_by_a_fresh_model(whole, dataset):
    fresh = tasks.from_architecture(
        "translation_transformer", preprocessing=_recipe().preprocessing, **_recipe().model
    )
    fresh.read_assets(whole.folder)
    fresh.load_weights(whole.folder / "model.weights.h5")
    sources = list(dataset["test"].sources)
    assert fresh.translate(sources) == whole.model.translate(sources)


def test_bleu_counts_what_sacrebleu_counts():
    split = datasets.PairSplit(
        np.array(["a", "b"], object),
        np.array(["The dog runs in the park .", "L'homme mange ."], object),
        (("The dog runs in the park .", "A dog is running ."), ("L'homme mange .",)),
    )
    perfect = ["A dog is running .", "L'homme mange ."]
    assert quality.corpus_bleu(perfect, split)["bleu"] == pytest.approx(100.0)
    assert quality.corpus_chrf(perfect, split)["chrf"] == pytest.approx(100.0)
    lower = [text.lower() for text in perfect]
    assert quality.corpus_bleu(lower, split)["bleu"] < 100.0
    cut = quality.lowercased_token_bleu(lower, dataclasses.replace(split, target_language="fr"))
    assert cut == {"bleu_lowercased_tokens": pytest.approx(100.0), "token_language": "fr"}
    assert quality.references(split) == [
        ["The dog runs in the park .", "L'homme mange ."],
        ["A dog is running .", None],
    ]


def test_bleu_of_chinese_counts_characters():
    targets = np.array(["汤姆昨天在图书馆说谎了。", "我认识他的妹妹。"], object)
    split = datasets.PairSplit(np.array(["a", "b"], object), targets, target_language="zh")
    perfect = quality.corpus_bleu(list(targets), split)
    assert perfect["bleu"] == pytest.approx(100.0)
    assert "tok:zh" in perfect["bleu_signature"]
    assert 50.0 < quality.corpus_bleu(["汤姆昨天在图书馆说谎。", targets[1]], split)["bleu"] < 100.0


def test_tokens_are_cut_by_the_rules_of_the_language():
    targets, written = np.array(["C'est l'homme qui dort ici."], object), ["la homme qui dort ici."]
    scores = {}
    for language in ("fr", "en"):
        split = datasets.PairSplit(targets, targets, target_language=language).take([0])
        found = quality.lowercased_token_bleu(written, split)
        assert found["token_language"] == language
        scores[language] = found["bleu_lowercased_tokens"]
    assert scores["fr"] > scores["en"]  # "homme" is a token in French alone
    assert quality.lowercased_token_bleu(written, datasets.PairSplit(targets, targets)) == {}


@pytest.mark.parametrize(
    ("section", "values"), [("text", {"once": True}), ("augmentation", {"flip": True})]
)
def test_sections_of_other_tasks_are_refused(section, values):
    with pytest.raises(RecipeError, match=f"{section}: unknown key.*subwords"):
        _recipe(**{section: values})


def test_subwords_are_of_translation_alone():
    recipe = _recipe(subwords={"max_length": 50, "dropout": 0.2})
    assert recipe.preprocessing == {
        "max_length": 50,
        "lowercase": False,
        "min_count": 2,
        "fold_targets": False,
    }


@pytest.mark.slow
def test_training_words_are_cut_otherwise_in_each_epoch_and_the_same_again(whole, dataset):
    data = whole.model.training_data(dataset, _recipe())

    def first(epoch: int) -> list[bytes]:
        batches = data.batches(10_000, seed=0, epochs=2)
        inputs, _ = batches[epoch * batches.steps]
        return sorted(row.tobytes() for row in np.asarray(inputs["source"]))

    assert first(0) == first(0)
    assert first(0) != first(1)
    assert len(first(0)) == 2 * 60  # each pair twice, for R-Drop
    assert [side.rate for side in data.subword_dropout] == [0.1, 0.1]


@pytest.mark.exhaustive
@pytest.mark.usefixtures("without_bleu")
@pytest.mark.parametrize("epochs", [1, 20])
def test_an_epoch_has_as_many_batches_as_the_schedule_counts(dataset, tmp_path, epochs):
    """Words that are cut otherwise are longer, and there is a batch more of them."""
    recipe = _recipe(subwords={"dropout": 0.5})
    settings = recipe.training.model_copy(update={"epochs": epochs})
    recipe = recipe.model_copy(update={"training": settings})

    class Count(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.seen = int(self.model.optimizer.iterations)

    counted = Count()
    settings = {"dataset": dataset, "callbacks": [counted], "verbose": 0}
    run = training.train(recipe, tmp_path / "run", **settings)
    assert len((run.folder / "log.csv").read_text().splitlines()) == 1 + epochs
    schedule = counted.model.optimizer.get_config()["learning_rate"]["config"]
    assert counted.seen == schedule["total_steps"]


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
def test_bleu_is_computed_after_every_few_epochs_and_after_the_last(dataset, tmp_path):
    settings = {"epochs": 3, "bleu_epochs": 2, "batch_size": 1000}
    run = training.train(_recipe(training=settings), tmp_path / "run", dataset=dataset, verbose=0)
    with (run.folder / "log.csv").open() as file:
        computed = [row["val_bleu"] != "" for row in csv.DictReader(file)]
    assert computed == [False, True, True]


@pytest.mark.slow
@pytest.mark.usefixtures("without_bleu")
def test_steps_are_compiled_and_not_run_operation_by_operation(dataset, tmp_path, monkeypatch):
    shapes = []
    compute_loss = Learner.compute_loss

    def count(self, x=None, y=None, *args, training=True, **kwargs):
        if training:
            shapes.append(y.shape)
        return compute_loss(self, x, y, *args, training=training, **kwargs)

    monkeypatch.setattr(Learner, "compute_loss", count)
    recipe = _recipe(subwords={}, training={"epochs": 5, "bleu_epochs": 5, "batch_size": 100})
    training.train(recipe, tmp_path / "run", dataset=dataset, verbose=0)
    assert 1 <= len(shapes) <= 3  # of 5 epochs with several steps each


@pytest.mark.slow
def test_a_run_reads_what_its_recipe_says(whole, dataset):
    data = whole.model.training_data(dataset, _recipe())
    assert data.objective.loss.label_smoothing == 0.1
    assert data.objective.r_drop == 1.0
    validation = data.validation_batches(1)
    batches = [validation[index] for index in range(len(validation))]
    tokens = sum(int((targets != 0).sum()) for _, targets in batches)
    assert tokens == data.validation_pairs.target_lengths.sum()
    assert len(data.validation_pairs) == len(dataset["validation"])
    assert [type(callback) for callback in data.callbacks()] == [ValidationBleu]
    assert (whole.folder / "best.weights.h5").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("without_bleu")
def test_subwords_are_learnt_of_training_pairs_alone(dataset, tmp_path):
    strange = np.array(["q q q q q"] * 9, object)
    held_out = datasets.PairSplit(strange, strange)
    readers = {"train": lambda: dataset["train"], "validation": lambda: held_out}
    both = datasets.Dataset("multi30k_en_fr", (), readers)
    settings = _recipe().training.model_copy(update={"epochs": 1})
    recipe = _recipe().model_copy(update={"training": settings})
    model = training.train(recipe, tmp_path / "run", dataset=both, verbose=0).model
    assert model.tokenizer.pieces
    assert not any("q" in piece for piece in model.tokenizer.pieces)


@pytest.mark.parametrize("r_drop", [0.0, 2.0])
@pytest.mark.parametrize("architecture", ["translation_transformer", "recurrent_translator"])
def test_the_loss_in_blocks_trains_as_the_loss_of_all_logits(architecture, r_drop, monkeypatch):
    monkeypatch.setattr(crossentropy, "MIN_ROWS", 16)  # three blocks, the last one padded
    monkeypatch.setattr(crossentropy, "MAX_LOGITS", 16 * 300)
    logits, computed = TiedEmbedding.logits, []
    monkeypatch.setattr(TiedEmbedding, "logits", lambda *a: computed.append(a) or logits(*a))
    sizes = {"vocabulary_size": 300, "model_dim": 16, "dropout": 0.3}
    if architecture == "translation_transformer":
        sizes |= {"encoder_layers": 1, "decoder_layers": 1, "num_heads": 2, "intermediate_dim": 16}
    else:
        sizes |= {"units": 12}  # the states are mapped to 16 features before the logits
    ids = np.random.default_rng(0).integers(3, 300, (6, 7)).astype("int32")
    ids[1::2] = ids[::2]  # copies
    ids[2:4, 5:] = 0
    inputs, targets = {"source": ids, "target": ids}, np.roll(ids, -1, axis=1)
    logs, weights, counts = [], [], []
    for in_blocks in (True, False):
        keras.utils.set_random_seed(0)
        task = tasks.from_architecture(architecture, **sizes)
        objective = TranslationObjective(0.1, r_drop, task if in_blocks else None)
        assert isinstance(objective.loss, TiedCrossentropy) == in_blocks
        learner = Learner(task, objective, [])
        optimizer = keras.optimizers.SGD(0.5)
        learner.compile(optimizer, loss=objective.loss, metrics=objective.metrics)
        logs.append([learner.train_on_batch(inputs, targets, return_dict=True) for _ in range(3)])
        distinct = {name: np.roll(value, 1, axis=0)[:4] for name, value in inputs.items()}
        logs[-1].append(learner.test_on_batch(distinct, targets[:4], return_dict=True))
        weights.append(task.get_weights())
        counts.append(len(computed))
        computed.clear()
    assert counts[0] == 0 < counts[1]
    for ours, theirs in zip(*logs, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


class WithBias(models.TranslationTransformer):
    """A network whose logits are not those of the table alone."""

    def logits(self, states):
        return super().logits(states) + 1.0


class OfLogits(models.TranslationTransformer):
    """A network written for version 0.1, where `decode` returned logits."""

    def decode(self, *arguments):
        return self.logits(super().decode(*arguments))


def test_networks_with_other_logits_are_trained_on_these():
    settings = {"vocabulary_size": 300, "model_dim": 16, "num_heads": 2}
    task = tasks.from_architecture("translation_transformer", **settings)
    assert isinstance(TranslationObjective(0.0, 0.0, task).loss, TiedCrossentropy)
    other = tasks.Translator(WithBias(settings), task.tokenizer)
    assert type(TranslationObjective(0.0, 0.0, other).loss) is tasks.SequenceCrossentropy
    ids = {"source": np.array([[5, 2]]), "target": np.array([[1, 7]])}
    with pytest.raises(ValueError, match=r"`decode` of OfLogits must return states of 16.*300"):
        OfLogits(settings)(ids)
    task.quantize("int8")
    assert type(TranslationObjective(0.0, 0.0, task).loss) is tasks.SequenceCrossentropy
    with pytest.raises(ValueError, match="quantized, in mode 'int8'"):
        task.network.embedding.crossentropy(np.ones((1, 16)), np.ones(1), np.ones(1))


def test_the_divergence_of_copies_joins_the_loss_by_its_weight():
    targets = np.repeat([[3, 4, 0]], 2, axis=0)
    logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    losses = []
    for weight in (0.0, 3.0):
        learner = Learner(keras.Sequential(), TranslationObjective(0.0, weight), [])
        learner.compile(loss=tasks.SequenceCrossentropy())
        losses.append(float(learner.compute_loss(y=targets, y_pred=logits)))
    apart = float(tasks.divergence_of_copies(targets, logits))
    assert apart > 0.03
    assert losses[1] - losses[0] == pytest.approx(3.0 * apart, rel=1e-4)
    evaluated = learner.compute_loss(y=targets, y_pred=logits, training=False)
    assert float(evaluated) == pytest.approx(losses[0])


@pytest.mark.slow
def test_figures_are_of_as_many_beams_as_the_record_says(whole, dataset, monkeypatch):
    sizes, translate = [], tasks.Translator.translate

    def noted(self, texts, beam_size=4, **settings):
        sizes.append(beam_size)
        return translate(self, texts, beam_size, **settings)

    monkeypatch.setattr(tasks.Translator, "translate", noted)
    told = quality.evaluate_translations(whole.model, dataset["test"])
    assert sizes == [told["beam_size"]] == [5]


def test_r_drop_is_of_translation_alone(small_text_recipe):
    values = small_text_recipe.model_dump()
    values["training"]["r_drop"] = 1.0
    with pytest.raises(RecipeError, match=r"training\.r_drop: unknown key\. Accepted here: epochs"):
        parse_recipe(values)
