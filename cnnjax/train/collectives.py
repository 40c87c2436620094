"""What a compiled step sends between devices, read off XLA's own text of the program."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_OPENS = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
_CALL = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (?P<type>.+?) (?P<op>[a-z][a-z\-]*)\(")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|branch_computations)=\{?(%?[\w.\-]+(?:, ?%?[\w.\-]+)*)"
)
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_ARRAY = re.compile(r"([a-z]+\d*)\w*\[([\d,]*)\]")
_BITS = re.compile(r"\d+")


class Tally(NamedTuple):
    """How often, and how many bytes of results on each device."""

    count: int = 0
    bytes: int = 0

    def plus(self, other: "Tally", times: int = 1) -> "Tally":
        return Tally(self.count + times * other.count, self.bytes + times * other.bytes)


def collectives(hlo: str) -> dict[str, Tally]:
    """The collectives of one pass through a compiled program, by kind.

    A loop whose rounds XLA knows (scanned blocks) counts that often; one whose rounds are an
    argument (the steps of a dispatch) counts once.
    """
    bodies: dict[str, list[str]] = {}
    entry = ""
    lines: list[str] = []
    for line in hlo.splitlines():
        if opens := _OPENS.match(line):
            lines = bodies[opens[1]] = []
            entry = opens[1] if line.startswith("ENTRY") else entry
        else:
            lines.append(line)
    return {kind: tally for kind, tally in _within(entry, bodies, {}).items() if tally.count}


def _within(
    name: str, bodies: Mapping[str, list[str]], known: dict[str, dict[str, Tally]]
) -> dict[str, Tally]:
    """Of a computation and what it calls."""
    if name not in known:
        known[name] = found = dict.fromkeys(KINDS, Tally())
        for line in bodies.get(name, ()):
            call = _CALL.match(line)
            if not call:
                continue
            kind = call["op"].removesuffix("-start")
            if kind in KINDS:
                found[kind] = found[kind].plus(Tally(1, _bytes(call["type"], call["op"])))
                continue  # What an all-reduce calls is its sum.
            trips = _TRIPS.search(line)
            times = int(trips[1]) if trips else 1
            for callee in _called(line):
                for kind, tally in _within(callee, bodies, known).items():
                    found[kind] = found[kind].plus(tally, times)
    return known[name]


def _called(line: str) -> Iterator[str]:
    for names in _CALLED.findall(line):
        yield from (name.strip().removeprefix("%") for name in names.split(","))


def _bytes(type_: str, op: str) -> int:
    """Of the result; an asynchronous start but that of an all-reduce lists its operands before."""
    sizes = [_size(*array) for array in _ARRAY.findall(type_)]
    if op.endswith("-start") and op != "all-reduce-start":
        sizes = [n for n in sizes if n > 8]  # Less the two counters of a permute.
        return sum(sizes[len(sizes) // 2 :])
    return sum(sizes)


def _size(dtype: str, dimensions: str) -> int:
    bits = int(found[0]) if (found := _BITS.search(dtype)) else 8
    count = 1
    for n in filter(None, dimensions.split(",")):
        count *= int(n)
    return count * bits // 8
