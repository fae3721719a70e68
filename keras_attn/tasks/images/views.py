"""Several views of an image, whose answers are averaged."""

from collections.abc import Callable

from keras import ops

from keras_attn._types import Tensor

VIEWS = (1, 2, 6)


def check_views(views: int) -> None:
    """Refuse a number of views that there is no choice of.

    Raises:
        ValueError: `views` is none of `VIEWS`.
    """
    if views not in VIEWS:
        raise ValueError(
            f"`views` must be 1 (the image), 2 (and its mirror image) or 6 (and both moved up "
            f"left and down right by a pixel). Received: {views!r}."
        )


def average_over_views(logits: Callable[[Tensor], Tensor], images: Tensor, views: int) -> Tensor:
    """The mean of the logits of several views of each image.

    Two views are an image and its mirror image. Six are also both of them moved by one pixel,
    up left and down right, reflecting at the border; the two that are not moved count for half
    of the mean (Jordan, arXiv:2404.00498).

    Args:
        logits: from images to logits `(B, C)`.
        images: `(B, H, W, C)`.
        views: 1, 2 or 6.

    Returns:
        `(B, C)`.

    Raises:
        ValueError: another number of views.
    """
    check_views(views)
    if views == 1:
        return logits(images)

    def of_both_sides(images: Tensor) -> Tensor:
        return (logits(images) + logits(ops.flip(images, axis=2))) / 2

    centred = of_both_sides(images)
    if views == 2:
        return centred
    height, width = ops.shape(images)[1:3]
    wide = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    moved = [wide[:, start : start + height, start : start + width] for start in (0, 2)]
    return centred / 2 + (of_both_sides(moved[0]) + of_both_sides(moved[1])) / 4
