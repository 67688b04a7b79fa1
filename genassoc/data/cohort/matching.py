"""Near misses: why the ids of two files do not match. Each rule undoes one change that programs make to ids."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from genassoc.data.cohort.id_rules import EXACT, Rules, unique
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import SampleMismatchError
from genassoc.shapes import Array, BoolArray, Int64Array


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
    id_rule : str
        The ``id_rule`` that applies it.
    """

    rule: str
    n: int
    examples: tuple[tuple[str, str], ...]
    id_rule: str

    def __str__(self) -> str:
        return self.told(self.id_rule)

    def told(self, id_rule: str) -> str:
        """In words, with the ``id_rule`` to give."""
        return f"{self.shown}: id_rule='{id_rule}' (--id-rule {id_rule})"

    @property
    def shown(self) -> str:
        """In words."""
        pairs = ", ".join(f"'{genotypes}' and '{phenotypes}'" for genotypes, phenotypes in self.examples)
        return f"{self.n} would match {self.rule} (genotypes and phenotypes: {pairs})"


# (the difference, the rules that undo it, the side of one-sided rules), the plainest first
_G, _P = "genotypes", "phenotypes"
_LOOSEST = "halve+casefold+no_punctuation+letters"
_RULES: tuple[tuple[str, str, str], ...] = (
    ("if blanks at the ends, and invisible characters, were removed", "trim", _G),
    ("if blanks were removed", "blanks", _G),
    ("if accents were written the same way (Unicode NFC)", "nfc", _G),
    ("if wide and joined characters were written as plain ones (Unicode NFKC)", "nfkc", _G),
    ("if letter case were ignored", "casefold", _G),
    ("if blanks at the ends, ways to write characters and letter case were all ignored", "trim+nfkc+casefold", _G),
    ("if leading zeros were removed", "strip_zeros", _G),
    ("if '.0' were removed from the end (ids that were once stored as decimals)", "decimal", _G),
    ("if the genotypes' ids, doubled as 'A_A', were halved", "halve", _G),
    ("if the phenotypes' ids, doubled as 'A_A', were halved", "halve", _P),
    ("if the genotypes' FID_IID were cut to IID", "iid", _G),
    ("if the phenotypes' FID_IID were cut to IID", "iid", _P),
)
_LOOSE: tuple[tuple[str, str, str], ...] = (
    ("if the ending after the last separator were cut from the genotypes' ids", "before_last", _G),
    ("if the ending after the last separator were cut from the phenotypes' ids", "before_last", _P),
    ("if only the part before the first separator were kept of the genotypes' ids", "before_first", _G),
    ("if only the part before the first separator were kept of the phenotypes' ids", "before_first", _P),
    ("if only the part after the last separator were kept of the genotypes' ids", "iid_last", _G),
    ("if only the part after the last separator were kept of the phenotypes' ids", "iid_last", _P),
    ("if '-', '.', '_' and blanks were treated as equal", "punctuation", _G),
    ("if letters before the number were removed (S1, 1 and 01 are then equal)", "letters", _G),
)
_COMBINED: tuple[tuple[str, str, str], ...] = (
    ("if case, punctuation, leading letters and zeros were all ignored", _LOOSEST, _G),
    *(
        (
            f"if only the part {words} separator were kept, and case, letters and zeros ignored",
            f"{rule}+casefold+letters",
            side,
        )
        for words, rule in (("before the first", "before_first"), ("after the last", "iid_last"))
        for side in (_G, _P)
    ),
)


def near_misses(genotype_ids: Sequence[str], phenotype_ids: Sequence[str], *, plain: bool = False) -> list[NearMiss]:
    """Rules under which ids that do not match would match, the most successful and plainest first.

    Parameters
    ----------
    genotype_ids, phenotype_ids : sequences of str
    plain : bool
        Only rules that strangers' ids hardly fulfil by chance: blanks, Unicode, case, FID_IID, zeros.

    Returns
    -------
    list of NearMiss
        At most three, or all that are ``plain``. An id that becomes ambiguous under a rule does not count; of rules that
        match the same number the plainest is kept, and a rule must beat plainer ones: in number, or where ``plain``, so
        that each kind of several is named, by a sample that plainer ones do not match.
    """
    common = set(genotype_ids) & set(phenotype_ids)
    genotypes = [name for name in genotype_ids if name not in common]
    phenotypes = [name for name in phenotype_ids if name not in common]
    if not genotypes or not phenotypes:
        return []
    misses: list[NearMiss] = []
    seen: set[tuple[str, str]] = set()
    for words, rule, side in _RULES if plain else (*_RULES, *_LOOSE, *_COMBINED):
        pairs = _pairs(genotypes, phenotypes, common, Rules.parse(rule), side)
        new = [pair for pair in pairs if pair not in seen]
        if new if plain else len(pairs) > max((miss.n for miss in misses), default=0):
            misses.append(NearMiss(words, len(pairs), tuple((new if plain else pairs)[:2]), rule))
            seen.update(pairs)
    return sorted(misses, key=lambda miss: -miss.n)[: None if plain else 3]


def _pairs(
    genotypes: list[str], phenotypes: list[str], common: set[str], rules: Rules, side: str
) -> list[tuple[str, str]]:
    """Pairs of ids whose keys agree and are those of no other id of either side."""

    def keys(names: Iterable[str], of: str) -> list[str]:
        return [rules.key(name, cut=side == of) for name in names]

    keys_g, keys_p = keys(genotypes, _G), keys(phenotypes, _P)
    shared = set(keys_g) & set(keys_p)
    if not shared:
        return []
    once_g = {key for key, n in Counter(keys_g).items() if n == 1}.difference(keys(common, _G))
    once_p = {key for key, n in Counter(keys_p).items() if n == 1}.difference(keys(common, _P))
    by_key = {key: name for key, name in zip(keys_g, genotypes) if key in once_g and key in once_p}
    return [(by_key[key], name) for key, name in zip(keys_p, phenotypes) if key in by_key]


def family_column(columns: Sequence[str]) -> str | None:
    """The column of family ids, if there is one."""
    return next((name for name in columns if name.lower() in ("fid", "#fid")), None)


def joined_ids(table: pl.DataFrame, sample_id: str, source: str) -> pl.Series:
    """FID and sample id joined by "_", as PLINK names samples in VCF.

    Raises
    ------
    SampleMismatchError
        There is no column FID.
    """
    family = family_column(table.columns)
    if family is None or family == sample_id:
        raise SampleMismatchError(
            f"id_rule = 'fid_iid' joins the columns FID and '{sample_id}', but {source} has no column FID; it has "
            f"{', '.join(table.columns[:20])}. If the genotypes' ids are FID_IID, id_rule = 'iid' cuts them to IID"
        )
    joined = pl.concat_str([pl.col(family).cast(pl.String).str.strip_chars(), sample_id], separator="_")
    return table.select(joined.alias("id"))["id"]


@dataclass(frozen=True)
class Matched:
    """Ids of two files that name the same sample.

    Attributes
    ----------
    columns, rows : int64 arrays (N,)
        Places among the genotypes' ids, ascending, and among the table's rows.
    ids : Series
        The table's ids, those of matched rows as the genotypes spell them.
    notes : tuple of str
        What the rules did, and which ids nearly match.
    """

    columns: Int64Array
    rows: Int64Array
    ids: pl.Series
    notes: tuple[str, ...]


def match_ids(genotype_ids: Sequence[str], table: Phenotypes, rules: Rules) -> Matched:
    """Match the rows of a table to samples under rules.

    Raises
    ------
    SampleMismatchError
        The rules make two ids of one file equal (the message names them).
    """
    written = table.table[table.sample_id]
    ids = written if not rules.joins_family else joined_ids(table.table, table.sample_id, table.source)
    names = ids.fill_null("").to_list()
    ours, theirs, side = list(genotype_ids), names, _G
    if not rules.exact:
        ours, theirs, side = rules.keys(genotype_ids, names)
        unique(ours, genotype_ids, rules, "the genotypes")
        unique(theirs, written.to_list(), rules, table.source)
    keyed = pl.DataFrame({"key": pl.Series(ours, dtype=pl.String)}).with_row_index("column")
    right = pl.DataFrame({"key": pl.Series(theirs, dtype=pl.String)}).with_row_index("row")
    both = keyed.join(right, on="key", how="inner").sort("column")
    columns, rows = both["column"].to_numpy().astype(np.int64), both["row"].to_numpy().astype(np.int64)
    spelt = written.to_list()
    changed = [(spelt[row], genotype_ids[column]) for column, row in zip(columns, rows)]
    notes = _rule_notes(rules, side, changed) if not rules.exact else []
    for row, (_, name) in zip(rows, changed):
        spelt[row] = name
    equal = set(_without(genotype_ids, columns)) & set(_without(written.to_list(), rows))
    if equal:
        notes.append(
            f"{len(equal):,} ids are equal in both files but do not match under id_rule = '{rules}': {first_few(sorted(equal))}"
        )
    notes += partial_notes(genotype_ids, table, columns, rows, rules)
    return Matched(columns, rows, pl.Series(written.name, spelt, dtype=pl.String), tuple(notes))


def _without(ids: Sequence[str], places: Int64Array) -> list[str]:
    """The ids except those at the places."""
    keep = np.ones(len(ids), dtype=bool)
    keep[places] = False
    return [ids[int(i)] for i in np.flatnonzero(keep)]


def _rule_notes(rules: Rules, side: str, pairs: list[tuple[str, str]]) -> list[str]:
    """Notes on the changes that the rules made."""
    words = "; ".join(rule.words + (f" ({side})" if rule.one_side else "") for rule in rules.each)
    differing = [pair for pair in pairs if pair[0] != pair[1]]
    shown = ", ".join(f"'{ours}' and '{theirs}'" for theirs, ours in differing[:2])
    by_it = f"{len(differing):,} of {len(pairs):,} samples match only because of the rule" + (
        f" (genotypes and table: {shown})" if shown else ""
    )
    return [f"sample ids are compared by id_rule = '{rules}': {words}; {by_it}"]


_FOR_NOTES = 100_000  # ids of either side that are compared: it takes seconds


def partial_notes(
    genotype_ids: Sequence[str], table: Phenotypes, columns: Int64Array, rows: Int64Array, rules: Rules
) -> list[str]:
    """Notes on ids that nearly match while others match: what differs, examples, and the rule that makes them match."""
    if columns.size in (0, len(genotype_ids)) or rows.size in (0, table.table.height):
        return []
    kept_p = np.ones(table.table.height, dtype=bool)
    kept_p[rows] = False
    matched = [genotype_ids[column] for column in columns]
    all_g = _without(genotype_ids, columns)
    all_p = _without(table.table[table.sample_id].to_list(), rows)
    alone_g, alone_p = all_g[:_FOR_NOTES], all_p[:_FOR_NOTES]
    misses = near_misses([*matched, *alone_g], [*matched, *alone_p], plain=True)
    notes = []
    for miss in misses:
        combined = miss.id_rule if rules.exact else f"{rules}+{miss.id_rule}"
        notes.append(f"of the {len(all_g):,} genotyped samples that are not in {table.source}, {miss.told(combined)}")
    if max(len(all_g), len(all_p)) > _FOR_NOTES:
        notes.append(f"ids that nearly match were looked for among the first {_FOR_NOTES:,} of those without a partner")
    if family_column(table.table.columns) not in (None, table.sample_id) and not rules.joins_family:
        joined = set(joined_ids(table.table, table.sample_id, table.source)[np.flatnonzero(kept_p)].drop_nulls())
        n = len(joined.intersection(alone_g))
        if n:
            notes.append(
                f"{n:,} more genotyped samples would match FID and {table.sample_id} joined by '_': --id-rule fid_iid"
            )
    return notes


def better_columns(genotype_ids: Sequence[str], table: pl.DataFrame, sample_id: str) -> list[str]:
    """Messages about columns of the phenotypes, or two joined as FID_IID, that hold the genotypes' ids."""
    wanted = set(genotype_ids)
    text = [name for name, dtype in table.schema.items() if dtype == pl.String or dtype.is_integer()]
    messages = []
    for name in text:
        if name == sample_id:
            continue
        n = len(wanted & set(table[name].cast(pl.String).drop_nulls()))
        if n:
            messages.append((n, f"the column '{name}' holds {n} of the genotypes' ids: sample_id='{name}'"))
    family = family_column(table.columns)
    if family is not None and family != sample_id:
        joined = table.select(pl.concat_str([pl.col(family).cast(pl.String), sample_id], separator="_"))
        n = len(wanted & set(joined.to_series().drop_nulls()))
        if n:
            messages.append(
                (n, f"{n} match {family} and {sample_id} joined by '_': id_rule='fid_iid' (--id-rule fid_iid)")
            )
    return [words for _, words in sorted(messages, key=lambda pair: -pair[0])[:2]]


def first_few(names: Sequence[str] | Array | pl.Series, n: int = 4) -> str:
    """The first few ids, quoted."""
    return ", ".join(f"'{name}'" for name in list(names[:n])) + (", ..." if len(names) > n else "")


def mismatch_message(
    genotype_ids: list[str], table: Phenotypes, n_matched: int, min_overlap: float, rules: Rules
) -> str:
    """The message when too few ids match."""
    phenotype_ids = table.sample_ids.tolist()
    lines = [
        f"{n_matched} of {len(genotype_ids)} genotyped samples are among the {len(phenotype_ids)} samples of "
        f"{table.source} (column '{table.sample_id}'): too few match.",
        f"  genotypes:  {first_few(genotype_ids)}",
        f"  phenotypes: {first_few(phenotype_ids)}",
    ]
    if not rules.exact:
        lines.append(f"  ids were compared under id_rule = '{rules}'; without it:")
    lines += [f"  {words}" for words in better_columns(genotype_ids, table.table, table.sample_id)]
    misses = near_misses(genotype_ids, phenotype_ids)
    lines += [f"  {miss}" for miss in misses]
    if not misses and len(lines) == 3:
        lines.append("  no usual difference in spelling explains it; are these files of the same people?")
    if n_matched:
        lines.append(
            "  if so few matches are correct, use "
            f"min_overlap={n_matched / min(len(genotype_ids), len(phenotype_ids)):.2g} or less"
        )
    lines.append(
        "Ids are compared exactly, as text, unless an id_rule is given. Give one, or write the ids alike in both files."
    )
    return "\n".join(lines)


def as_in_phenotypes(
    phenotypes: Phenotypes, rows: Int64Array, sample_ids: Array, rule: Rules, added: Phenotypes
) -> tuple[Phenotypes, BoolArray, tuple[str, ...]]:
    """A table whose ids are spelled as in the phenotypes, which of a cohort's samples (N,) it has, and notes.

    Ids that are the phenotypes' stay. Under a ``rule`` ids that are the genotypes' are taken too, and others are
    compared with these under it.
    """
    spellings = phenotypes.table[phenotypes.sample_id].gather(rows).to_list()
    spelt = added.table[added.sample_id].to_list()
    at = {name: row for row, name in enumerate(spelt)}
    found = np.array([name in at for name in spellings], dtype=bool)
    used = {at[name] for name in spellings if name in at}
    notes: tuple[str, ...] = ()
    if not rule.exact:
        ours = [str(name) for name in sample_ids]
        pairs = [(i, at[name]) for i, name in enumerate(ours) if not found[i] and name in at]
        for i, row in pairs:
            spelt[row], found[i] = spellings[i], True
        used |= {row for _, row in pairs}
        if not found.all() and not (rule.joins_family and family_column(added.columns) is None):
            unmatched = [i for i in range(len(ours)) if not found[i]]
            rest = np.setdiff1d(np.arange(len(spelt)), np.array(sorted(used), dtype=np.int64))
            both = match_ids([ours[i] for i in unmatched], replace(added, table=added.table[rest]), rule)
            for column, row in zip(both.columns, both.rows):
                spelt[rest[row]], found[unmatched[column]] = spellings[unmatched[column]], True
            notes = both.notes
        added = replace(added, table=added.table.with_columns(pl.Series(added.sample_id, spelt, dtype=pl.String)))
    else:
        notes = tuple(partial_notes(spellings, added, np.flatnonzero(found), np.array(sorted(used), np.int64), EXACT))
    return added, found, notes
