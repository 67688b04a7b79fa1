"""Writing BGZF: gzip in blocks of at most 64 kB, so reading can start anywhere (SAM specification, 4.1)."""

import struct
from typing import BinaryIO

from isal import isal_zlib

from genassoc.formats.bgzf import EOF_BLOCK

_BLOCK_BYTES = 0xFF00  # of text, as htslib has it
# gzip: magic, deflate, an extra field; no time; system unknown; 6 bytes of it, "BC", 2 bytes: size - 1
_HEADER = struct.Struct("<4BI2BH2BHH")
_TRAILER = struct.Struct("<II")
_HEADER_FIELDS = (31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2)
_RAW_DEFLATE = -15


class BgzfWriter:
    """Writes bytes as BGZF to a binary file; `close` writes the rest and the end marker.

    pysam's writer does the same, but reports a full disk without its cause.

    Parameters
    ----------
    file : binary file
        Stays open.
    level : int
        0 to 3, from fastest to smallest.
    """

    def __init__(self, file: BinaryIO, level: int = 1) -> None:
        self._file, self._level = file, level
        self._pending = bytearray()

    def write(self, text: bytes | bytearray | memoryview) -> None:
        """Add bytes; whole blocks are written at once."""
        self._pending += text
        whole = len(self._pending) // _BLOCK_BYTES * _BLOCK_BYTES
        with memoryview(self._pending) as pending:
            for start in range(0, whole, _BLOCK_BYTES):
                self._write_block(pending[start : start + _BLOCK_BYTES])
        del self._pending[:whole]

    def flush(self) -> None:
        """Write what there is as a block, though it be a short one: what is written after it can be made apart."""
        if self._pending:
            self._write_block(memoryview(bytes(self._pending)))
            self._pending.clear()

    def close(self) -> None:
        """Write the last block and the marker that tells readers the file is whole."""
        self.flush()
        self._file.write(EOF_BLOCK)

    def _write_block(self, text: memoryview) -> None:
        body = isal_zlib.compress(text, self._level, _RAW_DEFLATE)
        size = _HEADER.size + len(body) + _TRAILER.size
        if size > 2**16:  # random bytes: store them uncompressed
            length = len(text)
            body = b"\x01" + struct.pack("<HH", length, length ^ 0xFFFF) + bytes(text)
            size = _HEADER.size + len(body) + _TRAILER.size
        self._file.write(_HEADER.pack(*_HEADER_FIELDS, size - 1))
        self._file.write(body)
        self._file.write(_TRAILER.pack(isal_zlib.crc32(text), len(text)))
