"""What is kept of a net beside its record: `runs/<key>/artifacts/`, written whole, read without
trust."""

import dataclasses
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.study import files
from cnnjax.study.results import Folder
from cnnjax.study.untrusted import number

INSPECTION = "inspection.json"
_MOST = 4096  # Layers of a net, or cells of a picture: more is none of ours.


@dataclasses.dataclass(frozen=True)
class Look:
    """A net at one time: `flow` has (layer, norm of the loss's gradient, the same relative to the
    weights) from the first layer to the last; `field` are shares of the largest gradient on a grid
    over the image, and `size` the effective receptive field's side in pixels."""

    flow: tuple[tuple[str, float, float | None], ...] = ()
    field: tuple[tuple[float, ...], ...] = ()
    size: float | None = None
    image: tuple[float, float] | None = None


def write_inspection(folder: Folder, key: str, data: Mapping[str, Any]) -> None:
    """Replace the run's `artifacts/inspection.json`."""
    files.write_json(place(folder, key, INSPECTION), data)


def read_inspection(folder: Folder, key: str) -> dict[str, Look]:
    """Its looks by name, `start` and `end`; what can't be read is as if it were not there."""
    try:
        data = files.read_json(found(folder, key, INSPECTION))
    except (OSError, files.Unreadable):
        return {}
    times = ("start", "end")
    return {time: _look(data[time]) for time in times if isinstance(data.get(time), dict)}


def place(folder: Folder, key: str, name: str) -> Path:
    """Where to write one of the run's artifacts; its folder is made.

    Raises:
      UserError: the disk refuses.
    """
    path = folder.run_dir(key) / "artifacts"
    with files.telling(path):
        path.mkdir(parents=True, exist_ok=True)
    return path / name


def found(folder: Folder, key: str, name: str) -> Path:
    """One of the run's artifacts, to be read.

    Raises:
      Unreadable: it is no plain file, or a link leads out of the run's folder.
      OSError: there is none.
    """
    path = folder.run_dir(key) / "artifacts" / name
    home = (folder.path / "runs").resolve() / key / "artifacts"
    plain = stat.S_ISREG(path.stat().st_mode)
    if not plain or path.resolve().parent != home:
        raise files.Unreadable("it leads out of its folder or is no plain file")
    return path


def _look(data: Mapping[str, Any]) -> Look:
    field = data.get("field")
    field = field if isinstance(field, dict) else {}
    flow = [_flow(row) for row in _rows(data.get("flow"))]
    cells = [tuple(number(v) for v in row) for row in _rows(field.get("gradient"), list)]
    whole = cells and len({len(row) for row in cells}) == 1
    good = whole and all(v is not None and 0 <= v <= 1 for row in cells for v in row)
    image = tuple(number(v) for v in _rows(field.get("image"), (int, float)))
    return Look(
        flow=tuple(row for row in flow if row),
        field=tuple(cells) if good and len(cells) * len(cells[0]) <= _MOST else (),
        size=number(field.get("size")),
        image=image if len(image) == 2 and all(v and v > 0 for v in image) else None,
    )


def _flow(row: Mapping[str, Any]) -> tuple[str, float, float | None] | None:
    gradient = number(row.get("gradient"))
    if gradient is None or gradient < 0:
        return None
    return str(row.get("layer"))[:200], gradient, number(row.get("relative"))


def _rows(v: Any, kind: Any = dict) -> list[Any]:
    return [x for x in v[:_MOST] if isinstance(x, kind)] if isinstance(v, list) else []
