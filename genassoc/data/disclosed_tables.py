"""Tables of results that may leave: rows of few carriers, cases or events without what they could be counted from."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.disclosure import COARSE, EDGE, Policy, Withheld, groups_withheld
from genassoc.data.output import replacing, target_of
from genassoc.errors import printable

WITHHELD = "withheld"  # the column that says which rows lack something, and why
# What a row keeps in any case: names, sizes of the whole, and what is no count of people. All else is a count, a frequency, an estimate
# (whose standard error is a count in other units), or something that is not known here.
_KEPT = (
    "chromosome", "base_pair_location", "effect_allele", "other_allele", "variant_id", "rsid", "trait", "test", "method", "code",
    "n", "n_cases", "n_controls", "n_events", "missing_rate", "df", "r2", "info", "info_source",
    "set_id", "start", "end", "mask", "max_maf", "left_out", "n_variants",
)  # fmt: skip
_SIZES = ("n", "n_cases", "n_controls", "n_events")
_P = "neg_log_10_p_value"
_GROUPS = (("n_cases", "effect_allele_frequency_cases"), ("n_controls", "effect_allele_frequency_controls"), ("n_events", "effect_allele_frequency_events"))  # fmt: skip
_CARRIERS = ("mac", "n_carriers", "n_carriers_cases", "n_carriers_controls")
_UNIT = ("set_id", "mask", "max_maf", "left_out", "trait")  # rows of these have the same carriers
_EXACT = 12  # units of a gene; of more, those that are shown are chosen in turn
_SMALL, _BARE, _DIFFERENCE = "_small", "_bare", "_difference"


def masked(rows: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Rows as they may leave, with a column ``withheld``; see `counts_withheld` for which lose what."""
    return counts_withheld(rows, policy)[0]


def counts_withheld(rows: pl.DataFrame, policy: Policy) -> tuple[pl.DataFrame, dict[tuple[str, str, str], int]]:
    """Rows of results, of variants or sets, as they may leave; and how many lost what.

    Parameters
    ----------
    rows : DataFrame
        Of sets with ``policy.secondary``, all rows of a set and trait together.
    policy : Policy

    Returns
    -------
    rows : DataFrame
        A row with a count of 1 to ``least - 1`` (carriers, minor alleles, those of cases, controls and events, and the rest of each) has
        names, sizes and -log10 p with one decimal; all else is null, whichever count it was. A row whose carriers are not known is
        treated so too. Where the samples, cases or events themselves are so few, the sizes are null as well. ``withheld`` says it.
    counted : mapping
        (trait, test, why) -> rows.
    """
    of_sets = "set_id" in rows.columns
    small = _small_of_sets(rows, policy) if of_sets else _small_of_variants(rows, policy)
    told = rows.with_columns(small.alias(_SMALL), _few_people(rows, policy).alias(_BARE))
    told = told.with_columns((pl.col(_SMALL) | pl.col(_BARE)).alias(_SMALL), pl.lit(False).alias(_DIFFERENCE))
    if of_sets and policy.secondary:
        told = _differences(told, policy)
    gone = pl.col(_SMALL) | pl.col(_DIFFERENCE)
    why = (
        pl.when(_BARE).then(pl.lit(f"fewer than {policy.least} samples, cases or events"))
        .when(_SMALL).then(pl.lit(f"a count under {policy.least}"))
        .when(_DIFFERENCE).then(pl.lit(f"a difference of rows under {policy.least}"))
        .otherwise(None).alias(WITHHELD)
    )  # fmt: skip
    columns = [_as_left(name, kind, gone, policy) for name, kind in rows.schema.items()]
    left = told.with_columns(why).select(*columns, WITHHELD)
    counted = left.filter(pl.col(WITHHELD).is_not_null()).group_by("trait", "test", WITHHELD, maintain_order=True).len()
    return left, {(str(trait), str(test), str(reason)): n for trait, test, reason, n in counted.iter_rows()}


def _as_left(name: str, kind: pl.DataType, gone: pl.Expr, policy: Policy) -> pl.Expr:
    """A column as it may leave."""
    column = pl.col(name)
    if name == _P:
        return pl.when(gone).then(column.round(COARSE)).otherwise(column).alias(name)
    if name in _SIZES:
        return pl.when(_BARE).then(None).otherwise(column).alias(name)
    if name in _KEPT:
        return column
    if policy.floor and "frequency" in name and kind.is_float():
        column = column.clip(policy.floor, 1.0 - policy.floor)
    if policy.floor and name == "mac":  # of which the frequency is a part
        column = pl.when(pl.col("effect_allele_frequency").is_between(policy.floor, 1.0 - policy.floor)).then(column)
    return pl.when(gone).then(None).otherwise(column).alias(name)


def _few(low: pl.Expr, high: pl.Expr, policy: Policy) -> pl.Expr:
    """Whether a count that lies between two bounds may be one that does not leave; false where it is not known."""
    return ((high > EDGE) & (low < policy.least - EDGE)).fill_null(False)


def _any(found: list[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal(found) if found else pl.lit(False)


def _few_people(rows: pl.DataFrame, policy: Policy) -> pl.Expr:
    """Whether samples, cases, controls, events, or those without are few."""
    sizes = [pl.col(name) for name in _SIZES if name in rows.columns]
    if "n_events" in rows.columns and "n" in rows.columns:
        sizes.append(pl.col("n") - pl.col("n_events"))
    return _any([_few(size, size, policy) for size in sizes])


def _small_of_variants(rows: pl.DataFrame, policy: Policy) -> pl.Expr:
    """Whether alleles of a row are few, in all samples or in one of the groups."""
    has = set(rows.columns)
    n, f, mac = (
        pl.col(name) if name in has else pl.lit(None, pl.Float64) for name in ("n", "effect_allele_frequency", "mac")
    )
    rarer = pl.min_horizontal(f, 1.0 - f)
    # Copies that a sample has: 2, unless some are haploid; then 1, with which counts are too small rather than too large.
    copies = pl.when((mac - rarer * 2.0 * n).abs() <= EDGE * (1.0 + mac)).then(2.0).otherwise(1.0)
    # Samples without a call may be among those of a group's size, or not.
    lost = (pl.col("missing_rate").fill_null(0.0) * n).ceil() if "missing_rate" in has else pl.lit(0.0)
    found = [_few(mac, mac, policy), _few(copies * rarer * n, 2.0 * rarer * n, policy) & mac.is_null()]
    known = mac.is_not_null() | (f.is_not_null() & n.is_not_null())
    for size, frequency in _GROUPS:
        if size not in has or frequency not in has:
            continue
        people, share = pl.col(size), pl.col(frequency)
        observed = pl.max_horizontal(people - lost, pl.lit(0.0))
        for some in (share, 1.0 - share):
            found.append(_few(copies * some * observed, 2.0 * some * people, policy))
        rest = 2.0 * (f * n - share * people), 2.0 * ((1.0 - f) * n - (1.0 - share) * people)
        found += [_few(others * copies / 2.0 - 2.0 * lost, others, policy) for others in rest if size == "n_events"]
    is_variant = (
        pl.col("chromosome").is_not_null() if "chromosome" in has else pl.lit(True)
    )  # a column of numbers has no carriers
    return _any(found) | (~known & is_variant)


def _small_of_sets(rows: pl.DataFrame, policy: Policy) -> pl.Expr:
    """Whether carriers of a set are few, in all samples or in one of the groups; or all but few are carriers."""
    counts = [name for name in _CARRIERS if name in rows.columns]
    found = [_few(pl.col(name), pl.col(name), policy) for name in counts]
    found.append(_few(pl.col("n") - pl.col("n_carriers"), pl.col("n") - pl.col("n_carriers"), policy))
    if "n_carriers_cases" in rows.columns and "n_carriers_controls" in rows.columns:
        parts = pl.col("n_carriers_cases") + pl.col("n_carriers_controls")
        found.append(_few(pl.col("n_carriers") - parts, pl.col("n_carriers") - parts, policy))
    return _any(found) | (pl.col("n_carriers").is_null() & pl.col("mask").is_not_null())


# the variants of a set -----------------------------------------------------------------------------------------

_OF_VARIANTS = (*_CARRIERS, "maf", "weight", "beta", "standard_error")


def variants_that_leave(variants: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """The variants of a set, a row each, as they may leave.

    Those with few carriers, and so many others that minor alleles of all of them, less those shown, do not tell (`groups_withheld`), keep
    names, annotation and -log10 p with one decimal.
    """
    counts = [name for name in _CARRIERS if name in variants.columns]
    table = np.rint(variants.select(pl.col(counts).cast(pl.Float64).fill_null(0.0)).to_numpy()).astype(np.int64)
    hidden = pl.Series(groups_withheld(table[None], policy), dtype=pl.Boolean)
    gone = [name for name in _OF_VARIANTS if name in variants.columns]
    coarse = [name for name in (_P, "skat_without", "burden_without") if name in variants.columns]
    return variants.with_columns(hidden.alias(_SMALL)).with_columns(
        *(pl.when(_SMALL).then(None).otherwise(pl.col(name)).alias(name) for name in gone),
        *(pl.when(_SMALL).then(pl.col(name).round(COARSE)).otherwise(pl.col(name)).alias(name) for name in coarse),
    ).drop(_SMALL)  # fmt: skip


# differences of rows -------------------------------------------------------------------------------------------


def _differences(rows: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Mark units of a set that differ from one that is shown by few carriers: bins and masks lie in one another."""
    by = [name for name in _UNIT if name in rows.columns]
    counts = [name for name in _CARRIERS if name in rows.columns]
    units = (
        rows.filter(~pl.col(_SMALL) & pl.col("n_carriers").is_not_null())
        .unique(by, maintain_order=True)
        .select(*by, *counts)
    )
    marked = []
    for _, some in units.group_by("set_id", "trait", maintain_order=True):
        table = some.select(counts).fill_null(0).rows()
        shown = _shown([tuple(map(float, row)) for row in table], policy)
        marked += [some.with_row_index("_at").filter(~pl.col("_at").is_in(sorted(shown))).select(by)]
    gone = pl.concat([units.clear().select(by), *marked]).with_columns(pl.lit(True).alias("_gone"))
    joined = rows.join(gone, on=by, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(pl.col("_gone").fill_null(False).alias(_DIFFERENCE)).drop("_gone")


def _shown(units: list[tuple[float, ...]], policy: Policy) -> set[int]:
    """The most units of which no two differ by a count that may not leave; of as many, those with most carriers."""

    def agree(a: int, b: int) -> bool:
        return all(policy.allows(abs(x - y)) for x, y in zip(units[a], units[b]))

    order = sorted(range(len(units)), key=lambda at: (tuple(-count for count in units[at]), at))
    if len(units) <= _EXACT:
        for size in range(len(units), 0, -1):
            for some in itertools.combinations(order, size):
                if all(agree(a, b) for a, b in itertools.combinations(some, 2)):
                    return set(some)
    shown: list[int] = []
    for at in order:
        if all(agree(at, other) for other in shown):
            shown.append(at)
    return set(shown)


# a whole table -------------------------------------------------------------------------------------------------


class Leaving:
    """The rows of a table as they leave, and what was withheld from them; asked again, they are counted anew."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._counted: dict[tuple[str, str, str], int] = {}
        self._n: dict[tuple[str, str], int] = {}

    def rows(self, pieces: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The rows, in pieces; a set is never cut where the policy compares its rows."""
        self._counted, self._n = {}, {}
        for piece in _whole_sets(pieces) if self.policy.secondary else pieces:
            left, counted = counts_withheld(piece, self.policy)
            for trait, test, n in piece.group_by("trait", "test", maintain_order=True).len().iter_rows():
                self._n[str(trait), str(test)] = self._n.get((str(trait), str(test)), 0) + n
            for key, n in counted.items():
                self._counted[key] = self._counted.get(key, 0) + n
            yield left

    def write_list(self, path: Path) -> None:
        """Write what was withheld beside the table at ``path``."""
        lines = "".join(f"{printable(line)}\n" for line in self.withheld.lines())
        with replacing(target_of(path.with_name(f"{path.name}.withheld.txt"))) as file:
            file.write(lines.encode())

    @property
    def withheld(self) -> Withheld:
        """What was, up to the last row that was asked for."""
        found = [
            f"{n:,} of {self._n[trait, test]:,} rows of {trait}, test {test}: counts, frequencies and estimates; -log10 p has one decimal ({why})"
            for (trait, test, why), n in self._counted.items()
        ]
        if self.policy.floor:
            found.append(
                f"frequencies below {self.policy.floor:g}: written as {self.policy.floor:g}, without allele counts"
            )
        return Withheld(self.policy, tuple(found))


def _whole_sets(pieces: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Pieces of rows cut between sets; rows of variants as they come."""
    waiting: pl.DataFrame | None = None
    for piece in pieces:
        if "set_id" not in piece.columns or not piece.height:
            yield piece
            continue
        piece = piece if waiting is None else pl.concat([waiting, piece.cast(dict(waiting.schema))])  # type: ignore[arg-type]
        at_end = piece["set_id"] == piece["set_id"][-1]
        n_last = int(at_end.reverse().cum_min().sum())
        waiting = piece.tail(n_last)
        if n_last < piece.height:
            yield piece.head(piece.height - n_last)
    if waiting is not None:
        yield waiting


_RECORD = ("parameters", "run", "variants", "versions", "written", "contigs", "started", "finished", "genassoc")

_AUDIT = ("line", "passed", "rows", "of", "seed", "seconds", "by_method")  # counts of rows; a warning may quote one


def record_that_leaves(record: Mapping[str, object], withheld: Withheld) -> dict[str, object]:
    """The record beside a table that leaves: choices, versions, digests of inputs and what was withheld.

    Not in it: notes (which name samples whose ids nearly match), paths, conditions on samples, ledgers with a small count.
    """
    kept = {name: record[name] for name in _RECORD if name in record}
    inputs = _table(record.get("inputs"))
    digests = {
        name: {"fingerprint": _table(inputs[name])["fingerprint"]}
        for name in ("store", "phenotypes")
        if "fingerprint" in _table(inputs.get(name))
    }
    kept |= {"inputs": digests} if digests else {}
    audit = {name: value for name, value in _table(record.get("audit")).items() if name in _AUDIT}
    kept |= {"audit": audit} if audit else {}
    gone = [name for name in record if name not in kept and name not in ("samples", "disclosure")]
    samples = _table(record.get("samples"))
    counts = [value for value in _leaves(samples) if isinstance(value, int)]
    if samples and all(withheld.policy.allows(count) for count in counts):
        kept["samples"] = samples
    elif samples:
        gone.append("samples")
    entries = withheld + (
        [f"of the record: {', '.join(gone)}, and paths and samples of inputs"] if gone or inputs else []
    )
    policy = withheld.policy
    told = {"policy": policy.name, "least": policy.least, "secondary": policy.secondary, "floor": policy.floor}
    return {**kept, "disclosure": {**told, "withheld": list(entries.entries)}}


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield value
