"""TensorBoard's event files, byte by byte: scalars, and what its HParams page reads of a run.

An event file is a row of records (https://www.tensorflow.org/tutorials/load_data/tfrecord), each of
which is one `Event` in protocol buffers' wire format (https://protobuf.dev/programming-guides/
encoding). Both are promised to stay as they are, and the five messages that are written here have
a dozen fields. TensorBoard itself, or a package that writes its files, would weigh more than that.
"""

import struct
from collections.abc import Mapping

SUCCESS, FAILURE = 1, 2  # How a session ended (tensorboard.hparams.Status).
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # Wire types.


def _table() -> tuple[int, ...]:
    found = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)  # Castagnoli's polynomial, reversed.
        found.append(n)
    return tuple(found)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """The CRC of RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def framed(data: bytes) -> bytes:
    """One record: length, its CRC, the data, their CRC; CRCs are masked."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def version(time: float) -> bytes:
    """What a file begins with; times are in seconds since 1970."""
    return framed(_double(1, time) + _text(3, "brain.Event:2"))


def scalars(time: float, step: int, values: Mapping[str, float]) -> bytes:
    """Values by tag at a step."""
    found = (_message(1, _text(1, tag) + _float(2, v)) for tag, v in values.items())
    return _event(time, step, b"".join(found))


def start(time: float, hparams: Mapping[str, str | float | bool]) -> bytes:
    """A run begins, with these hyperparameters."""
    entries = (_message(1, _text(1, k) + _message(2, _value(v))) for k, v in hparams.items())
    return _hparams(time, "start", _message(3, b"".join(entries) + _double(5, time)))


def end(time: float, status: int) -> bytes:
    """A run has ended so."""
    return _hparams(time, "end", _message(4, _number(1, status) + _double(2, time)))


def _hparams(time: float, which: str, content: bytes) -> bytes:
    plugin = _text(1, "hparams") + _message(2, content)
    tag = _text(1, f"_hparams_/session_{which}_info")
    return _event(time, 0, _message(1, tag + _message(9, _message(1, plugin))))


def _event(time: float, step: int, summary: bytes) -> bytes:
    return framed(_double(1, time) + _number(2, step) + _message(5, summary))


def _value(v: str | float | bool) -> bytes:
    """google.protobuf.Value"""
    if isinstance(v, bool):
        return _number(4, v)
    return _text(3, v) if isinstance(v, str) else _double(2, v)


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(n: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while n > 0x7F:
        found.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*found, n])


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _number(field: int, n: int) -> bytes:
    return _key(field, _VARINT) + _varint(n)


def _double(field: int, v: float) -> bytes:
    return _key(field, _DOUBLE) + struct.pack("<d", v)


def _float(field: int, v: float) -> bytes:
    return _key(field, _FLOAT) + struct.pack("<f", v)


def _message(field: int, data: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8", "replace"))
