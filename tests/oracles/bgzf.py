"""Slow obvious twins of `genassoc.kernels.text.bgzf`."""

import struct
import zlib


def find_blocks(data, begin, n):
    """Ends and sizes of up to n blocks as bgzip writes them, from ``begin`` on."""
    ends, sizes = [], []
    while len(ends) < n:
        header = data[begin : begin + 18]
        if len(header) < 18 or header[:4] != b"\x1f\x8b\x08\x04" or header[10:16] != b"\x06\0BC\x02\0":
            break
        end = begin + struct.unpack("<H", header[16:])[0] + 1
        if end > len(data) or end - begin < 26:
            break
        ends.append(end)
        sizes.append(struct.unpack("<I", data[end - 4 : end])[0])
        begin = end
    return ends, sizes


def joined_checksum(texts):
    """CRC-32 of texts one after another."""
    return zlib.crc32(b"".join(texts))
