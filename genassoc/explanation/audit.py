"""Self-audit: some rows of a run fitted again by plain dense float64 code that shares nothing with the kernels.

Half of the rows are drawn at random, half are those with the smallest p; the largest deviations of each method go into the
provenance. docs/audit.md says what is compared, how far it may deviate, and what is not compared.
"""

import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genassoc.data.block import Block
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.kinds import together
from genassoc.data.cohort.variant_places import allele_numbers
from genassoc.data.memory import settle
from genassoc.data.schema import working_variants
from genassoc.errors import GenassocError, PhenotypeError
from genassoc.models.about import About
from genassoc.refit.fits import DenseFit, NotFittedError
from genassoc.refit.refit import can_refit, methods_of, needs_everybody, refit, rounding_of
from genassoc.refit.row_batches import Asked, RowBatches
from genassoc.refit.row_data import LIKELIHOODS, RowSource
from genassoc.results import Results
from genassoc.shapes import Int64Array

SEED = 20
DEFAULT_ROWS = 200  # of the command line
_NAMES = (
    "chromosome",
    "base_pair_location",
    "other_allele",
    "effect_allele",
    "variant_id",
    "trait",
    "test",
    "method",
    "n",
)
_NUMBERS = ("beta", "standard_error", "neg_log_10_p_value")
_SHORT = dict(zip(_NUMBERS, ("beta", "SE", "-log10 p")))


class AuditWarning(UserWarning):
    """Rows of the results differ from the audit's by more than rounding can explain."""


@dataclass(frozen=True)
class Tolerance:
    """How far a row may be from its dense twin.

    Attributes
    ----------
    effect : float
        Of beta over max(|beta|, SE), and of the standard error over itself.
    neg_log_10_p : float
        Of -log10 p over max(1, -log10 p).
    """

    effect: float
    neg_log_10_p: float

    def beside(self, rounding: float) -> "Tolerance":
        """With what rounding of the tested values may do to beta and z, in standard errors."""
        return Tolerance(
            self.effect + rounding, self.neg_log_10_p + 2.0 * rounding
        )  # d(-log10 p) is below 2 max(1, .) dz


def tolerance_of(about: About, method: str, choices: Mapping[str, Any]) -> Tolerance:
    """The tolerance of a row; reasons are in docs/audit.md."""
    likelihood = LIKELIHOODS[about.likelihood]
    if method == "spa":
        return Tolerance(0.03, 0.03)  # coefficients of carriers in bins, of a large cohort the middle residuals too
    if likelihood.closed_form:
        return Tolerance(1e-5, 1e-4)  # float32 products added in float64: the bar of docs/models/linear.md
    if method == "score_approx" and likelihood.screened:
        return Tolerance(0.1, 0.2)  # the screen's information is a bound, and missing calls one Newton step
    if method in ("score", "score_approx"):
        return Tolerance(5e-5, 2e-4)  # |d z| <= 2e-5 max(|z|, 1) in beta and in SE
    if method in ("firth", "firth_approx"):
        return Tolerance(1e-3, 1e-3)
    # PLINK 2 stops Newton's method where R does: at 1e-8 of the deviance, 1e-4 of a standard error
    return Tolerance(1e-3, 1e-3) if choices.get("like") == "plink2" else Tolerance(5e-5, 2e-4)


@dataclass
class Audit:
    """What an audit found.

    Attributes
    ----------
    compared : DataFrame
        One row for each row compared: what names it, ``beta``, ``standard_error``, ``neg_log_10_p_value`` of the results
        and ``dense_...`` of the dense fit, ``deviation_...`` (of beta over max(|beta|, SE), of SE over SE, of -log10 p
        over max(1, -log10 p)), ``beyond``.
    n_candidates : int
        Rows that could have been drawn.
    not_compared : mapping
        Why rows of the results could not be drawn, or were drawn and not fitted: reason -> rows.
    seconds : float
    """

    compared: pl.DataFrame
    n_candidates: int
    not_compared: dict[str, int]
    seconds: float
    seed: int = SEED
    tolerances: dict[str, Tolerance] = field(default_factory=dict)

    @property
    def beyond(self) -> pl.DataFrame:
        """Rows beyond their tolerance, the worst first."""
        worst = pl.max_horizontal("deviation_beta", "deviation_standard_error", "deviation_neg_log_10_p_value")
        return self.compared.filter(pl.col("beyond")).sort(worst, descending=True, nulls_last=False)

    @property
    def passed(self) -> bool:
        """Whether no row is beyond its tolerance."""
        return not self.compared["beyond"].any()

    def line(self) -> str:
        """One line for people."""
        if not self.compared.height:
            why = "; ".join(f"{n:,} rows {reason}" for reason, n in self.not_compared.items())
            return f"audit: no row could be fitted again ({why or 'the results have no estimates'})"
        parts = [
            ", ".join(
                [f"{row['method']} {row['rows']} rows"]
                + [f"{short} {row[name]:.0e}" for name, short in _SHORT.items() if row[name] is not None]
            )
            for row in self.by_method().iter_rows(named=True)
        ]
        verdict = "agree" if self.passed else f"DO NOT AGREE ({self.beyond.height} beyond tolerance)"
        return (
            f"audit: {self.compared.height} rows fitted again densely {verdict}; largest deviations: {'; '.join(parts)} "
            f"({self.seconds:.1f} s)"
        )

    def warning(self) -> str | None:
        """What to shout where rows are beyond their tolerance: the worst row by name."""
        if self.passed:
            return None
        row = self.beyond.row(0, named=True)
        numbers = "; ".join(f"{name} {row[name]:.9g}, fitted again {_shown(row[f'dense_{name}'])}" for name in _NUMBERS)
        return (
            f"AUDIT FAILED: {self.beyond.height} of {self.compared.height} rows differ from a dense fit by more than rounding; "
            f"the worst is {row['variant_id']}, {row['trait']}, {row['test']} ({row['method']}): {numbers}. Do not use these "
            "results before this is explained: 'genassoc explain RESULTS VARIANT' fits the row in full; the provenance lists all "
            "rows compared; please report it."
        )

    def by_method(self) -> pl.DataFrame:
        """Largest deviations: method, rows, beta, standard_error, neg_log_10_p_value."""
        largest = [pl.col(f"deviation_{name}").max().alias(name) for name in _NUMBERS]
        return (
            self.compared.group_by("method", maintain_order=True).agg(pl.len().alias("rows"), *largest).sort("method")
        )

    def record(self) -> dict[str, Any]:
        """For the provenance: JSON values; the rows compared are lines of a tab-separated table."""
        table = self.compared.drop("chromosome", "base_pair_location", "other_allele", "effect_allele")
        by_method = {
            row.pop("method"): {**row, "tolerance": vars(self.tolerances[method])}
            for row in self.by_method().iter_rows(named=True)
            for method in [row["method"]]
        }
        return {
            "passed": self.passed,
            "rows": self.compared.height,
            "of": self.n_candidates,
            "seed": self.seed,
            "not_compared": self.not_compared,
            "seconds": round(self.seconds, 3),
            "by_method": by_method,
            "compared": table.write_csv(separator="\t").splitlines(),
        }


def audit(results: Results, cohort: Cohort, choices: Mapping[str, Any], n_rows: int, seed: int = SEED) -> Audit:
    """Fit ``n_rows`` rows of some results again: half drawn at random, half those with the smallest p.

    Parameters
    ----------
    results : Results
    cohort : Cohort
        What they were computed on.
    choices : mapping
        ``kind`` and the model's choices, as in the provenance.
    n_rows : int
    seed : int
        Of the random half.
    """
    began = time.perf_counter()
    reason = ""
    try:
        source = RowSource(cohort, choices)
        reason = f"the dense fits do not know {', '.join(source.unfitted)}" if source.unfitted else ""
    except GenassocError as error:
        reason = str(error)
    if reason:
        total = int(results.scan().select(pl.len()).collect().item())
        return Audit(_empty(), 0, {f"not compared: {reason}": total}, time.perf_counter() - began, seed)
    rows, n_candidates, not_compared = draw(results, source.about, choices, n_rows, seed)
    settle()  # of looking through all rows
    found: list[dict[str, Any]] = []
    tolerances: dict[str, Tolerance] = {}
    for row, fitted, n, rounding in refits(rows, source, choices):
        if isinstance(fitted, str):
            not_compared[fitted] = not_compared.get(fitted, 0) + 1
            continue
        tolerance = tolerance_of(source.about, row["method"], choices)
        tolerances[row["method"]] = tolerance
        found.append(_compare(row, fitted, tolerance.beside(rounding), n))
    compared = pl.DataFrame(found, schema=_empty().schema) if found else _empty()
    return Audit(compared, n_candidates, not_compared, time.perf_counter() - began, seed, tolerances)


def audited(
    record: dict[str, Any], results: Results, cohort: Cohort, choices: Mapping[str, Any], n_rows: int | None
) -> dict[str, Any]:
    """The provenance ``record`` with an audit of the results in it; with a warning, loud, where it failed."""
    if not n_rows:
        return record
    settle()  # of threads that are gone: the audit's is then not beside it
    found = audit(results, cohort, choices, n_rows)
    settle()
    notes = list(record.get("notes", []))
    warning = found.warning()
    if warning is not None:
        warnings.warn(warning, AuditWarning, stacklevel=3)
        notes.insert(0, warning)
    return {**record, "notes": notes, "audit": {"line": found.line(), "warning": warning, **found.record()}}


def audit_lines(record: Mapping[str, Any]) -> list[str]:
    """What the audit in a provenance record found, in one line, and its warning if there is one."""
    found = record.get("audit", {})
    return [line for line in (found.get("line"), found.get("warning")) if line]


def check_rows(n_rows: int | None) -> int:
    """How many rows to audit; None is none.

    Raises
    ------
    TypeError, ValueError
        It is no whole number, or negative.
    """
    if n_rows is None:
        return 0
    if isinstance(n_rows, bool) or not isinstance(n_rows, int):
        raise TypeError(f"audit is a number of rows, such as {DEFAULT_ROWS}, or None, not {n_rows!r}")
    if n_rows < 0:
        raise ValueError(f"audit is a number of rows, such as {DEFAULT_ROWS}, or None, not {n_rows}")
    return n_rows


def draw(
    results: Results, about: About, choices: Mapping[str, Any], n_rows: int, seed: int
) -> tuple[pl.DataFrame, int, dict[str, int]]:
    """Rows to fit again, in store order; how many there were to draw from; why others could not be drawn."""
    rows = results.scan() if _is_parquet(results) else results.table.lazy()
    groups = rows.group_by("test", "method", "code").len().collect()
    can = [
        (test, method, code)
        for test, method, code, _ in groups.iter_rows()
        if code in (None, "covariate_collinear", "skewed_score", "overdispersed", "approximate_genotypes")
        and can_refit(about, test, method, choices)
    ]
    not_compared: dict[str, int] = {}
    for test, method, code, n in groups.iter_rows():
        if method is None or (test, method, code) in can:
            continue
        why = (
            f"have code {code}"
            if method in methods_of(about) and code is not None
            else f"by {method} have no dense twin"
        )
        not_compared[why] = not_compared.get(why, 0) + n
    chosen = pl.any_horizontal(
        pl.lit(False),
        *(
            (pl.col("test") == test) & (pl.col("method") == method) & pl.col("code").eq_missing(code)
            for test, method, code in can
        ),
    )
    candidates = rows.with_row_index("_row").filter(chosen & pl.col("neg_log_10_p_value").is_finite())
    places = candidates.select("_row", "neg_log_10_p_value").collect()
    strongest = places.top_k(n_rows // 2, by="neg_log_10_p_value")["_row"]
    rest = places.filter(~pl.col("_row").is_in(strongest.implode()))["_row"]
    picked = np.random.default_rng(seed).choice(len(rest), min(n_rows - len(strongest), len(rest)), replace=False)
    taken = pl.concat([strongest, rest.gather(picked)]).sort()
    drawn = candidates.filter(pl.col("_row").is_in(taken.implode())).select(*_NAMES, *_NUMBERS, "_row").collect()
    return drawn.sort("_row").drop("_row"), places.height, not_compared


def _is_parquet(results: Results) -> bool:
    return results.path is not None and results.path.suffix == ".parquet"


class Refitted(NamedTuple):
    """A row of results, its dense fit or why it has none, its samples, and how far rounding may move it (in standard errors)."""

    row: dict[str, Any]
    fitted: DenseFit | str
    n: int = 0
    rounding: float = 0.0


def refits(rows: pl.DataFrame, source: RowSource, choices: Mapping[str, Any]) -> Iterator[Refitted]:
    """Each row fitted again, in the order of the store; a block is read once, and rows that can be are fitted together."""
    numbers, counts = allele_numbers(source.cohort.store, rows)
    order = sorted(range(rows.height), key=lambda i: int(numbers[i][0]))
    table = rows.rows(named=True)
    variants = _variants_of([numbers[i] for i in order if counts[i] == 1], source.cohort)
    asked = {
        i: Asked(
            int(numbers[i][0]), variants[int(numbers[i][0])], *(table[i][name] for name in ("trait", "test", "method"))
        )
        for i in order
        if counts[i] == 1 and numbers[i].size == 1
    }
    found = RowBatches(source).fitted(asked)
    for i in order:
        row, at = table[i], numbers[i]
        if counts[i] != 1:
            yield Refitted(
                row, "are of no variant of the store" if counts[i] == 0 else "are of a variant that is there twice"
            )
        elif (batched := found.get(i)) is not None:
            yield Refitted(row, *batched)
        else:
            yield _by_itself(row, at, variants.get(int(at[0])) if at.size == 1 else None, source, choices)


def _by_itself(
    row: dict[str, Any], at: Int64Array, block: Block | None, source: RowSource, choices: Mapping[str, Any]
) -> Refitted:
    """One row fitted again."""
    everybody = needs_everybody(source.about, row["method"], choices)
    try:
        data = source.row(at, row["trait"], block, observed_only=not everybody)
        fitted = refit(data, row["test"], row["method"], choices)
    except (NotFittedError, PhenotypeError, np.linalg.LinAlgError) as error:
        return Refitted(row, f"by {row['method']} were not fitted: {error}")
    n = data.n if source.imputes else int(np.isfinite(data.G[:, 0]).sum())
    return Refitted(row, fitted, n, rounding_of(data))


def _variants_of(numbers: list[Int64Array], cohort: Cohort) -> dict[int, Block]:
    """The variants of rows of one, each as a block of its own; what is stored together is read together."""
    wanted = np.unique([int(at[0]) for at in numbers if at.size == 1])
    step = min(cohort.store.block_variants, working_variants(cohort.block_width, cohort.has_dosages))
    found: dict[int, Block] = {}
    for first in np.unique(wanted // step) * step:
        here = wanted[(wanted >= first) & (wanted < first + step)]
        stop = min(int(first) + step, cohort.store.n_variants)
        block = cohort.read(int(first), stop, dosages=True).take(here - first)
        found |= {int(number): together(block.take(np.array([i]))) for i, number in enumerate(here)}
    return found


def _compare(row: dict[str, Any], fitted: DenseFit, tolerance: Tolerance, n: int) -> dict[str, Any]:
    """A row beside its dense twin. A joint test has a p only."""
    beta, error, logp = (row[name] for name in _NUMBERS)
    joint = np.isnan(fitted.beta)
    # Near p = 1 the standard error |beta| / |z| of a likelihood ratio is 0 / 0, of an exact test over 0: rounding is all there is.
    vague = (
        row["method"] in ("lrt", "lrt_f", "firth", "firth_approx")
        and not joint
        and abs(fitted.beta) < 1e-3 * fitted.standard_error_model
    ) or (row["method"] in ("exact", "dosage_law") and fitted.neg_log_10_p < 1e-6)
    deviations = {
        "beta": None if joint else abs(beta - fitted.beta) / max(abs(fitted.beta), fitted.standard_error),
        "standard_error": None if joint or vague else abs(error / fitted.standard_error - 1.0),
        "neg_log_10_p_value": abs(logp - fitted.neg_log_10_p) / max(1.0, fitted.neg_log_10_p),
    }
    checked = [
        (deviations["beta"], tolerance.effect), (deviations["standard_error"], tolerance.effect),
        (deviations["neg_log_10_p_value"], tolerance.neg_log_10_p),
    ]  # fmt: skip
    beyond = n != row["n"] or any(value is not None and not value <= bound for value, bound in checked)
    return {
        **{name: row[name] for name in (*_NAMES, *_NUMBERS)},
        "dense_n": n,
        "dense_beta": None if joint else fitted.beta,
        "dense_standard_error": None if joint else fitted.standard_error,
        "dense_neg_log_10_p_value": fitted.neg_log_10_p,
        **{f"deviation_{name}": value for name, value in deviations.items()},
        "beyond": bool(beyond),
    }


def _empty() -> pl.DataFrame:
    numbers = (
        *_NUMBERS,
        "dense_n",
        *(f"dense_{name}" for name in _NUMBERS),
        *(f"deviation_{name}" for name in _NUMBERS),
    )
    schema: dict[str, Any] = (
        dict.fromkeys(_NAMES, pl.String) | dict.fromkeys(numbers, pl.Float64) | {"beyond": pl.Boolean}
    )
    return pl.DataFrame(schema=schema | dict.fromkeys(("base_pair_location", "n", "dense_n"), pl.Int64))


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.9g}"
