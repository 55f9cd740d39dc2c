"""How often Python collects garbage, in each of our processes."""

import gc

# A start makes hundreds of thousands of objects and no garbage: collections by Python's own thresholds, (700, 10, 10),
# take a quarter of it. What they would free of a service that runs is little, and waits a moment longer.
_THRESHOLDS = (50_000, 20, 50)


def collect_seldom() -> None:
    gc.set_threshold(*_THRESHOLDS)
