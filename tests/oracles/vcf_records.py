"""Slow twin of genassoc.kernels.text.vcf_records: the text of one sample."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction


def number(x):
    """A fraction to five decimals, halves up, without zeros at the end."""
    exact = Decimal(x.numerator * 100_000) / Decimal(x.denominator)
    text = str(exact.quantize(Decimal(1), ROUND_HALF_UP) / Decimal(100_000))
    text = format(Decimal(text), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def write_records(alleles, dosages=None, homozygous=None):
    """GT[:DS[:GP]] of one sample: ``alleles`` (first, second), ``dosages`` one Fraction or None an ALT, P(two copies)."""
    first, second = alleles
    single = second == -2
    shown = ["." if allele < 0 else str(allele) for allele in ([first] if single else [first, second])]
    text = "/".join(shown)
    if dosages is None:
        return text
    text += ":" + ",".join("." if d is None else number(d / 2 if single else d) for d in dosages)
    if homozygous is None:
        return text
    (d,), both = dosages, homozygous
    if d is None or (both == "?" and not single):
        return text + ":."
    p = [1 - d / 2, d / 2] if single else [1 - d + both, d - 2 * both, both]
    return text + ":" + ",".join(number(max(x, Fraction(0))) for x in p)
