"""Slow twin of genassoc.kernels.text.vcz_text: the text of one sample."""

import math


def number(x):
    if math.isnan(x):
        return "."
    text = f"{min(abs(x), 1e12):.6f}".rstrip("0").rstrip(".")
    return ("-" if x < 0 else "") + text


def write_calls(alleles, fields, n_alts):
    """GT and fields of one sample; ``fields`` are pairs (numbers, "whole" | "alt" | "allele")."""
    parts = []
    if len(alleles):
        shown = ["." if allele == -1 else str(allele) for allele in alleles if allele != -2]
        parts.append("/".join(shown) or ".")
    for values, kind in fields:
        values = list(values)
        while values and math.isnan(values[-1]):
            values.pop()
        if values and kind != "whole":
            n = n_alts + (kind == "allele")
            values += [math.nan] * n
            values = values[:n]
        parts.append(",".join(number(x) for x in values) or ".")
    return ":".join(parts)
