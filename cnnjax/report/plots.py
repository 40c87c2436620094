"""plots/*.png: the dashboard's charts as pictures, for papers and for report.md."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnjax.report import theme
from cnnjax.report.charts.parts import Chart, Key, still
from cnnjax.study import files

WIDTH, PAIR = 560, 380  # Pixels of one view alone and of views side by side, before doubling.


def write(folder: Path, charts: Sequence[Chart]) -> list[tuple[str, str]]:
    """Draw every chart; (title, path relative to the folder) of each.

    Raises:
      UserError: the disk refuses.
    """
    import vl_convert

    with files.telling(folder):
        (folder / "plots").mkdir(exist_ok=True)
    written = []
    for chart in charts:
        png = vl_convert.vegalite_to_png(json.dumps(files.plain(picture(chart))), scale=2)
        files.replace(folder / "plots" / f"{chart.name}.png", png)
        written.append((chart.title, f"plots/{chart.name}.png"))
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
