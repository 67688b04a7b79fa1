"""Text that is nearly a number (decimal commas, percent signs, digits of other scripts), nearly missing, a date or a genotype."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import polars as pl

from genassoc.data.phenotypes.columns import NUMBER

_DECIMAL_COMMA = re.compile(r"[+-]?([0-9]+|[0-9]{1,3}([. \u00a0\u202f'][0-9]{3})+)?,[0-9]+([eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}([,. '\u00a0\u202f\u2019][0-9]{3})+([.,][0-9]+)?")
_PERCENT = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?\s*%")
_BOUND = re.compile(r"[<>\u2264\u2265]=?\s*[0-9]+([.,][0-9]+)?")
_DATE = re.compile(
    r"[0-9]{1,2}(?P<mark>[./-])[0-9]{1,2}(?P=mark)([0-9]{4}|[0-9]{2})|[0-9]{4}(?P<other>[./-])[0-9]{1,2}(?P=other)[0-9]{1,2}"
)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*")
_GENOTYPE = re.compile(r"([ACGT]+|[-*])\s*[/|]\s*([ACGT]+|[-*])|[ACGT]{2}")
_SPREADSHEET = re.compile(
    r"#(REF|VALUE|DIV/0|NAME|NUM|NULL|N/A|BEZUG|WERT|ZAHL|NOMBRE|VALEUR|NOM|VALOR)[!?]?", re.IGNORECASE
)
# Marks that are a value in no column, and words that might be a value. Compared without letter case.
MISSING_MARKS = frozenset([
    "n/a", "#n/a", "#na", "<na>", "na", "nan", "nat", "null", "(null)", "n.a.", "n.a", "n/d", "n.d.", "n.d", "n/k", "#nv", "k.a.",
    "?", "??", "???", "-", "--", "---", ".", "..", "...", "*", "_", "/", "\u2013", "\u2014", "\\n", "<lod", "<loq", "<lloq",
])  # fmt: skip
MISSING_WORDS = frozenset([
    "none", "nil", "missing", "unknown", "unk", "unspecified", "undetermined", "not available", "not applicable", "not known",
    "not done", "not recorded", "inconnu", "inconnue", "manquant", "manquante", "non renseigne", "non renseign\u00e9",
    "non disponible", "unbekannt", "fehlend", "fehlt", "keine angabe", "nicht bekannt", "desconocido", "desconocida", "faltante",
    "sin dato", "sin datos", "no disponible", "no consta", "sconosciuto", "sconosciuta", "mancante", "non noto",
    "non disponibile",
])  # fmt: skip
_FEW = 3  # different texts that may be somebody's spelling of missing
_SOME_NUMBERS = 4  # different numbers that are no codes of categories


def is_missing_mark(token: str) -> bool:
    """Whether a text can only be a spelling of missing: ``N/A``, ``NULL``, ``?``, a spreadsheet's error."""
    return token.strip().casefold() in MISSING_MARKS or _SPREADSHEET.fullmatch(token.strip()) is not None


def is_missing_word(token: str) -> bool:
    """Whether a text is a word for missing that may be a value too: "unknown", "none"."""
    return token.strip().casefold() in MISSING_WORDS


def looks_missing(token: str) -> bool:
    """Whether a text is a mark or a word for missing."""
    return is_missing_mark(token) or is_missing_word(token)


def western_digits(token: str) -> str:
    """The text with digits and signs of other scripts written as 0 to 9, + and -."""
    plain = [str(unicodedata.decimal(mark)) if unicodedata.decimal(mark, None) is not None else mark for mark in token]
    return "".join(plain).translate({0x2212: "-", 0xFF0B: "+", 0xFF0D: "-", 0xFF0E: ".", 0x066B: "."})


def is_like_a_number(token: str) -> bool:
    """Whether a text is a number in a spelling that is not read as one: "1,5", "1 200", "45 %", "<0.5"."""
    if any(form.fullmatch(token) for form in (_DECIMAL_COMMA, _THOUSANDS, _PERCENT, _BOUND)):
        return True
    return not token.isascii() and re.fullmatch(NUMBER, western_digits(token)) is not None


def is_genotype(token: str) -> bool:
    """Whether a text is two alleles: "A/G", "A|G", "AG"."""
    return _GENOTYPE.fullmatch(token.strip()) is not None


def are_genotypes(tokens: Iterable[str]) -> bool:
    """Whether all texts but spellings of missing are pairs of alleles, at least one of them with its mark."""
    values = [token for token in tokens if not looks_missing(token)]
    return (
        bool(values)
        and all(map(is_genotype, values))
        and any("/" in value or "|" in value or len(values) > 1 for value in values)
    )


def holds_numbers(values: pl.Series) -> bool:
    """Whether a column of text (without null) is meant as numbers, so that values that are not numbers are reported.

    It is if more than half of the values are numbers or like numbers, spellings of missing not counted; or if there are few
    other texts beside several different numbers, however often they occur.
    """
    counts = values.value_counts()
    is_number = counts[counts.columns[0]].str.contains(NUMBER)
    n_numbers, different = int(counts.filter(is_number)["count"].sum()), int(is_number.sum())
    n_others, others = 0, 0
    if 2 * n_numbers > len(values):
        return True
    for token, n in counts.filter(~is_number).rows():
        if is_like_a_number(token):
            n_numbers, different = n_numbers + n, different + 1
        elif not looks_missing(token):
            n_others, others = n_others + n, others + 1
    if not n_numbers:
        return False
    return n_numbers > n_others or (others <= _FEW and different >= _SOME_NUMBERS and different > others)


def genotype_hint(column: str, tokens: Sequence[str]) -> str:
    """How to count an allele of a column of genotypes; empty if it holds none."""
    if not are_genotypes(tokens):
        return ""
    alleles = sorted({allele for token in tokens if is_genotype(token) for allele in _alleles(token)})
    if not alleles:
        return ""
    ways = " or ".join(f"ga.endpoints.count_allele(table, '{column}', '{allele}')" for allele in alleles[:2])
    return f"these are genotypes: count the copies of an allele, {ways}"


def _alleles(token: str) -> list[str]:
    token = token.strip()
    parts = re.split(r"\s*[/|]\s*", token) if "/" in token or "|" in token else list(token)
    return [part for part in parts if part not in ("-", "*")]


def remedy(column: str, tokens: Sequence[str], *, beside_numbers: bool = True) -> str:
    """What to do about texts (all different) that stand where numbers are wanted; ``beside_numbers`` where some values are numbers.

    No code for missing is proposed that would empty the column.
    """
    hint = genotype_hint(column, tokens)
    if hint:
        return hint
    remedies = [say for alike, say in _REMEDIES if any(map(alike, tokens))]
    dates = [token for token in tokens if is_date(token)]
    remedies += [date_offer(dates[0])] if dates else []
    missing = [token for token in tokens if looks_missing(token)]
    rest = [
        token for token in tokens if token not in (*missing, *dates) and not any(say(token) for say, _ in _REMEDIES)
    ]
    if not beside_numbers:
        missing = []
    elif len(rest) <= _FEW:
        missing += [token for token in rest if not is_genotype(token)]
    if missing:
        codes, flags = declaration(column, missing[:_FEW])
        which = " and ".join(map(repr, missing[:_FEW]))
        remedies.append(f"or if {which} means missing, declare it: missing_codes={codes} ({flags})")
    if not remedies and not beside_numbers:
        return "none of its values is a number: is it the column that was meant, and the model?"
    return "; ".join(["correct them", *remedies])


def declaration(column: str, codes: Sequence[str]) -> tuple[str, str]:
    """How missing codes of a column are declared: in Python and on the command line."""
    listed = ", ".join(f'"{code}"' for code in codes)
    flags = " ".join(f"--missing-code {_quoted(f'{column}={code}')}" for code in codes)
    return f'{{"{column}": [{listed}]}}', flags


def missing_among(column: str, values: Sequence[str]) -> str:
    """How to declare those of a column's values that look missing, as the end of a sentence; empty where none does."""
    missing = [value for value in values if looks_missing(value)]
    if not missing:
        return ""
    codes, flags = declaration(column, missing)
    return f"; if {', '.join(map(repr, missing))} means missing, declare it: missing_codes={codes} ({flags})"


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w=.:,@%/+-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _is_spreadsheet_error(token: str) -> bool:
    return _SPREADSHEET.fullmatch(token) is not None


def _is_decimal_comma(token: str) -> bool:
    return _DECIMAL_COMMA.fullmatch(token) is not None


def _is_thousands(token: str) -> bool:
    return _THOUSANDS.fullmatch(token) is not None


def _is_percent(token: str) -> bool:
    return _PERCENT.fullmatch(token) is not None


def _is_bound(token: str) -> bool:
    return _BOUND.fullmatch(token) is not None


def is_date(token: str) -> bool:
    """Whether a text has the form of a date: 31/12/2020, 31.12.20, 2020-12-31."""
    return _DATE.fullmatch(token) is not None


def date_offer(token: str) -> str:
    """What to do with dates such as a text where numbers or categories are wanted."""
    form = (
        "" if _ISO.fullmatch(token) else 'give their format, date_format="DD/MM/YYYY" (--date-format DD/MM/YYYY), and '
    )
    return (
        f"dates are not numbers: {form}compute times or ages from them with ga.endpoints.time_to_event or "
        "ga.endpoints.years_between"
    )


def _is_other_script(token: str) -> bool:
    return not token.isascii() and re.fullmatch(NUMBER, western_digits(token)) is not None


_REMEDIES = (
    (_is_decimal_comma, 'if the comma is a decimal mark, use decimal="," (--decimal ,)'),
    (_is_thousands, "write numbers without marks between thousands"),
    (_is_percent, "write percentages without the sign"),
    (_is_bound, "a bound such as <0.5 is not a number: write a value (for example half the limit) or make it missing"),
    (_is_spreadsheet_error, "a cell that begins with # is a spreadsheet error: correct its formula"),
    (_is_other_script, "write digits as 0 to 9"),
)
