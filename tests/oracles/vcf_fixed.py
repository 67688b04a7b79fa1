"""Slow twins of `genassoc.kernels.text.vcf_fixed`: strings, one call at a time."""


def two_bits_of_four(bits):
    """The lower two bits of each of sixteen groups of four."""
    return sum(((bits >> (4 * j)) & 3) << (2 * j) for j in range(16))


def pack_fixed(text, at, n_calls, n_alternates, k, n_bytes):
    """(Bytes of the row or None where a call is unsound, half-missing calls)."""
    codes, n_half = [], 0
    for i in range(n_calls):
        call = text[at + 4 * i : at + 4 * i + 4]
        alleles = [call[0], call[2]]
        allowed = "." + "0123456789"[: n_alternates + 1]
        if call[1] not in "/|" or any(a not in allowed for a in alleles) or (i < n_calls - 1 and call[3] != "\t"):
            return None, 0
        n_half += alleles.count(".") == 1
        codes.append(3 if "." in alleles else alleles.count(str(k)))
    codes += [3] * (4 * n_bytes - n_calls)
    row = [sum(code << (2 * j) for j, code in enumerate(codes[4 * b : 4 * b + 4])) for b in range(n_bytes)]
    return bytes(row), n_half
