"""Bytes of a text file (plain, gzip or BGZF) in stretches, each with the address from which it can be read again.

BGZF is gzip cut into blocks of at most 64 kB that say how long they are (SAM specification, section 4.1), so that
blocks are inflated in parallel and reading starts anywhere. Every block's CRC and length are checked, and so is the
empty block that ends a complete file.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from isal import isal_zlib

from genassoc.errors import InputError
from genassoc.kernels.text import bgzf as blocks
from genassoc.kernels.text import inflate as kernels
from genassoc.shapes import Int64Array

IsalError: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub says: an instance
EOF_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_LENGTH = struct.Struct("<I")  # the last four bytes of a block: what it inflates to
GROUP_BLOCKS = 64  # blocks inflated by one task: 4 MB of text
ROOM = 2**20  # before the text of a group, for the beginning of its first line
READ_BYTES = 2**20
PLAIN_BYTES = 4 * 2**20
GZIP_BYTES = 4 * 2**20  # inflated at a time
GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib's number for "a gzip member, its CRC and length checked"


class Text(NamedTuple):
    """Inflated bytes.

    Attributes
    ----------
    buffer : bytes or bytearray
        Whose bytes ``start`` to ``stop`` are the text. In a bytearray those before ``start`` are free: what the stretch before
        left over can be put there, so that nothing need be joined.
    free : Buffers or None
        Who takes the buffer back.
    """

    buffer: bytes | bytearray
    start: int
    stop: int
    free: "Buffers | None" = None

    def give_back(self) -> None:
        """Its memory is in use no longer."""
        if self.free is not None and isinstance(self.buffer, bytearray):
            self.free.give(self.buffer)


class Stretch(NamedTuple):
    """A stretch of a file that can be inflated by itself.

    Attributes
    ----------
    address : int
        From where it can be read again.
    work : int
        Bytes of the file that it takes.
    size : int
        Bytes of its text.
    load : callable
        Gives its text; any thread may do it. `InputError` where it is damaged.
    """

    address: int
    work: int
    size: int
    load: Callable[[], Text]

    @classmethod
    def of(cls, data: bytes, address: int, work: int) -> "Stretch":
        """Text that is there already."""
        return cls(address, work, len(data), partial(Text, data, 0, len(data)))


class Buffers:
    """Buffers to inflate into, used again and again: fresh memory costs as much as inflating does."""

    def __init__(self) -> None:
        self._free: deque[bytearray] = deque()

    def take(self, size: int) -> bytearray:
        """Get a buffer of at least ``size`` bytes; its content is arbitrary."""
        try:
            buffer = self._free.pop()
        except IndexError:
            return bytearray(size)
        return buffer if len(buffer) >= size else bytearray(size)

    def give(self, buffer: bytearray) -> None:
        """Take back a buffer that is no longer in use."""
        self._free.append(buffer)


def sniff(path: Path) -> str:
    """``"plain"``, ``"gzip"``, ``"bgzf"`` or ``"bcf"`` (uncompressed), by the first bytes and not by the name.

    Raises
    ------
    InputError
        The file cannot be opened, is empty, or is plain text under a compressed name.
    """
    try:
        with path.open("rb") as file:
            head = file.read(18)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}") from error
    if not head:
        raise InputError(f"{path}: is empty (0 bytes)")
    if head[:2] == GZIP_MAGIC:
        is_bgzf = len(head) >= 16 and head[3] & 4 and head[12:14] == b"BC"
        return "bgzf" if is_bgzf else "gzip"
    if head[:3] == b"BCF":
        return "bcf"
    if path.suffix in {".gz", ".bgz"}:
        raise InputError(
            f"{path}: is named {path.suffix} but is not compressed; rename it without {path.suffix}, or compress it with bgzip"
        )
    return "plain"


def require_complete(path: Path) -> None:
    """Raise `InputError` where the empty block that ends every complete BGZF file is not there."""
    with path.open("rb") as file:
        file.seek(0, 2)
        if file.tell() >= len(EOF_BLOCK):
            file.seek(-len(EOF_BLOCK), 2)
            if file.read() == EOF_BLOCK:
                return
    raise InputError(
        f"{path}: is truncated: the block that ends a complete BGZF file is missing; copy or download the file again"
    )


def plain_stretches(path: Path, address: int = 0) -> Iterator[Stretch]:
    """Stretches of an uncompressed file from a byte offset."""
    with path.open("rb") as file:
        file.seek(address)
        while data := file.read(PLAIN_BYTES):
            yield Stretch.of(data, address, len(data))
            address += len(data)


def gzip_stretches(path: Path) -> Iterator[Stretch]:
    """Stretches of a gzip file that is not BGZF: from its beginning only; addresses count inflated bytes.

    Raises
    ------
    InputError
        The data is damaged or ends early.
    """
    address = 0
    inflater = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
    with path.open("rb") as file:
        pending = b""
        started = False
        while True:
            at = file.tell()
            pending = pending or file.read(READ_BYTES // 4)
            if not pending and (inflater.eof or not started):
                break
            work = len(pending)
            at_end, started = not pending, True  # at the end, inflated bytes may still be pending
            try:
                data = inflater.decompress(
                    pending, GZIP_BYTES
                )  # no more at once: a thousandfold compression is possible
            except IsalError as error:
                raise InputError(f"{path}: damaged gzip data near byte {at}: {error}") from error
            pending = inflater.unconsumed_tail
            if at_end and not data:
                break
            if inflater.eof:
                # Another member may follow; zeros that pad a tape block may not.
                pending = inflater.unused_data.lstrip(b"\0")
                if pending or file.tell() < path.stat().st_size:
                    inflater = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
                    started = False
            if data:
                yield Stretch.of(data, address, work - len(pending))
                address += len(data)
    if started and not inflater.eof:
        raise InputError(f"{path}: is truncated: the gzip data ends early; copy or download the file again")


class _Group(NamedTuple):
    """Neighbouring blocks that one task inflates.

    Attributes
    ----------
    offset : int
        Of the first, in the file.
    data : memoryview
        Their bytes.
    ends, sizes : int64 (blocks,)
        Where each ends in ``data``, what it inflates to.
    """

    offset: int
    data: memoryview
    ends: Int64Array
    sizes: Int64Array

    @property
    def size(self) -> int:
        """Bytes that they inflate to."""
        return int(self.sizes.sum())

    @property
    def last(self) -> int:
        """Offset of the last block in the file."""
        return self.offset + (int(self.ends[-2]) if len(self.ends) > 1 else 0)


def _block_size(header: bytes | memoryview, path: Path, offset: int) -> int:
    """Length of the block whose first bytes these are, or 0 where more bytes are needed to know."""
    if len(header) < 18:
        return 0
    if header[0] != 31 or header[1] != 139 or header[2] != 8 or not header[3] & 4:
        raise InputError(
            f"{path}: no BGZF block where one must begin (byte {offset}); the file is damaged, was not written by bgzip "
            "to its end, or its index belongs to another file"
        )
    extra = header[10] | header[11] << 8
    if extra == 6 and header[12] == 66 and header[13] == 67:
        return (header[16] | header[17] << 8) + 1
    if len(header) < 12 + extra:
        return 0
    at = 12
    while at + 4 <= 12 + extra:
        length = header[at + 2] | header[at + 3] << 8
        if header[at] == 66 and header[at + 1] == 67 and length == 2:
            return (header[at + 4] | header[at + 5] << 8) + 1
        at += 4 + length
    raise InputError(f"{path}: gzip member without a BGZF length at byte {offset}; compress the file anew with bgzip")


def _groups(file: BinaryIO, path: Path, start: int, stop: int | None) -> Iterator[_Group]:
    """Groups of blocks from byte ``start``; the last block is the one that begins at or before ``stop``."""
    file.seek(start)
    buffer = b""
    at, offset = 0, start  # of the next block: in the buffer, in the file
    ends, sizes = np.empty(GROUP_BLOCKS, dtype=np.int64), np.empty(GROUP_BLOCKS, dtype=np.int64)
    while stop is None or offset <= stop:
        n = blocks.find_blocks(np.frombuffer(buffer, dtype=np.uint8), at, ends, sizes)
        behind = int(ends[n - 1]) if n else at
        if n < GROUP_BLOCKS and len(buffer) - behind < 2**16 and (more := file.read(READ_BYTES)):
            buffer, at = buffer[at:] + more, 0
            continue
        if behind == len(buffer) and not n:
            break
        if not n:
            ends[0], sizes[0] = _block_of_another(buffer, at, path, offset)
            n = 1
        found = ends[:n] - at
        if stop is not None:  # blocks begin where those before them end
            n = 1 + int(np.searchsorted(offset + found[:-1], stop, "right"))
        length = int(found[n - 1])
        yield _Group(offset, memoryview(buffer)[at : at + length], found[:n], sizes[:n].copy())
        at, offset = at + length, offset + length


def _block_of_another(buffer: bytes, at: int, path: Path, offset: int) -> tuple[int, int]:
    """Where a block ends that has another header than bgzip writes, and what it inflates to; `InputError` where none is."""
    size = _block_size(buffer[at : at + 2**16], path, offset)
    if size == 0 or at + size > len(buffer):
        raise InputError(f"{path}: is truncated: the block at byte {offset} is cut; copy or download the file again")
    if size < 26:
        raise InputError(f"{path}: damaged BGZF block at byte {offset}: its length is {size}")
    return at + size, _LENGTH.unpack_from(buffer, at + size - 4)[0]


def _inflate(path: Path, group: _Group, buffers: Buffers) -> bytearray:
    """Inflate a group into a buffer, `ROOM` bytes behind its beginning; each block's CRC and length are checked."""
    if group.size <= len(group.ends) * 2**16:
        buffer = buffers.take(ROOM + GROUP_BLOCKS * 2**16 + kernels.SLACK)
        if _inflate_sound(group, buffer) or _inflate_any(group, buffer):
            return buffer
    raise _damage(path, group)


def _inflate_sound(group: _Group, buffer: bytearray) -> bool:
    """Inflate blocks by our kernel, which is made for genotypes; return whether all are sound."""
    data, out = np.frombuffer(group.data, dtype=np.uint8), np.frombuffer(buffer, dtype=np.uint8)
    stops = np.empty_like(group.ends)
    if kernels.inflate_blocks(data, group.ends, out, ROOM, kernels.working_room(), stops) < len(group.ends):
        return False
    expected = blocks.joined_checksum(data, group.ends, group.sizes)
    return bool(isal_zlib.crc32(memoryview(buffer)[ROOM : ROOM + group.size]) == expected)


def _inflate_any(group: _Group, buffer: bytearray) -> bool:
    """Inflate by isal the blocks that our kernel does not take."""
    filled, stop = ROOM, ROOM + group.size
    try:
        # one call for all blocks: they are members of one gzip file
        reader = isal_zlib._GzipReader(group.data)  # type: ignore[arg-type]  # its stub lacks bytes-like
        while more := reader.readinto(memoryview(buffer)[filled : stop + 1]):
            filled += more
    except (IsalError, OSError, EOFError):
        return False
    return filled == stop


def _damage(path: Path, group: _Group) -> InputError:
    """Which block of a group cannot be inflated, and why."""
    begin = 0
    for end in group.ends.tolist():
        block = group.data[begin:end]
        offset = group.offset + begin
        begin = end
        expected = int.from_bytes(block[-4:], "little")
        try:
            if expected > 2**16:
                raise IsalError(f"length {expected}")
            data = isal_zlib.decompress(block, wbits=_GZIP_WINDOW, bufsize=2**16)
        except IsalError as error:
            return InputError(f"{path}: damaged BGZF block at byte {offset} ({error}); copy or download the file again")
        if len(data) != expected:
            return InputError(f"{path}: damaged BGZF block at byte {offset}: wrong length")
    return InputError(f"{path}: damaged BGZF blocks at bytes {group.offset} to {group.last}; copy or download it again")


def bgzf_stretches(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Stretch]:
    """Stretches of a BGZF file.

    Parameters
    ----------
    start, stop : int, int or None
        Virtual offsets (block address << 16 | offset inside) of the first byte and behind the last one.

    Raises
    ------
    InputError
        A block is damaged or cut; here, or where a stretch is loaded.
    """
    last = None if stop is None else stop >> 16
    buffers = Buffers()
    with path.open("rb") as file:
        for group in _groups(file, path, start >> 16, last):
            begin, end, address = 0, group.size, group.offset << 16
            if stop is not None and group.last == last:
                end += min(0, (stop & 0xFFFF) - int(group.sizes[-1]))
            if group.offset == start >> 16 and start & 0xFFFF:
                if start & 0xFFFF > group.sizes[0]:
                    raise InputError(f"{path}: its index points behind a block; the index belongs to another file")
                begin, address = begin + (start & 0xFFFF), start
            end = max(begin, end)
            yield Stretch(address, len(group.data), end - begin, partial(_load, path, group, begin, end, buffers))


def _load(path: Path, group: _Group, begin: int, end: int, buffers: Buffers) -> Text:
    """Bytes ``begin`` to ``end`` of what a group inflates to."""
    return Text(_inflate(path, group, buffers), ROOM + begin, ROOM + end, buffers)


def head(path: Path, n_bytes: int) -> bytes:
    """The first bytes of a file, inflated where it is compressed."""
    if sniff(path) in ("gzip", "bgzf"):
        return inflated_head(path)[:n_bytes]
    with path.open("rb") as file:
        return file.read(n_bytes)


def inflated_head(path: Path) -> bytes:
    """The first bytes of a gzip or BGZF file, inflated; `InputError` where it is damaged."""
    try:
        with path.open("rb") as file:
            return isal_zlib.decompressobj(wbits=_GZIP_WINDOW).decompress(file.read(2**16), 64)
    except IsalError as error:
        raise InputError(f"{path}: damaged gzip data at its beginning ({error}); copy or download it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
