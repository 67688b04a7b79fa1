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
