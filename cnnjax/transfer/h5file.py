"""HDF5 as Keras writes it, read without the HDF5 library, which hangs on damaged files.

Groups, text attributes and contiguous datasets of numbers, from the format's specification
(https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html). What can point outside the
file (external links, external data, virtual datasets) has no code here, nor has what Keras never
writes (chunks, filters, dense groups): it is refused by name. Every address and length is checked
against the file, and arrays are views of it, so that no memory is taken on the file's word.
"""

import dataclasses
import math
import struct

import numpy as np

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NOWHERE = 0xFFFF_FFFF_FFFF_FFFF
_ITEMS = 200_000  # Nodes, messages and links in a file: many times what any net has.
_TEXT = 256  # Bytes of text that count as a part.
_FLOATS = {2: (10, 5, 0, 10), 4: (23, 8, 0, 23), 8: (52, 11, 0, 52)}  # IEEE's, by bytes.
_LINK, _EXTERNAL, _LAYOUT, _ATTRIBUTE, _CONTINUATION, _TABLE = 6, 7, 8, 12, 16, 17
_SPACE, _LINKS, _TYPE, _FILTERS, _DENSE_ATTRIBUTES = 1, 2, 3, 11, 21


class Damaged(ValueError):
    """The file contradicts itself, or uses what weights have no need of."""


@dataclasses.dataclass(frozen=True)
class Node:
    """A group or dataset: its text attributes, its links by name (to `File.node`), its numbers."""

    texts: dict[str, list[str]]
    links: dict[str, int]
    array: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A datatype: a numpy dtype, text of fixed length, or text kept elsewhere in the file."""

    size: int
    dtype: str = ""
    text: str = ""  # "fixed" or "heap".


class File:
    """An HDF5 file in memory; `node(root)` is where it begins.

    Raises:
      Damaged: here or in any method; struct.error, IndexError, KeyError or ValueError where what
        is read contradicts itself.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.left = _ITEMS
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}
        version = self.numbers(8, "<B")[0]
        if data[:8] != SIGNATURE or version > 3:
            raise Damaged("no HDF5 file")
        offsets, base, root = (13, 24, 64) if version < 2 else (9, 12, 36)
        root += 4 * (version == 1)
        base += 4 * (version == 1)
        start, _, end = self.numbers(base, "<QQQ")
        if self.bytes(offsets, 2) != b"\x08\x08" or start != 0:
            raise Damaged("addresses that are not of 8 bytes from the file's beginning")
        if end > len(data):
            raise Damaged("cut short")
        self.root = self.numbers(root, "<Q")[0]

    def bytes(self, start: int, size: int) -> bytes:
        if start + size > len(self.data):
            raise Damaged("cut short")
        return self.data[start : start + size]

    def numbers(self, start: int, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.bytes(start, struct.calcsize(form)))

    def count(self, parts: int = 1) -> None:
        """A loop of addresses, or one file made of a million nodes, ends here."""
        self.left -= parts
        if self.left < 0:
            raise Damaged(f"more than {_ITEMS} parts")

    def node(self, address: int) -> Node:
        self.count()
        texts: dict[str, list[str]] = {}
        links: dict[str, int] = {}
        parts: dict[int, bytes] = {}
        for kind, body in self.messages(address):
            if kind == _ATTRIBUTE:
                texts |= self.attribute(body)
            elif kind == _TABLE:
                links |= self.table(*struct.unpack_from("<QQ", body))
            elif kind == _LINK:
                links |= _link(body)
            elif kind in (_LINKS, _DENSE_ATTRIBUTES):
                _refuse_dense(kind, body)
            elif kind in (_EXTERNAL, _FILTERS):
                raise Damaged("external data" if kind == _EXTERNAL else "compressed data")
            else:
                parts[kind] = body
        array = self.array(parts) if _LAYOUT in parts else None
        return Node(texts, links, array)

    def messages(self, address: int) -> list[tuple[int, bytes]]:
        """The kinds and bodies of an object's header, in either of its two forms."""
        modern = self.bytes(address, 4) == b"OHDR"
        if modern:
            flags = self.numbers(address + 4, "<BB")[1]
            start = address + 6 + 16 * bool(flags & 32) + 4 * bool(flags & 16)
            width = 1 << (flags & 3)
            blocks = [(start + width, int.from_bytes(self.bytes(start, width), "little"))]
            head = 4 + 2 * bool(flags & 4)
        else:
            if self.numbers(address, "<B") != (1,):
                raise Damaged("an object without a header")
            blocks = [(address + 16, self.numbers(address + 8, "<I")[0])]
            head = 8
        found = []
        while blocks:
            at, size = blocks.pop()
            end = at + len(self.bytes(at, size))
            while at + head <= end:
                self.count()
                kind, length, flags = self.numbers(at, "<BHB" if modern else "<HHB")
                body = self.bytes(at + head, length)
                at += head + length
                if flags & 2 and kind:
                    raise Damaged("a shared message")
                if kind == _CONTINUATION:
                    where, size = struct.unpack_from("<QQ", body)
                    # The newer form's blocks have a signature before and a checksum behind.
                    blocks.append((where + 4, max(size - 8, 0)) if modern else (where, size))
                else:
                    found.append((kind, body))
        return found

    def table(self, tree: int, heap: int) -> dict[str, int]:
        """The links of a group of the older form: a B-tree of names, which lie in a heap."""
        if self.bytes(heap, 4) != b"HEAP":
            raise Damaged("a group without names")
        size, _, names = self.numbers(heap + 8, "<QQQ")
        links, trees = {}, [tree]
        while trees:
            self.count()
            at = trees.pop()
            if self.bytes(at, 4) == b"TREE":
                used = self.numbers(at + 6, "<H")[0]
                self.count(used)
                trees += self.numbers(at + 24, f"<{2 * used + 1}Q")[1::2][::-1]
                continue
            if self.bytes(at, 4) != b"SNOD":
                raise Damaged("a group without links")
            for i in range(self.numbers(at + 6, "<H")[0]):
                self.count()
                name, address, cached = self.numbers(at + 8 + 40 * i, "<QQI")
                if cached == 2:
                    raise Damaged("a link to another place")
                end = self.data.index(b"\0", names + name, names + size)
                self.count((end - names - name) // _TEXT)
                links[self.data[names + name : end].decode()] = address
        return links

    def attribute(self, body: bytes) -> dict[str, list[str]]:
        """An attribute, if it is text."""
        version, flags, *sizes = struct.unpack_from("<BBHHH", body)
        if version not in (1, 2, 3) or (version > 1 and flags & 3):
            raise Damaged("an attribute of another version")
        at, parts = 8 + (version == 3), []
        for size in sizes:
            parts.append(body[at : at + size])
            at += -(-size // 8) * 8 if version == 1 else size
        name = parts[0].split(b"\0")[0].decode()
        kind, shape = _kind(parts[1]), _shape(parts[2])
        if math.prod(shape) == 0:
            return {name: []}
        if not kind.text:
            return {}
        count = math.prod(shape)
        if at + count * kind.size > len(body) or not kind.size:
            raise Damaged("an attribute that is cut short")
        items = [body[at + i * kind.size : at + (i + 1) * kind.size] for i in range(count)]
        if kind.text == "heap":
            items = [self.heaped(*struct.unpack("<IQI", item)) for item in items]
        return {name: [item.split(b"\0")[0].decode() for item in items]}

    def heaped(self, length: int, address: int, index: int) -> bytes:
        """A text in a global heap."""
        self.count(length // _TEXT)
        if length == 0:
            return b""
        if address not in self.heaps:
            if self.bytes(address, 4) != b"GCOL":
                raise Damaged("text that is not there")
            end = address + self.numbers(address + 8, "<Q")[0]
            held, at = {}, address + 16
            while at + 16 <= end:
                self.count()
                number, _, size = self.numbers(at, "<HH4xQ")
                if number == 0:  # The free rest.
                    break
                held[number] = (at + 16, size)
                at += 16 + -(-size // 8) * 8
            self.heaps[address] = held
        start, size = self.heaps[address][index]
        return self.bytes(start, min(size, length))

    def array(self, parts: dict[int, bytes]) -> np.ndarray:
        """A dataset's numbers as a view of the file."""
        kind, shape, layout = _kind(parts[_TYPE]), _shape(parts[_SPACE]), parts[_LAYOUT]
        version, form = layout[:2]
        if not kind.dtype:
            raise Damaged("a dataset of what is no number")
        size = math.prod(shape) * kind.size
        if version not in (3, 4) or form not in (0, 1):
            known = {2: "data in chunks", 3: "a virtual dataset"}
            raise Damaged(known.get(form, "data laid out in another way"))
        if form == 0:
            start, held, data = 4, struct.unpack_from("<H", layout, 2)[0], layout
        else:
            (start, held), data = struct.unpack_from("<QQ", layout, 2), self.data
        if size == 0:
            return np.empty(shape, kind.dtype)
        if size > held or start + size > len(data):
            raise Damaged("a dataset that is cut short")
        return np.frombuffer(data, kind.dtype, math.prod(shape), start).reshape(shape)


def _shape(body: bytes) -> tuple[int, ...]:
    version, rank = body[:2]
    if version not in (1, 2) or (version == 2 and body[3] == 2):
        raise Damaged("a dataspace of another kind")
    return struct.unpack_from(f"<{rank}Q", body, 8 if version == 1 else 4)


def _kind(body: bytes) -> _Kind:
    form, flags, _, _, size = struct.unpack_from("<BBBBI", body)
    order = ">" if flags & 1 else "<"
    if form & 15 == 0 and size in (1, 2, 4, 8):
        return _Kind(size, f"{order}{'i' if flags & 8 else 'u'}{size}")
    if form & 15 == 1 and size in _FLOATS and not flags & 64:
        _, precision, exponent, wide, mantissa, long = struct.unpack_from("<HHBBBB", body, 8)
        if (exponent, wide, mantissa, long) == _FLOATS[size] and precision == 8 * size:
            return _Kind(size, f"{order}f{size}")
    if form & 15 == 3:
        return _Kind(size, text="fixed")
    if form & 15 == 9 and flags & 15 == 1:
        return _Kind(16, text="heap")
    return _Kind(size)


def _link(body: bytes) -> dict[str, int]:
    """A link of the newer form."""
    version, flags = body[:2]
    at = 2
    kind = body[at] if flags & 8 else 0
    at += bool(flags & 8) + 8 * bool(flags & 4) + bool(flags & 16)
    width = 1 << (flags & 3)
    length = int.from_bytes(body[at : at + width], "little")
    at += width
    if version != 1 or kind != 0:
        raise Damaged("a link to another place")
    (address,) = struct.unpack_from("<Q", body, at + length)
    return {body[at : at + length].decode(): address}


def _refuse_dense(kind: int, body: bytes) -> None:
    """Many links or attributes go to a heap of their own in the newer form."""
    flags = body[1]
    skipped = (8 if kind == _LINKS else 2) * (flags & 1)
    if struct.unpack_from("<Q", body, 2 + skipped) != (_NOWHERE,):
        raise Damaged("a dense group: write it with Keras' save_weights")
