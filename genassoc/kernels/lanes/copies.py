"""Copies of vectors.

An array set from another by slices (``a[:n] = b``) is checked for its shape, and the message of a failure needs numba's
whole handling of text: three seconds of every process that compiles such a line. A loop needs none of it.
"""

from genassoc.kernels import jit
from genassoc.shapes import Float64Array


@jit
def put(out: Float64Array, at: int, values: Float64Array) -> None:
    """Set ``out[at : at + values.size] = values``; out has the room."""
    for i in range(values.size):
        out[at + i] = values[i]
