"""Distribution strategies by name, and what a run must know of them."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_attn._names import unknown

STRATEGIES = ("none", "one_device", "mirrored", "multi_worker")
Devices = int | Sequence[str] | None


class WorkerLostError(RuntimeError):
    """Another worker of the job is gone; the message says how to go on."""


@dataclasses.dataclass(frozen=True)
class Distribution:
    """How a run is spread over devices and machines.

    Attributes:
        strategy: a `tf.distribute.Strategy`, or None.
        workers: number of processes.
        worker: number of this one.
        chief: whether this one saves and tells.
    """

    strategy: Any = None
    workers: int = 1
    worker: int = 0
    chief: bool = True

    @property
    def replicas(self) -> int:
        """Copies of the model, over all workers."""
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    @property
    def summary(self) -> dict[str, Any]:
        """What a record says of the distribution."""
        name = "none" if self.strategy is None else type(self.strategy).__name__
        return {"name": name, "workers": self.workers, "replicas": self.replicas}

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The scope in which a model must be built."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def check_together(self, epoch: int, step: int) -> None:
        """Refuse to begin where workers stand at different places.

        Raises:
            ValueError: they do.
        """
        if self.workers == 1:
            return
        import tensorflow as tf

        def of_all() -> Any:
            context = tf.distribute.get_replica_context()
            return context.all_reduce("SUM", tf.constant(places, tf.int64))

        places = [0] * self.workers
        places[self.worker] = epoch * 10**7 + step
        own = tf.function(lambda: self.strategy.run(of_all))()
        local = self.strategy.experimental_local_results(own)[0].numpy()
        replicas = self.replicas // self.workers
        read = [divmod(int(value) // replicas, 10**7) for value in local]
        if len(set(read)) > 1:
            raise ValueError(
                "The workers do not stand at the same place: of the folder that they share they "
                f"read epoch and step {read}. Does each of them see the folder of the chief?"
            )


def distribution(strategy_or_name: str | Any, devices: Devices = None) -> Distribution:
    """The distribution of a name, or of a strategy.

    Args:
        strategy_or_name: `"none"`; `"one_device"`, the first GPU, or the CPU; `"mirrored"`, all
            GPUs of this machine, or its logical CPUs; `"multi_worker"`, the machines that
            `TF_CONFIG` names, this being one of them; or a `tf.distribute.Strategy`.
        devices: names such as `["GPU:0", "GPU:1"]` in place of all; or how many: GPUs, or on a
            machine without them virtual CPUs, made for trial.

    Raises:
        ValueError: no strategy has that name, the backend is not TensorFlow, the devices are
            not there, or `TF_CONFIG` does not describe this worker.
    """
    if not isinstance(strategy_or_name, str):
        spread = _described(strategy_or_name)
        _check_backend(strategy_or_name)
        return spread
    if strategy_or_name not in STRATEGIES:
        raise ValueError(unknown("strategy", strategy_or_name, STRATEGIES))
    if strategy_or_name == "none":
        if devices is not None:
            raise ValueError(
                f"The strategy 'none' leaves devices to Keras. Received: devices={devices!r}. "
                "Choose 'one_device' or 'mirrored'."
            )
        return Distribution()
    _check_backend(strategy_or_name)
    import tensorflow as tf

    if strategy_or_name == "multi_worker":
        if devices is not None:
            raise ValueError(
                "Under 'multi_worker' each process uses all of its GPUs. Received: "
                f"devices={devices!r}. Hide others from it by CUDA_VISIBLE_DEVICES."
            )
        return _multi_worker()
    names = _devices(devices)
    if strategy_or_name == "one_device":
        return Distribution(tf.distribute.OneDeviceStrategy(names[0]))
    return Distribution(tf.distribute.MirroredStrategy(names))


@contextlib.contextmanager
def lost_workers_named(spread: Distribution) -> Iterator[None]:
    """Say so where a step fails because another worker is gone."""
    if spread.workers == 1:
        yield
        return
    import tensorflow as tf

    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    ) as error:
        lines = [line.strip() for line in str(error).splitlines()][-3:]
        raise WorkerLostError(
            f"Worker {spread.worker} of {spread.workers} lost another. End all workers, and start "
            "the same commands with --resume: they go on from the last checkpoint. TensorFlow "
            f"says: {' '.join(filter(None, lines))[:300]}"
        ) from error


def _check_backend(strategy: Any) -> None:
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"The strategy {strategy!r} is one of TensorFlow, and Keras runs on "
            f"{keras.backend.backend()!r}. Use 'none', or KERAS_BACKEND=tensorflow."
        )


def _described(strategy: Any) -> Distribution:
    if not hasattr(strategy, "scope"):
        raise ValueError(
            f"`strategy` must be one of {', '.join(map(repr, STRATEGIES))}, or a "
            f"tf.distribute.Strategy. Received: {strategy!r}."
        )
    return _of_cluster(strategy)


def _multi_worker() -> Distribution:
    _check_cluster()
    import tensorflow as tf

    try:
        # Without a timeout of its own, for which TensorFlow 2.21 keeps a thread for each
        # operation of each step: that another worker is gone is known from its connection.
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(
            "The strategy 'multi_worker' must be made before TensorFlow does anything else in the "
            f"process: {error} Start the training first, or use `keras-attn train`."
        ) from error
    return _of_cluster(strategy)


def _of_cluster(strategy: Any) -> Distribution:
    """What a strategy's own resolver says of the cluster, whoever made it: TF_CONFIG or Slurm."""
    resolver = getattr(strategy, "cluster_resolver", None)
    hosts = {} if resolver is None else resolver.cluster_spec().as_dict()
    chiefs = len(hosts.get("chief", ()))
    workers = chiefs + len(hosts.get("worker", ()))
    if resolver is None or workers < 2:
        return Distribution(strategy)
    index = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
    return Distribution(strategy, workers, index, chief=index == 0)


def _check_cluster() -> None:
    example = (
        '{"cluster": {"worker": ["host-0:2222", "host-1:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    text = os.environ.get("TF_CONFIG", "")
    try:
        found = json.loads(text)
        task, cluster = found["task"], found["cluster"]
        hosts = cluster[task["type"]]
        if task["type"] not in ("chief", "worker") or not 0 <= task["index"] < len(hosts):
            raise ValueError(f"there is no {task['type']} {task['index']} in it")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "The strategy 'multi_worker' reads the environment's TF_CONFIG, the hosts of all "
            f"workers and which of them this is, such as {example}. Received: {text!r} ({error}). "
            "To try it on this machine alone, use `keras-attn train NAME --workers 2`."
        ) from error


def _devices(devices: Devices) -> list[str]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if isinstance(devices, int):
        if devices < 1 or (gpus and devices > len(gpus)):
            raise ValueError(
                f"`devices` must be at least 1, and at most the {len(gpus)} GPUs that are here. "
                f"Received: {devices}."
            )
        if not gpus:
            _make_virtual(devices)
        kind = "GPU" if gpus else "CPU"
        return [f"{kind}:{index}" for index in range(devices)]
    logical = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if devices is None:
        return [device.name for device in logical]
    known = [
        f"{device.device_type}:{device.name.rpartition(':')[2]}"
        for kind in ("GPU", "CPU")
        for device in tf.config.list_logical_devices(kind)
    ]
    for name in devices:
        if name not in known:
            raise ValueError(unknown("device", name, known))
    if not devices:
        raise ValueError("`devices` must name at least one device. Received: none.")
    return list(devices)


def _make_virtual(number: int) -> None:
    """Make so many logical CPUs of the one there is."""
    import tensorflow as tf

    (cpu, *_) = tf.config.list_physical_devices("CPU")
    wanted = [tf.config.LogicalDeviceConfiguration()] * number
    try:
        tf.config.set_logical_device_configuration(cpu, wanted)
    except RuntimeError as error:  # TensorFlow has begun
        here = len(tf.config.list_logical_devices("CPU"))
        if here < number:
            raise ValueError(
                f"This process has {here} logical CPU(s), and cannot be given {number} now that "
                "TensorFlow runs. Ask for them in a new process."
            ) from error
