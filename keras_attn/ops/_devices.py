"""The devices that TensorFlow sees."""

import functools


@functools.cache
def only_cpus() -> bool:
    """Return whether no accelerator is visible to TensorFlow. It initializes no device."""
    import tensorflow as tf

    return all(device.device_type == "CPU" for device in tf.config.get_visible_devices())
