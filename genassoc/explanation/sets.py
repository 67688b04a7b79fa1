"""One set of variants (a gene) explained: every test side by side, the variants, who carries them."""

import html
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data import text_cells
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.disclosed_tables import masked, variants_that_leave
from genassoc.data.disclosure import COARSE, Policy, Withheld
from genassoc.data.output import replacing, target_of
from genassoc.data.sets.matched import MatchedSets, match_sets
from genassoc.data.sets.variant_sets import VariantSets
from genassoc.errors import GenassocError, InputError, printable
from genassoc.explanation.rebuilt import choices_of, cohort_of
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.models.sets.burden import CohortCounts
from genassoc.models.sets.choices import ChosenSets, SetChoices
from genassoc.models.sets.columns import weight_of
from genassoc.refit.row_data import RowSource
from genassoc.refit.set_tests import FAMILIES, DenseSet
from genassoc.results import Results
from genassoc.shapes import Float64Array, Int64Array

if TYPE_CHECKING:
    from genassoc.plots.figure import Figure


@dataclass(frozen=True, eq=False, kw_only=True)
class SetExplanation:
    """A gene and a trait.

    Attributes
    ----------
    gene, trait, mask : str
    max_maf : float
    rows : DataFrame
        The rows of the results of this gene and trait.
    tests : DataFrame
        test, kind ("score" or "fitted"), beta, standard_error, neg_log_10_p_value: by dense formulas on the whole matrix of genotypes;
        in_results: what the results have of it.
    variants : DataFrame
        variant_id, position, annotation, mac, carriers (by case status), weight, beta, standard_error and -log10 p of each by its score, and
        -log10 p of SKAT and of the burden without it.
    notes : tuple of str
    n, n_cases : int
        Samples with the trait; cases, or -1.
    """

    gene: str
    trait: str
    mask: str
    max_maf: float
    rows: pl.DataFrame
    tests: pl.DataFrame
    variants: pl.DataFrame
    notes: tuple[str, ...]
    n: int
    n_cases: int

    @property
    def title(self) -> str:
        """Gene, trait, mask and bin."""
        return f"{self.gene} and {self.trait}: mask {self.mask}, MAF at most {self.max_maf:g}"

    @property
    def text(self) -> str:
        """What is there, in plain words."""
        known = self.variants["n_carriers"].null_count() == 0
        carriers = (
            f" with {self.variants['n_carriers'].sum():,} carriers (each counted once a variant)" if known else ""
        )
        who = f"{self.n:,} samples" + (f", {self.n_cases:,} of them cases" if self.n_cases >= 0 else "")
        best = self.tests.filter(pl.col("neg_log_10_p_value").is_not_null()).sort("neg_log_10_p_value", descending=True)
        ran = self.tests.drop_nulls("in_results").sort("in_results", descending=True)
        parts = [f"{self.variants.height} variants{carriers} in {who}."]
        if ran.height:
            name, p = ran.select("test", "in_results").row(0)
            parts.append(f"In the results the smallest p is of {name}: -log10 p = {p:.2f}.")
        if best.height:
            name, kind, p = best.select("test", "kind", "neg_log_10_p_value").row(0)
            parts.append(
                f"Of the dense tests it is of {name} ({kind}): -log10 p = {p:.2f}, the smallest of {best.height} that look at the same data."
            )
        left = (
            self.variants.select("variant_id", "skat_without")
            .filter(pl.col("skat_without").is_finite())
            .sort("skat_without")
        )
        skat = self.tests.filter(pl.col("test") == "skat")["neg_log_10_p_value"]
        if left.height and skat[0] is not None:
            name, p = left.row(0)
            parts.append(
                f"Without {name} SKAT's -log10 p is {p:.2f} in place of {skat[0]:.2f}: of all variants it weighs most."
            )
        return " ".join(parts) + "".join(f"\n\n{note}." for note in self.notes)

    def figure(self) -> "Figure":
        """The variants along the gene: `genassoc.plots.lollipop`."""
        from genassoc.plots import lollipop

        drawn = lollipop(self.variants, title=f"{self.gene} and {self.trait}", caption=self.title).get_figure(root=True)
        assert drawn is not None
        return drawn

    def write(self, folder: str | Path) -> list[Path]:
        """Write text, tables and picture into a folder."""
        from genassoc.plots import save_figure

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{self.gene}.{self.trait}")
        files = {f"{stem}.txt": printable(f"{self.title}\n\n{self.text}\n").encode()}
        for name, frame in (("rows", self.rows), ("tests", self.tests), ("variants", self.variants)):
            files[f"{stem}.{name}.tsv"] = text_cells.header(frame.columns, "\t") + text_cells.written(frame, "\t", "")
        for name, content in files.items():
            with replacing(target_of(folder / name)) as file:
                file.write(content)
        return [*(folder / name for name in files), save_figure(self.figure(), folder / f"{stem}.png")]

    def __repr__(self) -> str:
        with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=200, tbl_hide_dataframe_shape=True):
            return printable(f"{self.title}\n\n{self.text}\n\n{self.tests}\n{self._shown}")

    @property
    def _shown(self) -> pl.DataFrame:
        """Of the variants what people look at."""
        columns = {"variant_id": "variant", "annotation": "annotation", "mac": "MAC", "n_carriers_cases": "in cases", "n_carriers_controls": "in controls",
                   "n_carriers": "carriers", "beta": "beta", "neg_log_10_p_value": "-log10 p", "skat_without": "SKAT without", "burden_without": "burden without"}  # fmt: skip
        split = "n_carriers_cases" in self.variants.columns
        return self.variants.select(
            pl.col(name).alias(word)
            for name, word in columns.items()
            if name in self.variants.columns and not (split and name == "n_carriers")
        )

    def _repr_html_(self) -> str:
        paragraphs = "".join(f"<p>{html.escape(part)}</p>" for part in self.text.split("\n\n"))
        return f"<h4>{html.escape(self.title)}</h4>{paragraphs}{self.tests._repr_html_()}{self._shown._repr_html_()}"


def explain_set(
    results: Results,
    gene: str,
    *,
    trait: str | None = None,
    mask: str | None = None,
    max_maf: float | None = None,
    policy: Policy | None = None,
    cohort: Cohort | None = None,
    sets: "MatchedSets | VariantSets | None" = None,
    tell: Callable[[str], None] | None = None,
) -> SetExplanation:
    """Explain one set of `associate_sets`; see `genassoc.explain`.

    Parameters
    ----------
    policy : Policy, optional
        Small counts of carriers are withheld, and what they could be worked out from: null in tables, not drawn.
    sets : VariantSets or MatchedSets, optional
        Where the cohort of this session has none.
    """
    rows = _rows(results, gene, trait)
    trait = str(rows["trait"][0])
    mask, max_maf = _unit(rows, mask, max_maf)
    choices = choices_of(results)
    family = FAMILIES.get(str(choices["kind"]))
    if family is None or choices.get("weights") or choices.get("interaction"):
        raise GenassocError(
            f"explain(gene) computes dense tests of {', '.join(FAMILIES)} models without weights and interaction, not of this {choices['kind']} model."
        )
    cohort = cohort_of(results, cohort, tell)
    matched = (
        match_sets(sets, cohort) if isinstance(sets, VariantSets) else sets or getattr(cohort.sets, "matched", None)
    )
    if matched is None:
        raise InputError(
            "which variants the set has is not in the results: give the sets (sets=match_sets(...); --sets, --annotations and --masks)."
        )
    if gene not in matched.ids:
        raise InputError(f"the sets have no '{gene}'.")
    asked = _set_choices(results)
    dense, burdens, table, weights, maf, cases = _dense(
        RowSource(cohort, choices),
        cohort,
        matched,
        number=matched.ids.index(gene),
        trait=trait,
        mask=mask,
        max_maf=max_maf,
        asked=asked,
        family=family,
    )
    tests = _tests(
        dense,
        burdens,
        weights,
        maf,
        rows.filter((pl.col("mask") == mask) & (pl.col("max_maf") == max_maf)),
        asked.burden,
    )
    beta, error, p = dense.single()
    skat, burden = dense.left_out(weights)
    variants = table.with_columns(
        weight=weights, beta=pl.Series(beta).fill_nan(None), standard_error=pl.Series(error).fill_nan(None), neg_log_10_p_value=pl.Series(p).fill_nan(None),
        skat_without=pl.Series(skat).fill_nan(None), burden_without=pl.Series(burden).fill_nan(None),
    )  # fmt: skip
    if policy is not None:
        variants, rows = variants_that_leave(variants, policy), masked(rows, policy)
        tests = (
            tests.with_columns(
                pl.col("neg_log_10_p_value", "in_results").round(COARSE),
                beta=pl.lit(None, pl.Float64),
                standard_error=pl.lit(None, pl.Float64),
            )
            if few_in_unit(rows, mask, max_maf)
            else tests
        )
    notes = (
        [
            f"dense tests take each variant by itself: the run made one of those with at most {asked.collapse_below} minor alleles in SKAT, SKAT-O and ACAT-V"
        ]
        if asked.collapse_below
        else []
    )
    if asked.calibrated and (tests["neg_log_10_p_value"] - tests["in_results"] > 0.05).any():
        notes.append(
            "dense tests stand on the normal law of scores, which finds too much where cases or carriers are few: the p in the results follow exact or "
            "adjusted laws, and are those to report"
        )
    of_run = results.provenance.get("inputs", {}).get("sets", {}).get("digest")
    if of_run is not None and of_run != matched.digest:
        notes.append(
            "these are not the sets of the run: variants, annotations, masks or weights differ from those that its record names"
        )
    if policy is not None:
        gone, shown = int(variants["n_carriers"].is_null().sum()), rows.filter(pl.col("withheld").is_not_null()).height
        found = [f"counts and estimates of {gone} of {variants.height} variants"] if gone else []
        found += [f"counts and estimates of {shown} of {rows.height} rows of the results"] if shown else []
        notes.append("; ".join(["withheld", *Withheld(policy, tuple(found)).lines()]))
    return SetExplanation(
        gene=gene, trait=trait, mask=mask, max_maf=max_maf, rows=rows, tests=tests, variants=variants, notes=tuple(notes), n=dense.y.size,
        n_cases=-1 if cases is None else int(cases.sum()),
    )  # fmt: skip


def few_in_unit(rows: pl.DataFrame, mask: str, max_maf: float) -> bool:
    """Whether the rows of a mask and bin lost their counts."""
    unit = rows.filter((pl.col("mask") == mask) & (pl.col("max_maf") == max_maf))
    return bool(unit["withheld"].is_not_null().any())


def _rows(results: Results, gene: str, trait: str | None) -> pl.DataFrame:
    rows = results.scan().filter(pl.col("set_id") == gene).collect()
    if not rows.height:
        raise GenassocError(f"the results have no set '{gene}'.")
    if "left_out" in rows.columns:
        rows = rows.filter(pl.col("left_out").is_null())
    traits = rows["trait"].unique(maintain_order=True).to_list()
    if trait is None and len(traits) > 1:
        raise GenassocError(
            f"{gene} has rows of {len(traits)} traits: {', '.join(traits[:12])}; choose one (trait=, --trait)."
        )
    if trait is not None and trait not in traits:
        raise GenassocError(f"{gene} has no row of trait '{trait}'; it has {', '.join(traits[:12])}.")
    return rows.filter(pl.col("trait") == (trait or traits[0]))


def _unit(rows: pl.DataFrame, mask: str | None, max_maf: float | None) -> tuple[str, float]:
    """The mask and bin that are asked for, or those of the smallest p."""
    units = rows.filter(pl.col("mask").is_not_null() & pl.col("max_maf").is_not_null())
    for name, wanted in (("mask", mask), ("max_maf", max_maf)):
        if wanted is not None:
            known = units[name].unique(maintain_order=True).to_list()
            units = units.filter(pl.col(name) == wanted)
            if units.is_empty():
                raise GenassocError(f"there is no row of {name} {wanted!r}; there are {', '.join(map(str, known))}.")
    best = units.sort("neg_log_10_p_value", descending=True, nulls_last=True)
    return str(best["mask"][0]), float(best["max_maf"][0])


def _set_choices(results: Results) -> SetChoices:
    given: Mapping[str, object] = results.provenance.get("parameters", {}).get("sets", {})
    known = {
        name: given[name] for name in ("weights", "max_maf", "burden", "collapse_below", "calibrated") if name in given
    }
    return SetChoices(**known)  # type: ignore[arg-type]


def _dense(
    source: RowSource, cohort: Cohort, matched: "MatchedSets", *, number: int, trait: str, mask: str, max_maf: float, asked: SetChoices, family: str
) -> tuple[DenseSet, dict[str, Float64Array], pl.DataFrame, Float64Array, Float64Array, Float64Array | None]:  # fmt: skip
    """The matrix of the variants of a mask and bin, its burdens, and what is told of each variant."""
    of_mask = next((one for one in matched.masks if one.name == mask), None)
    if of_mask is None:
        raise InputError(f"the sets have no mask '{mask}'.")
    inside = of_mask.of(matched.annotation[number])
    members: Int64Array = matched.members[number][inside]
    annotation = matched.annotation[number][inside]
    given = ChosenSets(matched, asked).weights
    weight = None if given is None else given[number][inside]
    # Bins and weights go by the frequency among all of the cohort's samples, with the trait or not.
    counts = CohortCounts.of(
        cohort.block_of(members), cohort.block_columns, mask_words(cohort.block_columns, cohort.block_width)
    )
    data = [source.row(member, trait, observed_only=False) for member in members]
    columns, filled, told, weights = [], [], [], []
    for k, (member, one) in enumerate(zip(members, data)):
        copies, flipped, maf = one.copies, bool(counts.flipped[k]), float(counts.maf[k])
        seen = ~np.isnan(copies)
        minor = np.where(seen, 2.0 - copies if flipped else copies, np.nan)
        mac = float(np.nansum(minor))
        if not 0.0 < maf <= max_maf or mac == 0.0:
            continue
        columns.append(np.where(seen, minor, np.nanmean(minor)))  # scores: the mean of the samples with the trait
        filled.append(np.where(seen, minor, counts.mean[k]))  # burdens: that of the cohort, one column for all traits
        weights.append(math.nan if weight is None else weight[k])
        row = cohort.store.variants(int(member), int(member) + 1).row(0, named=True)
        carried = seen & (np.nan_to_num(minor) >= 0.5)
        place = f"{row['chromosome']}_{row['base_pair_location']}_{row['other_allele']}_{row['effect_allele']}"
        entry = {"variant_id": place, "chromosome": row["chromosome"], "base_pair_location": row["base_pair_location"],
                 "annotation": matched.categories[annotation[k]] if annotation[k] >= 0 else None, "minor_allele": "REF" if flipped else "ALT",
                 "mac": mac, "maf": maf, "n_carriers": int(carried.sum())}  # fmt: skip
        if family == "logistic":
            cases = one.y == 1
            entry |= {"n_carriers_cases": int(carried[cases].sum()), "n_carriers_controls": int(carried[~cases].sum()),
                      "n_cases": int(cases.sum()), "n_controls": int((~cases).sum())}  # fmt: skip
        told.append(entry)
    if not columns:
        raise GenassocError(f"no variant of mask {mask} is carried with a frequency of at most {max_maf:g}.")
    first = data[0]
    maf_of = np.array([entry["maf"] for entry in told], dtype=np.float64)
    offset = first.offset if family != "poisson" else first.offset + np.log(first.exposure)
    dense = DenseSet(family, first.y, first.X, np.column_stack(columns), offset)
    of_each = weight_of(maf_of, asked) if weight is None else np.array(weights)
    burdens = replace(dense, G=np.column_stack(filled)).burdens(of_each)
    return dense, burdens, pl.DataFrame(told), of_each, maf_of, first.y == 1 if family == "logistic" else None


def _tests(
    dense: DenseSet,
    burdens: Mapping[str, Float64Array],
    weights: Float64Array,
    maf: Float64Array,
    rows: pl.DataFrame,
    burden: str,
) -> pl.DataFrame:
    lines = [line for name, column in burdens.items() for line in dense.column_tests(name, column)]
    lines += dense.set_tests(weights, maf)
    known = dict(rows.select("test", "neg_log_10_p_value").iter_rows())
    schema = {
        "test": pl.String,
        "kind": pl.String,
        "beta": pl.Float64,
        "standard_error": pl.Float64,
        "neg_log_10_p_value": pl.Float64,
    }
    table = pl.DataFrame(lines, schema=schema, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))
    return table.with_columns(
        pl.Series(
            "in_results",
            [known.get("burden" if line.test == f"burden, {burden}" else line.test) for line in lines],
            dtype=pl.Float64,
        )
    )
