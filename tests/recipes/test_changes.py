"""Changes of recipes, and recipes written as TOML."""

import tomllib

import pytest

from keras_attn import zoo
from keras_attn.recipes import (
    RecipeError,
    change_recipe,
    find_task,
    parse_change,
    parse_recipe,
    recipe_to_toml,
)

TEXTS = zoo.describe("imdb_transformer").recipe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.epochs=3", ("training.epochs", 3)),
        ("optimizer.learning_rate = .5", ("optimizer.learning_rate", 0.5)),
        ("optimizer.learning_rate=1e-3", ("optimizer.learning_rate", 1e-3)),
        ("text.once=true", ("text.once", True)),
        ("model.filters=[4, 8]", ("model.filters", [4, 8])),
        ("schedule.decay=linear", ("schedule.decay", "linear")),
        ("notes=a = b\nc = 1", ("notes", "a = b\nc = 1")),
        ("description=1\nx = 2", ("description", "1\nx = 2")),
        ('training.class_weights={spam = 2.0, "x y" = 3}',
         ("training.class_weights", {"spam": 2.0, "x y": 3})),
    ],
)  # fmt: skip
def test_changes_are_read_as_toml_or_as_strings(text, expected):
    assert parse_change(text) == expected


@pytest.mark.parametrize("text", ["training.epochs", "=3", "training..epochs=3", ""])
def test_changes_without_a_key_are_refused(text):
    with pytest.raises(RecipeError, match="KEY=VALUE"):
        parse_change(text)


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        (
            "optimizer={name = adamw, learning_rate = 1e-3}",
            "{name = 'adamw', learning_rate = 1e-3}",
        ),
        ("model.stage_downsample=[max, 'max']", "['max', 'max']"),
    ],
)
def test_strings_without_quotes_in_tables_and_lists_are_reported(text, correct):
    key = text.partition("=")[0]
    with pytest.raises(RecipeError, match="strings need quotes") as refused:
        parse_change(text)
    assert f'Write it like "{key}={correct}".' in str(refused.value)
    assert parse_change(f"{key}={correct}")[0] == key
    assert parse_change("optimizer.normalize=[ab]+") == ("optimizer.normalize", "[ab]+")


def test_change_recipe_returns_a_copy():
    changed = change_recipe(
        TEXTS,
        {
            "training.epochs": 3,
            "optimizer.weight_decay": 0.5,
            "training.class_weights.positive": 2,
            "variants.small.embedding_dim": 8,
        },
    )
    assert (changed.training.epochs, changed.optimizer.weight_decay) == (3, 0.5)
    assert changed.training.class_weights == {"positive": 2}
    assert changed.settings("small")["embedding_dim"] == 8
    assert changed.digest != TEXTS.digest
    assert change_recipe(TEXTS, {}) == TEXTS
    assert "small" not in TEXTS.variants


@pytest.mark.parametrize(
    ("name", "key", "value", "match"),
    [
        ("imdb_transformer", "training.epoch", 3, r"training\.epoch: unknown key.*epochs"),
        ("imdb_transformer", "training.epochs", 0, "must be at least 1. Received: 0"),
        ("imdb_transformer", "training.epochs", "many", "must be an integer. Received: 'many'"),
        ("imdb_transformer", "training.epochs.x", 3, "'epochs' is a value, and has no keys"),
        ("imdb_transformer", "training.class_weights", "even", "class_weights"),
        ("imdb_transformer", "training.class_weights.x", -1, "greater than 0"),
        ("imdb_transformer", "optimizer.groups.3.momentum", 0.1, "selects no item of a list of"),
        ("multi30k_en_de_transformer", "training.class_weights", "balanced", "unknown key"),
        ("cifar10_attention_net", "schedule.warmup_epochs", 1e6, "must not exceed"),
    ],
)
def test_impossible_changes_are_refused(name, key, value, match):
    with pytest.raises(RecipeError, match=match):
        change_recipe(zoo.describe(name).recipe, {key: value})


@pytest.mark.parametrize("name", zoo.list())
def test_recipes_are_the_same_after_writing_and_reading(name):
    recipe = zoo.describe(name).recipe
    assert parse_recipe(tomllib.loads(recipe_to_toml(recipe))) == recipe


def test_difficult_values_are_written():
    changes = {"notes": 'a "b"\n\x1b[1m\x7f 很好 \\', "training.class_weights": {"x.y z": 1e-7}}
    recipe = change_recipe(TEXTS, changes)
    assert parse_recipe(tomllib.loads(recipe_to_toml(recipe))) == recipe


def test_tasks_are_matched_by_keyword():
    assert find_task("Sentiment") == find_task("text") == "text_classification"
    with pytest.raises(ValueError, match=r"Did you mean 'sentiment'.*'image_classification'"):
        find_task("sentimnt")
    assert zoo.list(task="images") == zoo.list(task="image_classification")
