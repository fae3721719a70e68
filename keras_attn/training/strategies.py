"""Create distribution strategies by name, and describe them for a run."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from keras_attn._names import unknown
from keras_attn._wording import counted

STRATEGIES = ("none", "one_device", "mirrored", "multi_worker")
Devices = int | Sequence[str] | None


class WorkerLostError(RuntimeError):
    """Another worker of the job was lost; the message says how to resume."""


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Distribution of a run over devices and machines.

    Attributes:
        strategy: A `tf.distribute.Strategy`, or None.
        workers: Number of worker processes.
        worker: Index of this worker.
        chief: Whether this worker is the chief, which writes files and reports.
    """

    strategy: Any = None
    workers: int = 1
    worker: int = 0
    chief: bool = True

    @property
    def replicas(self) -> int:
        """Number of replicas of the model, over all workers."""
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    @property
    def summary(self) -> dict[str, Any]:
        """Name of the strategy, and numbers of workers and replicas, for the record of a run."""
        name = "none" if self.strategy is None else type(self.strategy).__name__
        return {"name": name, "workers": self.workers, "replicas": self.replicas}

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the scope in which a model must be built."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def check_together(self, epoch: int, step: int) -> None:
        """Raise unless all workers resume at the same epoch and step.

        Args:
            epoch: Epoch at which this worker resumes.
            step: Step at which this worker resumes.

        Raises:
            ValueError: The epochs or steps of the workers differ.
        """
        if self.workers == 1:
            return
        import tensorflow as tf

        def gather() -> Any:
            context = tf.distribute.get_replica_context()
            return context.all_reduce("SUM", tf.constant(codes, tf.int64))

        # Each worker writes its position, as one integer, at its own index of a vector; the sum
        # over all replicas holds the position of every worker, times the replicas of a worker.
        codes = [0] * self.workers
        codes[self.worker] = epoch * 10**7 + step
        total = tf.function(lambda: self.strategy.run(gather))()
        local = self.strategy.experimental_local_results(total)[0].numpy()
        replicas = self.replicas // self.workers
        positions = [divmod(int(value) // replicas, 10**7) for value in local]
        if len(set(positions)) > 1:
            raise ValueError(
                "The workers do not resume at the same place: from the folder of the run they read "
                f"epoch and step {positions}. Check that all workers see the folder of the chief, "
                "on a file system that they share."
            )


def distribution(strategy_or_name: str | Any, devices: Devices = None) -> Distribution:
    """Return the distribution for the name of a strategy, or for a strategy.

    Args:
        strategy_or_name: `"none"`; `"one_device"`, the first GPU, or the CPU; `"mirrored"`, all
            GPUs of this machine, or its logical CPUs; `"multi_worker"`, the machines listed in
            `TF_CONFIG`, including this one; or a `tf.distribute.Strategy`.
        devices: Names of the devices to use, such as `["GPU:0", "GPU:1"]`, or their number. A
            number is of GPUs, or of virtual CPUs on a machine without GPUs. None uses all devices.

    Raises:
        ValueError: No strategy has that name, the backend is not TensorFlow, a device does not
            exist, or `TF_CONFIG` does not describe this worker.
    """
    if not isinstance(strategy_or_name, str):
        result = _describe(strategy_or_name)
        _check_backend(strategy_or_name)
        return result
    if strategy_or_name not in STRATEGIES:
        raise ValueError(unknown("strategy", strategy_or_name, STRATEGIES))
    if strategy_or_name == "none":
        if devices is not None:
            raise ValueError(
                f"The strategy 'none' leaves devices to Keras. Received: `devices={devices!r}`. "
                "Choose 'one_device' or 'mirrored'."
            )
        return Distribution()
    _check_backend(strategy_or_name)
    import tensorflow as tf

    if strategy_or_name == "multi_worker":
        if devices is not None:
            raise ValueError(
                "Under 'multi_worker' each process uses all of its GPUs. Received: "
                f"`devices={devices!r}`. Hide GPUs from it with CUDA_VISIBLE_DEVICES."
            )
        return _multi_worker()
    names = _devices(devices)
    if strategy_or_name == "one_device":
        return Distribution(tf.distribute.OneDeviceStrategy(names[0]))
    return Distribution(tf.distribute.MirroredStrategy(names))


@contextlib.contextmanager
def lost_workers_named(distribution: Distribution) -> Iterator[None]:
    """Raise WorkerLostError if a step fails because another worker was lost."""
    if distribution.workers == 1:
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
            f"Worker {distribution.worker} of {distribution.workers} lost another. End all "
            "workers, and run the same commands with --resume to continue from the last "
            f"checkpoint. TensorFlow reports: {' '.join(filter(None, lines))[:300]}"
        ) from error


def _check_backend(strategy: Any) -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"The strategy {strategy!r} is one of TensorFlow, and Keras runs on "
            f"{keras.backend.backend()!r}. Use 'none', or KERAS_BACKEND=tensorflow."
        )


def _describe(strategy: Any) -> Distribution:
    if not hasattr(strategy, "scope"):
        raise ValueError(
            f"`strategy` must be one of {', '.join(map(repr, STRATEGIES))}, or a "
            f"tf.distribute.Strategy. Received: {strategy!r}."
        )
    return _from_cluster(strategy)


def _multi_worker() -> Distribution:
    _check_tf_config()
    import tensorflow as tf

    try:
        # No timeout is set: TensorFlow 2.21 would keep a thread for each operation of each step.
        # A lost worker is detected by its closed connection instead.
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(
            "The strategy 'multi_worker' must be created before TensorFlow runs anything else in "
            f"the process: {error} Start the training first, or use `keras-attn train`."
        ) from error
    return _from_cluster(strategy)


def _from_cluster(strategy: Any) -> Distribution:
    """Return the distribution by the cluster resolver of a strategy, from TF_CONFIG or Slurm."""
    resolver = getattr(strategy, "cluster_resolver", None)
    hosts = {} if resolver is None else resolver.cluster_spec().as_dict()
    chiefs = len(hosts.get("chief", ()))
    workers = chiefs + len(hosts.get("worker", ()))
    if resolver is None or workers < 2:
        return Distribution(strategy)
    index = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
    return Distribution(strategy, workers, index, chief=index == 0)


def _check_tf_config() -> None:
    example = (
        '{"cluster": {"worker": ["host-0:2222", "host-1:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        task, cluster = config["task"], config["cluster"]
        hosts = cluster[task["type"]]
        if task["type"] not in ("chief", "worker") or not 0 <= task["index"] < len(hosts):
            raise ValueError(f"there is no {task['type']} {task['index']} in it")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "The strategy 'multi_worker' reads the environment's TF_CONFIG: the hosts of all "
            f"workers, and the index of this one, such as {example}. Received: {text!r} ({error}). "
            "To try it on this machine alone, use `keras-attn train NAME --workers 2`."
        ) from error


def _devices(devices: Devices) -> list[str]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if isinstance(devices, int):
        if devices < 1 or (gpus and devices > len(gpus)):
            raise ValueError(
                f"`devices` must be at least 1, and at most the number of GPUs, {len(gpus)}. "
                f"Received: {devices}."
            )
        if not gpus:
            _create_virtual_cpus(devices)
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


def _create_virtual_cpus(number: int) -> None:
    """Split the CPU into this number of logical devices.

    Raises:
        ValueError: TensorFlow is initialized already, with fewer logical devices.
    """
    import tensorflow as tf

    (cpu, *_) = tf.config.list_physical_devices("CPU")
    configurations = [tf.config.LogicalDeviceConfiguration()] * number
    try:
        tf.config.set_logical_device_configuration(cpu, configurations)
    except RuntimeError as error:  # TensorFlow is initialized
        available = len(tf.config.list_logical_devices("CPU"))
        if available < number:
            raise ValueError(
                f"This process has {counted(available, 'logical CPU')}, and cannot create {number} "
                "after TensorFlow was initialized. Request them in a new process."
            ) from error
