"""Where names stand beside points so that they can be read."""

import math
from collections.abc import Mapping, Sequence


def labels(
    data: list[Mapping], domain: tuple[float, float], height: int, wide: float = 0.08
) -> list[dict]:
    """One label a place, moved apart where they would overlap; `wide` is a label's share of the
    view's width."""
    once = list({(d["label"], d["macs"]): d for d in data}.values())
    if not once:
        return []
    places = [(math.log10(d["at"]), d["mean"]) for d in once]
    span = (domain[1] - domain[0]) or 1
    width = max(x for x, _ in places) - min(x for x, _ in places)
    heights = apart(places, wide * width + 1e-9, 14 * span / height)
    return [{**d, "height": h} for d, h in zip(once, heights, strict=True)]


def apart(places: Sequence[tuple[float, float]], near: float, least: float) -> list[float]:
    """Heights for labels of (x, y) places so that those within `near` in x stand `least` apart."""
    heights = [y for _, y in places]
    for i in sorted(range(len(places)), key=lambda j: places[j][1]):
        for _ in places:
            clash = [
                heights[j]
                for j in range(len(places))
                if j != i
                and (places[j][1], j) < (places[i][1], i)
                and abs(places[j][0] - places[i][0]) < near
                and abs(heights[j] - heights[i]) < least
            ]
            if not clash:
                break
            heights[i] = max(clash) + least
    return heights
