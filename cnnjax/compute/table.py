"""The per-layer table of a net: rows as plain data, and as text."""

from collections.abc import Sequence

from cnnjax.compute import activations, macs, params, receptive_field
from cnnjax.compute.trace import Layer, Trace

_HEADINGS = ("layer", "operation", "output", "params", "MACs", "activations", "receptive field")


def layers(trace: Trace) -> list[dict]:
    """A row a layer: layer, kind, output, params, macs, activations, receptive_field.

    `kind` is such as "conv 3×3/2 d2 g4"; `output` is [H, W, C] or [C]; `receptive_field` is in
    pixels, a number or [height, width], None where a unit sees the whole image.
    """
    columns = (m.per_layer(trace) for m in (params, macs, activations, receptive_field))
    return [
        {
            "layer": layer.path or type(trace.net).__name__,
            "kind": operation(layer),
            "output": list(layer.output),
            "params": n_params,
            "macs": n_macs,
            "activations": n_activations,
            "receptive_field": field,
        }
        for layer, n_params, n_macs, n_activations, field in zip(
            trace.layers, *columns, strict=True
        )
    ]


def operation(layer: Layer) -> str:
    """What the layer does, as in "conv 3×3/2 d2 g4" (stride 2, dilation 2, 4 groups)."""
    if layer.kind != "conv":
        return layer.kind + _repeated(layer)
    text = f"conv {'×'.join(map(str, layer.kernel[:-2]))}"
    text += _unless_one("/", layer.strides) + _unless_one(" d", layer.dilation)
    return text + (f" g{layer.groups}" if layer.groups > 1 else "") + _repeated(layer)


def summary(trace: Trace) -> str:
    """The table as aligned text, totals and what the last map sees at the bottom."""
    rows = [
        (
            row["layer"],
            row["kind"],
            "×".join(map(str, row["output"])),
            *(f"{row[name]:,}" for name in ("params", "macs", "activations")),
            _pixels(layer, row["receptive_field"]),
        )
        for layer, row in zip(trace.layers, layers(trace), strict=True)
    ]
    totals = [f"{measure.total(trace):,}" for measure in (params, macs, activations)]
    last = _text(receptive_field.total(trace))
    lines = _aligned([_HEADINGS, *rows, ("total", "", "", *totals, last)])
    rule = "─" * max(map(len, lines))
    shape = "×".join(map(str, trace.input_shape))
    return "\n".join(
        [f"input {shape}", lines[0], rule, *lines[1:-1], rule, lines[-1], _note(trace)]
    )


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


def _note(trace: Trace) -> str:
    if trace.field is None:
        return "The output does not depend on the image."
    size = _text(receptive_field.total(trace))
    rows, columns = (axis.stride for axis in trace.field.axes)
    every = str(rows) if rows == columns else f"{rows}×{columns}"
    text = f"A unit of the last map sees {size} pixels, one unit every {every}."
    if trace.field.is_global:
        text += " Gates and norms over the whole map see all of the image: left out (global)."
    return text


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
