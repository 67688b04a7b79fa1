"""Slow obvious twin of `genassoc.kernels.text.texts`."""

import struct


def take_texts(content, first, step, n):
    """Every ``step``-th string from the string ``first`` on, n of them."""
    (count,) = struct.unpack_from("<I", content)
    at, texts = 4, []
    for _ in range(count):
        (size,) = struct.unpack_from("<I", content, at)
        texts.append(content[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return texts[first::step][:n]


def put_texts(offsets, data, starts, prefixed, out):
    """Each string at its place, its length before it where ``prefixed``."""
    for first, stop, start in zip(offsets[:-1], offsets[1:], starts):
        text = bytes(data[first:stop])
        out[start : start + len(text)] = list(text)
        if prefixed:
            out[start - 4 : start] = list(struct.pack("<I", len(text)))
