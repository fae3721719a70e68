"""Recipes: what they say, and how they refuse."""

import pathlib

import pytest

from keras_attn.recipes import Recipe, RecipeError, load_recipe

GOOD = """
task = "image_classification"
description = "one line"
dataset = "shapes"
architecture = "small_attention_cnn"

[model]
filters = [4, 8]

[variants.no_attention]
attention = "none"

[optimizer]
name = "sgd"
learning_rate = 0.1

[training]
epochs = 2
batch_size = 8
"""


def load(tmp_path, text):
    path = pathlib.Path(tmp_path, "recipe.toml")
    path.write_text(text)
    return load_recipe(path)


def test_a_good_recipe_is_read(tmp_path):
    recipe = load(tmp_path, GOOD)
    assert recipe.training.epochs == 2
    assert recipe.settings() == {"filters": [4, 8]}
    assert recipe.settings("no_attention") == {"filters": [4, 8], "attention": "none"}


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ("learning_rate", "learning_rat", r"optimizer\.learning_rat: unknown key.*weight_decay"),
        ("= 0.1", "= -0.1", r"optimizer\.learning_rate: .*greater than 0\. Received: -0\.1"),
        ("epochs = 2", "epochs = 0", r"training\.epochs: must be at least 1"),
        ("epochs = 2", "epochs = '2'", r"training\.epochs: .*integer"),
        ('name = "sgd"', 'name = "sdg"', r"optimizer\.name: .*'adamw' or 'muon'"),
        ('"shapes"', '"shape"', r"dataset: .*'cifar10'"),
        ("batch_size = 8", "", r"training\.batch_size: missing"),
        ('task = "image_classification"', 'task = "images"', r"task: .*image_classification"),
        ("epochs = 2", "epochs = 2\nema = 1.0", r"training\.ema: .*less than 1"),
        ("[model]", "[augmentation]\nmixup = 1.0\ncutmix = 1.0\n[model]", "not both"),
        ("[training]", "[schedule]\nwarmup_epochs = 3.0\n[training]", "must not exceed"),
        ("[model]", "[model]\nnum_classes = 4", r"model\.num_classes: the labels"),
        ("[model]", "[modle]\nx = 1\n[model]", r"modle: unknown key"),
        ("= 0.1", "= 0.1\nbeta_2 = 0.9", r"optimizer\.beta_2: .*for 'adamw'.*'sgd'"),
        ("= 0.1", "= 0.1\nupdate_rms = 0.2", r"optimizer\.update_rms: .*for .*'muon'"),
        ("[model]", "[augmentation]\nflip = 'both'\n[model]", r"augmentation\.flip.*alternating"),
        ("epochs = 2", "epochs = 2\nviews = 3", r"training\.views: .*1, 2 or 6.*Received: 3"),
    ],
)
def test_a_bad_recipe_names_the_file_the_key_and_what_is_accepted(tmp_path, before, after, match):
    assert before in GOOD
    with pytest.raises(RecipeError, match=rf"(?s)recipe\.toml.*{match}"):
        load(tmp_path, GOOD.replace(before, after, 1))


MUON = GOOD.replace('"sgd"', '"muon"').replace(
    "[training]", '[[optimizer.groups]]\nname = "adamw"\nlearning_rate = 0.01\n[training]'
)


def test_groups_of_muon_are_read(tmp_path):
    (group,) = load(tmp_path, MUON).optimizer.groups
    assert (group.match, group.name, group.learning_rate) == ("", "adamw", 0.01)


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ("= 0.01", "= 0.01\nrate = 1", r"optimizer\.groups\.0\.rate: unknown key.*match, name"),
        ('"adamw"', '"muon"', "a group of 'muon' must say which matrices"),
        ("= 0.01", "= 0.01\nmatch = '('", "no regular expression"),
        ('"adamw"', '"sgd"\nbeta_2 = 0.9', r"groups\.beta_2: .*for 'adamw'.*'sgd'"),
        ("= 0.1", "= 0.1\nbeta_2 = 0.9", r"optimizer\.beta_2: .*for 'adamw'.*'muon'"),
        (
            "[training]",
            '[[optimizer.groups]]\nname = "sgd"\nlearning_rate = 1.0\n[training]',
            "only one may be without `match`",
        ),
    ],
)
def test_a_bad_group_is_named(tmp_path, before, after, match):
    assert before in MUON
    with pytest.raises(RecipeError, match=rf"(?s)recipe\.toml.*{match}"):
        load(tmp_path, MUON.replace(before, after, 1))


def test_what_is_not_toml_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="not a TOML file"):
        load(tmp_path, "task = ")


def test_unknown_variant_lists_those_there_are(tmp_path):
    with pytest.raises(RecipeError, match="'no_attention'"):
        load(tmp_path, GOOD).settings("without")


def test_the_digest_follows_numbers_and_not_words(tmp_path):
    digest = load(tmp_path, GOOD).digest
    assert load(tmp_path, GOOD.replace("one line", "another")).digest == digest
    assert load(tmp_path, GOOD.replace("= 8\n", "= 8\nseeds = [4, 5]\n")).digest == digest
    assert load(tmp_path, GOOD.replace("0.1", "0.2")).digest != digest


def test_reading_a_recipe_needs_no_keras(tmp_path):
    import subprocess
    import sys

    pathlib.Path(tmp_path, "recipe.toml").write_text(GOOD)
    script = (
        "import sys, keras_attn\n"
        f"keras_attn.recipes.load_recipe({str(tmp_path / 'recipe.toml')!r})\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert isinstance(load(tmp_path, GOOD), Recipe)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (GOOD.replace("one line", "für").encode("latin-1"), r"not a text in UTF-8: line 3 .*0xfc"),
        (GOOD.encode("utf-16"), r"not a text in UTF-8: line 1"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (GOOD.replace("[4, 8]", "[" * 300 + "]" * 300).encode(), "depth exceeded"),
        (b"a = " + b"9" * 5_000, "not a TOML file"),
        (b"a = \x00", "not a TOML file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, match):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=rf"recipe\.toml: .*{match}"):
        load_recipe(path)


def test_the_byte_order_mark_of_windows_is_accepted(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode("utf-8-sig"))
    assert load_recipe(path) == load(tmp_path, GOOD)
