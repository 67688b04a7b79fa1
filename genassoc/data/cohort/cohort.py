"""Cohort: a genotype store and phenotypes aligned by sample id, and their ledger."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genassoc.data.block import Block, GenotypeBlock, take_samples
from genassoc.data.cohort import recipe
from genassoc.data.cohort import variant_statistics as statistics
from genassoc.data.cohort.builds import build_named, build_of
from genassoc.data.cohort.contigs import Contigs, contigs_of
from genassoc.data.cohort.id_rules import EXACT, Rules
from genassoc.data.cohort.kept_variants import KeptVariants
from genassoc.data.cohort.kinds import together, with_dosages, without_refused
from genassoc.data.cohort.ledger import (
    design_ledger,
    drop_samples,
    lacking_rows,
    matched_by,
    sample_ledger,
    variant_ledger,
)
from genassoc.data.cohort.matching import (
    as_in_phenotypes,
    family_column,
    first_few,
    match_ids,
    mismatch_message,
    near_misses,
)
from genassoc.data.cohort.ploidy import PloidyRules, contig_names, kinds_of
from genassoc.data.cohort.relatives import unrelated_of
from genassoc.data.cohort.sample_checks import SampleCheck
from genassoc.data.cohort.variant_selection import DROPPED_SCHEMA, VariantSelection, variant_ids, with_neighbours
from genassoc.data.cohort.variants import KEY_COLUMN, regions_of
from genassoc.data.forks import check_not_forked
from genassoc.data.phenotypes.codings import sex_coding
from genassoc.data.phenotypes.design import Design, Kind, build_design
from genassoc.data.phenotypes.kinship import Kinship
from genassoc.data.phenotypes.offsets import Offsets
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.shown import html_facts, lines_shown
from genassoc.data.store.notes import store_notes
from genassoc.errors import PhenotypeError, SampleMismatchError
from genassoc.shapes import Array, BoolArray, Int64Array

if TYPE_CHECKING:
    import pandas as pd

    from genassoc.data.phenotypes.phenotypes import Codes
    from genassoc.data.store.store import GenotypeStore


@dataclass(frozen=True, eq=False, kw_only=True)
class Cohort:
    """Samples that have genotypes and phenotypes, in store order; selections are indices, not copies.

    Attributes
    ----------
    store : GenotypeStore
    phenotypes : Phenotypes
    sample_index : int64 array (N,)
        Columns of the store, ascending.
    rows : int64 array (N,)
        Rows of the phenotypes' table.
    sample_ids : object array of str (N,)
    sex : int8 array (N,) or None
        1 male, 2 female, 0 unknown; None when no sex column was named.
    sample_ledger : polars DataFrame (kind, id, status, reason, detail)
        One row for every sample of either file.
    selection : VariantSelection
        Which variants are kept.
    notes : tuple of str
        What selections found, for `summary_lines`.
    build : str or None
        "GRCh37" or "GRCh38" where it was named.
    recipe : tuple of mappings
        How it was made (`genassoc.data.cohort.recipe`); for the provenance.
    id_rule : Rules
        Under which ids are the same, of tables that are joined too.
    offsets : Offsets or None
        Predictions of traits that enter models with the coefficient 1 (`genassoc.data.cohort.offset_tables.with_offsets`).
    kinship : Kinship or None
        Relationships of the samples, for mixed models (`genassoc.data.cohort.kinship.with_kinship`).
    sets : ChosenSets or None
        Sets of variants that are tested in place of single ones (`genassoc.verbs.gene_sets.with_sets`).
    """

    store: "GenotypeStore"
    phenotypes: Phenotypes
    sample_index: Int64Array
    rows: Int64Array
    sample_ids: Array
    sex: Array | None
    sample_ledger: pl.DataFrame
    selection: VariantSelection = field(default_factory=VariantSelection)
    notes: tuple[str, ...] = ()
    build: str | None = None
    recipe: tuple[dict[str, Any], ...] = ()
    id_rule: Rules = EXACT
    offsets: Offsets | None = None
    kinship: Kinship | None = None
    sets: Any = None

    @classmethod
    def align(
        cls,
        store: "GenotypeStore | str | Path",
        phenotypes: "str | Path | pl.DataFrame | pd.DataFrame | Phenotypes",
        *,
        sample_id: str | None = None,
        sex: str | None = None,
        missing_codes: "Codes | None" = None,
        min_overlap: float = 0.5,
        build: str | None = None,
        id_rule: str | None = None,
        decimal: str | None = None,
        date_format: str | None = None,
        encoding: str | None = None,
    ) -> "Cohort":
        """Match samples by id, compared as text and exactly, unless ``id_rule`` names another rule.

        Parameters
        ----------
        store : GenotypeStore, or the path of one
        phenotypes
            A path (TSV, CSV, blank-delimited, Parquet, .xlsx), a DataFrame, or `Phenotypes`.
        sample_id, missing_codes, decimal, date_format, encoding
            As in `Phenotypes.read`.
        sex : str, optional
            Column with 1 / 2, M / F, male / female and the like (`genassoc.data.phenotypes.codings`); 0 and missing are unknown.
        min_overlap : float
            Least share of the smaller of the two sets of samples that must match.
        build : {None, "GRCh37", "GRCh38", "T2T-CHM13"}
            Where X is pseudo-autosomal; by default what the VCF's contig lengths tell.
        id_rule : str, optional
            What is done to ids before they are compared: "exact" (default), "iid", "casefold", ..., or several, as
            "iid+casefold" (`genassoc.data.cohort.id_rules.RULES`). Two ids that a rule makes one are an error.

        Raises
        ------
        SampleMismatchError
            Fewer match; shows ids of both sides and the rules under which more would. Or the rule makes ids ambiguous.
        InputError, PhenotypeError
            As `Phenotypes.read` and `genassoc.data.phenotypes.codings.sex_coding`.
        """
        check_not_forked()
        from genassoc.data.store.store import GenotypeStore

        store = GenotypeStore.of(store)
        table = Phenotypes.read(
            phenotypes, sample_id=sample_id, missing_codes=missing_codes, decimal=decimal, date_format=date_format,
            encoding=encoding,
        )  # fmt: skip
        rules = Rules.parse(id_rule)
        genotyped = [str(name) for name in store.sample_ids]
        both = match_ids(genotyped, table, rules)
        rows = both.rows
        smaller = min(len(genotyped), table.table.height)
        if rows.size == 0 or rows.size < min_overlap * smaller:
            raise SampleMismatchError(mismatch_message(genotyped, table, rows.size, min_overlap, rules))
        ledger = sample_ledger(pl.Series("id", genotyped, dtype=pl.String), both.ids, table.source)
        if not rules.exact:
            ledger = matched_by(ledger, both.ids, table.table[table.sample_id], str(rules))
        sexes, read_as = (None, "") if sex is None else sex_coding(table, sex, rows)
        return cls(
            store=store,
            phenotypes=table,
            sample_index=both.columns,
            rows=rows,
            sample_ids=np.array([genotyped[column] for column in both.columns], dtype=object),
            sex=sexes,
            sample_ledger=ledger,
            notes=(
                *table.notes,
                *store_notes(store, contigs_of(store), sex=sex is not None, build=build),
                *both.notes,
                *([read_as] if read_as else ()),
            ),
            build=build_named(build),
            recipe=(recipe.aligned(table, sex, build, rules),),
            id_rule=rules,
        )

    @property
    def n_samples(self) -> int:
        """N."""
        return int(self.sample_index.size)

    @property
    def n_variants(self) -> int:
        """Variants of the store, before any selection."""
        return int(self.store.n_variants)

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of what results depend on: store, phenotypes, samples, sex and variant selection."""
        digest = hashlib.sha256(f"{self.store.fingerprint} {self.phenotypes.fingerprint}".encode())
        digest.update(self.sample_index.tobytes() + self.rows.tobytes())
        digest.update(b"" if self.sex is None else self.sex.tobytes() + (self.build or "").encode())
        digest.update(repr(self.ploidy.runs).encode() if self.ploidy.runs else b"")  # what is taken for X, Y, MT
        digest.update(b"" if self.selection.mask is None else np.packbits(self.selection.mask).tobytes())
        for predicate in self.selection.predicates:
            digest.update(predicate.expression.meta.serialize())
        digest.update(b"" if self.offsets is None else self.offsets.digest.encode())
        digest.update(b"" if self.kinship is None else f"kinship {self.kinship.digest}".encode())
        digest.update(b"" if self.sets is None else f"sets {self.sets.digest}".encode())
        return digest.hexdigest()[:16]

    # Samples ----------------------------------------------------------------------------------------------

    def keep_samples(self, choice: "pl.Expr | Sequence[str] | SampleCheck") -> "Cohort":
        """Keep samples for which an expression over the phenotypes holds, whose ids are listed, or that `check_sex` and the like let pass.

        Raises
        ------
        PhenotypeError
            The expression names no column, is not true or false, or holds for nobody.
        SampleMismatchError
            None of the ids listed or checked is in the cohort (shows near misses).
        """
        check_not_forked()
        if isinstance(choice, SampleCheck):
            keep, why, details, label = choice.verdicts(self.sample_ids)
            return self._with_samples(keep, recipe.kept(self.sample_ids[keep].tolist()), details, label, why)
        if isinstance(choice, pl.Expr):
            keep, missing = self.phenotypes.samples_where(choice, self.rows)
            details = np.where(missing, f"{choice} (a value is missing)", str(choice))
            return self._with_samples(keep, recipe.kept(choice), details, str(choice))
        wanted = [str(name) for name in ([choice] if isinstance(choice, str) else choice)]
        keep = np.isin(self.sample_ids.astype(str), np.array(wanted, dtype=str))
        if not keep.any():
            alike = "; ".join(str(miss) for miss in near_misses(list(self.sample_ids), wanted))
            raise SampleMismatchError(
                f"none of the {len(wanted)} ids given to keep_samples is in the cohort. Cohort: "
                f"{first_few(self.sample_ids)}; given: {first_few(wanted)}. {alike}".strip()
            )
        unknown = len(set(wanted)) - int(keep.sum())
        label = f"a list of {len(wanted)} ids" + (f" ({unknown} not in the cohort)" if unknown else "")
        kept = self._with_samples(keep, recipe.kept(wanted), np.full(keep.size, label, dtype=object), label)
        misses = near_misses(list(self.sample_ids), list(dict.fromkeys(wanted)), plain=True) if unknown else []
        notes = [f"keep_samples: {unknown} ids given are not in the cohort, of which {miss.shown}" for miss in misses]
        return replace(kept, notes=(*kept.notes, *notes))

    def keep_unrelated(
        self, kin: pl.DataFrame | str | Path, max_kinship: float = 0.0442, *, prefer: pl.Expr | str | None = None,
        quality: pl.DataFrame | None = None,
    ) -> "Cohort":  # fmt: skip
        """Keep samples of which no two have a kinship above ``max_kinship``; the ledger says who is left out because of whom.

        Parameters
        ----------
        kin : DataFrame or path
            Of `genassoc.kinship` (its ``kinship_adjusted`` counts where there is one), plink2 --make-king-table or KING.
        max_kinship : float
            0.0442 keeps no relatives up to the third degree, 0.0884 up to the second, 0.177 up to the first.
        prefer : expression over the phenotypes, or name of a binary trait
            Samples, or cases, to keep rather than others.
        quality : DataFrame
            Of `genassoc.sample_qc`; of two samples with as many relatives the one with more missing calls is left out.

        Raises
        ------
        InputError, PhenotypeError, SampleMismatchError
            As `genassoc.data.cohort.relatives.unrelated_of`, which says whom the rule leaves out.
        """
        check_not_forked()
        ids, table = self.sample_ids, self.phenotypes
        keep, details, notes = unrelated_of(ids, table, self.rows, kin, max_kinship, prefer, quality)
        step, label = recipe.kept(ids[keep].tolist()), f"keep_unrelated({max_kinship:g})"
        return replace(self, notes=(*self.notes, *notes))._with_samples(keep, step, details, label, "related")

    def _with_samples(
        self, keep: BoolArray, step: dict[str, Any], details: Array, label: str, reason: str | Array = "keep_samples"
    ) -> "Cohort":
        """The cohort of the samples where ``keep`` (N,) is true; the others go to the ledger."""
        if not keep.any():
            raise PhenotypeError(f"keep_samples({label}) leaves none of {self.n_samples} samples")
        reasons = np.broadcast_to(np.asarray(reason, dtype=object), keep.shape)[~keep]
        ledger = drop_samples(self.sample_ledger, self.sample_ids[~keep], reasons, details[~keep])
        note = f"{int(keep.sum()):,} of {self.n_samples:,} samples kept by {label}"
        return replace(
            self,
            sample_index=self.sample_index[keep],
            rows=self.rows[keep],
            sample_ids=self.sample_ids[keep],
            sex=None if self.sex is None else self.sex[keep],
            offsets=None if self.offsets is None else self.offsets.take(keep),
            kinship=None if self.kinship is None else self.kinship.take(keep),
            sample_ledger=ledger,
            notes=(*self.notes, note),
            recipe=(*self.recipe, step),
        )

    def with_covariates(
        self,
        covariates: "str | Path | pl.DataFrame | pd.DataFrame | Phenotypes",
        *,
        sample_id: str | None = None,
        missing_codes: "Codes | None" = None,
        decimal: str | None = None,
        date_format: str | None = None,
        encoding: str | None = None,
    ) -> "Cohort":
        """Join more columns by sample id, as principal components; samples that they lack get missing values.

        ``missing_codes``, ``decimal``, ``date_format`` and ``encoding`` are those of the cohort's phenotypes unless given.

        Raises
        ------
        PhenotypeError
            A column is already there.
        SampleMismatchError
            No sample of the cohort is among them.
        """
        theirs = self.phenotypes
        if (
            missing_codes is None
            and theirs.missing_codes.plain() is not None
            and not (isinstance(covariates, Phenotypes) and covariates.missing_codes.plain() is not None)
        ):
            missing_codes = theirs.missing_codes
        if not isinstance(covariates, Phenotypes):
            decimal = theirs.reading.decimal if decimal is None else decimal
            date_format = theirs.reading.date_format if date_format is None else date_format
            encoding = theirs.reading.encoding if encoding is None else encoding
        added = Phenotypes.read(
            covariates, sample_id=sample_id, missing_codes=missing_codes, decimal=decimal, date_format=date_format,
            encoding=encoding,
        )  # fmt: skip
        read, (added, found, notes) = added, as_in_phenotypes(theirs, self.rows, self.sample_ids, self.id_rule, added)
        family = family_column(added.columns)  # PLINK's tables all have one
        if family is not None and family in self.phenotypes.columns:
            added = replace(added, table=added.table.drop(family))
        n_found = int(found.sum())
        if n_found == 0:
            raise SampleMismatchError(mismatch_message(list(self.sample_ids), read, 0, 0.0, self.id_rule))
        note = f"{', '.join(added.columns[:5])}{', ...' if len(added.columns) > 5 else ''} joined from {added.source}"
        if n_found < self.n_samples:
            note += f"; {self.n_samples - n_found:,} samples are not in it"
        if (n_others := read.table.height - n_found) > 0:
            note += f"; {n_others:,} of its rows {'is' if n_others == 1 else 'are'} of no sample analysed"
        return replace(
            self,
            phenotypes=self.phenotypes.with_columns(added),
            notes=(*self.notes, *read.notes, note, *notes),
            recipe=(*self.recipe, recipe.joined(read)),
            sample_ledger=lacking_rows(self.sample_ledger, self.sample_ids[~found], added.source),
        )

    def with_sex(self, column: str) -> "Cohort":
        """The cohort with sex from a column, which may be a joined one; a PhenotypeError as of `Cohort.align`."""
        check_not_forked()
        sexes, read_as = sex_coding(self.phenotypes, column, self.rows)
        return replace(
            self,
            sex=sexes,
            notes=tuple(dict.fromkeys((*self.notes, *self.contigs.notes(sex=True), read_as))),
            recipe=(*self.recipe, recipe.sex_of(column)),
        )

    def design(
        self, traits: Sequence[str], covariates: Sequence[str] | str = (), *, kind: Kind = "quantitative",
        levels: Sequence[str] | None = None,
    ) -> Design:  # fmt: skip
        """Traits and covariates of the cohort's samples as arrays; see `build_design`."""
        check_not_forked()
        return build_design(self.phenotypes, self.rows, traits, covariates, kind, levels, self.offsets)

    def design_ledger(self, design: Design) -> pl.DataFrame:
        """Ledger rows of the samples under a design: who lacks a covariate, who lacks every trait."""
        return design_ledger(self.sample_ids, design)

    # Variants ---------------------------------------------------------------------------------------------

    def keep_variants(self, choice: "pl.Expr | Array | Sequence[int] | KeptVariants") -> "Cohort":
        """Keep variants for which an expression holds, or that are selected by number or mask, or were chosen (`ld_prune`).

        Conditions add up. Expressions (`genassoc.data.cohort.variants`, or any over its columns) are lazy:
        statistics are of the cohort's samples, computed by the pass that reads the blocks.

        Raises
        ------
        InputError
            A region of a contig that the store does not have.
        PlanError
            The expression or the array does not fit the variants, or they were chosen in another store.
        """
        check_not_forked()
        if isinstance(choice, KeptVariants):
            return replace(self.keep_variants(choice.of_store(self.store)), notes=(*self.notes, *choice.lines()))
        contigs, annotations = list(map(str, self.store.contigs)), getattr(self.store, "annotations", ())
        narrowed = self.selection.narrowed(choice, self.n_variants, contigs, annotations)
        asked = [region.contig for region in regions_of(choice)] if isinstance(choice, pl.Expr) else []
        apart = self.contigs.apart(asked) if asked else ()
        return replace(self, selection=narrowed, notes=tuple(dict.fromkeys((*self.notes, *apart))))

    def select_variants(self, start: int, stop: int, block: GenotypeBlock) -> tuple[BoolArray, pl.DataFrame]:
        """Apply the variant selection to the variants from start to stop.

        Parameters
        ----------
        start, stop : int
        block : GenotypeBlock
            From ``read(start, stop)``.

        Returns
        -------
        keep : bool array (V,)
        dropped : polars DataFrame (id, reason)
            One row for each variant left out; the reason is the first condition that failed.
        """
        if self.selection.selects_all:
            return np.ones(stop - start, dtype=bool), pl.DataFrame(schema=DROPPED_SCHEMA)
        keep, reasons = self.selection.select(
            start,
            stop,
            lambda: self._metadata(start, stop),
            lambda: self._statistics_of(block),
        )
        if (gone := np.flatnonzero(~keep)).size == 0:
            return keep, pl.DataFrame(schema=DROPPED_SCHEMA)
        ids = self.store.variants(start, stop)[gone].select(variant_ids())["id"]
        return keep, pl.DataFrame({"id": ids, "reason": [reasons[i] for i in gone]}, schema=DROPPED_SCHEMA)

    def _statistics_of(self, block: GenotypeBlock) -> pl.DataFrame:
        """What predicates look at."""
        table = self.variant_statistics(block, hwe=self.selection.needs_hwe)
        if self.has_dosages or not self.selection.needs_dosages:
            return table
        unknown = pl.lit(None, dtype=pl.Float64)
        return table.with_columns(has_dosages=pl.lit(False), r2=unknown, info=unknown)

    def selected_without_genotypes(self, start: int, stop: int) -> BoolArray:
        """Variants (V,) left by index selections and metadata predicates: if none, do not read."""
        return self.selection.select(start, stop, lambda: self._metadata(start, stop), None)[0]

    def variant_statistics(
        self, block: GenotypeBlock, *, hwe: bool = True, masks: statistics.SampleMasks | None = None
    ) -> pl.DataFrame:
        """Frequencies, counts and Hardy-Weinberg p of a block from `read`, of the cohort's samples or those of ``masks``.

        See `genassoc.data.cohort.variant_statistics.variant_statistics`.
        """
        check_not_forked()
        if self.has_dosages and block.dosages is None:
            block = self._with_dosages(block)
        kinds = contig_names(self._kinds, block.start, block.start + block.n_variants)
        return statistics.variant_statistics(block, kinds, masks or self._masks, hwe=hwe)

    def _metadata(self, start: int, stop: int) -> pl.DataFrame:
        """Variant metadata, with ``multi_allelic`` and keys of chromosomes where a predicate asks for them."""
        if self.selection.needs_neighbours:
            before, after = max(start - 1, 0), min(stop + 1, self.n_variants)
            table = with_neighbours(self.store.variants(before, after), start - before, stop - before)
        else:
            table = self.store.variants(start, stop)
        table = table.with_columns(self.store.annotation(name, start, stop) for name in self.selection.annotations)
        if not self.selection.needs_keys:
            return table
        keys = contig_names(self._keys, start, stop)
        return table.with_columns(pl.Series(KEY_COLUMN, keys.tolist(), dtype=pl.String))

    @cached_property
    def contigs(self) -> Contigs:
        """Which chromosome each contig of the store means."""
        return contigs_of(self.store)

    @cached_property
    def _contig_runs(self) -> list[tuple[str, int, int]]:
        return list(self.store.contig_runs())

    @cached_property
    def _kinds(self) -> list[tuple[str, int, int]]:
        return kinds_of(self._contig_runs, self.contigs)

    @cached_property
    def _keys(self) -> list[tuple[str, int, int]]:
        return [(self.contigs.key(contig), first, last) for contig, first, last in self._contig_runs]

    @cached_property
    def ploidy(self) -> PloidyRules:
        """Which calls are possible, by chromosome and sex."""
        columns, width, build = self.block_columns, self.block_width, self.build or build_of(self.store)
        return PloidyRules.of(self._contig_runs, self.contigs, columns, width, self.sex, build).of_store(self.store)

    @cached_property
    def _masks(self) -> statistics.SampleMasks:
        return statistics.SampleMasks.build(self.block_columns, self.block_width, self.sex)

    # Blocks -----------------------------------------------------------------------------------------------

    @cached_property
    def repacks(self) -> bool:
        """Whether `read` gives the cohort's samples only: when fewer than half of the store's remain."""
        return 2 * self.n_samples < int(self.store.n_samples)

    @cached_property
    def block_columns(self) -> Int64Array:
        """Column of each of the cohort's samples in the blocks of `read`, (N,)."""
        return np.arange(self.n_samples, dtype=np.int64) if self.repacks else self.sample_index

    @property
    def block_width(self) -> int:
        """Samples in the blocks of `read`."""
        return self.n_samples if self.repacks else int(self.store.n_samples)

    def read(self, start: int, stop: int, *, dosages: bool = False, probabilities: bool = True) -> GenotypeBlock:
        """The calls of variants start to stop, as `ploidy` lets them be; the samples are its columns `block_columns`.

        Of rows of dosages these are copies within a tenth, else not observed. With ``dosages`` the block has these too (with
        ``probabilities`` those of genotypes); `genassoc.data.cohort.kinds.by_kind` cuts it into what analyses take.
        """
        block = self.store.read(start, stop)
        if self.repacks:
            block = take_samples(block, self.sample_index)
        of_calls = self.store.dosage_steps(start, stop) == 0 if self.has_dosages else None
        block = self.ploidy.apply(block, lambda: self.store.variants(start, stop), of_calls)
        block = replace(block, contig=self.contig_of(start, stop))
        if of_calls is None:
            return block
        block = without_refused(block, ~of_calls)
        return self._with_dosages(block, probabilities) if dosages else block

    def block_of(self, numbers: Int64Array) -> Block:
        """Some variants, by ascending numbers that lie close together, as analyses take them: in one block, of dosages where any has some."""
        first, last = int(numbers[0]), int(numbers[-1]) + 1
        return together(self.read(first, last, dosages=True).take(numbers - first))

    @property
    def has_dosages(self) -> bool:
        """Whether rows may have dosages."""
        return bool(getattr(self.store, "has_dosages", False))

    def _with_dosages(self, block: GenotypeBlock, probabilities: bool = True) -> GenotypeBlock:
        """A block from `read` with the dosages of its rows."""
        rows = self.store.read_dosages(block.start, block.start + block.n_variants, probabilities=probabilities)
        return with_dosages(block, rows.of_samples(self.sample_index) if self.repacks else rows, self.ploidy)

    def contig_of(self, start: int, stop: int) -> str:
        """The contig of the variants from start to stop; "" where they lie on several."""
        contig, _, last = self._run_at(start)
        return contig if stop <= last else ""

    def end_of_contig(self, variant: int) -> int:
        """The first variant after one that is on another contig; the number of variants where none is."""
        return self._run_at(variant)[2]

    def _run_at(self, variant: int) -> tuple[str, int, int]:
        """Contig of a variant, and the neighbouring variants on it."""
        at = bisect_right(self._contig_runs, variant, key=lambda run: run[1]) - 1
        return self._contig_runs[at] if at >= 0 else ("", variant, variant)

    # The record -------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> pl.DataFrame:
        """Every sample of either file and every variant of the store: kept, dropped and why, or pending.

        A variant is pending while a predicate on genotypes has not been applied by a run.
        """
        check_not_forked()
        return pl.concat([self.sample_ledger, self.variant_ledger()])

    def variant_ledger(self) -> pl.DataFrame:
        """The ledger's rows of variants, built from the store's metadata (no genotypes are read)."""
        check_not_forked()
        waiting = ", ".join(predicate.name for predicate in self.selection.on_genotypes)
        return variant_ledger(
            self.store, lambda a, b: self.selection.select(a, b, partial(self._metadata, a, b), None), waiting
        )

    def summary_lines(self) -> list[str]:
        """The samples matched and the selections made, in words."""
        check_not_forked()
        unmatched = int((self.sample_ledger["reason"] == "not_in_phenotypes").sum())
        n_genotyped = int(self.store.n_samples)
        lines = [f"{n_genotyped - unmatched:,} of {n_genotyped:,} genotyped samples have phenotypes"]
        extra = self.sample_ledger.filter(pl.col("reason") == "not_in_genotypes")["id"]
        if len(extra):
            lines.append(f"{len(extra):,} samples of {self.phenotypes.source} have no genotypes: {first_few(extra)}")
        lines += self.notes
        if self.sex is not None:
            male, female, unknown = (int((self.sex == code).sum()) for code in (1, 2, 0))
            lines.append(f"sex: {male:,} male, {female:,} female, {unknown:,} unknown")
        filters = "; ".join(self.selection.describe())
        lines.append(f"{self.n_variants:,} variants in the store" + (f"; filters: {filters}" if filters else ""))
        return lines

    def __repr__(self) -> str:
        return lines_shown([f"Cohort({self.n_samples:,} samples, {self.n_variants:,} variants)", *self.summary_lines()])

    def _repr_html_(self) -> str:
        return html_facts(f"Cohort of {self.n_samples:,} samples", {}, self.summary_lines(), self.sample_ledger)
