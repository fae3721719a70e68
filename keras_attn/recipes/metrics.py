"""Measures of quality, and how they are written."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Metric:
    """A measure of quality, and how it is written.

    Attributes:
        key: Its key in what `Task.evaluate_split` returns.
        title: Its name in tables.
        unit: Written behind the value, such as `" %"`.
        scale: Factor from the value to what is written: 100 for percents.
        digits: Decimals that are written.
        greater_is_better: Whether the greatest value is the best.

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
        """Return the value as it is written."""
        return f"{self.scale * value:.{self.digits if digits is None else digits}f}{self.unit}"
