"""The model behind the scaling plan, against its own words."""

import importlib.util

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def model():
    path = ROOT / "benchmarks" / "_scaling_model.py"
    spec = importlib.util.spec_from_file_location("scaling_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLAIN = {
    "gpus_a_host": 8,
    "host_bytes_per_second": 100.0,
    "network_bytes_per_second": 10.0,
    "host_latency_seconds": 0.0,
    "network_latency_seconds": 0.5,
    "overlap": 0.0,
}


def test_one_gpu_sums_nothing(model):
    assert model.summing(800.0, 1, PLAIN) == 0.0
    assert model.efficiency(1.0, 800.0, 1, PLAIN) == 1.0


def test_rings_are_those_of_the_hand_count(model):
    local = 2 * 7 / 8 * 800.0 / 100.0
    assert model.summing(800.0, 8, PLAIN) == pytest.approx(local)
    between = 2 * 3 / 4 * 800.0 / 10.0 + 2 * 3 * 0.5
    assert model.summing(800.0, 32, PLAIN) == pytest.approx(local + between)


def test_what_is_hidden_costs_nothing(model):
    step = 3.0
    hidden = 0.5 * step * 2 / 3
    machine = {**PLAIN, "overlap": 0.5}
    size = hidden * 100.0 / (2 * 7 / 8)
    assert model.efficiency(step, size, 8, machine) == pytest.approx(1.0)
    assert model.efficiency(step, 2 * size, 8, machine) == pytest.approx(step / (step + hidden))


def test_more_gpus_are_less_efficient_and_larger_batches_more(model):
    small, large = model.expected("cifar10_attention_net")
    assert small["batch"] < large["batch"]
    for row in (small, large):
        assert row["efficiency"] == sorted(row["efficiency"], reverse=True)
        assert all(0.0 < value <= 1.0 for value in row["efficiency"])
    assert all(a <= b for a, b in zip(small["efficiency"], large["efficiency"], strict=True))
