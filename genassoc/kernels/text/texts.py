"""Strings as Zarr keeps them (``vlen-utf8``): their number, then the length and the bytes of each."""

import numpy as np

from genassoc.kernels import jit, native
from genassoc.shapes import Int64Array, UInt8Array

_HEADER = 4  # bytes of a number, little endian


@jit
def _number(content: UInt8Array, at: int) -> int:
    value = 0
    for k in range(_HEADER):
        value |= int(content[at + k]) << (8 * k)
    return value


@native
def take_texts(content: UInt8Array, first: int, step: int, offsets: Int64Array, data: UInt8Array) -> int:
    """Copy every ``step``-th string from the string ``first`` on, as many as there is room for.

    Parameters
    ----------
    content : uint8 array
        All strings, as above.
    first, step : int
        Which strings.
    offsets : int64 array (n + 1,)
        Filled: string i is ``data[offsets[i] : offsets[i + 1]]``.
    data : uint8 array, as long as ``content``
        Filled from the beginning.

    Returns
    -------
    int
        Bytes of all strings copied; -1 where the content ends before, or a byte is no ASCII.
    """
    n = offsets.size - 1
    if content.size < _HEADER or _number(content, 0) < first + (n - 1) * step + 1:
        return -1
    at, to, found = _HEADER, 0, 0
    offsets[0] = 0
    index = 0
    while found < n:
        if at + _HEADER > content.size:
            return -1
        size = _number(content, at)
        at += _HEADER
        if size > content.size - at:
            return -1
        if index == first + found * step:
            for k in range(size):
                byte = content[at + k]
                if byte >= 128:
                    return -1
                data[to + k] = byte
            to += size
            found += 1
            offsets[found] = to
        at += size
        index += 1
    return to


@native
def put_texts(offsets: Int64Array, data: UInt8Array, starts: Int64Array, prefixed: bool, out: UInt8Array) -> None:
    """Copy strings to where they belong, with ``prefixed`` the length of each before it.

    Parameters
    ----------
    offsets : int64 array (n + 1,)
        String i is ``data[offsets[i] : offsets[i + 1]]``.
    data : uint8 array
    starts : int64 array (n,)
        Where in ``out`` the bytes of each begin.
    prefixed : bool
    out : uint8 array
        Changed nowhere else.
    """
    for i in range(starts.size):
        begin, to = offsets[i], starts[i]
        size = offsets[i + 1] - begin
        if prefixed:
            for k in range(_HEADER):
                out[to - _HEADER + k] = np.uint8((size >> (8 * k)) & 255)
        for k in range(size):
            out[to + k] = data[begin + k]
