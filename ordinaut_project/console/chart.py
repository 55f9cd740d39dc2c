"""Bars of runs by the hour, as figures for an SVG. Pure: numbers in, geometry out; the template draws.

Sizes are attributes of SVG elements, not styles: our policy allows no inline style.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

WIDTH = 960
HEIGHT = 150
_GAP = 6

# From the bottom up. What is neither succeeded nor failed nor in progress (canceled, skipped, missed) is `other`.
SERIES = ("succeeded", "in progress", "other", "failed")


@dataclass(frozen=True, slots=True)
class Segment:
    series: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour. `counts` are in the order of SERIES."""

    hour: datetime
    x: float
    width: float
    total: int
    counts: tuple[int, ...]
    segments: tuple[Segment, ...]

    @property
    def is_labelled(self) -> bool:
        """Every third hour has its name under the bar; all of them would not fit."""
        return self.hour.hour % 3 == 0

    @property
    def middle(self) -> float:
        return round(self.x + self.width / 2, 1)


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[Bar, ...]
    highest: int
    total: int


def hourly(outcomes: Mapping[datetime, Mapping[str, int]]) -> Chart:
    """Stacked bars, as high as the busiest hour fills the height. A count that is not zero is at least a pixel high."""
    rows = [(hour, _counts(found)) for hour, found in outcomes.items()]
    highest = max((sum(counts) for _, counts in rows), default=0)
    step = WIDTH / max(len(rows), 1)
    bars = tuple(
        Bar(
            hour=hour,
            x=round(index * step + _GAP / 2, 1),
            width=round(step - _GAP, 1),
            total=sum(counts),
            counts=counts,
            segments=_stack(counts, highest),
        )
        for index, (hour, counts) in enumerate(rows)
    )
    return Chart(bars=bars, highest=highest, total=sum(bar.total for bar in bars))


def _counts(found: Mapping[str, int]) -> tuple[int, ...]:
    named = {name: found.get(name, 0) for name in SERIES}
    named["other"] = sum(count for name, count in found.items() if name not in named)
    return tuple(named[name] for name in SERIES)


def _stack(counts: tuple[int, ...], highest: int) -> tuple[Segment, ...]:
    segments = []
    top = float(HEIGHT)
    for series, count in zip(SERIES, counts, strict=True):
        if count:
            height = max(1.0, round(HEIGHT * count / highest, 1))
            top = round(top - height, 1)
            segments.append(Segment(series=series, y=top, height=height))
    return tuple(segments)
