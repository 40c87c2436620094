"""Colours and the charts' plain look.

Charts name colours as CSS variables, so that one SVG serves light, dark and print; pictures get
the light values put in. Series are told apart by Okabe and Ito's colours (safe for the colour-
blind) and by shape; places on a numeric axis by steps of viridis, cut where it would vanish
against the page.
"""

from typing import Any

SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
STEPS = 9
CROWD = 60  # Lines, rows and legend entries that a reader can still tell apart.

LIGHT = {
    "page": "#ffffff", "panel": "#f6f7f9", "ink": "#16191d", "muted": "#5b6470",
    "line": "#e3e6ea", "strong": "#b9c0c8", "accent": "#0a5f9e", "better": "#00795a",
    "worse": "#b84e00", "warn": "#8a5a00", "warn-back": "#fff6e0",
    "c0": "#0072b2", "c1": "#d55e00", "c2": "#009e73", "c3": "#b3568a", "c4": "#c98500",
    "c5": "#2b9fd9",
}  # fmt: skip
DARK = {
    "page": "#111418", "panel": "#191d23", "ink": "#eceff3", "muted": "#9aa4b0",
    "line": "#2a3038", "strong": "#4b545f", "accent": "#7cc4f5", "better": "#3ecf9f",
    "worse": "#f59a57", "warn": "#f2c14e", "warn-back": "#2b2413",
    "c0": "#4fb0ec", "c1": "#f0803c", "c2": "#35c79a", "c3": "#e296c3", "c4": "#f0b840",
    "c5": "#a5d8f5",
}  # fmt: skip
_VIRIDIS = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725")


def palette(dark: bool) -> dict[str, str]:
    """Every colour by the name of its CSS variable."""
    low, high = (0.36, 1.0) if dark else (0.0, 0.8)
    steps = [low + (high - low) * i / (STEPS - 1) for i in range(STEPS)]
    return (DARK if dark else LIGHT) | {f"s{i}": _viridis(t) for i, t in enumerate(steps)}


def var(name: str) -> str:
    """The CSS variable of a colour."""
    return f"var(--{name})"


def categories(n: int) -> list[str]:
    """n colours for series; the palette repeats past six, shapes still differ for a while."""
    return [var(f"c{i % 6}") for i in range(n)]


def steps(n: int) -> list[str]:
    """n ordered colours, as far apart as they go."""
    if n == 1:
        return [var("c0")]
    turns = STEPS < n <= CROWD  # Neighbours shall differ; of a crowd only the way is seen.
    return [var(f"s{i % STEPS if turns else round(i * (STEPS - 1) / (n - 1))}") for i in range(n)]


def shapes(n: int) -> list[str]:
    return [SHAPES[i % len(SHAPES)] for i in range(n)]


def config() -> dict[str, Any]:
    """Vega-Lite's configuration: quiet axes, no frame."""
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
    return {
        "font": font,
        "background": "transparent",
        "view": {"stroke": None},
        "axis": {
            "domain": False, "ticks": False, "labelColor": var("muted"), "labelFontSize": 12,
            "labelPadding": 6, "gridColor": var("line"), "titleColor": var("muted"),
            "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 10,
            "labelFont": font, "titleFont": font,
        },
        "axisX": {"grid": False, "domain": True, "domainColor": var("strong")},
        "axisY": {
            "titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleBaseline": "bottom",
            "titleY": -10, "titleX": -36, "tickCount": 5,
        },
        "title": {
            "anchor": "start", "color": var("ink"), "fontSize": 13, "fontWeight": 600,
            "font": font, "offset": 12,
        },
        "legend": {
            "labelColor": var("ink"), "titleColor": var("muted"), "labelFontSize": 12,
            "titleFontWeight": "normal", "orient": "top", "labelFont": font, "titleFont": font,
        },
        "text": {"color": var("ink"), "font": font, "fontSize": 12},
        "rule": {"color": var("strong")},
    }  # fmt: skip


def concrete(data: Any, colours: dict[str, str]) -> Any:
    """The same chart with colours in place of CSS variables."""
    if isinstance(data, dict):
        return {k: concrete(v, colours) for k, v in data.items()}
    if isinstance(data, list):
        return [concrete(v, colours) for v in data]
    if isinstance(data, str) and data.startswith("var(--"):
        return colours.get(data[6:-1], data)
    return data


def css() -> str:
    """The colours as CSS: light, dark where the reader's system is, light again on paper."""
    light, dark = ("".join(f"--{k}:{v};" for k, v in palette(d).items()) for d in (False, True))
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f"@media print{{:root{{color-scheme:light;{light}}}}}\n"
    )


def _viridis(t: float) -> str:
    at = t * (len(_VIRIDIS) - 1)
    i = min(int(at), len(_VIRIDIS) - 2)
    a, b = (bytes.fromhex(_VIRIDIS[j][1:]) for j in (i, i + 1))
    return "#" + bytes(round(x + (y - x) * (at - i)) for x, y in zip(a, b, strict=True)).hex()
