"""The per-layer table of a net, with bars."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.report import words
from cnnjax.study.untrusted import line, number

MOST = 400  # Rows shown of one net.
_BARS = {
    "params": "params",
    "macs": "MACs",
    "activations": "activations",
    "receptive_field": "receptive field",
}


def table(layers: Sequence[Mapping[str, Any]]) -> str:
    """A row a layer, a bar for each measure as a share of the largest; nothing of no layers."""
    rows = layers[:MOST]
    if not rows:
        return ""
    tops = {name: max((_size(row.get(name)) for row in layers), default=0) for name in _BARS}
    heads = "".join(f'<th scope="col">{title}</th>' for title in _BARS.values())
    lines = "".join(
        f'<tr><th scope="row">{html.escape(line(row.get("layer"))[:200])}</th>'
        f"<td>{html.escape(line(row.get('kind'))[:60])}</td><td>{_sizes(row.get('output'))}</td>"
        + "".join(_cell(row.get(name), tops[name]) for name in _BARS)
        + "</tr>"
        for row in rows
    )
    more = f", the first {MOST}" if len(layers) > MOST else ""
    return (
        f"<section><h3>Layer by layer</h3>"
        f'<p class="quiet">{words.count(len(layers), "layer")}{more}; bars are shares of the '
        "largest.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Layers">'
        '<table class="layers"><thead><tr><th scope="col">layer</th><th scope="col">kind</th>'
        f'<th scope="col">output</th>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
        "</section>"
    )


def _size(v: Any) -> float:
    """A number or the larger of [height, width]; nought where it is neither."""
    sides = [number(x) or 0 for x in v[:2]] if isinstance(v, list) else [number(v) or 0]
    return max([0, *sides])


def _cell(v: Any, top: float) -> str:
    size = _size(v)
    share = round(100 * size / top) if top else 0
    text = _sizes(v) if isinstance(v, list) else _digits(v)
    return f'<td style="--b:{share}">{text}</td>' if share else f"<td>{text}</td>"


def _sizes(v: Any) -> str:
    sizes = v[:6] if isinstance(v, list) else []
    return "×".join(words.axis_value(x) for x in sizes if type(x) is int and abs(x) < 10**9)


def _digits(v: Any) -> str:
    return "" if number(v) is None else f"{v:,}".replace(",", "\u202f")
