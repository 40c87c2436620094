"""A net drawn from its layers: a slab a layer, as high as its map and as wide as its channels."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cnnjax.report import words
from cnnjax.study.untrusted import line

_HEIGHT, _WIDTH = 120, 640  # Pixels of the largest map, and of the whole where that can be.
_LEAST, _STAGE = 78, 10  # Pixels of a stage, so that its words fit, and between two.
_SLABS, _STAGES = 64, 24  # More layers are drawn as their stages, more stages not at all.


class _Slab(NamedTuple):
    stage: str
    name: str
    kind: str
    side: int
    channels: int
    output: str


def draw(layers: Sequence[Mapping[str, Any]]) -> str:
    """An SVG of the net's convolutions and dense layers by their stages; none where there are
    none."""
    slabs = [s for s in map(_slab, layers) if s]
    stages: dict[str, list[_Slab]] = {}
    for slab in slabs:
        stages.setdefault(slab.stage, []).append(slab)
    if not stages or len(stages) > _STAGES:
        return ""
    if len(slabs) > _SLABS:
        drawn = {name: [max(s, key=lambda x: x.channels)] for name, s in stages.items()}
    else:
        drawn = stages
    scale = 9.0
    while scale > 0.5 and _total(drawn.values(), scale) > _WIDTH:
        scale *= 0.9
    largest = max(x.side for x in slabs)
    left, parts = 0.0, []
    for name, inside in drawn.items():
        widths = _widths(inside, scale)
        room = max(_LEAST, sum(widths))
        at = left + (room - sum(widths)) / 2
        for slab, width in zip(inside, widths, strict=True):
            parts.append(_rectangle(slab, at, width, max(4.0, _HEIGHT * slab.side / largest)))
            at += width
        parts.append(_words(name, stages[name], left + room / 2))
        left += room + _STAGE
    wide = round(left - _STAGE)
    told = words.listed([f"{name} {s[-1].output}" for name, s in stages.items()])
    way = f'<path class="way" d="M0 {_HEIGHT / 2:g}H{wide}"/>'
    return (
        '<section><h3>The net</h3><p class="quiet">Each layer as high as its map and as wide as '
        "the root of its channels, from the image on the left to the answer on the right.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Diagram">'
        f'<svg class="diagram" role="img" aria-label="{html.escape(told)}" width="{wide}" '
        f'height="{_HEIGHT + 54}" viewBox="0 0 {wide} {_HEIGHT + 54}">{way}{"".join(parts)}</svg>'
        "</div></section>"
    )


def _widths(inside: Sequence[_Slab], scale: float) -> list[float]:
    return [max(2.0, scale * math.sqrt(x.channels)) for x in inside]


def _total(stages: Iterable[Sequence[_Slab]], scale: float) -> float:
    return sum(max(_LEAST, sum(_widths(inside, scale))) + _STAGE for inside in stages)


def _slab(row: Mapping[str, Any]) -> _Slab | None:
    kind, output = line(row.get("kind")), row.get("output")
    sizes = output if isinstance(output, list) else []
    whole = all(type(n) is int and 0 < n < 10**6 for n in sizes)
    if not kind.startswith(("conv", "dense")) or len(sizes) not in (1, 3) or not whole:
        return None
    name = line(row.get("layer"))[:200]
    side = max(sizes[:2]) if len(sizes) == 3 else 1
    text = "×".join(map(str, sizes))
    return _Slab(name.split("/")[0][:24], name, kind[:60], side, sizes[-1], text)


def _rectangle(slab: _Slab, left: float, width: float, height: float) -> str:
    top = (_HEIGHT - height) / 2
    kind = "dense" if slab.kind.startswith("dense") else "conv"
    told = html.escape(f"{slab.name}: {slab.kind}, {slab.output}")
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{max(1.5, width - 1):.1f}" '
        f'height="{height:.1f}"><title>{told}</title></rect>'
    )


def _words(name: str, inside: Sequence[_Slab], middle: float) -> str:
    told = (name, inside[-1].output, words.count(len(inside), "layer"))
    return "".join(
        f'<text x="{middle:.0f}" y="{_HEIGHT + 18 + 15 * i}"{" class=name" if not i else ""}>'
        f"{html.escape(text)}</text>"
        for i, text in enumerate(told)
    )
