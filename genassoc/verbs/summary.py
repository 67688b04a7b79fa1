"""What is said at the end of a run, for people in 80 columns and as JSON values: the row that answers the question first."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from genassoc.explanation.audit import audit_lines
from genassoc.results import Results, SetResults

Values = dict[str, Any]  # as JSON has them
Row = Mapping[str, Any]  # of a table, or of a record
WIDTH = 80  # of a screen
_CONTIGS_SHOWN = 5
_SEVERAL = 3  # traits that have a paragraph each; more have a line each
_LINES = 12  # of these, so that all fits a screen
_CODES = 6


def wrapped(lines: Iterable[str], width: int = WIDTH) -> list[str]:
    """The lines cut at blanks to a width, what follows indented below; names and paths are never cut."""
    cut: list[str] = []
    for line in lines:
        lead = " " * (len(line) - len(line.lstrip()))
        more = textwrap.wrap(
            line.strip(), width, initial_indent=lead, subsequent_indent=f"{lead}    ", break_long_words=False, break_on_hyphens=False
        )  # fmt: skip
        cut += more or [""]
    return cut


def counted(n: int, one: str, many: str | None = None) -> str:
    """ "1 set", "2 sets"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def answering(tests: Sequence[str]) -> str | None:
    """The test that answers what was asked: of a model with an interaction whether the effect differs, not the effect in an arm."""
    return next((test for test in tests if test.endswith(":E")), tests[0] if len(tests) == 1 else None)


@dataclass(frozen=True)
class Outline:
    """Results of variants in short.

    Attributes
    ----------
    results : Results
    inflation, codes, best : DataFrame
        As `Results.summary` gives them.
    """

    results: Results
    inflation: pl.DataFrame
    codes: pl.DataFrame
    best: pl.DataFrame

    @classmethod
    def of(cls, results: Results) -> "Outline":
        """From two passes over the rows."""
        return cls(results, *results.summary())

    @cached_property
    def traits(self) -> list[str]:
        """In their order."""
        return [str(trait) for trait in self.inflation["trait"].unique(maintain_order=True)]

    @cached_property
    def tests(self) -> list[str]:
        """In their order."""
        return [str(test) for test in self.inflation["test"].unique(maintain_order=True)]

    def rows_of(self, trait: str) -> list[Values]:
        """The best row of each test of a trait: that of the test that answers first, the others by p."""
        rows = self.best.filter(pl.col("trait") == trait).sort(
            "neg_log_10_p_value", descending=True, maintain_order=True
        )
        asked = answering(self.tests)
        found = sorted(rows.iter_rows(named=True), key=lambda row: row["test"] != asked)
        arms = {(row["variant_id"], row["beta"]) for row in found if "|E=" in row["test"]}
        # "add" of an interaction is the effect at E = 0, which an arm's row says by its name.
        return [row for row in found if row["test"] != "add" or (row["variant_id"], row["beta"]) not in arms]

    def lambda_of(self, trait: str, test: str) -> float | None:
        """Genomic inflation; None without any p."""
        found = self.inflation.filter(trait=trait, test=test)["lambda_gc"]
        return None if not len(found) or found[0] is None else float(found[0])

    # --- in words -------------------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        """The file and what was tested; of each trait the answer; rows without a full estimate; the audit."""
        record = self.results.provenance
        counts = record.get("variants", {})
        read, kept = counts.get("read", 0), counts.get("kept", 0)
        lines = _after_path(self.results, f"{kept:,} of {counted(read, 'variant')} tested")
        by_contig = counts.get("dropped_by_contig", {})
        lines += [
            f"  left out by {why}: {n:,}{_on_contigs(by_contig.get(why, {}))}"
            for why, n in counts.get("dropped", {}).items()
        ]
        unknown = record.get("samples", {}).get("dropped", {}).get("not_in_genotypes", 0)
        if unknown:
            lines.append(
                f"  {counted(unknown, 'sample')} of the phenotypes {'has' if unknown == 1 else 'have'} no genotypes"
            )
        if len(self.traits) <= _SEVERAL:
            for trait in self.traits:
                lines += self._paragraph(trait)
        else:
            lines += self._table()
        return wrapped([*lines, *audit_lines(record)[:1]])

    def _paragraph(self, trait: str) -> list[str]:
        samples = self.results.provenance.get("samples", {})
        rows = self.rows_of(trait)
        lambdas = [(test, self.lambda_of(trait, test)) for test in self.tests]
        shown = ", ".join(
            ("nan" if value is None else f"{value:.3f}") + (f" ({test})" if len(lambdas) > 1 else "")
            for test, value in lambdas[:4]
        )
        n = samples.get("analysed", {}).get(trait)
        lines = [f"{trait}: n {'?' if n is None else format(n, ',')}"]
        if (asked := answering(self.tests)) is not None and len(self.tests) > 1:
            lines.append(f"  does the effect differ by {self._modifier}? The test is {asked}:")
        lines += [f"  {'best' if not at else 'also'}: {_row(row)}" for at, row in enumerate(rows[:4])]
        if not rows:
            lines.append("  no row has a p: codes say why")
        lines.append(f"  lambda_GC {shown}")
        lines += [f"  {line}" for line in sample_lines(samples, trait)]
        return lines + self._coded(self.codes.filter(pl.col("trait") == trait))

    @property
    def _modifier(self) -> str:
        model = self.results.provenance.get("parameters", {}).get("model", {})
        return str(model.get("interaction") or "E")

    def _table(self) -> list[str]:
        """Traits by the p of their answer, a line each."""
        firsts = [(trait, rows[0]) for trait in self.traits if (rows := self.rows_of(trait))]
        firsts.sort(key=lambda pair: -pair[1]["neg_log_10_p_value"])
        asked = answering(self.tests)
        n = self.results.provenance.get("samples", {}).get("analysed", {})
        width = max([5, *(min(22, len(trait)) for trait, _ in firsts[:_LINES])])
        of_test = f" of {asked}" if asked not in (None, "add") else ""
        lines = [f"{len(self.traits)} traits; by the smallest p{of_test}:"]
        lines.append(f"  {'trait':<{width}} {'n':>9} {'lambda':>7}  {'-log10 p':>8}  best")
        for trait, row in firsts[:_LINES]:
            value = self.lambda_of(trait, row["test"])
            name = trait if len(trait) <= width else trait[: width - 1] + "…"
            test = "" if row["test"] in ("add", asked) else f" ({row['test']})"
            lines.append(
                f"  {name:<{width}} {n.get(trait, '?'):>9} {'nan' if value is None else format(value, '.3f'):>7}  "
                f"{row['neg_log_10_p_value']:>8.2f}  {row['variant_id']}{test}"
            )
        if len(firsts) > _LINES:
            lines.append(f"  and {counted(len(firsts) - _LINES, 'trait')} more: --json has them all")
        if len(firsts) < len(self.traits):
            lines.append(f"  {counted(len(self.traits) - len(firsts), 'trait')} without any p: codes say why")
        return lines + self._coded(self.codes)

    def _coded(self, coded: pl.DataFrame) -> list[str]:
        """Rows that have a code, the most frequent codes first; tests with the same rows of a code are one line."""
        keys = ["code", "test"]
        places = coded.group_by([*keys, "chromosome"], maintain_order=True).agg(pl.col("n_rows").sum())
        found: dict[tuple[str, tuple[tuple[str, int], ...]], list[str]] = {}
        for (code, test), rows in (
            places.sort("chromosome").partition_by(keys, as_dict=True, maintain_order=True).items()
        ):
            where = tuple((str(contig), int(n)) for contig, n in rows.select("chromosome", "n_rows").iter_rows())
            found.setdefault((str(code), where), []).append(str(test))
        by_size = sorted(found.items(), key=lambda item: -sum(n for _, n in item[0][1]))
        lines = []
        for (code, where), tests in by_size[:_CODES]:
            of_test = (
                f" of {', '.join(tests)}" if len(tests) < len(self.tests) else " of each test" if len(tests) > 1 else ""
            )
            lines.append(f"  {counted(sum(n for _, n in where), 'row')}{of_test}: {code}{_on_contigs(dict(where))}")
        rest = sum(n * len(tests) for (_, where), tests in by_size[_CODES:] for _, n in where)
        return lines + ([f"  {counted(rest, 'row')} with other codes: --json has them all"] if rest else [])

    # --- as values ------------------------------------------------------------------------------------------

    def facts(self) -> Values:
        """The same and the rest as JSON values."""
        record = self.results.provenance
        analysed = record.get("samples", {}).get("analysed", {})
        traits = []
        for trait in self.traits:
            codes = self.codes.filter(pl.col("trait") == trait).group_by("test", "code", maintain_order=True)
            traits.append(
                {
                    "trait": trait,
                    "n": analysed.get(trait),
                    "lambda_gc": {test: self.lambda_of(trait, test) for test in self.tests},
                    "best": [{**row, "p_value": 10.0 ** -row["neg_log_10_p_value"]} for row in self.rows_of(trait)],
                    "codes": codes.agg(pl.col("n_rows").sum()).to_dicts(),
                }
            )
        return {
            "path": None if self.results.path is None else str(self.results.path),
            "variants": record.get("variants", {}),
            "samples": record.get("samples", {}),
            "answering_test": answering(self.tests),
            "traits": traits,
            "audit": record.get("audit"),
        }


def _after_path(results: Results, text: str) -> list[str]:
    """What is said of the file, below its name where both do not fit a line."""
    line = f"{results.path}: {text}"
    return [line] if len(line) <= WIDTH else [f"{results.path}:", f"  {text}"]


def _row(row: Row) -> str:
    """The best row of a test in words."""
    named = f"{row['variant_id']} ({row['rsid'] or 'no id'})"
    effect = ""  # a test of several degrees of freedom has none
    if row["beta"] is not None and row["standard_error"] is not None:
        per = "change of beta" if row["test"].endswith(":E") else "beta"
        effect = f" {per} {row['beta']:.4g} for one more {row['effect_allele']}, SE {row['standard_error']:.3g},"
    return f"{named}{effect} -log10 p {row['neg_log_10_p_value']:.2f}" + (
        f" ({row['test']})" if row["test"] != "add" else ""
    )


def _on_contigs(counts: Mapping[str, int]) -> str:
    """Counts by contig, the largest first: " (X 12, 7 3)"."""
    most = sorted(counts.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{contig} {n:,}" for contig, n in most[:_CONTIGS_SHOWN])
    more = f", and {len(most) - _CONTIGS_SHOWN} more contigs" if len(most) > _CONTIGS_SHOWN else ""
    return f" ({shown}{more})" if most else ""


def sample_lines(samples: Row, trait: str) -> list[str]:
    """How many genotyped samples were analysed for a trait, and why the others were not; from the provenance."""
    n = samples.get("analysed", {}).get(trait)
    if n is None or "genotyped" not in samples:
        return []
    reasons = {"not_in_phenotypes": "have no phenotypes", "keep_samples": "were left out by keep_samples"}
    dropped = samples["dropped"]
    lost = [(dropped.get(reason, 0), words) for reason, words in reasons.items()]
    lacking = samples["lacking_a_covariate"]
    lost += [(lacking, "lack a covariate"), (samples["kept"] - lacking - n, f"lack {trait}")]
    why = ", ".join(f"{count:,} {words}" for count, words in lost if count)
    return [f"{n:,} of {samples['genotyped']:,} genotyped samples analysed for {trait}" + (f": {why}" if why else "")]


# --- of sets --------------------------------------------------------------------------------------------------


def set_lines(results: SetResults) -> list[str]:
    """A summary of results of sets for people: file, tests and threshold, the best row of each trait, codes."""
    counts = results.provenance.get("variants", {})
    rows = results.scan().filter(pl.col("left_out").is_null())
    n_sets = int(rows.select(pl.col("set_id").n_unique()).collect().item())
    kept, read = counts.get("kept", 0), counts.get("read", 0)
    selected = f"{kept:,} of {counted(read, 'variant')} of sets read {'is' if kept == 1 else 'are'} selected"
    lines = _after_path(results, f"{counted(n_sets, 'set')}; {selected}")
    lines += [f"  left out by {reason}: {n:,}" for reason, n in counts.get("dropped", {}).items()]
    n_tests = results.multiplicity
    total, threshold = int(n_tests["n_tests"].sum()), results.threshold()
    by_test = n_tests.group_by("test", maintain_order=True).agg(pl.col("n_tests").sum())
    shown = ", ".join(f"{test} {n:,}" for test, n in by_test.iter_rows())
    if not total:
        lines.append("no test has a p: codes of rows say why")
    else:
        lines.append(
            f"{counted(total, 'test has', 'tests have')} a p ({shown}); every mask, bin of frequency and trait counted,"
        )
        lines.append(
            f"  a p below {threshold:.3g} is significant (5 %, Bonferroni): -log10 p above {-math.log10(threshold):.2f}"
        )
    samples = results.provenance.get("samples", {})
    codes = rows.filter(pl.col("code").is_not_null()).group_by("trait", "code", maintain_order=True)
    coded = codes.agg(pl.len().alias("n"), pl.col("test").unique(maintain_order=True)).collect()
    traits = results.traits
    for trait in traits[:_SEVERAL]:
        lines.append(trait)
        lines += [f"  best: {_set_row(row)}" for row in results.top(1, trait).iter_rows(named=True)]
        lines += [f"  {line}" for line in sample_lines(samples, trait)]
        for row in coded.filter(pl.col("trait") == trait).iter_rows(named=True):
            lines.append(f"  {counted(row['n'], 'row')} of {', '.join(row['test'])}: {row['code']}")
    if len(traits) > _SEVERAL:
        lines.append("other traits:")
        rest = [(trait, results.top(1, trait)) for trait in traits[_SEVERAL : _SEVERAL + _LINES]]
        lines += [f"  {trait}: {_set_row(top.row(0, named=True))}" for trait, top in rest if top.height]
    if len(traits) > _SEVERAL + _LINES:
        lines.append(f"  and {counted(len(traits) - _SEVERAL - _LINES, 'trait')} more")
    return wrapped(lines)


def _set_row(row: Row) -> str:
    where = "all masks" if row["mask"] is None else f"{row['mask']}, {_bin(row['max_maf'])}"
    effect = f", beta {row['beta']:.4g}, SE {row['standard_error']:.3g}" if row["beta"] is not None else ""
    return f"{row['set_id']} ({where}; {row['test']}){effect}, -log10 p {row['neg_log_10_p_value']:.2f}"


def _bin(max_maf: float | None) -> str:
    return "singletons" if max_maf is None else f"frequency up to {max_maf:g}"


def _set_facts(results: SetResults) -> Values:
    return {
        "path": None if results.path is None else str(results.path),
        "variants": results.provenance.get("variants", {}),
        "samples": results.provenance.get("samples", {}),
        "tests": results.multiplicity.to_dicts(),
        "significant_below": results.threshold(),
        "traits": [{"trait": trait, "best": results.top(1, trait).to_dicts()} for trait in results.traits],
    }


def lines_and_facts(results: Results) -> tuple[list[str], Values]:
    """A summary of results for people, of variants or of sets, and the same as JSON values."""
    if isinstance(results, SetResults):
        return set_lines(results), _set_facts(results)
    outline = Outline.of(results)
    return outline.lines(), outline.facts()


def best_name(facts: Row) -> str | None:
    """What names the row with the smallest p of all traits, as `genassoc explain` takes it; None without any p."""
    firsts = [trait["best"][0] for trait in facts["traits"] if trait["best"]]
    if not firsts:
        return None
    best = max(firsts, key=lambda row: row["neg_log_10_p_value"])
    return str(best.get("variant_id") or best.get("set_id"))
