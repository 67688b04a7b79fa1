"""Slow twin of `genassoc.kernels.text.inflate_tables`: codes as strings of bits (RFC 1951, 3.2.2)."""


def build_table(lengths):
    """Bits of each symbol's code, as a string in the order of the stream; None where the code is not complete."""
    used = [length for length in lengths if length]
    if sum(2.0**-length for length in used) != 1 and used not in ([], [1]):
        return None
    codes, code, before = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - before
        codes[symbol] = format(code, f"0{length}b")
        code, before = code + 1, length
    return codes
