"""The per-layer table of a net: rows as plain data, and as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.compute import (
    activation_memory,
    activations,
    grid_padding,
    grid_stride,
    inside_macs,
    intensity,
    macs,
    params,
    receptive_field,
    traffic,
    weight_memory,
)
from cnnjax.compute.trace import Layer, Trace

_MEASURES = {
    "params": params,
    "macs": macs,
    "inside_macs": inside_macs,
    "activations": activations,
    "weight_memory": weight_memory,
    "activation_memory": activation_memory,
    "traffic": traffic,
    "receptive_field": receptive_field,
    "grid_stride": grid_stride,
    "grid_padding": grid_padding,
}
_HEADINGS = ("layer", "operation", "output", "params", "MACs", "inside", "activations", "field")


def layers(trace: Trace) -> list[dict]:
    """A row a layer: layer, kind, output, and what it has of each measure, by the measure's name.

    `kind` is such as "conv 3×3/2 d2 g4"; `output` is [H, W, C] or [C]; `receptive_field`,
    `grid_stride` and `grid_padding` are in pixels, a number or [height, width], None where a unit
    sees the whole image.
    """
    columns = [measure.per_layer(trace) for measure in _MEASURES.values()]
    return [
        {
            "layer": layer.path or type(trace.net).__name__,
            "kind": operation(layer),
            "output": list(layer.output),
        }
        | dict(zip(_MEASURES, values, strict=True))
        for layer, *values in zip(trace.layers, *columns, strict=True)
    ]


def operation(layer: Layer) -> str:
    """What the layer does, as in "conv 3×3/2 d2 g4" (stride 2, dilation 2, 4 groups)."""
    if layer.kind != "conv":
        return layer.kind + _repeated(layer)
    text = f"conv {'×'.join(map(str, layer.kernel[:-2]))}"
    text += _unless_one("/", layer.strides) + _unless_one(" d", layer.dilation)
    return text + (f" g{layer.groups}" if layer.groups > 1 else "") + _repeated(layer)


def summary(trace: Trace) -> str:
    """The table as aligned text, totals and what they mean at the bottom.

    `inside` is the share of MACs inside the map where some fall on its padding, `field` the
    receptive field in pixels.
    """
    rows = [
        (
            row["layer"],
            row["kind"],
            "×".join(map(str, row["output"])),
            f"{row['params']:,}",
            f"{row['macs']:,}" if layer.eqn else "",
            _share(row["inside_macs"], row["macs"]),
            f"{row['activations']:,}" if layer.eqn else "",
            _pixels(layer, row["receptive_field"]),
        )
        for layer, row in zip(trace.layers, layers(trace), strict=True)
    ]
    total = {name: measure.total(trace) for name, measure in _MEASURES.items()}
    totals = (
        *(f"{total[name]:,}" for name in ("params", "macs")),
        _share(total["inside_macs"], total["macs"]),
        f"{total['activations']:,}",
        _text(total["receptive_field"]),
    )
    lines = _aligned([_HEADINGS, *rows, ("total", "", "", *totals)])
    rule = "─" * max(map(len, lines))
    shape = "×".join(map(str, trace.input_shape))
    notes = _notes(trace, total)
    return "\n".join([f"input {shape}", lines[0], rule, *lines[1:-1], rule, lines[-1], *notes])


def _unless_one(mark: str, sizes: Sequence[int]) -> str:
    """The mark and the sizes, one number where they are equal, nothing where they are 1."""
    if set(sizes) == {1}:
        return ""
    return mark + (str(sizes[0]) if len(set(sizes)) == 1 else "×".join(map(str, sizes)))


def _repeated(layer: Layer) -> str:
    return f" ({layer.times} times)" if layer.times > 1 else ""


def _pixels(layer: Layer, size: int | list[int] | None) -> str:
    if size is None:
        return "global" if layer.field else ""
    return _text(size)


def _text(size: int | list[int]) -> str:
    return f"{size:,}" if isinstance(size, int) else "×".join(f"{n:,}" for n in size)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if part < whole else ""


def _notes(trace: Trace, total: Mapping[str, Any]) -> list[str]:
    moved = f"{_bytes(total['traffic'])} moved, {intensity.total(trace):.3g} FLOPs a byte"
    inside = _share(total["inside_macs"], total["macs"])
    taps = f"{inside} of the MACs fall inside their maps, the rest on padding" if inside else ""
    return [
        *_seen(trace, total),
        f"FLOPs are 2 · MACs. {taps or 'No MACs fall on padding'}.",
        f"Weights {_bytes(total['weight_memory'])}; one image's values at most "
        f"{_bytes(total['activation_memory'])} at a time; {moved}.",
    ]


def _seen(trace: Trace, total: Mapping[str, Any]) -> list[str]:
    """The grid of the last map, and what it leaves out."""
    if trace.field is None:
        return ["The output does not depend on the image."]
    starts = [axis.low for axis in trace.field.axes]
    start = f"{starts[0]:,}" if starts[0] == starts[1] else f"({starts[0]:,}, {starts[1]:,})"
    found = [
        f"A unit of the last map sees {_text(total['receptive_field'])} pixels, one unit every "
        f"{_text(total['grid_stride'])}, the first from pixel {start} on.".replace("-", "−")
    ]
    if trace.field.is_global:
        found += ["Gates and norms over the whole map see all of the image: left out (global)."]
    return found


def _bytes(count: float) -> str:
    """With a unit of thousands, millions and so on, to three digits."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count, units = count / 1000, units[1:]
    return f"{count:.3g} {units[0]}"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Text columns to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
