"""plots/: the dashboard's charts as pictures, for papers and for report.md."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnjax.report import theme
from cnnjax.report.charts.parts import Chart, Key, still
from cnnjax.study import files

WIDTH, PAIR = 560, 380  # Pixels of one view alone and of views side by side, before doubling.


@dataclasses.dataclass(frozen=True)
class Picture:
    """A chart's words and the path of its drawing, relative to the study's folder."""

    title: str
    path: str
    caption: str
    alt: str


def write(folder: Path, charts: Sequence[Chart]) -> list[Picture]:
    """Draw every chart, as SVG for report.md and as PNG for what takes no SVG.

    Raises:
      UserError: the disk refuses.
    """
    import vl_convert

    with files.telling(folder):
        (folder / "plots").mkdir(exist_ok=True)
    written = []
    for chart in charts:
        vega = vl_convert.vegalite_to_vega(json.dumps(files.plain(picture(chart))))
        svg = vl_convert.vega_to_svg(vega)
        files.write_text(folder / "plots" / f"{chart.name}.svg", svg)
        files.replace(folder / "plots" / f"{chart.name}.png", vl_convert.svg_to_png(svg, scale=2))
        written.append(Picture(chart.title, f"plots/{chart.name}.svg", chart.caption, chart.alt))
    return written


def picture(chart: Chart) -> dict[str, Any]:
    """The chart as one self-standing specification in light colours, with title and legend."""
    width = WIDTH if min(len(chart.views), chart.columns) == 1 else PAIR
    views = [_with_legend(still(view), chart.legend) for view in chart.views]
    views = [view | {"width": width} if view["width"] == "container" else view for view in views]
    spec = {
        "title": {"text": chart.title, "fontSize": 16, "offset": 16},
        "concat": views,
        "columns": chart.columns,
        "config": theme.config() | {"background": theme.LIGHT["page"]},
        "padding": 20,
    }
    return theme.concrete(spec, theme.palette(dark=False))


def _with_legend(data: Any, keys: Sequence[Key]) -> Any:
    """Vega's own legend where the page would have drawn one."""
    if isinstance(data, list):
        return [_with_legend(v, keys) for v in data]
    if not isinstance(data, dict):
        return data
    data = {k: _with_legend(v, keys) for k, v in data.items()}
    if "legend" in data and keys:
        data["legend"] = {"title": None, "symbolOpacity": 1}
    return data
