"""What a source's nets do otherwise than a net of ours, found before its weights are used."""

from collections.abc import Iterable

from cnnjax.nets.context import Step
from cnnjax.nets.layers import PADDINGS, sides
from cnnjax.transfer.rules import Table
from cnnjax.transfer.slots import Slot

AS = {"symmetric": "on both sides alike", "same": "as TensorFlow does"}


def differs(table: Table, found: Iterable[Slot]) -> str:
    """How their net differs from that of the layers `found`, and what to do; "" if it doesn't."""
    found = tuple(found)
    return table.refused or _strides(table, found) or _paddings(table, found)


def _strides(table: Table, found: tuple[Slot, ...]) -> str:
    """In which convolution of a bottleneck its stride is, which shapes don't tell."""
    parts = [(slot, *slot.path.rpartition("/")[::2]) for slot in found]
    deep = {block for _, block, name in parts if name == "conv3"}
    strided: dict[str, str] = {}
    for slot, block, name in parts:
        if slot.stride > 1 and block in deep:
            strided.setdefault(name, slot.path)
    if table.stride_first and "conv2" in strided:
        return (
            f"its bottlenecks stride in their first 1×1, the net's in {strided['conv2']}: use the "
            "net's version 1, such as resnet50_v1 for resnet50"
        )
    if table.stride_first is False and "conv1" in strided:
        return (
            f"its bottlenecks stride in their 3×3, the net's in {strided['conv1']}: use the net "
            "without _v1, such as resnet50 for resnet50_v1"
        )
    return ""


def _paddings(table: Table, found: tuple[Slot, ...]) -> str:
    strided = (s for s in found if s.stride > 1 and s.shapes["kernel"][0] > 1)
    for slot in strided if table.padding else ():
        if slot.pads != _pads(table.padding, slot):
            return (
                f"it pads its strided layers {AS[table.padding]}, unlike the net's {slot.path}: "
                f"give the net {padded(table.padding)}"
            )
    return ""


def padded(how: str) -> str:
    """How a net is asked for that pads so, in Python and on the command line."""
    return f'padding="{how}" (--padding={how})'


def _pads(how: str, slot: Slot) -> tuple[tuple[int, int], ...]:
    """Before and behind the map along its height and width, padded so."""
    reach = [slot.dilation * (kernel - 1) for kernel in slot.shapes["kernel"][:2]]
    step = Step(slot.stride)
    pairs = zip(slot.size, reach, strict=True)
    return tuple(sides(PADDINGS[how], size, far, step) for size, far in pairs)
