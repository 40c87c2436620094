"""Data as the page's file holds them: columns in place of rows, each once for all charts.

A thousand points stand in a dozen layers under the same names, texts and places. Of a layer with
many rows the specification keeps `{"packed": i}` in place of `{"values": […]}`; the i-th of `sets`
has a number for each field, and `columns` what stands there: the values, or `{"of": distinct
values, "at": which}` where few are repeated. `assets/data.js` makes rows of them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnnjax.study import files

MANY = 40  # Rows; fewer are no burden and stay legible.


def pack(charts: Mapping[str, Any]) -> dict[str, Any]:
    """The charts with their large data replaced, and the `sets` and `columns` to read them by."""
    columns: list[Any] = []
    sets: list[dict[str, int]] = []
    places: dict[str, int] = {}
    known: dict[tuple[int, ...], int] = {}

    def place(values: Sequence[Any]) -> int:
        packed = column(values)
        text = json.dumps(packed)
        if text not in places:
            places[text] = len(columns)
            columns.append(packed)
        return places[text]

    def replace(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        large = len(values) >= MANY and isinstance(values[0], Mapping)
        fields = list(values[0]) if large else []
        if not fields or any(list(row) != fields for row in values):
            return {"values": values}
        same = tuple(map(id, values))  # Layers over one another show the same rows.
        if same not in known:
            known[same] = len(sets)
            sets.append({f: place([row[f] for row in values]) for f in fields})
        return {"packed": known[same]}

    return {"charts": _layers(charts, replace), "sets": sets, "columns": columns}


def column(values: Sequence[Any]) -> Any:
    """The values in six digits, or `{"of", "at"}` where that is shorter."""
    values = [float(f"{v:.6g}") if isinstance(v, float) else v for v in files.plain(values)]
    distinct = list(dict.fromkeys((type(v), v) for v in values))
    if len(values) < MANY or 3 * len(distinct) > len(values):
        return values
    numbers = {pair: i for i, pair in enumerate(distinct)}
    return {"of": [v for _, v in distinct], "at": [numbers[type(v), v] for v in values]}


def _layers(data: Any, replace: Callable[[Any], dict[str, Any]]) -> Any:
    """The specifications with `replace` put to every `values`."""
    if isinstance(data, Mapping):
        if isinstance(data.get("values"), list) and set(data) == {"values"}:
            return replace(data["values"])
        return {k: _layers(v, replace) for k, v in data.items()}
    return [_layers(v, replace) for v in data] if isinstance(data, list) else data


def text(data: Any) -> str:
    """JSON that can't end the element that it stands in."""
    made = json.dumps(files.plain(data), allow_nan=False, separators=(",", ":"))
    return made.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
