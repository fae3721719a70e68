"""Plots of attention and of explanations."""

import io
import itertools

import numpy as np
import pytest

from keras_attn.tasks import (
    AttentionMap,
    ImageExplanation,
    _figures,
    plot_alignment,
    plot_attention,
)
from keras_attn.tasks.classification import Classification
from keras_attn.tasks.texts.answers import TextClassification
from keras_attn.tasks.texts.explanation import TextExplanation
from keras_attn.tasks.texts.plots import MAX_WORDS
from keras_attn.tasks.translation.answers import Alignment

SOURCE = ("▁a", "▁dog", "s", "<end>")
TARGET = ("▁des", "▁", "$$", "<0xC3>", "<end>")
TITLES = {
    "cross": "Cross-attention",
    "encoder": "Encoder self-attention",
    "decoder": "Decoder self-attention",
}


@pytest.fixture(scope="module")
def alignment():
    rng = np.random.default_rng(0)

    def weights(rows, columns):
        drawn = rng.random((3, 2, len(rows), len(columns)), "float32")
        return drawn / drawn.sum(axis=-1, keepdims=True)

    return Alignment(
        SOURCE,
        TARGET,
        cross=weights(TARGET, SOURCE),
        encoder=weights(SOURCE, SOURCE),
        decoder=np.tril(weights(TARGET, TARGET)),
    )


def drawn(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def labels(figure):
    axis = figure.axes[0]
    sides = (axis.get_yticklabels(), axis.get_xticklabels())
    return [[label.get_text() for label in side] for side in sides]


@pytest.mark.parametrize("stage", ["cross", "encoder", "decoder"])
@pytest.mark.parametrize("layer", [None, 0, 2])
@pytest.mark.parametrize("head", [None, 1])
def test_a_slice_or_the_mean_is_drawn(alignment, stage, layer, head):
    weights = getattr(alignment, stage)
    layers = range(3) if layer is None else [layer]
    heads = range(2) if head is None else [head]
    expected = np.mean([weights[x, y] for x in layers for y in heads], axis=0)
    figure = plot_alignment(alignment, stage, layer, head)
    np.testing.assert_allclose(drawn(figure), expected, rtol=1e-5, atol=1e-7)
    assert figure.axes[0].images[0].get_clim() == pytest.approx((0.0, expected.max()))
    title = figure.get_suptitle()
    assert title.startswith(f"{TITLES[stage]}\n")
    assert ("mean of 3 layers" if layer is None else f"layer {layer}") in title
    assert ("mean of 2 heads" if head is None else "head 1") in title


def test_rows_are_of_the_translation_and_columns_of_the_source(alignment):
    axis = plot_alignment(alignment).axes[0]
    assert (axis.get_ylabel(), axis.get_xlabel()) == ("translation (query)", "source (key)")
    rows, columns = labels(plot_alignment(alignment))
    assert rows == ["·des", "·", "$$", "<0xC3>", "<end>"]
    assert columns == ["·a", "·dog", "s", "<end>"]
    assert labels(plot_alignment(alignment, "encoder")) == [columns, columns]
    assert labels(plot_alignment(alignment, "decoder")) == [rows, ["<start>", *rows[:-1]]]


def check_layout(figure):
    """Check that nothing is cut off, and that titles of neighbours do not meet."""
    figure.draw_without_rendering()  # warnings of the layout would be errors
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, box
    titles = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
    assert all(a.x1 < b.x0 or b.y1 < a.y0 for a, b in itertools.pairwise(titles))


@pytest.mark.parametrize("stage", TITLES)
def test_alignments_are_drawn_dollars_and_all_with_nothing_cut_off(alignment, stage, tmp_path):
    figure = plot_alignment(alignment, stage)
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5_000
    check_layout(figure)


@pytest.mark.parametrize("queries", [[(0, 0)], [(2, 3), (0, 1), (4, 6)]])
def test_attention_over_images_is_drawn_with_nothing_cut_off(queries):
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(35), (1, 2, 5, 7)).astype("float32").reshape(1, 2, 5, 7, 5, 7)
    image = rng.integers(0, 256, (20, 28, 3), "uint8")
    figure = plot_attention(image, AttentionMap("attention", weights), queries)
    check_layout(figure)
    panels, bars = np.split(np.array(figure.axes), [1 + len(queries)])
    for axis, bar, query in zip(panels[1:], bars, queries, strict=True):
        (_, heat) = axis.images
        expected = weights[0, :, *query].mean(axis=0)
        np.testing.assert_allclose(heat.get_array(), expected, rtol=1e-5)
        assert bar.get_ylim() == pytest.approx((0.0, expected.max()))
        assert np.unravel_index(heat.get_alpha().argmax(), (5, 7)) == np.unravel_index(
            expected.argmax(), (5, 7)
        )


@pytest.mark.parametrize("label", ["cat", "$a_b$ " * 9])
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_explanations_of_images_are_drawn_with_nothing_cut_off(label, layers):
    rng = np.random.default_rng(0)
    occlusion = np.array([[3.0, -1.0], [0.0, 0.5]])
    attention = {f"block_{n}": rng.dirichlet(np.ones(64)).reshape(8, 8) for n in range(layers)}
    image = rng.integers(0, 256, (32, 32, 3), "uint8")
    answer = Classification(label, 0.7, {label: 0.7, "dog": 0.3})
    maps = {"grad_cam": rng.normal(size=(7, 7)), "rollout": rng.random((8, 8)) if layers else None}
    figure = ImageExplanation(
        label, answer, image, occlusion, patch_size=16, **maps, attention=attention
    ).plot()
    check_layout(figure)
    further = 1 + 1 + (layers > 0) + layers  # maps
    assert len(figure.axes) == 1 + 2 * further  # the image, maps, then color bars
    np.testing.assert_array_equal(figure.axes[1].images[1].get_array(), occlusion)
    bars = figure.axes[1 + further :]
    assert bars[0].get_ylim() == (-3.0, 3.0)
    assert [bar.get_ylabel() for bar in bars] == [
        "decrease of log-odds if covered",
        "gradient times features",
        *["share of the position"] * (layers > 0),
        *["mean attention weight"] * layers,
    ]


@pytest.mark.parametrize("count", [0, 1, 12, 100])
@pytest.mark.parametrize("attention", [True, False])
def test_explanations_of_texts_are_drawn_with_nothing_cut_off(count, attention):
    rng = np.random.default_rng(0)
    effect = rng.normal(size=count)
    tokens = tuple(f"${n}_word$" for n in range(count))
    explanation = TextExplanation(
        "positive",
        TextClassification("positive", 0.7, {"negative": 0.3, "positive": 0.7}, count, count),
        tokens,
        attention=rng.dirichlet(np.ones(max(count, 1)))[:count] if attention else None,
        gradient_times_input=rng.normal(size=count),
        leave_one_out=effect,
        known=(True,) * count,
    )
    figure = explanation.plot()
    check_layout(figure)
    assert len(figure.axes) == 2 + attention
    words, _ = labels(figure)
    strongest = np.sort(np.argsort(-np.abs(effect))[:MAX_WORDS])
    assert words == [tokens[n] for n in strongest]
    bars = [bar.get_width() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(bars, effect[strongest])
    assert (f"{MAX_WORDS} of {count} words" in figure.get_suptitle()) == (count > MAX_WORDS)


def test_labels_of_neighbours_do_not_meet_however_many_there_are():
    tokens = ("▁wordpieces",) * 60
    weights = np.full((1, 1, 60, 60), 1 / 60, "float32")
    figure = plot_alignment(Alignment(tokens, tokens, weights))
    figure.draw_without_rendering()
    rows = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    columns = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(a.y0 >= b.y1 for a, b in itertools.pairwise(rows))
    assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(columns))


@pytest.mark.parametrize("name, count", [("layer", 3), ("head", 2)])
@pytest.mark.parametrize("index", [-1, "count"])
def test_layers_and_heads_that_are_not_there_are_refused(alignment, name, count, index):
    index = count if index == "count" else index
    with pytest.raises(ValueError, match=f"`{name}` must be an index from 0 to {count - 1}"):
        plot_alignment(alignment, **{name: index})


def test_stages_that_are_not_there_are_refused(alignment):
    with pytest.raises(ValueError, match="'cross', 'encoder', 'decoder'"):
        plot_alignment(alignment, "self")
    recurrent = Alignment(SOURCE, TARGET, alignment.cross)
    with pytest.raises(ValueError, match=r"must be one of 'cross'\. Received: 'encoder'"):
        plot_alignment(recurrent, "encoder")


def test_letters_that_the_font_lacks_are_drawn_in_another_or_warned_of_once(monkeypatch, recwarn):
    figure = _figures.new_figure(2.0, 1.0)
    text = figure.text(0.1, 0.5, "销售额 sales")
    monkeypatch.setattr(_figures, "installed_cjk_font", lambda: None)
    figure.savefig(io.BytesIO())
    figure.savefig(io.BytesIO())
    assert [str(each.message)[:40] for each in recwarn] == [
        "No font with East Asian letters was found"[:40]
    ]
    monkeypatch.setattr(_figures, "installed_cjk_font", lambda: "DejaVu Serif")
    figure.savefig(io.BytesIO())
    assert text.get_fontfamily()[-1] == "DejaVu Serif"
