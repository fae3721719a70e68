"""What `fit`, `evaluate`, `logits` and the answers of a translator take."""

import keras
import numpy as np
import pytest

from tests.tasks.small_translators import new_translator

SOURCES = ["a dog runs in the snow .", "two cats", "a bird sings ."]
TARGETS = ["un chien court dans la neige .", "deux chats", "un oiseau chante ."]


@pytest.fixture(scope="module")
def model():
    model = new_translator()
    assert model.adapt(SOURCES, TARGETS) is None
    return model


def test_logits_are_in_the_order_of_the_pairs_and_give_the_scores(model):
    logits = model.logits(SOURCES, TARGETS, batch_size=2)
    pairs = model.encode(SOURCES, TARGETS)
    scores = model.score(SOURCES, TARGETS, batch_size=1)
    for row, (values, score) in enumerate(zip(logits, scores, strict=True)):
        ids = np.append(pairs.targets[row], 2)  # the end
        assert values.shape == (len(ids), 300)
        (alone,) = model.logits(SOURCES[row : row + 1], TARGETS[row : row + 1])
        np.testing.assert_allclose(values, alone, atol=1e-4)
        shifted = values - values.max(axis=-1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        assert log_p[np.arange(len(ids)), ids].sum() == pytest.approx(float(score), rel=1e-4)


@pytest.mark.slow
def test_columns_of_pandas_are_read(model):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"source": SOURCES, "target": TARGETS}).iloc[::-1]
    expected = model.translate(SOURCES)[::-1]
    assert [t.text for t in model.translate(table["source"])] == [t.text for t in expected]
    scores = model.score(table["source"], table["target"])
    np.testing.assert_allclose(scores, model.score(SOURCES, TARGETS)[::-1], rtol=1e-4)
    loss = model.evaluate(table["source"], table["target"], verbose=0)
    assert loss == pytest.approx(model.evaluate(SOURCES, TARGETS, verbose=0), rel=1e-4)
    before = keras.ops.convert_to_numpy(model.network.embedding.embeddings)
    history = model.fit(
        table["source"],
        table["target"],
        validation_data=(table["source"], table["target"]),
        verbose=0,
    ).history
    assert np.isfinite(history["val_loss"][0])
    assert not np.array_equal(before, model.network.embedding.embeddings)


@pytest.mark.slow
def test_batches_of_keras_are_read(model):
    class Batches(keras.utils.PyDataset):
        ended = 0

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return SOURCES[index : index + 1], TARGETS[index : index + 1]

        def on_epoch_end(self):
            self.ended += 1

    batches = Batches()
    tokens = [len(ids) + 1 for ids in model.encode(SOURCES, TARGETS).targets]
    losses = [model.evaluate([s], [t], verbose=0)[0] for s, t in zip(SOURCES, TARGETS, strict=True)]
    loss, _ = model.evaluate(batches, verbose=0)
    assert loss == pytest.approx(np.average(losses, weights=tokens), rel=1e-4)
    assert len(set(tokens)) > 1
    before = batches.ended
    history = model.fit(batches, validation_data=batches, epochs=2, verbose=0).history
    assert history["val_loss"][1] < loss
    assert batches.ended >= before + 4


def test_explanations_are_shown_in_every_form(model):
    import json

    from rich.console import Console

    explanation = model.explain(SOURCES[0], "un <b> chien")
    back = json.loads(json.dumps(explanation.to_dict()))
    assert back["source_tokens"] == list(explanation.source_tokens)
    np.testing.assert_allclose(back["cross"], explanation.cross)
    console = Console(width=160)
    with console.capture() as capture:
        console.print(explanation)
    lines = [line for line in capture.get().splitlines() if line.strip()]
    assert len(lines) == 3 + len(explanation.target_tokens)
    assert "Rank correlation" in lines[-1]
    html = explanation.to_html()
    assert html.count("<tr ") == 2 * (1 + len(explanation.target_tokens))
    assert back["source_words"] == list(explanation.source_words)
    np.testing.assert_allclose(back["leave_one_out"], explanation.leave_one_out)
    assert "<b> chien" not in html
    assert html in explanation.to_page()
    assert explanation._repr_html_() == html
    rows = explanation.cross.mean(axis=(0, 1))
    first = next(line for line in lines if line.split()[:1] == ["<end>"])
    assert f"{rows[-1].max():.2f}" in first


def test_a_translator_has_no_head_to_replace(model):
    with pytest.raises(AttributeError, match="has no backbone"):
        _ = model.backbone
    with pytest.raises(ValueError, match="no head to replace"):
        model.copy_backbone(model)
