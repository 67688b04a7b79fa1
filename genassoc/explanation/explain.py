"""One association refitted in full: ``ga.explain(results, variant)``."""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from genassoc.data import text_cells
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.variant_places import allele_numbers
from genassoc.data.disclosure import Policy, policy_of
from genassoc.data.output import replacing, target_of
from genassoc.errors import GenassocError, WithheldError, printable
from genassoc.explanation.absolute import absolute_of
from genassoc.explanation.arms import arms_of
from genassoc.explanation.counts import count_table
from genassoc.explanation.disclosed import explained_that_leaves, picture_that_leaves
from genassoc.explanation.explained import Explained
from genassoc.explanation.groups import groups_of
from genassoc.explanation.model_tests import model_of, other_tests, rows_of_model
from genassoc.explanation.picture import draw
from genassoc.explanation.rebuilt import choices_of, cohort_of
from genassoc.explanation.sets import SetExplanation, explain_set
from genassoc.explanation.side_by_side import side_by_side
from genassoc.explanation.words import in_words
from genassoc.refit.row_data import RowSource
from genassoc.results import Results
from genassoc.shapes import Int64Array

if TYPE_CHECKING:
    from genassoc.data.sets.matched import MatchedSets
    from genassoc.data.sets.variant_sets import VariantSets

_SAME = 1e-9  # of a number written in full: parquet keeps every bit, text 17 digits


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation(Explained):
    """One association, refitted in full, in words and pictures; its numbers are those of `genassoc.explanation.explained.Explained`."""

    @cached_property
    def text(self) -> str:
        """What the row says and does not say, in plain words."""
        return in_words(self)

    def figure(self) -> Any:
        """A matplotlib figure: boxes, bars with intervals or Kaplan-Meier curves by genotype, and by arm with ``by``."""
        return draw(picture_that_leaves(self, self.policy))

    def write(self, folder: str | Path) -> list[Path]:
        """Write text, tables and picture into a folder.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        from genassoc.plots import save_figure

        def table(frame: pl.DataFrame) -> bytes:
            return text_cells.header(frame.columns, "\t") + text_cells.written(frame, "\t", "")

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{self.row['variant_id']}.{self.row['trait']}")
        files = {
            folder / f"{stem}.txt": printable(f"{self.title}\n\n{self.text}\n").encode(),
            folder / f"{stem}.tests.tsv": table(self.table),
            folder / f"{stem}.counts.tsv": table(self.counts),
        }
        if self.effects is not None:
            files[folder / f"{stem}.effects.tsv"] = table(self.effects)
        if self.absolute is not None:
            files[folder / f"{stem}.absolute.tsv"] = table(self.absolute.table)
        for path, content in files.items():
            with replacing(target_of(path)) as file:
                file.write(content)
        try:
            return [*files, save_figure(self.figure(), folder / f"{stem}.png")]
        except WithheldError:
            return [*files]  # the text says so

    @property
    def _tables(self) -> list[pl.DataFrame]:
        """What is shown, in this order."""
        more = [] if self.effects is None else [self.effects]
        more += [] if self.absolute is None else [self.absolute.shown]
        return [shown(self.table), *more, self.counts]

    def __repr__(self) -> str:
        with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True):
            tables = "\n".join(str(table) for table in self._tables)
            return printable(f"{self.title}\n\n{self.text}\n\n{tables}")

    def _repr_html_(self) -> str:
        paragraphs = "".join(f"<p>{html.escape(part)}</p>" for part in self.text.split("\n\n"))
        tables = "".join(table._repr_html_() for table in self._tables)
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
    mask: str | None = None,
    max_maf: float | None = None,
    policy: Policy | str | None = None,
    sets: "MatchedSets | VariantSets | None" = None,
    tell: Callable[[str], None] | None = None,
) -> "Explanation | SetExplanation":
    """Refit one association in full: every test beside statsmodels', counts, a picture, plain words.

    Parameters
    ----------
    results : Results
        Of `associate`, or read from a file with its provenance beside it: the cohort is made again from store and phenotypes
        named there, which must be what they were.
    variant : str
        Its rsid or variant_id (chromosome_position_ref_alt); of results of `associate_sets` the name of a set (a gene): every test side by
        side, its variants and who carries them (`genassoc.explanation.sets.SetExplanation`); of results of `associate_predictors` the predictor's column.
    trait, test : str, optional
        Which of its rows, where there are several.
    by : str, optional
        A column of the phenotypes, as the arm of a trial: counts and picture by its values too. The model's own
        ``interaction`` where it has one.
    cohort : Cohort, optional
        In place of the recorded one; it must have the same samples and data. Of predictors the one that they were tested in.
    mask, max_maf : str and float, optional
        Of a set; by default those of its smallest p.
    policy : Policy or "snds", "casd", "ukb", "finngen", optional
        Explain it as it may leave: no counts, estimates and pictures of few people; the text lists what was withheld.
    sets : VariantSets or MatchedSets, optional
        Of a set, where the cohort is made again from files.
    tell : callable, optional
        Told which files are opened because the provenance names them; by default standard error is.

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
    if "set_id" in results.scan().collect_schema().names():
        return explain_set(
            results,
            str(variant),
            trait=trait,
            mask=mask,
            max_maf=max_maf,
            policy=policy_of(policy),
            cohort=cohort,
            sets=sets,
            tell=tell,
        )
    row, notes = find_row(results, str(variant), trait, test)
    choices = choices_of(results)
    model_of(
        choices, str(row["trait"])
    )  # what is wrong with the choices in the record is said before any file is opened
    cohort = cohort_of(results, cohort, tell)
    numbers = numbers_of(cohort, row, notes)
    source = RowSource(cohort, choices)
    again = rows_of_model(cohort, choices, numbers, row["trait"])
    own = [again[row["test"]], *other_tests(cohort, choices, numbers, row["trait"], again[row["test"]])]
    everybody = source.row(numbers, row["trait"], observed_only=False)
    observed = source.row(numbers, row["trait"])
    if source.unfitted:
        notes.append(
            f"no other program stands beside these rows: {', '.join(source.unfitted)} is a choice that genassoc's model has and its "
            "refit does not"
        )
    table, reference = side_by_side(row, own, observed, everybody, choices, source.unfitted)
    by = by or choices.get("interaction")
    arms = None if by is None else arms_of(cohort, by, everybody)
    groups = groups_of(everybody, row)
    absolute = absolute_of(observed, choices, groups.names) if row["neg_log_10_p_value"] is not None else None
    if isinstance(absolute, str):
        notes.append(absolute)
    whole = Explanation(
        row=row, table=table, counts=count_table(everybody, groups, by, arms), fit=reference.fit,
        reproduced=_same(row, own[0]), choices=choices, data=everybody, by=by, arms=arms, notes=tuple(notes),
        effects=_effects(again) if everybody.modifier is not None else None,
        absolute=None if isinstance(absolute, str) else absolute,
    )  # fmt: skip
    return explained_that_leaves(whole, policy_of(policy))


def _effects(again: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """Every test of an interaction of one variant and trait, by the choices as they are."""
    names = ("test", "method", "beta", "standard_error", "ci_lower", "ci_upper", "neg_log_10_p_value")
    schema = {name: pl.String if name in names[:2] else pl.Float64 for name in names}
    return pl.DataFrame([{name: row[name] for name in names} for row in again.values()], schema=schema)


_PLACE = ("chromosome", "base_pair_location", "other_allele", "effect_allele", "variant_id")


def numbers_of(cohort: Cohort, row: Mapping[str, Any], notes: list[str]) -> Int64Array:
    """The numbers in the store of a row's variant or predictor, or of its alleles; notes of variants that are there twice are added."""
    numbers, counts = allele_numbers(cohort.store, pl.DataFrame([row]).select(*_PLACE))
    if counts[0] == 0:
        raise GenassocError(f"{cohort.store.path} has no variant or predictor {row['variant_id']}.")
    if counts[0] > 1:
        notes.append(f"the store has {counts[0]} variants {row['variant_id']}; this is about the first of them")
    return numbers[0]


def find_row(results: Results, variant: str, trait: str | None, test: str | None) -> tuple[dict[str, Any], list[str]]:
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
            wanted = next((value for value in values if value == "geno_2df" or value.endswith(":E")), values[0])
        if wanted is None and len(values) > 1:
            best = rows.sort("neg_log_10_p_value", descending=True, nulls_last=True)["trait"][0]
            raise GenassocError(
                f"{variant} has rows of {len(values)} traits: {', '.join(values[:12])}{', ...' if len(values) > 12 else ''}; "
                f"choose one: trait='{best}' (--trait) has the smallest p."
            )
        if wanted is not None and wanted not in values:
            raise GenassocError(f"{variant} has no row of {column} '{wanted}'; it has {', '.join(values[:12])}.")
        others = [value for value in values if wanted is not None and value != wanted]
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


def _same(row: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
    """Whether a row of the results and one computed again hold the same numbers."""
    for name in ("beta", "standard_error", "neg_log_10_p_value"):
        a, b = row.get(name), again.get(name)
        if (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > _SAME * max(abs(a), abs(b))):
            return False
    return row["method"] == again["method"]
