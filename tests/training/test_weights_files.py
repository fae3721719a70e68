"""Digests of weights: equal for equal weights, whatever the process has counted."""

import errno

import h5py
import keras
import numpy as np
import pytest

from keras_attn._files import sha256
from keras_attn.training.weights_files import has_digest, non_finite, save_weights, values_sha256
from tests.disk import full_disk


def network():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


@pytest.fixture
def saved(tmp_path):
    model = network()
    save_weights(model, tmp_path / "a.weights.h5")
    return model, tmp_path / "a.weights.h5"


def test_equal_weights_have_one_digest_and_others_another(saved, tmp_path):
    model, path = saved
    other = network()  # whose layers have other names, by a count
    other.set_weights(model.get_weights())
    save_weights(other, tmp_path / "b.weights.h5")
    digest = values_sha256(path)
    assert sha256(path) != sha256(tmp_path / "b.weights.h5")
    assert values_sha256(tmp_path / "b.weights.h5") == digest
    kernel, bias = model.get_weights()
    other.set_weights([np.nextafter(kernel, 1), bias])
    save_weights(other, tmp_path / "b.weights.h5")
    assert values_sha256(tmp_path / "b.weights.h5") != digest


@pytest.mark.parametrize("change", ["dtype", "shape", "name"])
def test_the_digest_is_of_names_shapes_and_dtypes(saved, change):
    _, path = saved
    digest = values_sha256(path)
    with h5py.File(path, "a") as file:
        name = next(
            n for n in ("layers/dense/vars/0", "_layer_checkpoint_dependencies") if n in file
        )
        value = file[name][()]
        del file[name]
        if change == "dtype":
            file[name] = value.astype("float64")
        elif change == "shape":
            file[name] = value.T.copy()
        else:
            file[f"{name}0"] = value
    assert values_sha256(path) != digest


def test_records_of_both_versions_are_verified(saved, tmp_path):
    _, path = saved
    assert has_digest(path, values_sha256(path))
    assert has_digest(path, sha256(path))
    assert not has_digest(path, "0" * 64)
    assert not has_digest(path, None)
    assert not has_digest(tmp_path / "nowhere.h5", "0" * 64)
    (tmp_path / "text.h5").write_text("no HDF5")
    assert not has_digest(tmp_path / "text.h5", "0" * 64)
    with h5py.File(tmp_path / "strings.h5", "w") as file:
        file["a"] = "text"
    assert not has_digest(tmp_path / "strings.h5", "0" * 64)


def test_values_that_are_not_finite_are_named(saved):
    _, path = saved
    assert non_finite(path) == []
    with h5py.File(path, "a") as file:
        file["layers/dense/vars/1"][0] = np.inf
    assert non_finite(path) == ["layers/dense/vars/1"]


def test_a_full_disk_leaves_the_weights_before(saved):
    model, path = saved
    before = path.read_bytes()
    with (
        full_disk(1_000),
        pytest.raises(OSError, match=r"a\.weights\.h5 could not be written") as raised,
    ):
        save_weights(model, path)
    assert raised.value.errno == errno.EFBIG
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
