"""One association refitted in full: ``ga.explain(results, variant)``."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.cohort import Cohort
from genassoc.data.dense_refit import can_refit, needs_everybody, refit
from genassoc.data.output import replacing
from genassoc.data.row_data import RowData, RowSource
from genassoc.data.variant_places import variant_numbers
from genassoc.errors import GenassocError
from genassoc.explanation.counts import count_table, genotype_names
from genassoc.explanation.own_tests import own_tests
from genassoc.explanation.picture import draw
from genassoc.explanation.rebuilt import choices_of, cohort_of
from genassoc.explanation.reference_fits import REFERENCES, Reference, ReferenceTest
from genassoc.explanation.words import in_words
from genassoc.results import Results
from genassoc.shapes import Array
from genassoc.stats.dense import NotFittedError

_NUMPY = "numpy (genassoc.stats.dense)"
_SAME = 1e-9  # of a number written in full: parquet keeps every bit, text 17 digits


@dataclass(frozen=True, eq=False)
class Explanation:
    """One association, refitted in full.

    Attributes
    ----------
    row : mapping
        The row of the results that is explained.
    table : DataFrame
        Every applicable test: ``test``, ``method``, ``made_the_row``; our ``beta``, ``standard_error``,
        ``neg_log_10_p_value``; ``reference`` (the program), ``reference_...`` the same of it, null where no other program
        has the test; ``difference_beta`` and ``difference_standard_error`` in units of the reference's standard error,
        ``difference_neg_log_10_p_value``.
    counts : DataFrame
        Samples and outcomes by genotype, and by arm with ``by``; see `genassoc.explanation.counts.count_table`.
    fit : object
        statsmodels' results of the full model; ``fit.summary()`` shows every covariate.
    reproduced : bool
        Whether the model, run again on this variant alone, gives the row of the results to the last digit.
    choices : mapping
        Of the model.
    data : RowData
        The samples with the trait and all covariates, those without a call too.
    notes : tuple of str
        What was found on the way: other rows that the name fits, a variant that is there twice.
    """

    row: Mapping[str, Any]
    table: pl.DataFrame
    counts: pl.DataFrame
    fit: Any
    reproduced: bool
    choices: Mapping[str, Any]
    data: RowData
    by: str | None = None
    arms: Array | None = None
    notes: tuple[str, ...] = ()
    _figures: list[Any] = field(default_factory=list, repr=False)

    @property
    def title(self) -> str:
        """Variant and trait."""
        names = self.row["variant_id"] + (f" ({self.row['rsid']})" if self.row.get("rsid") else "")
        return f"{names} and {self.row['trait']}"

    @property
    def genotypes(self) -> tuple[str, str, str]:
        """Names of the genotypes with 0, 1 and 2 copies of ALT."""
        return genotype_names(str(self.row["other_allele"]), str(self.row["effect_allele"]))

    @cached_property
    def text(self) -> str:
        """What the row says and does not say, in plain words."""
        return in_words(self)

    def figure(self) -> Any:
        """A matplotlib figure: boxes, bars with intervals or Kaplan-Meier curves by genotype, and by arm with ``by``."""
        return draw(self)

    def write(self, folder: str | Path) -> list[Path]:
        """Write text, tables and picture into a folder.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        from genassoc.plots import save_figure

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{self.row['variant_id']}.{self.row['trait']}")
        files = {
            folder / f"{stem}.txt": f"{self.title}\n\n{self.text}\n",
            folder / f"{stem}.tests.tsv": self.table.write_csv(separator="\t"),
            folder / f"{stem}.counts.tsv": self.counts.write_csv(separator="\t"),
        }
        for path, text in files.items():
            with replacing(path) as file:
                file.write(text.encode())
        return [*files, save_figure(self.figure(), folder / f"{stem}.png")]

    def __repr__(self) -> str:
        with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True):
            return f"{self.title}\n\n{self.text}\n\n{shown(self.table)}\n{self.counts}"

    def _repr_html_(self) -> str:
        paragraphs = "".join(f"<p>{html.escape(part)}</p>" for part in self.text.split("\n\n"))
        tables = "".join(table._repr_html_() for table in (shown(self.table), self.counts))
        return f"<h4>{html.escape(self.title)}</h4>{paragraphs}{tables}"


def shown(table: pl.DataFrame) -> pl.DataFrame:
    """The table of tests with the columns that people compare."""
    return table.select(
        "method", pl.when("made_the_row").then(pl.lit("yes")).otherwise(pl.lit("")).alias("in results"), "beta",
        pl.col("standard_error").alias("SE"), pl.col("neg_log_10_p_value").alias("-log10 p"), "reference",
        pl.col("reference_beta").alias("its beta"), pl.col("reference_standard_error").alias("its SE"),
        pl.col("reference_neg_log_10_p_value").alias("its -log10 p"),
    )  # fmt: skip


def explain(
    results: Results,
    variant: str,
    *,
    trait: str | None = None,
    test: str | None = None,
    by: str | None = None,
    cohort: Cohort | None = None,
) -> Explanation:
    """Refit one association in full: every test beside statsmodels', counts, a picture, plain words.

    Parameters
    ----------
    results : Results
        Of `associate`, or read from a file with its provenance beside it: the cohort is made again from store and phenotypes
        named there, which must be what they were.
    variant : str
        Its rsid or variant_id (chromosome_position_ref_alt).
    trait, test : str, optional
        Which of its rows, where there are several.
    by : str, optional
        A column of the phenotypes, as the arm of a trial: counts and picture by its values too. The model's own
        ``interaction`` where it has one.
    cohort : Cohort, optional
        In place of the recorded one; it must have the same samples and data.

    Returns
    -------
    Explanation

    Raises
    ------
    GenassocError
        No row or several fit (they are shown); the model is of a kind that cannot be refitted.
    InputError
        There is no provenance, or an input has changed.
    """
    if not isinstance(results, Results):
        raise TypeError(
            f"explain(results, variant): results are Results, not {type(results).__name__}; see Results.read"
        )
    row, notes = _find(results, str(variant), trait, test)
    choices = choices_of(results)
    cohort = cohort_of(results, cohort)
    numbers, counts = variant_numbers(cohort.store, pl.DataFrame([row]).select(*_PLACE))
    if numbers[0] < 0:
        raise GenassocError(f"the store {cohort.store.path} has no variant {row['variant_id']}.")
    if counts[0] > 1:
        notes.append(f"the store has {counts[0]} variants {row['variant_id']}; this is about the first of them")
    source, number = RowSource(cohort, choices), int(numbers[0])
    own = own_tests(cohort, choices, number, row["trait"], row["test"])
    everybody = source.row(number, row["trait"], observed_only=False)
    observed = source.row(number, row["trait"])
    table, reference = _side_by_side(row, own, observed, everybody, choices)
    by = by or choices.get("interaction")
    arms = None if by is None else _arms(cohort, by, everybody)
    return Explanation(
        row=row, table=table, counts=count_table(everybody, genotype_names(row["other_allele"], row["effect_allele"]), by, arms),
        fit=reference.fit, reproduced=_same(row, own[0]), choices=choices, data=everybody, by=by, arms=arms,
        notes=tuple(notes),
    )  # fmt: skip


_PLACE = ("chromosome", "base_pair_location", "other_allele", "effect_allele")


def _find(results: Results, variant: str, trait: str | None, test: str | None) -> tuple[dict[str, Any], list[str]]:
    """The row that is meant, and what to say of others."""
    named = (pl.col("rsid") == variant).fill_null(False) | (pl.col("variant_id") == variant)
    rows = results.scan().filter(named).collect() if results.path else results.table.filter(named)
    if not rows.height:
        raise GenassocError(
            f"the results have no row of '{variant}'; name a variant by its rsid or its variant_id, as "
            f"{results.scan().select('variant_id').head(1).collect().item() if results.scan().head(1).collect().height else ''}"
            ". Variants that a filter left out have no row."
        )
    ids = rows["variant_id"].unique(maintain_order=True).to_list()
    if len(ids) > 1:
        raise GenassocError(
            f"'{variant}' is the name of {len(ids)} variants: {', '.join(ids[:8])}; name one by its variant_id."
        )
    for column, wanted in (("trait", trait), ("test", test)):
        values = rows[column].unique(maintain_order=True).to_list()
        if wanted is None and len(values) > 1 and column == "test":
            wanted = "geno_2df" if "geno_2df" in values else values[0]
        if wanted is None and len(values) > 1:
            best = rows.sort("neg_log_10_p_value", descending=True, nulls_last=True)["trait"][0]
            raise GenassocError(
                f"{variant} has rows of {len(values)} traits: {', '.join(values[:12])}{', ...' if len(values) > 12 else ''}; "
                f"choose one: trait='{best}' (--trait) has the smallest p."
            )
        if wanted is not None and wanted not in values:
            raise GenassocError(f"{variant} has no row of {column} '{wanted}'; it has {', '.join(values[:12])}.")
        others = [value for value in values if value != wanted]
        if wanted is not None:
            rows = rows.filter(pl.col(column) == wanted)
    notes = (
        [] if not others else [f"this is the row of test {rows['test'][0]}; there are {', '.join(others)} too (test=)"]
    )
    if rows.height > 1:
        notes.append(
            f"the results have {rows.height} such rows: the variant is there more than once; this is the first"
        )
    return rows.row(0, named=True), notes


def _arms(cohort: Cohort, by: str, data: RowData) -> Array:
    """Each sample's value of a column, as text."""
    (name,) = cohort.phenotypes.resolve([by], "column to divide by")
    values = cohort.phenotypes.labels(name, cohort.rows[data.samples]).str.strip_suffix(".0").fill_null("missing")
    if values.n_unique() > 6:
        raise GenassocError(f"by='{by}': the column has {values.n_unique()} values; a few arms are meant, at most 6.")
    return np.array(values.to_list(), dtype=object)


def _side_by_side(
    row: Mapping[str, Any], own: list[dict[str, Any]], observed: RowData, everybody: RowData, choices: Mapping[str, Any]
) -> tuple[pl.DataFrame, Reference]:
    """The table of tests."""
    reference = Reference("none")
    problem = None
    try:
        reference = REFERENCES[observed.kind](observed, str(row["test"]), choices)
    except (np.linalg.LinAlgError, ValueError, FloatingPointError) as error:
        problem = str(error)
    lines, shown_methods = [], []
    for place, found in enumerate(own):
        made = place == 0 and found["method"] == row["method"]
        ours = row if made else found
        if ours["method"] is None:
            continue
        shown_methods.append(ours["method"])
        plain = choices if place == 0 else {**choices, "like": None}
        other, program = _reference_of(reference, str(ours["method"]), str(row["test"]), observed, everybody, plain)
        lines.append(
            {"test": row["test"], "method": ours["method"], "made_the_row": made, **_compared(ours, other, program)}
        )
    for method, other in reference.tests.items():
        if method not in shown_methods:
            nothing = dict.fromkeys(("beta", "standard_error", "neg_log_10_p_value"))
            lines.append(
                {
                    "test": row["test"],
                    "method": method,
                    "made_the_row": False,
                    **_compared(nothing, other, reference.program),
                }
            )
    table = pl.DataFrame(lines, schema=_schema(), infer_schema_length=None)
    return table, reference if problem is None else Reference(f"none ({problem})")


def _reference_of(
    reference: Reference, method: str, test: str, observed: RowData, everybody: RowData, choices: Mapping[str, Any]
) -> tuple[ReferenceTest | None, str | None]:
    """What another program makes of a method: statsmodels, else plain numpy, else nothing."""
    like = choices.get("like")
    found = reference.tests.get("score" if method == "score_approx" and observed.kind == "cox" else method)
    if found is not None and not (like and method != "t"):
        return found, reference.program
    if not can_refit(observed.kind, test, method, choices):
        return None, None
    data = everybody if needs_everybody(observed.kind, method) else observed
    try:
        fitted = refit(data, test, method, choices)
    except (NotFittedError, np.linalg.LinAlgError):
        return None, None
    return ReferenceTest(fitted.beta, fitted.standard_error, fitted.neg_log_10_p), _NUMPY


def _compared(ours: Mapping[str, Any], other: ReferenceTest | None, program: str | None) -> dict[str, Any]:
    names = ("beta", "standard_error", "neg_log_10_p_value")
    mine = {name: ours.get(name) for name in names}
    theirs: dict[str, float | None] = dict.fromkeys(names)
    if other is not None:
        values = (other.beta, other.standard_error, other.neg_log_10_p)
        theirs = {name: None if np.isnan(value) else value for name, value in zip(names, values)}
    scale = theirs["standard_error"] or 1.0
    differences: dict[str, float | None] = {}
    for name in names:
        a, b = mine[name], theirs[name]
        unit = 1.0 if name == "neg_log_10_p_value" else scale
        differences[f"difference_{name}"] = None if a is None or b is None else (a - b) / unit
    return {**mine, "reference": program, **{f"reference_{name}": theirs[name] for name in names}, **differences}


def _schema() -> dict[str, Any]:
    names = ("beta", "standard_error", "neg_log_10_p_value")
    numbers = [*names, *(f"reference_{name}" for name in names), *(f"difference_{name}" for name in names)]
    text = {"test": pl.String, "method": pl.String, "made_the_row": pl.Boolean}
    return {
        **text,
        **dict.fromkeys(names, pl.Float64),
        "reference": pl.String,
        **dict.fromkeys(numbers[3:], pl.Float64),
    }


def _same(row: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
    """Whether a row of the results and one computed again hold the same numbers."""
    for name in ("beta", "standard_error", "neg_log_10_p_value"):
        a, b = row.get(name), again.get(name)
        if (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > _SAME * max(abs(a), abs(b))):
            return False
    return row["method"] == again["method"]
