"""The two ways in which strided layers are padded, which a file of weights does not tell."""

from typing import Any

from cnnjax.errors import unknown
from cnnjax.nets.blocks import Plain
from cnnjax.nets.inverted import Inverted
from cnnjax.nets.layers import Same
from cnnjax.nets.mobilenet_v1 import Separable
from cnnjax.nets.net import Net
from cnnjax.transfer.slots import Slot
from cnnjax.values import fields, is_value

PADDINGS = {"symmetric": None, "same": Same()}
_PADDED = (Plain, Separable, Inverted)


def padded(net: Net, how: str) -> Net:
    """The net with its layers padded "symmetric", as PyTorch does, or "same", as TensorFlow does:
    weights of MobileNets and EfficientNets come in both kinds.

    Layers that say how many pixels they pad stay as they are.

    Raises:
      UserError: another word.
    """
    if how not in PADDINGS:
        raise unknown("padding", how, PADDINGS)
    return _rebuilt(net, PADDINGS[how])


def _rebuilt(v: Any, padding: Same | None) -> Any:
    if isinstance(v, tuple):
        return tuple(_rebuilt(x, padding) for x in v)
    if not is_value(v):
        return v
    given = {f.name: _rebuilt(getattr(v, f.name), padding) for f in fields(v)}
    if isinstance(v, _PADDED) and not isinstance(v.padding, int):
        given["padding"] = padding
    return type(v)(**given)


def pads(how: str, slot: Slot) -> tuple[tuple[int, int], ...]:
    """Before and behind a convolution's map along its height and width, padded so."""
    found = []
    for size, kernel in zip(slot.size, slot.shapes["kernel"], strict=False):
        total = slot.dilation * (kernel - 1)
        if how == "same":
            total = max(0, (-(-size // slot.stride) - 1) * slot.stride + total + 1 - size)
        found.append((total // 2, total - total // 2))
    return tuple(found)
