"""The devices that TensorFlow sees."""

import functools


@functools.cache
def only_cpus() -> bool:
    """Return whether TensorFlow sees no accelerator. It initializes no device."""
    import tensorflow as tf

    return all(device.device_type == "CPU" for device in tf.config.list_physical_devices())
