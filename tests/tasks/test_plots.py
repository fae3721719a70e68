"""Pictures of a translation's attention."""

import itertools

import numpy as np
import pytest

from keras_attn.tasks import plot_alignment
from keras_attn.tasks.translation.answers import Alignment

SOURCE = ("▁a", "▁dog", "s", "<end>")
TARGET = ("▁des", "▁", "$$", "<0xC3>", "<end>")


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
    assert title.startswith(f"{stage}: ")
    assert ("mean of 3 layers" if layer is None else f"layer {layer}") in title
    assert ("mean of 2 heads" if head is None else "head 1") in title


def test_rows_are_of_the_translation_and_columns_of_the_source(alignment):
    axis = plot_alignment(alignment).axes[0]
    assert (axis.get_ylabel(), axis.get_xlabel()) == ("translation", "source")
    rows, columns = labels(plot_alignment(alignment))
    assert rows == ["·des", "·", "$$", "<0xC3>", "<end>"]
    assert columns == ["·a", "·dog", "s", "<end>"]
    assert labels(plot_alignment(alignment, "encoder")) == [columns, columns]
    assert labels(plot_alignment(alignment, "decoder")) == [rows, ["<start>", *rows[:-1]]]


def test_it_is_drawn_dollars_and_all_with_nothing_cut_off(alignment, tmp_path):
    figure = plot_alignment(alignment)
    figure.savefig(tmp_path / "plot.png")  # warnings of the layout would be errors
    assert (tmp_path / "plot.png").stat().st_size > 5_000
    width, height = figure.canvas.get_width_height()
    axis = figure.axes[0]
    for text in (*axis.get_xticklabels(), *axis.get_yticklabels(), figure._suptitle):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text


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
