"""Near misses: why the ids of two files do not match, found by undoing what programs do to ids."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from genassoc.data.phenotypes import Phenotypes
from genassoc.shapes import Array

_SEPARATORS = "_:-./| "
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_TRAILING_DECIMAL = re.compile(r"\.0+$")
_NOT_WORD = re.compile(r"[^0-9A-Za-z]+")
_LEADING_LETTERS = re.compile(r"^[A-Za-z]+(?=\d)")


@dataclass(frozen=True)
class NearMiss:
    """Ids that would match if one rule were applied.

    Attributes
    ----------
    rule : str
        What differs, in words.
    n : int
        Samples that would match under it.
    examples : tuple of (str, str)
        At most two pairs: the genotypes' id, the phenotypes' id.
    """

    rule: str
    n: int
    examples: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        pairs = ", ".join(f"'{genotypes}' and '{phenotypes}'" for genotypes, phenotypes in self.examples)
        return f"{self.n} would match {self.rule} (genotypes and phenotypes: {pairs})"


def _halved(text: str) -> str:
    """ "A_A" -> "A": PLINK joins FID and IID when it writes VCF."""
    middle = len(text) // 2
    if len(text) % 2 and text[middle] in _SEPARATORS and text[:middle] == text[middle + 1 :]:
        return text[:middle]
    return text


def _after_first(text: str) -> str:
    return re.split(f"[{re.escape(_SEPARATORS)}]", text, maxsplit=1)[-1] or text


def _before_last(text: str) -> str:
    cut = max(text.rfind(mark) for mark in _SEPARATORS)
    return text[:cut] if cut > 0 else text


def _before_first(text: str) -> str:
    return re.split(f"[{re.escape(_SEPARATORS)}]", text, maxsplit=1)[0] or text


def _after_last(text: str) -> str:
    return text[max(text.rfind(mark) for mark in _SEPARATORS) + 1 :] or text


def _loosest(text: str) -> str:
    plain = _NOT_WORD.sub("", _halved(text).casefold())
    return _LEADING_ZEROS.sub("", _LEADING_LETTERS.sub("", plain)) or plain


def _same(text: str) -> str:
    return text


def _blanks(text: str) -> str:
    return "".join(text.split())


def _zeros(text: str) -> str:
    return _LEADING_ZEROS.sub("", text)


def _decimal(text: str) -> str:
    return _TRAILING_DECIMAL.sub("", text)


def _punctuation(text: str) -> str:
    return _NOT_WORD.sub("_", text)


def _letters(text: str) -> str:
    return _zeros(_LEADING_LETTERS.sub("", text))


Key = Callable[[str], str]
# (what differs, what is done to the genotypes' ids, what is done to the phenotypes' ids), the plainest first
_RULES: tuple[tuple[str, Key, Key], ...] = (
    ("if blanks were removed", _blanks, _blanks),
    ("if letter case were ignored", str.casefold, str.casefold),
    ("if leading zeros were removed", _zeros, _zeros),
    ("if '.0' were removed from the end (ids that were once stored as decimals)", _decimal, _decimal),
    ("if the genotypes' ids, doubled as 'A_A', were halved", _halved, _same),
    ("if the phenotypes' ids, doubled as 'A_A', were halved", _same, _halved),
    ("if the genotypes' FID_IID were cut to IID", _after_first, _same),
    ("if the phenotypes' FID_IID were cut to IID", _same, _after_first),
    ("if the ending after the last separator were cut from the genotypes' ids", _before_last, _same),
    ("if the ending after the last separator were cut from the phenotypes' ids", _same, _before_last),
    ("if only the part before the first separator were kept of the genotypes' ids", _before_first, _same),
    ("if only the part before the first separator were kept of the phenotypes' ids", _same, _before_first),
    ("if only the part after the last separator were kept of the genotypes' ids", _after_last, _same),
    ("if only the part after the last separator were kept of the phenotypes' ids", _same, _after_last),
    ("if '-', '.', '_' and blanks were taken for the same", _punctuation, _punctuation),
    ("if letters before the number were removed (as chr1, 1, 01)", _letters, _letters),
    ("if case, punctuation, leading letters and zeros were all ignored", _loosest, _loosest),
    (
        "if only the part before the first separator were kept, and case, letters and zeros ignored",
        lambda text: _loosest(_before_first(text)),
        lambda text: _loosest(_before_first(text)),
    ),
    (
        "if only the part after the last separator were kept, and case, letters and zeros ignored",
        lambda text: _loosest(_after_last(text)),
        lambda text: _loosest(_after_last(text)),
    ),
)


def near_misses(genotype_ids: Sequence[str], phenotype_ids: Sequence[str]) -> list[NearMiss]:
    """Rules under which ids that do not match would match, the most successful and plainest first.

    Parameters
    ----------
    genotype_ids, phenotype_ids : sequences of str

    Returns
    -------
    list of NearMiss
        At most three. An id that becomes ambiguous under a rule does not count; of rules that match the same
        number the plainest is kept, and a rule must beat plainer ones.
    """
    common = set(genotype_ids) & set(phenotype_ids)
    genotypes = [name for name in genotype_ids if name not in common]
    phenotypes = [name for name in phenotype_ids if name not in common]
    found: list[NearMiss] = []
    for rule, genotype_key, phenotype_key in _RULES:
        pairs = _pairs(genotypes, phenotypes, genotype_key, phenotype_key)
        if len(pairs) > max((miss.n for miss in found), default=0):
            found.append(NearMiss(rule, len(pairs), tuple(pairs[:2])))
    return sorted(found, key=lambda miss: -miss.n)[:3]


def _pairs(genotypes: list[str], phenotypes: list[str], key_g: Key, key_p: Key) -> list[tuple[str, str]]:
    """Pairs of ids whose keys agree and are unique on both sides."""
    keys_g = [key_g(name) for name in genotypes]
    keys_p = [key_p(name) for name in phenotypes]
    once_g = {key for key, n in Counter(keys_g).items() if n == 1}
    once_p = {key for key, n in Counter(keys_p).items() if n == 1}
    by_key = {key: name for key, name in zip(keys_g, genotypes) if key in once_g and key in once_p}
    return [(by_key[key], name) for key, name in zip(keys_p, phenotypes) if key in by_key]


def better_columns(genotype_ids: Sequence[str], table: pl.DataFrame, sample_id: str) -> list[str]:
    """Columns of the phenotypes, or two joined as FID_IID, that hold the genotypes' ids; said in words."""
    wanted = set(genotype_ids)
    text = [name for name, dtype in table.schema.items() if dtype == pl.String or dtype.is_integer()]
    found = []
    for name in text:
        if name == sample_id:
            continue
        n = len(wanted & set(table[name].cast(pl.String).drop_nulls()))
        if n:
            found.append((n, f"the column '{name}' holds {n} of the genotypes' ids: sample_id='{name}'"))
    family = next((name for name in table.columns if name.lower() in ("fid", "#fid")), None)
    if family is not None and family != sample_id:
        joined = table.select(pl.concat_str([pl.col(family).cast(pl.String), sample_id], separator="_"))
        n = len(wanted & set(joined.to_series().drop_nulls()))
        if n:
            found.append((n, f"{n} match {family} and {sample_id} joined by '_': write such a column, and use it"))
    return [words for _, words in sorted(found, key=lambda pair: -pair[0])[:2]]


def first_few(names: Sequence[str] | Array | pl.Series, n: int = 4) -> str:
    """The first few ids, quoted."""
    return ", ".join(f"'{name}'" for name in list(names[:n])) + (", ..." if len(names) > n else "")


def mismatch_message(genotype_ids: list[str], table: Phenotypes, n_matched: int, min_overlap: float) -> str:
    """What to say when too few ids match."""
    phenotype_ids = table.sample_ids.tolist()
    lines = [
        f"{n_matched} of {len(genotype_ids)} genotyped samples are among the {len(phenotype_ids)} samples of "
        f"{table.source} (column '{table.sample_id}'), too few to be meant.",
        f"  genotypes:  {first_few(genotype_ids)}",
        f"  phenotypes: {first_few(phenotype_ids)}",
    ]
    lines += [f"  {words}" for words in better_columns(genotype_ids, table.table, table.sample_id)]
    misses = near_misses(genotype_ids, phenotype_ids)
    lines += [f"  {miss}" for miss in misses]
    if not misses and len(lines) == 3:
        lines.append("  no usual difference in spelling explains it; are these files of the same people?")
    if n_matched:
        lines.append(
            "  if so few are right, say "
            f"min_overlap={n_matched / min(len(genotype_ids), len(phenotype_ids)):.2g} or less"
        )
    lines.append("Ids are compared as text, exactly; make them the same in both files.")
    return "\n".join(lines)
