"""Attention maps, and their pictures."""

import numpy as np
import pytest

from keras_attn import datasets, zoo
from keras_attn.datasets.shapes import COLORS
from keras_attn.tasks import AttentionMap, attention_maps, from_architecture, plot_attention

LABELS = datasets.describe_dataset("shapes").label_names


@pytest.fixture(scope="module")
def found(shapes):
    model = from_architecture("small_attention_cnn", LABELS, num_heads=2)
    return attention_maps(model, shapes["test"].images[:3])[0]


def test_maps_are_distributions_over_the_positions(found):
    assert found.layer == "attention"
    assert found.weights.shape == (3, 2, 8, 8, 8, 8)
    np.testing.assert_allclose(found.weights.sum(axis=(4, 5)), 1.0, atol=1e-5)


def test_query_and_received_are_means_over_heads(found):
    np.testing.assert_allclose(found.query(2, 5, image=1), found.weights[1, :, 2, 5].mean(0))
    np.testing.assert_allclose(found.received(1).sum(), 1.0, atol=1e-5)


def test_entropy_is_between_one_key_and_all():
    uniform = np.full((1, 1, 2, 3, 2, 3), 1 / 6, "float32")
    single = np.zeros_like(uniform)
    single[..., 0, 0] = 1.0
    weights = np.concatenate([uniform, single], axis=1)
    np.testing.assert_allclose(AttentionMap("x", weights).entropy(), [[np.log(6), 0.0]], atol=1e-5)


def test_the_trained_model_looks_from_the_key_to_its_match():
    # The figure of the key's shape gets more of the key's attention than the other one.
    split = datasets.load("shapes")["test"]
    images, labels = split.images[:200], split.labels[:200]
    maps = attention_maps(zoo.build("shapes_small_attention_cnn"), images)[0]
    palette = np.array(list(COLORS.values()), float)
    corners = [(1, 1), (1, 6), (6, 1), (6, 6)]  # of the 8x8 map
    pixels = [(6, 6), (6, 26), (26, 6), (26, 26)]
    hits = total = 0
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        patches = [image[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1)) for y, x in pixels]
        kinds = []
        for patch in patches:
            distance = np.abs(palette - patch).max(-1)
            if patch.min() > 220:
                kinds.append("key")
            else:
                kinds.append(int(distance.argmin()) if distance.min() < 40 else "empty")
        if kinds.count("key") != 1 or label not in kinds or kinds.count("empty") != 1:
            continue
        weights = maps.query(*corners[kinds.index("key")], image=index)

        def around(place, weights=weights):
            y, x = corners[place]
            return weights[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].sum()

        other = next(i for i, k in enumerate(kinds) if k not in ("key", "empty", label))
        hits += around(kinds.index(label)) > around(other)
        total += 1
    assert total > 100
    assert hits / total > 0.6


def test_a_model_without_attention_is_refused(shapes):
    model = from_architecture("small_attention_cnn", LABELS, attention="none")
    with pytest.raises(ValueError, match="no SelfAttention2D"):
        attention_maps(model, shapes["test"].images[:1])


def test_other_models_than_those_of_images_are_refused(shapes):
    texts = from_architecture("ngram_attention", ("bad", "good"), vocabulary_sizes=(50, 50))
    for model in (texts, object()):
        with pytest.raises(TypeError, match=rf"`model` must be.*Received: {type(model).__name__}"):
            attention_maps(model, shapes["test"].images[:1])


def test_maps_of_a_transformer_over_tokens(shapes):
    sizes = {"num_layers": 2, "num_heads": 2, "tokenizer_filters": (8, 16)}
    model = from_architecture("compact_transformer", LABELS, image_size=24, **sizes)
    images = shapes["test"].images[:3]
    maps = attention_maps(model, images)
    assert [x.layer for x in maps] == ["block_1", "block_2"]
    for layer_map in maps:
        assert layer_map.weights.shape == (3, 2, 6, 6, 6, 6)
        np.testing.assert_allclose(layer_map.weights.sum(axis=(4, 5)), 1.0, atol=1e-5)
    assert set(model.explain(images[0]).attention) == {"block_1", "block_2"}
    plot_attention(images[1], maps[0], [(0, 0)], index=1)


def test_plots_show_the_image_and_each_query(found, shapes, tmp_path):
    figure = plot_attention(shapes["test"].images[1], found, [(0, 0), (3, 4)], index=1)
    titles = [axis.get_title() for axis in figure.axes]
    bars = [axis.get_ylabel() for axis in figure.axes if not axis.get_title()]
    assert titles[:3] == [
        "Query positions",
        "Attention weights of query 1",
        "Attention weights of query 2",
    ]
    assert bars == ["attention weight"] * 2
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_queries_outside_the_map_are_refused(found, shapes):
    with pytest.raises(ValueError, match="8 rows and 8 columns"):
        plot_attention(shapes["test"].images[0], found, [(8, 0)])
