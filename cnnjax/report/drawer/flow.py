"""How much gradient reaches each layer of one net, before and after training, as a small plot."""

import html
import math
from collections.abc import Sequence

from cnnjax.study.artifacts import Look, read_inspection
from cnnjax.study.results import Folder

_WIDTH, _HEIGHT = 560, 130
_TIMES = {"start": "before training", "end": "after training"}


def draw(folder: Folder, key: str) -> str:
    """A line a time over the layers, the norm on a log scale; nothing where none was measured."""
    looks = read_inspection(folder, key)
    ways = {time: _norms(looks[time]) for time in _TIMES if time in looks}
    ways = {time: way for time, way in ways.items() if sum(v > 0 for v in way) > 1}
    if not ways:
        return ""
    known = [v for way in ways.values() for v in way if v > 0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    high = max(high, low + 1)
    lines = "".join(f'<path class="{t}" d="{_path(w, low, high)}"/>' for t, w in ways.items())
    keys = "".join(f'<li class="{time}">{_TIMES[time]}</li>' for time in ways)
    names = [name for name, _, _ in looks[next(iter(ways))].flow]
    alt = "Gradient of the first layer over that of the last: " + ", ".join(
        f"{_TIMES[time]} {way[0] / way[-1]:.2g}" for time, way in ways.items() if way[-1] > 0
    )
    return (
        '<section><h3>Gradient flow</h3><p class="quiet">Norm of the loss’s gradient by each '
        "layer’s weights, on a batch of validation images.</p>"
        f'<ul class="legend flow-key">{keys}</ul>'
        f'<div class="flow"><span>10<sup>{high}</sup></span><span>10<sup>{low}</sup></span>'
        f'<svg role="img" aria-label="{html.escape(alt)}" preserveAspectRatio="none" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{lines}</svg>'
        f"<span>{html.escape(names[0])}</span><span>{html.escape(names[-1])}</span></div></section>"
    )


def _norms(look: Look) -> list[float]:
    return [norm for _, norm, _ in look.flow]


def _path(way: Sequence[float], low: float, high: float) -> str:
    """The line, broken where nothing of the gradient is left."""
    parts, pen = [], "M"
    for i, v in enumerate(way):
        if v <= 0:
            pen = "M"
            continue
        x = _WIDTH * i / max(1, len(way) - 1)
        y = _HEIGHT * (high - math.log10(v)) / (high - low)
        parts.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(parts)
