"""What a run may be resumed with, and files of runs that are damaged or hostile."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from keras_attn import datasets, recipes, training
from keras_attn.training import checkpoint
from keras_attn.training.checkpoint import Checkpoints, State
from keras_attn.training.identity import Identity


@pytest.fixture
def unfinished(finished, tmp_path):
    """A copy of a run whose record is not written yet."""
    shutil.copytree(finished.folder, tmp_path / "run")
    (tmp_path / "run" / "record.json").unlink()
    return tmp_path / "run"


def replaced(shapes, labels=None, **splits):
    """The data set with other splits or label names."""
    readers = {name: (lambda name=name: splits.get(name, shapes[name])) for name in shapes}
    return datasets.Dataset(shapes.name, tuple(labels or shapes.label_names), readers)


def identity_in(folder):
    """Return the identity that the checkpoints of a run record."""
    path = next((folder / "checkpoints").glob("*/state.json"))
    return Identity.take_from(json.loads(path.read_text()))


def rewrite_state(folder, change):
    """Change `state.json` of every checkpoint, with a checksum that fits."""
    for path in (folder / "checkpoints").glob("*/state.json"):
        content = json.loads(path.read_text())
        del content["checksum"]
        change(content)
        content["checksum"] = checkpoint._checksum(content)
        path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: replaced(d, validation=d["test"]), "requested run: validation data. Pass what"),
        (lambda d: replaced(d, test=d["test"].take(slice(0, 9))), "requested run: test data. Pass"),
        (
            lambda d: replaced(d, labels=d.label_names[::-1]),
            "order: number 0 is 'red' in the checkpoint, and 'yellow' here",
        ),
        (
            lambda d: replaced(d, labels=["red", "green", "blue", "cyan"]),
            "Only in the checkpoint: 'yellow'; only here: 'cyan'",
        ),
        (lambda d: replaced(d, train=d["test"]), "requested run: training data. Pass"),
    ],
)
@pytest.mark.parametrize("has_finished", [True, False])
def test_a_run_is_not_resumed_with_other_data(
    finished, unfinished, small_recipe, shapes, change, match, has_finished
):
    folder = finished.folder if has_finished else unfinished
    with pytest.raises(training.CheckpointError, match=match):
        training.train(small_recipe, folder, dataset=change(shapes), resume=True, verbose=0)


@pytest.mark.parametrize("has_finished", [True, False])
def test_a_run_is_not_resumed_with_other_settings_and_these_are_named(
    finished, unfinished, small_recipe, shapes, has_finished
):
    folder = finished.folder if has_finished else unfinished

    def resume(**changes):
        variant, seed = changes.pop("variant", None), changes.pop("seed", None)
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        recipe = recipes.change_recipe(small_recipe, changes)
        with pytest.raises(training.CheckpointError) as refused:
            training.train(
                recipe, folder, dataset=shapes, resume=True, variant=variant, seed=seed, verbose=0
            )
        return str(refused.value)

    message = resume(training__epochs=4, model__dropout=0.5)
    assert "run: recipe. `training.epochs` is 3 in the checkpoint, and 4 here." in message
    assert "`model.dropout` is not set in the checkpoint, and 0.5 here. Pass what" in message
    message = resume(seed=7, variant="no_attention")
    assert "`seed` is 0 in the checkpoint, and 7 here." in message
    assert "`variant` is not set in the checkpoint, and 'no_attention' here." in message


def test_a_checkpoint_without_its_recipe_says_that_settings_are_not_recorded(
    unfinished, small_recipe, shapes
):
    longer = recipes.change_recipe(small_recipe, {"training.epochs": 4})
    (unfinished / "recipe.toml").write_text(recipes.recipe_to_toml(longer))
    with pytest.raises(training.CheckpointError, match=r"toml is that of another run"):
        training.train(longer, unfinished, dataset=shapes, resume=True, verbose=0)
    (unfinished / "recipe.toml").unlink()
    with pytest.raises(training.CheckpointError, match=r"there is no .*toml"):
        training.train(longer, unfinished, dataset=shapes, resume=True, verbose=0)


def test_a_checkpoint_is_written_with_its_recipe(small_recipe, tmp_path):
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    checkpoints = Checkpoints(tmp_path, Identity("a1", "", 0, "b2"), small_recipe)
    checkpoints.save(model, State(epoch=1))
    assert recipes.load_recipe(tmp_path / "recipe.toml").digest == small_recipe.digest


def test_the_record_holds_the_fingerprints_of_all_that_is_compared(finished, shapes):
    data = finished.record["data"]
    for split in ("train", "validation", "test"):
        assert data[f"{split}_sha256"] == shapes[split].fingerprint
    assert data["label_names"] == list(shapes.label_names)


def test_a_checkpoint_of_an_earlier_version_is_resumed_and_said_to_be_one(
    finished, unfinished, small_recipe, shapes
):
    def drop(content):
        for key in ("splits", "label_names", "initial"):
            del content[key]

    rewrite_state(unfinished, drop)
    other = replaced(shapes, validation=shapes["test"])
    with pytest.warns(
        UserWarning,
        match="earlier version, .* which validation and test data, label names, initial model",
    ):
        run = training.train(small_recipe, unfinished, dataset=other, resume=True, verbose=0)
    # The temperature was fitted to other examples.
    weights = [result.model.network.get_weights() for result in (finished, run)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_finished_run_of_an_earlier_version_stays_finished(
    finished, small_recipe, shapes, tmp_path
):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    record = json.loads((folder / "record.json").read_text())
    record["data"] = {"name": "shapes", "train_sha256": record["data"]["train_sha256"]}
    # Version 0.1 recorded the SHA-256 of the file.
    record["weights_sha256"] = checkpoint.sha256(folder / "model.weights.h5")
    (folder / "record.json").write_text(json.dumps(record))
    again = training.train(small_recipe, folder, dataset=shapes, resume=True, verbose=0)
    assert again.record == record


def test_identities_compare_the_initial_model():
    one = Identity("a", "", 0, "b", {}, [], "weights")
    assert one.differences(dataclasses.replace(one, initial="others")) == ["initial model"]
    assert one.differences(dataclasses.replace(one, initial=None)) == []
    assert one.differences(dataclasses.replace(one, splits={"test_2017": "c"})) == [
        "test_2017 data"
    ]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "must hold a JSON object"),
        (b"{}", "KeyError.'data'"),
        (b'{"data": 3}', "TypeError"),
        (b'{"data": {"train_sha256": 1}, "initial": "x"}', "AttributeError"),
        (b'{"data": "abc"}', "ValueError"),
    ],
)
def test_a_damaged_record_is_named_and_written_again(unfinished, content, match):
    from keras_attn.training import artifacts

    (unfinished / "record.json").write_bytes(content)
    with pytest.warns(UserWarning, match=rf"record\.json .*{match}.*counts as not finished"):
        assert artifacts.finished_record(unfinished, Identity("a", "", 0, "b"), ()) is None


def test_a_run_with_a_damaged_record_is_resumed(finished, unfinished, small_recipe, shapes):
    (unfinished / "record.json").write_text('{"metrics": ')
    with pytest.warns(UserWarning, match=r"record\.json is not valid JSON"):
        run = training.train(small_recipe, unfinished, dataset=shapes, resume=True, verbose=0)
    assert run.record["metrics"] == finished.record["metrics"]
    assert json.loads((unfinished / "record.json").read_text()) == run.record


HOSTILE_STATES = {
    "nested": lambda path: path.write_bytes(b"[" * 100_000),
    "a list": lambda path: path.write_text("[1, 2]"),
    "no checksum": lambda path: path.write_text("{}"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", HOSTILE_STATES)
def test_a_hostile_state_falls_back_to_the_checkpoint_before(unfinished, damage):
    identity = identity_in(unfinished)
    HOSTILE_STATES[damage](unfinished / "checkpoints" / "00003-0000000" / "state.json")
    with pytest.warns(UserWarning, match=r"00003-0000000.state\.json is damaged: .*before it"):
        state, _ = Checkpoints(unfinished, identity).latest()
    assert state.epoch == 2


@pytest.mark.parametrize(
    "values", [{"epoch": -1}, {"step": "x"}, {"history": {"a": 1}}, {"segments": 3}]
)
def test_a_state_of_impossible_values_is_refused(unfinished, values):
    identity = identity_in(unfinished)
    rewrite_state(unfinished, lambda content: content.update(values))
    with (
        pytest.warns(UserWarning, match="before it is used"),
        pytest.raises(training.CheckpointError, match=next(iter(values))),
    ):
        Checkpoints(unfinished, identity).latest()


def test_an_epoch_written_as_a_float_is_read_as_an_integer(unfinished):
    rewrite_state(unfinished, lambda content: content.update(epoch=1e9))
    state, _ = Checkpoints(unfinished, identity_in(unfinished)).latest()
    assert state.epoch == 10**9
    assert type(state.epoch) is int


def test_values_that_are_no_arrays_are_refused(unfinished, finished, small_recipe, shapes):
    digests = []
    for path in (unfinished / "checkpoints").glob("*/variables.npy"):
        path.write_bytes(b"\x80\x04\x95 a pickle")
        digests.append(checkpoint.sha256(path))
    rewrite_state(unfinished, lambda content: content.update(sha256=digests[0]))
    with pytest.raises(training.CheckpointError, match=r"variables\.npy is damaged"):
        training.train(small_recipe, unfinished, dataset=shapes, resume=True, verbose=0)


def test_a_folder_that_is_no_run_is_not_resumed(small_recipe, shapes, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("")
    with pytest.raises(
        training.CheckpointError, match=r"photos holds no checkpoint.*--auto-resume"
    ):
        training.train(small_recipe, tmp_path / "photos", dataset=shapes, resume=True)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.png"]


def test_the_digest_is_that_of_what_was_to_be_written(tmp_path, monkeypatch):
    """If the disk stores other bytes, the digest does not match them."""
    import keras

    class FaultyFile:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            return self.file.write(content[:-1] + bytes([content[-1] ^ 1]))

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd")
    checkpoints = Checkpoints(tmp_path, Identity("digest", "", 0, "data", {}, [], ""))
    checkpoints.save(model, State(epoch=1))
    writer = checkpoint._HashingWriter
    monkeypatch.setattr(checkpoint, "_HashingWriter", lambda file: writer(FaultyFile(file)))
    checkpoints.save(model, State(epoch=2))
    with pytest.warns(UserWarning, match=r"00002-0000000.variables\.npy .*SHA-256 does not match"):
        state, _ = checkpoints.latest()
    assert state.epoch == 1


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1"])
def test_seeds_that_cannot_be_are_refused(small_recipe, tmp_path, seed):
    with pytest.raises(ValueError, match=rf"`seed` must be an integer .*Received: {seed!r}"):
        training.train(small_recipe, tmp_path / "run", seed=seed)


@pytest.mark.slow
def test_training_that_diverged_is_said_to_have(small_recipe, shapes, tmp_path):
    optimizer = small_recipe.optimizer.model_copy(update={"learning_rate": 1e30})
    recipe = small_recipe.model_copy(
        update={
            "optimizer": optimizer,
            "training": small_recipe.training.model_copy(update={"epochs": 1}),
            "schedule": small_recipe.schedule.model_copy(update={"warmup_epochs": 0.0}),
        }
    )
    with pytest.warns(UserWarning, match="Training has diverged"):
        run = training.train(recipe, tmp_path / "run", dataset=shapes, verbose=0)
    run.model.save(tmp_path / "model.keras")
    import keras_attn

    with pytest.raises(ValueError, match=r"model\.keras holds values that are not finite"):
        keras_attn.load(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"weights\.h5 holds values that are not finite .*lower"):
        keras_attn.build(
            "shapes_small_attention_cnn",
            weights=run.folder / "model.weights.h5",
            filters=(4, 8),
            key_channels=4,
        )
