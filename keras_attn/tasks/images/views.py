"""Test-time augmentation: averaging logits over several views of an image."""

from collections.abc import Callable

from keras import ops

from keras_attn._types import Tensor
from keras_attn.tasks.images.description import check_views


def average_over_views(logits: Callable[[Tensor], Tensor], images: Tensor, views: int) -> Tensor:
    """Return the average of the logits over several views of each image.

    Two views are the image and its mirror image. Six views add both of them shifted by one pixel,
    up left and down right, with reflection padding; the four shifted views together have the same
    weight as the two others (Jordan, arXiv:2404.00498).

    Args:
        logits: Function from images to logits `(B, C)`.
        images: Images `(B, H, W, channels)`.
        views: Number of views: 1, 2 or 6.

    Returns:
        Logits `(B, C)`.

    Raises:
        ValueError: The number of views is not supported.
    """
    check_views(views)
    if views == 1:
        return logits(images)

    def mirror_average(images: Tensor) -> Tensor:
        return (logits(images) + logits(ops.flip(images, axis=2))) / 2

    unshifted = mirror_average(images)
    if views == 2:
        return unshifted
    height, width = ops.shape(images)[1:3]
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shifted = [padded[:, start : start + height, start : start + width] for start in (0, 2)]
    return unshifted / 2 + (mirror_average(shifted[0]) + mirror_average(shifted[1])) / 4
