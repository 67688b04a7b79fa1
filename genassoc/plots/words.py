"""What is written on pictures: p-values as people read them, names of strangers as plain text."""

import re

import numpy as np

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
SMALL = 0.001  # a p below it is written with a power of ten


def p_value(neg_log_10_p: float | None) -> str:
    """ "0.032", "3.2 × 10⁻⁹": p of its -log10, however small; "not known" of none."""
    if neg_log_10_p is None or not np.isfinite(neg_log_10_p):
        return "not known"
    if neg_log_10_p < -np.log10(SMALL):
        return f"{10.0**-neg_log_10_p:.2g}"
    power = int(np.ceil(neg_log_10_p))
    digits = f"{10.0 ** (power - neg_log_10_p):.1f}"
    if digits == "10.0":
        digits, power = "1.0", power - 1
    return f"{digits.removesuffix('.0')} × 10{str(-power).translate(_SUPERSCRIPTS)}"


def p_equals(neg_log_10_p: float | None) -> str:
    """ "p = 3.2 × 10⁻⁹"."""
    return f"p = {p_value(neg_log_10_p)}"


def plain(text: object) -> str:
    """A name as matplotlib shall write it, letter by letter: a dollar begins no formula, and a name has one line and no unseen characters."""
    return _UNSEEN.sub(" ", str(text)).replace("$", r"\$")


def paragraphs(text: str) -> str:
    """`plain`, of a text whose line ends are ours."""
    return "\n".join(plain(line) for line in text.split("\n"))


def cut(text: str, longest: int) -> str:
    """The beginning of a long name."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def alleles(other: object, effect: object, longest: int = 12) -> str:
    """ "A>G"; long alleles are cut."""
    return f"{cut(str(other), longest)}>{cut(str(effect), longest)}"
