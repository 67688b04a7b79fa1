"""Thrift's compact protocol, which Parquet's footers and page headers are in: values read within bounds, and written.

A struct is a dict of field number -> `Value`; a list is a `Listed`. Nothing here knows what the fields mean, so that those that
it does not know are kept as they were. Maps, sets and doubles do not occur in Parquet's metadata; a footer that holds one is refused.

References
----------
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from typing import Any, NamedTuple

from genassoc.data.strangers import MalformedError

TRUE, FALSE, I8, I16, I32, I64, BINARY, LIST, STRUCT = 1, 2, 3, 4, 5, 6, 8, 9, 12
_MOST_LEVELS = 16  # of structs and lists in one another; Parquet's have eight
_MOST_VALUES = (
    2**18
)  # in one struct: a footer of 20 columns has a thousand a row group; each takes a hundred bytes in memory
_MOST_FIELD = 2**15 - 1
_VARINT_BYTES = 10  # of 64 bits, seven in each


class Value(NamedTuple):
    """A field's type and its value: bool, int, bytes, `Listed` or a struct."""

    kind: int
    value: Any


class Listed(NamedTuple):
    """The type of a list's items, and the items."""

    kind: int
    items: list[Any]


Struct = dict[int, Value]


class Written(bytes):
    """A struct as `written` gave it, in place of the struct."""


def read_struct(data: bytes | memoryview, at: int = 0) -> tuple[Struct, int]:
    """The struct that begins at a byte of ``data``, and the byte after it.

    Raises
    ------
    MalformedError
        There is none, or it does not end within ``data``.
    """
    reader = _Reader(data, at)
    try:
        return reader.struct(0), reader.at
    except IndexError as error:
        raise MalformedError("it ends within a value") from error


class _Reader:
    def __init__(self, data: bytes | memoryview, at: int) -> None:
        if not 0 <= at < len(data):
            raise MalformedError("it ends before a value")
        self.data, self.at, self.left = data, at, _MOST_VALUES

    def byte(self) -> int:
        byte = self.data[self.at]
        self.at += 1
        return byte

    def varint(self) -> int:
        value = self.data[self.at]
        self.at += 1
        if value < 0x80:
            return value
        value &= 0x7F
        for k in range(1, _VARINT_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * k)
            if byte < 0x80:
                return value
        raise MalformedError("a number has more than 64 bits")

    def signed(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def value(self, kind: int, level: int) -> Any:
        if kind in (I16, I32, I64):
            return self.signed()
        if kind in (TRUE, FALSE, I8):  # of a list, a byte each
            return self.byte()
        if kind == BINARY:
            return self.binary()
        if kind == LIST:
            return self.list(level)
        if kind == STRUCT:
            return self.struct(level)
        raise MalformedError(f"it has a value of type {kind}, which Parquet's metadata does not have")

    def binary(self) -> bytes:
        length = self.varint()
        if length > len(self.data) - self.at:
            raise MalformedError("it ends within a text")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def list(self, level: int) -> Listed:
        head = self.byte()
        kind, length = head & 0x0F, head >> 4
        length = self.varint() if length == 0x0F else length
        if length > len(self.data) - self.at:  # an item has at least one byte
            raise MalformedError("it ends within a list")
        return Listed(kind, [self.value(kind, self.deeper(level)) for _ in range(length)])

    def struct(self, level: int) -> Struct:
        fields: Struct = {}
        number = 0
        while True:
            head = self.byte()
            if head == 0:
                return fields
            kind = head & 0x0F
            number = number + (head >> 4) if head >> 4 else self.signed()
            if number in fields or not 0 <= number <= _MOST_FIELD:
                raise MalformedError("a field has a number that it cannot have")
            is_flag = kind in (TRUE, FALSE)
            fields[number] = Value(kind, kind == TRUE if is_flag else self.value(kind, self.deeper(level)))

    def deeper(self, level: int) -> int:
        self.left -= 1
        if level >= _MOST_LEVELS or self.left < 0:
            raise MalformedError("its values are nested too deeply, or too many")
        return level + 1


def written(fields: Struct) -> Written:
    """A struct as bytes, its fields by their numbers."""
    out = bytearray()
    _put_struct(out, fields)
    return Written(out)


def _put_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_signed(out: bytearray, value: int) -> None:
    _put_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)


def _put(out: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        _put_signed(out, value)
    elif kind in (TRUE, FALSE, I8):
        out.append(value)
    elif kind == BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind == LIST:
        length = len(value.items)
        out.append(min(length, 0x0F) << 4 | value.kind)
        if length >= 0x0F:
            _put_varint(out, length)
        for item in value.items:
            _put(out, value.kind, item)
    elif isinstance(value, Written):
        out += value
    else:
        _put_struct(out, value)


def _put_struct(out: bytearray, fields: Struct) -> None:
    before = 0
    for number in sorted(fields):
        kind, value = fields[number]
        if kind in (TRUE, FALSE):
            kind = TRUE if value else FALSE
        if 0 < number - before <= 0x0F:
            out.append((number - before) << 4 | kind)
        else:
            out.append(kind)
            _put_signed(out, number)
        if kind not in (TRUE, FALSE):
            _put(out, kind, value)
        before = number
    out.append(0)
