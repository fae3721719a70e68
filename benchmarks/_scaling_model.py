"""Model of the efficiency of many GPUs from operations, bytes and figures of a machine.

A step of one GPU takes `operations / rate` and a constant for what is launched. Gradients are
summed by rings: within a host of 8 GPUs over its own links, and between hosts over the network, on
which the 8 share one connection; `2 (n - 1) / n` of the bytes go through each link, and each of the
`2 (n - 1)` stages takes a latency. The share `overlap` of the backward pass, itself two thirds of a
step, hides communication. Efficiency is the time without communication over the time with it, at
the same batch a GPU (weak scaling): what a step of N GPUs does, over N times that of one.
"""

from typing import Any

from keras_attn import zoo

GPUS = (8, 64, 512)
MACHINE = {
    "rate": 150e12,  # FLOP/s that a step reaches in mixed precision, of some 990e12 at best
    "launch_seconds": 2e-3,  # of a step, whatever its size
    "gpus_a_host": 8,
    "host_bytes_per_second": 300e9,  # of a GPU's link to the others of its host
    "network_bytes_per_second": 50e9,  # of a host: 400 Gbit/s
    "host_latency_seconds": 3e-6,  # of a stage
    "network_latency_seconds": 15e-6,
    "overlap": 0.5,
    "bytes_a_gradient": 4,
}
BATCHES = (128, 1024)  # examples a GPU


def expected(entry: str, machine: dict[str, float] = MACHINE) -> list[dict[str, Any]]:
    """A row for each batch size: the time of one GPU, and the efficiency at each of `GPUS`."""
    run = zoo.describe(entry).runs()[0]
    rows = []
    for batch in BATCHES:
        step = 3 * run["forward_flops"] * batch / machine["rate"] + machine["launch_seconds"]
        size = run["parameters"] * machine["bytes_a_gradient"]
        rows.append(
            {
                "entry": entry,
                "batch": batch,
                "step_seconds": step,
                "gradient_bytes": size,
                "efficiency": [efficiency(step, size, gpus, machine) for gpus in GPUS],
            }
        )
    return rows


def efficiency(step: float, size: float, gpus: int, machine: dict[str, float] = MACHINE) -> float:
    """The part of their time that GPUs do not wait for each other.

    Args:
        step: seconds of a step of one GPU.
        size: bytes of the gradients.
        gpus: how many GPUs.
        machine: see `MACHINE`.
    """
    hidden = machine["overlap"] * step * 2 / 3
    return step / (step + max(0.0, summing(size, gpus, machine) - hidden))


def summing(size: float, gpus: int, machine: dict[str, float] = MACHINE) -> float:
    """Seconds that it takes to sum gradients over all GPUs."""
    local = min(gpus, int(machine["gpus_a_host"]))
    hosts = -(-gpus // local)
    return _ring(
        size, local, machine["host_bytes_per_second"], machine["host_latency_seconds"]
    ) + _ring(size, hosts, machine["network_bytes_per_second"], machine["network_latency_seconds"])


def _ring(size: float, members: int, bytes_per_second: float, latency: float) -> float:
    if members == 1:
        return 0.0
    return 2 * (members - 1) / members * size / bytes_per_second + 2 * (members - 1) * latency
