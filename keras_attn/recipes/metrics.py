"""Metrics, and how to format them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric, and how to format its values.

    Attributes:
        key: Its key in the result of `Task.evaluate_split`.
        title: Its name in tables.
        unit: Text after the value, such as `" %"`.
        scale: Factor by which the value is multiplied before it is formatted: 100 for percents.
        digits: Number of decimals.
        greater_is_better: Whether a greater value is better.

    Example:

    >>> Metric("accuracy", "accuracy", " %", 100.0).format(0.91234)
    '91.23 %'
    """

    key: str
    title: str
    unit: str = ""
    scale: float = 1.0
    digits: int = 2
    greater_is_better: bool = True

    def format(self, value: float, digits: int | None = None) -> str:
        """Return the formatted value."""
        return f"{self.scale * value:.{self.digits if digits is None else digits}f}{self.unit}"
