"""Copies of vectors, as numpy makes them."""


def put(out, at, values):
    """Set ``out[at : at + values.size] = values``."""
    out[at : at + values.size] = values
