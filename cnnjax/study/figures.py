"""Large figures in three digits."""

import math


def si(v: float | None) -> str:
    """15_100_000 → `15.1 M`, three digits; counts below a thousand whole."""
    if v is None:
        return "–"
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(v) >= 0.9995 * size:
            return f"{three(v / size)} {unit}"
    return f"{v:g}" if v == int(v) else three(v)


def three(v: float) -> str:
    """Three digits, no exponent."""
    v = float(f"{v:.3g}")  # 0.9997 has become 1 before its digits are counted.
    digits = 2 - math.floor(math.log10(abs(v))) if v else 0
    return f"{v:.{min(max(digits, 0), 6)}f}"
