"""Sizes of the splits that a table of your own is cut into."""

MIN_EXAMPLES = 10  # distinct examples of a table that can be cut into three splits


def check_fractions(validation: float, test: float) -> None:
    """Raise ValueError if the fractions leave a split empty."""
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(
            "`validation` and `test` must be fractions above 0 that leave some to train on, such "
            f"as 0.1 and 0.1. Received: {validation!r} and {test!r}."
        )


def held_out_sizes(count: int, validation: float, test: float) -> tuple[int, int]:
    """Return how many of `count` examples go to the validation and to the test split.

    Fewer than 3 examples all stay in the training split. Of 3 or more, each split has one at
    least.

    Example:

    >>> held_out_sizes(20, 0.1, 0.1), held_out_sizes(3, 0.1, 0.1), held_out_sizes(2, 0.5, 0.4)
    ((2, 2), (1, 1), (0, 0))
    """
    if count < 3:
        return 0, 0
    validation_size, test_size = (max(1, round(count * part)) for part in (validation, test))
    while validation_size + test_size >= count:
        if validation_size > test_size:
            validation_size -= 1
        else:
            test_size -= 1
    return validation_size, test_size
