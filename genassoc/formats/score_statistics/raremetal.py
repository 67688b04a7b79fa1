"""Score statistics as RAREMETALWORKER and rvtests write them: a table of scores and one of covariances, tabbed text, bgzipped or plain.

``X.singlevar.score.txt`` has a line a variant (CHROM POS REF ALT N_INFORMATIVE ... ALL_AF INFORMATIVE_ALT_AC ... U_STAT SQRT_V_STAT),
``X.singlevar.cov.txt`` a line a polymorphic variant, in the same order: its position, the positions of itself and of those after it within a
window, and the covariances of their scores over N. rvtests' names are ``X.MetaScore.assoc.gz`` and ``X.MetaCov.assoc.gz``, its
covariances of binary traits have further parts behind a colon, which are not read. Of binary traits it counts genotypes (N_REF, N_HET, N_ALT) and
frequencies as all:cases:controls, which tell how many cases there are, and how many of them carry a variant.

Covariances are read as correlations: divided by the roots of the variances in the same file and multiplied by SQRT_V_STAT. So it does not matter
by what a program has divided them.

References
----------
Feng S et al. (2014). RAREMETAL: fast and powerful meta-analysis for rare variants. Bioinformatics 30. The columns are those of
RAREMETALWORKER 4.15's own test files (github.com/statgen/raremetal).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genassoc.data.output import replacing, target_of
from genassoc.data.score_statistics import MOST_VARIANTS, SCORE_SCHEMA, SetStatistics, check_statistics
from genassoc.data.strangers import MalformedError
from genassoc.errors import InputError, OutputError
from genassoc.formats.bgzf_writer import BgzfWriter
from genassoc.formats.open_text import open_text
from genassoc.shapes import Float64Array, Int64Array
from genassoc.stats.tails import neg_log_10_p_z

# Endings of a table of scores, and of the covariances beside it.
PAIRS = (
    (".singlevar.score.txt", ".singlevar.cov.txt"),
    (".singlevar.score.txt.gz", ".singlevar.cov.txt.gz"),
    (".MetaScore.assoc", ".MetaCov.assoc"),
    (".MetaScore.assoc.gz", ".MetaCov.assoc.gz"),
)
# Names of columns, RAREMETALWORKER's and rvtests'.
_SCORE = {
    "CHROM": ("CHROM",), "POS": ("POS",), "REF": ("REF",), "ALT": ("ALT",), "N": ("N_INFORMATIVE",), "AC": ("INFORMATIVE_ALT_AC",),
    "CALL_RATE": ("CALL_RATE",), "N_REF": ("N_REF",), "N_HET": ("N_HET",), "N_ALT": ("N_ALT",), "AF": ("AF",), "U": ("U_STAT",), "SD": ("SQRT_V_STAT",),
}  # fmt: skip
_COV = {
    "CHROM": ("CHROM",), "POS": ("CURRENT_POS", "START_POS"), "AT": ("MARKERS_IN_WINDOW", "MARKER_POS"),
    "COV": ("COV_MATRICES", "COV"),
}  # fmt: skip
_MISSING = ("NA", "nan", "NaN", "-nan", ".", "")
_HEADER = (
    "#CHROM", "POS", "REF", "ALT", "N_INFORMATIVE", "FOUNDER_AF", "ALL_AF", "INFORMATIVE_ALT_AC", "CALL_RATE", "HWE_PVALUE",
    "N_REF", "N_HET", "N_ALT", "U_STAT", "SQRT_V_STAT", "ALT_EFFSIZE", "PVALUE",
)  # fmt: skip
_LONGEST = 2**26  # bytes of a line: covariances of a million variants
_SIX_DIGITS = 1e-4  # of a correlation: three numbers of six digits, of which small ones have fewer

_NO_CASES = (
    "the trait is binary (it has values of all, cases and controls behind colons), but N_REF, N_HET and N_ALT of the scores do not say how many "
    "cases there are, without which it is not known where p holds"
)

Key = tuple[str, int, str, str]


@dataclass(frozen=True)
class ScoreText:
    """A table of scores with its covariances, of which those of some sets are kept.

    Attributes
    ----------
    path : Path
    name : str
    variants : DataFrame
        chromosome, base_pair_location, other_allele, effect_allele, n, allele_number, allele_count, n_carriers, score, score_sd; of binary
        traits n_events, n_event_carriers.
    covariances : dict of int to (int64 array, float64 array)
        Number of a variant -> numbers of variants after it, and correlations with them.
    skipped : dict of str to int
        Why lines are not used, and how many.
    """

    path: Path
    name: str
    variants: pl.DataFrame
    covariances: dict[int, tuple[Int64Array, Float64Array]]
    skipped: dict[str, int]

    def take(self, set_id: str, trait: str, numbers: Int64Array) -> SetStatistics:
        """The statistics of a set whose variants are these (ascending).

        Raises
        ------
        InputError
            They are no scores with covariances.
        """
        if numbers.size > MOST_VARIANTS:
            raise InputError(f"set {set_id} has {numbers.size:,} variants; at most {MOST_VARIANTS:,} are read.")
        rows = self.variants[numbers]
        U, sd = rows["score"].to_numpy(), rows["score_sd"].to_numpy()
        R = np.eye(numbers.size)
        for k, number in enumerate(numbers):
            others, values = self.covariances.get(int(number), (np.empty(0, np.int64), np.empty(0)))
            if others.size:
                at = np.searchsorted(numbers, others)
                here = (at < numbers.size) & (numbers[np.minimum(at, numbers.size - 1)] == others)
                R[k, at[here]] = values[here]
                R[at[here], k] = values[here]
        V = sd[:, None] * R * sd
        try:
            check_statistics(f"set {set_id}", U, sd, V, np.ones(numbers.size))
        except MalformedError as error:
            raise InputError(f"{self.path}: {error}.") from error
        blank = {name: pl.lit(None, kind).alias(name) for name, kind in SCORE_SCHEMA.items()}
        table = rows.with_columns(
            pl.lit(set_id).alias("set_id"), pl.lit(trait).alias("trait"),
            pl.format("{}_{}_{}_{}", "chromosome", "base_pair_location", "other_allele", "effect_allele").alias("variant_id"),
            *(blank[name] for name in ("annotation", "weight")),
        )  # fmt: skip
        told = [name for name in SCORE_SCHEMA if name not in ("score", "score_sd", "factor", "covariance")]
        return SetStatistics(set_id, trait, table.select(told), U, V, np.ones(numbers.size))


def covariances_beside(path: Path) -> Path | None:
    """Where the covariances of a table of scores lie, by its name; None where the name is no such table's."""
    for score, cov in PAIRS:
        if path.name.endswith(score):
            return path.with_name(path.name.removesuffix(score) + cov)
    return None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines of a text file, plain or compressed, with their numbers; none longer than `_LONGEST`."""
    with open_text(path) as file:
        number = 0
        while line := file.readline(_LONGEST):
            number += 1
            if len(line) == _LONGEST:
                raise InputError(
                    f"{path}, line {number:,}: it is longer than {_LONGEST:,} bytes; this is no such table."
                )
            yield number, line.rstrip(b"\r\n")


def _table(
    path: Path, names: Mapping[str, tuple[str, ...]], needed: Iterable[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of a table as cells by the names that we use; ``##`` lines are metadata."""
    places: dict[str, int] | None = None
    width = 0
    for number, line in _lines(path):
        if not line.strip() or line.startswith(b"##"):
            continue
        try:
            cells = line.decode("ascii").split("\t")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, line {number:,}: byte {error.start + 1} is no plain text.") from error
        if places is None:
            header = [cell.lstrip("#") for cell in cells]
            places = {ours: header.index(name) for ours, known in names.items() for name in known if name in header}
            if lacking := [" or ".join(names[name]) for name in needed if name not in places]:
                raise InputError(
                    f"{path}, line {number:,}: the header has no column {', '.join(lacking)} (of tabbed text)."
                )
            width = len(header)
            continue
        if len(cells) != width:
            raise InputError(f"{path}, line {number:,}: it has {len(cells)} cells, and the header {width}.")
        yield number, {name: cells[at] for name, at in places.items()}
    if places is None:
        raise InputError(f"{path} has no header line with {', '.join(' or '.join(names[name]) for name in needed)}.")


def _number(path: Path, line: int, name: str, text: str, least: float = -math.inf) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < least:
        raise InputError(f"{path}, line {line:,}: {name} is {text[:40]!r}, no number it could be.")
    return value


def _whole(path: Path, line: int, name: str, text: str, most: float = 2**53) -> int:
    value = _number(path, line, name, text, 0)
    if value != int(value) or value > most:
        raise InputError(f"{path}, line {line:,}: {name} is {text[:40]!r}, no whole number it could be.")
    return int(value)


def _of_cases(cells: Mapping[str, str], path: Path, line: int) -> tuple[int, int] | None:
    """Cases with a call, and those with a copy of the rarer allele, of a binary trait in a line of rvtests; None of other traits.

    Raises
    ------
    InputError
        The trait is binary, and the line does not say how many are cases.
    """
    parts = [cells.get(name, "").split(":") for name in ("N_REF", "N_HET", "N_ALT")]
    if all(len(part) == 3 for part in parts):
        if cells["U"] in _MISSING and any(text in _MISSING for part in parts for text in part):
            return None  # monomorphic
        (hom, het, other), of_cases = ([_whole(path, line, "N_HET", part[k]) for part in parts] for k in (0, 1))
        if any(case > all_ for case, all_ in zip(of_cases, (hom, het, other))):
            raise InputError(f"{path}, line {line:,}: more cases than samples have a genotype.")
        return sum(of_cases), of_cases[1] + (of_cases[2] if other <= hom else of_cases[0])
    if any(cells.get(name, "").count(":") == 2 for name in ("N_REF", "N_HET", "N_ALT", "AC", "AF", "CALL_RATE")):
        raise InputError(f"{path}, line {line:,}: {_NO_CASES}.")
    return None


def _of_all(text: str) -> str:
    """Of all samples: rvtests writes all:cases:controls for binary traits."""
    return text.split(":", 1)[0]


def _scores(path: Path) -> tuple[pl.DataFrame, dict[str, int]]:
    """The variants in the order of the file, and why lines are not used."""
    columns: dict[str, list[object]] = {name: [] for name in (
        "chromosome", "base_pair_location", "other_allele", "effect_allele", "n", "allele_number", "allele_count", "n_carriers", "score",
        "score_sd", "n_events", "n_event_carriers",
    )}  # fmt: skip
    skipped = {"without alleles": 0}
    for line, cells in _table(path, _SCORE, ("CHROM", "POS", "REF", "ALT", "N", "AC", "U", "SD")):
        ref, alt, U, sd = cells["REF"], cells["ALT"], cells["U"], cells["SD"]
        position = _whole(path, line, "POS", cells["POS"], 2**40)
        if U in _MISSING and sd in _MISSING:  # monomorphic: without covariances too
            U = sd = "0"
            if ref in _MISSING or alt in _MISSING:
                skipped["without alleles"] += 1
                continue
        n = _whole(path, line, "N_INFORMATIVE", cells["N"])
        number, carriers = 2 * n, None
        if all(name in cells and cells[name] not in _MISSING for name in ("N_REF", "N_HET", "N_ALT")):
            hom, het, other = (_whole(path, line, name, _of_all(cells[name])) for name in ("N_REF", "N_HET", "N_ALT"))
            number, carriers = 2 * (hom + het + other), het + min(hom, other)
        elif "CALL_RATE" in cells and cells["CALL_RATE"] not in _MISSING:
            number = round(2 * n * min(1.0, _number(path, line, "CALL_RATE", _of_all(cells["CALL_RATE"]), 0)))
        count = _number(path, line, "INFORMATIVE_ALT_AC", _of_all(cells["AC"]), 0)
        if count > number:
            raise InputError(f"{path}, line {line:,}: {count:g} copies of ALT among {number:,} alleles.")
        events, event_carriers = _of_cases(cells, path, line) or (None, None)
        row = (cells["CHROM"], position, ref, alt, n, number, count, carriers, _number(path, line, "U_STAT", U),
               _number(path, line, "SQRT_V_STAT", sd, 0), events, event_carriers)  # fmt: skip
        for values, value in zip(columns.values(), row):
            values.append(value)
    return pl.DataFrame(columns, schema={name: SCORE_SCHEMA[name] for name in columns}), skipped


def read_raremetal(
    path: Path, reach_of: Callable[[pl.DataFrame], Mapping[int, tuple[int, int]]] | None = None, name: str | None = None
) -> ScoreText:
    """Read a table of scores, and the covariances beside it.

    Parameters
    ----------
    path : Path
        Of the scores; its ending says where the covariances are (`PAIRS`).
    reach_of : callable, optional
        Given the variants, says which of them (by number) are in a set, and the first and last position of their sets: covariances
        are kept within these, of such variants. All are kept where it is not given.
    name : str, optional
        Of the cohort.

    Raises
    ------
    InputError
        A line is not what it claims to be; scores and covariances are not of the same variants.
    """
    beside = covariances_beside(path)
    if beside is None or not beside.exists():
        where = "" if beside is None else f"; there is no {beside.name} beside it"
        raise InputError(f"{path}: the covariances of a table *{PAIRS[0][0]} are read from *{PAIRS[0][1]}{where}.")
    variants, skipped = _scores(path)
    polymorphic = np.flatnonzero(variants["score_sd"].to_numpy() > 0)
    chromosomes, positions = variants["chromosome"].to_list(), variants["base_pair_location"].to_list()
    reach = None if reach_of is None else reach_of(variants)
    numbers: dict[tuple[str, int], list[int]] = {}
    for k in polymorphic:
        numbers.setdefault((chromosomes[k], positions[k]), []).append(int(k))
    raw: dict[int, tuple[Int64Array, Float64Array]] = {}
    seen: Counter[tuple[str, int]] = Counter()
    variance = np.full(variants.height, np.nan)
    for line, cells in _table(beside, _COV, ("CHROM", "POS", "AT", "COV")):
        contig, position = cells["CHROM"], _whole(beside, line, "CURRENT_POS", cells["POS"], 2**40)
        here = numbers.get((contig, position), [])
        turn = seen[contig, position]
        seen[contig, position] += 1
        if turn >= len(here):
            raise InputError(
                f"{beside}, line {line:,}: {contig}:{position} has more lines than variants with a score in {path.name}."
            )
        own = here[turn]
        if ":" in cells["COV"] and variants["n_events"].null_count() == variants.height:
            raise InputError(f"{beside}, line {line:,}: {_NO_CASES}.")
        values = _floats(beside, line, cells["COV"].split(":", 1)[0])
        markers = _floats(beside, line, cells["AT"]).astype(np.int64)
        if values.size != markers.size or not markers.size or markers[0] != position:
            raise InputError(
                f"{beside}, line {line:,}: it must list itself first, and as many covariances as markers; it has "
                f"{values.size:,} and {markers.size:,}."
            )
        variance[own] = values[0]
        if values[0] <= 0:
            raise InputError(f"{beside}, line {line:,}: the variance of {contig}:{position} is not above 0.")
        kept = _others(beside, line, contig, own, markers, values, numbers, reach)
        if kept[0].size:
            raw[own] = kept
    if without := [k for k in polymorphic if not variance[k] > 0]:
        k = without[0]
        raise InputError(
            f"{beside} has no line of {chromosomes[k]}:{positions[k]}, nor of {len(without) - 1:,} other variants with a score in {path.name}."
        )
    scaled = {
        own: (others, _correlations(path, values / np.sqrt(variance[own] * variance[others])))
        for own, (others, values) in raw.items()
    }
    return ScoreText(
        path, name or path.name.split(".")[0], variants, scaled, {why: n for why, n in skipped.items() if n}
    )


def _correlations(path: Path, r: Float64Array) -> Float64Array:
    """Correlations that digits took past 1 are 1; others are an error."""
    if (np.abs(r) > 1.0 + _SIX_DIGITS).any():
        raise InputError(
            f"{path}: a covariance is larger than the two variances allow (a correlation of {r[np.argmax(np.abs(r))]:.4f})."
        )
    return np.clip(r, -1.0, 1.0)


def _floats(path: Path, line: int, text: str) -> Float64Array:
    words = text.rstrip(",").split(",") if text.rstrip(",") else []
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        values = np.array([np.nan])
    if not np.isfinite(values).all():
        raise InputError(f"{path}, line {line:,}: a number of its list is none.")
    return values


def _others(
    path: Path, line: int, contig: str, own: int, markers: Int64Array, values: Float64Array,
    numbers: Mapping[tuple[str, int], list[int]], reach: Mapping[int, tuple[int, int]] | None,
) -> tuple[Int64Array, Float64Array]:  # fmt: skip
    """Numbers of the variants after one, of those whose covariances are wanted, and the covariances."""
    nothing = np.empty(0, np.int64), np.empty(0)
    if reach is not None and own not in reach:
        return nothing
    first, last = (0, int(markers[-1])) if reach is None else reach[own]
    others: list[int] = []
    kept: list[float] = []
    # of several variants at one place, the list names those from this one on
    turns = {int(markers[0]): numbers[contig, int(markers[0])].index(own)}
    for marker, value in zip(markers.tolist(), values.tolist()):
        turn = turns.get(marker, 0)
        turns[marker] = turn + 1
        if not first <= marker <= last:
            continue
        there = numbers.get((contig, marker), [])
        if turn >= len(there):
            raise InputError(f"{path}, line {line:,}: its list has {contig}:{marker} more often than there are scores.")
        if there[turn] != own and (reach is None or there[turn] in reach):
            others.append(there[turn])
            kept.append(value)
    return np.array(others, dtype=np.int64), np.array(kept)


def write_raremetal(prefix: Path, sets: Iterable[SetStatistics], *, window: int = 1_000_000) -> tuple[Path, Path]:
    """Write scores and covariances of one trait for RAREMETAL: ``prefix.singlevar.score.txt.gz`` and ``prefix.singlevar.cov.txt.gz``, indexed.

    Pairs of variants that no set has together get no covariance: RAREMETAL takes it for 0, so its groups must be these sets. Factors
    (`genassoc.data.score_statistics`) are applied: SQRT_V_STAT and covariances have them.

    Parameters
    ----------
    prefix : Path
    sets : iterable of SetStatistics
        In genome order, of one trait.
    window : int
        Base pairs: pairs further apart are left out, as RAREMETALWORKER does (``--LDwindow``).

    Raises
    ------
    OutputError
        Two sets give one variant other numbers; a file cannot be written.
    """
    rows: dict[Key, _Row] = {}
    pairs: dict[tuple[Key, Key], float] = {}
    order: dict[str, int] = {}
    for one in sets:
        table, V = one.variants, one.adjusted
        keys = list(
            zip(table["chromosome"], table["base_pair_location"], table["other_allele"], table["effect_allele"])
        )
        counts = table.select("n", "allele_number", "allele_count").rows()
        for i, key in enumerate(keys):
            order.setdefault(key[0], len(order))
            n_samples, n_alleles, n_alt = counts[i]
            row = _Row(n_samples, n_alleles, n_alt, float(one.U[i]), float(V[i, i]))
            if rows.setdefault(key, row)[:4] != row[:4]:
                raise OutputError(
                    f"{prefix}: {key[0]}:{key[1]} has other numbers in set {one.set_id} than in one before it."
                )
            pairs.update(
                ((key, keys[j]), float(V[i, j])) for j in range(i + 1, len(keys)) if keys[j][1] - key[1] <= window
            )
    return _written(prefix, sorted(rows, key=lambda key: (order[key[0]], *key[1:])), rows, pairs)


class _Row(NamedTuple):
    """What is written of a variant."""

    n_samples: int
    n_alleles: int
    n_alt: float
    U: float
    V: float


def _written(
    prefix: Path, keys: list[Key], rows: Mapping[Key, _Row], pairs: Mapping[tuple[Key, Key], float]
) -> tuple[Path, Path]:
    score, cov = (prefix.with_name(prefix.name + ending) for ending in PAIRS[1])
    at = {key: k for k, key in enumerate(keys)}
    after: dict[int, dict[int, float]] = {}
    for (one, other), value in pairs.items():
        first, second = sorted((at[one], at[other]))
        after.setdefault(first, {})[second] = value
    n_samples = max((row.n_samples for row in rows.values()), default=0)
    top = f"##ProgramName=RareMetalWorker\n##Version=genassoc\n##AnalyzedSamples={n_samples}\n"

    def score_lines() -> Iterator[str]:
        yield top + "\t".join(_HEADER) + "\n"
        for key in keys:
            row = rows[key]
            called = f"{row.n_alleles / (2 * row.n_samples):.6g}" if row.n_samples else "NA"
            frequency = f"{row.n_alt / row.n_alleles:.10g}" if row.n_alleles else "NA"
            sd = math.sqrt(row.V)
            tested = (repr(row.U), repr(sd), repr(row.U / row.V), _p(row.U / sd)) if sd > 0 else ("NA",) * 4
            cells = (
                *map(str, key),
                str(row.n_samples),
                frequency,
                frequency,
                f"{row.n_alt:.17g}",
                called,
                *("NA",) * 4,
                *tested,
            )
            yield "\t".join(cells) + "\n"

    def cov_lines() -> Iterator[str]:
        yield top + "#CHROM\tCURRENT_POS\tMARKERS_IN_WINDOW\tCOV_MATRICES\n"
        for k, key in enumerate(keys):
            row = rows[key]
            if row.V > 0:
                listed = {k: row.V} | {j: value for j, value in sorted(after.get(k, {}).items()) if rows[keys[j]].V > 0}
                markers = "".join(f"{keys[j][1]}," for j in listed)
                values = "".join(f"{value / row.n_samples!r}," for value in listed.values())
                yield f"{key[0]}\t{key[1]}\t{markers}\t{values}\n"

    for path, lines in ((score, score_lines()), (cov, cov_lines())):
        _write_indexed(path, lines)
    return score, cov


def _write_indexed(path: Path, lines: Iterable[str]) -> None:
    """Lines that begin with contig and position, bgzipped; the index is there before the file."""
    import pysam

    index = path.with_name(path.name + ".tbi")
    with replacing(target_of(path)) as file:
        out = BgzfWriter(file)
        for line in lines:
            out.write(line.encode())
        out.close()
        file.flush()
        with replacing(index) as wip:
            pysam.tabix_index(file.name, index=wip.name, seq_col=0, start_col=1, end_col=1, meta_char="#", force=True)


def _p(z: float) -> str:
    """A p in digits, however small."""
    x = float(neg_log_10_p_z(z))
    exponent = math.floor(-x)
    return f"{10.0 ** (-x - exponent):.5f}e{exponent}"
