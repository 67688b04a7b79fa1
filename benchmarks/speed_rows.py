"""The rows of the speed table: the same work by genassoc and by its peers."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import agreement as agree
import peers
from agreement import Agreement
from speed_cohort import COVARIATES, TRAITS
from speed_inputs import Inputs

WHOLE, BOTH, SLICES = ("full",), ("full", "twice"), ("half", "slice")


@dataclass(frozen=True)
class Job:
    """One program's way to do a row's work.

    Attributes
    ----------
    tool : str
    on : tuple of str
        The files it is run on: ``full``; ``full`` and ``twice`` (the slope is the marginal cost); or ``half`` and
        ``slice`` (a slow tool: from there a straight line).
    command : callable
        (name of the file, output folder) -> shell command.
    output : str
        What the comparison reads, in the output folder.
    compare : callable, optional
        (our output, theirs) -> Agreement.
    after : callable, optional
        (name of the file, output folder) -> untimed command that makes the output to compare.
    note : str
    """

    tool: str
    on: tuple[str, ...]
    command: Callable[[str, Path], str]
    output: str = ""
    compare: Callable[[Path, Path], Agreement] | None = None
    after: Callable[[str, Path], str] | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One line of work.

    Attributes
    ----------
    key, work : str
    ours : Job
    peers : tuple of Job
    cold : bool
        Whether ours is also run with an empty cache of kernels, as after an installation.
    """

    key: str
    work: str
    ours: Job
    peers: tuple[Job, ...] = field(default_factory=tuple)
    cold: bool = False


def rows(inputs: Inputs, wanted: Collection[str]) -> Mapping[str, Row]:
    """All rows by key, beside the peers ``wanted``."""
    rich = f"VCF.gz with GT:DP:AD:GQ:PL ({inputs.files.size.rich_variants:,} variants) to store"
    refined, wald = ("", ""), (", Wald for every variant", " --like plink2")
    found = [
        _convert(inputs, "convert", "VCF.gz (GT only) to store", "full"),
        _convert(inputs, "convert-rich", rich, "rich"),
        _convert_dosages(inputs, "ds", "GT:DS"),
        _convert_dosages(inputs, "gp", "GT:DS:GP"),
        _convert_bgen(inputs, "convert-bgen", "", "dosages and P(hom)"),
        _convert_bgen(inputs, "convert-bgen-ds", "--dosage DS", "dosages alone"),
        _from_plink(inputs, "convert-bed", "BED to store", inputs.bed, ".bed", "--bfile"),
        _from_plink(inputs, "convert-pgen", "PGEN to store", inputs.pgen, ".pgen", "--pfile"),
        _export(inputs),
        _linear(inputs),
        _linear_dosages(inputs),
        _logistic_dosages(inputs),
        _cox_dosages(inputs),
        _linear_many(inputs, "linear50-shared", "s", "one pattern of missing values"),
        _linear_many(inputs, "linear50-own", "q", "each with its own missing values"),
        _logistic(inputs, "logistic-b1", ("b1",), "20 % cases", refined, cold=True),
        _logistic(inputs, "logistic-b2", ("b2",), "1 % cases", refined),
        _logistic(inputs, "logistic-both", ("b1", "b2"), "20 % and 1 % cases", refined),
        _logistic(inputs, "wald-b1", ("b1",), "20 % cases", wald),
        _logistic(inputs, "wald-b2", ("b2",), "1 % cases", wald),
        _genotypic(inputs),
        _qc(inputs),
        _straight(inputs),
        _python_readers(inputs),
    ]
    return {row.key: replace(row, peers=tuple(job for job in row.peers if job.tool in wanted)) for row in found}


def _convert(inputs: Inputs, key: str, work: str, name: str) -> Row:
    vcf = inputs.files.vcf
    on = (name,)
    ours = Job(
        "genassoc", on, lambda n, out: peers.ours_convert(vcf(n), out / "store.zarr"), "qc.parquet",
        after=lambda n, out: peers.ours_qc(out / "store.zarr", out / "qc.parquet"),
    )  # fmt: skip
    plink2 = Job(
        "plink2", on, lambda n, out: peers.plink2_import(vcf(n), out / "x"), "counts.gcount",
        compare=agree.compare_counts, after=lambda n, out: peers.plink2_genotype_counts(out / "x", out / "counts"),
    )  # fmt: skip
    bgzip = Job(
        "bgzip",
        on,
        lambda n, out: f"bgzip -dc {vcf(n)} > /dev/null",
        note="decompression alone, one thread",
    )
    plink1 = Job("plink1.9", on, lambda n, out: peers.plink1_import(vcf(n), out / "x"))
    return Row(key, work, ours, (plink2, bgzip, plink1))


def _convert_dosages(inputs: Inputs, kind: str, format_column: str) -> Row:
    """Text of an imputation server; plink2 keeps the dosages alone."""
    suffix = f".{kind}.vcf.gz"
    ours = Job("genassoc", WHOLE, lambda n, out: peers.ours_convert(inputs.imputed(n, suffix), out / "store.zarr"))
    plink2 = Job(
        "plink2", WHOLE, lambda n, out: peers.plink2_import_dosages(inputs.imputed(n, suffix), out / "x"),
        note="dosages alone",
    )  # fmt: skip
    return Row(f"convert-{kind}", f"imputed VCF.gz ({format_column}) to store", ours, (plink2,))


def _convert_bgen(inputs: Inputs, key: str, options: str, kept: str) -> Row:
    """For cohorts of few variants: drawing many of probabilities takes longer than all that is measured."""
    ours = Job(
        "genassoc", WHOLE, lambda n, out: peers.ours_convert(inputs.imputed(n), out / "store.zarr", options), note=kept
    )  # fmt: skip
    plink2 = Job("plink2", WHOLE, lambda n, out: peers.plink2_bgen(inputs.imputed(n), out / "x"), note="dosages alone")
    return Row(key, f"imputed BGEN of 8 bits to store, {kept}", ours, (plink2,))


def _linear_dosages(inputs: Inputs) -> Row:
    files = inputs.files
    ours = Job(
        "genassoc", WHOLE,
        lambda n, out: peers.ours_assoc(inputs.imputed_store(n), files, "q1", out / "q1.parquet", "linear"), "q1.parquet",
    )  # fmt: skip
    plink2 = Job(
        "plink2", WHOLE, lambda n, out: peers.plink2_glm(inputs.imputed_pgen(n), files, "q1", out / "x"), "x.q1.glm.linear",
        compare=agree.compare_tests(agree.DOSAGES, agree.plink2_linear),
    )  # fmt: skip
    return Row("linear-dosages", "linear on dosages, 1 trait", ours, (plink2,))


def _logistic_dosages(inputs: Inputs) -> Row:
    files = inputs.files
    ours = Job(
        "genassoc", WHOLE,
        lambda n, out: peers.ours_assoc(inputs.imputed_store(n), files, "b1", out / "b1.parquet", "logistic"), "b1.parquet",
    )  # fmt: skip
    plink2 = Job(
        "plink2", SLICES,
        lambda n, out: peers.plink2_glm(inputs.imputed_pgen(n), files, "b1", out / "x", "firth-fallback"),
        "x.b1.glm.logistic.hybrid", compare=agree.compare_tests(agree.REFINED, agree.plink2_logistic, 100.0),
    )  # fmt: skip
    return Row("logistic-dosages", "logistic on dosages, 20 % cases", ours, (plink2,))


def _cox_dosages(inputs: Inputs) -> Row:
    """PLINK 2 has no Cox regression."""
    ours = Job(
        "genassoc", WHOLE, lambda n, out: peers.ours_cox(inputs.imputed_store(n), inputs.files, out / "cox.parquet")
    )  # fmt: skip
    return Row("cox-dosages", "Cox on dosages, 20 % events", ours)


def _from_plink(inputs: Inputs, key: str, work: str, prefix: Callable[[str], Path], suffix: str, option: str) -> Row:
    """PLINK's own files; beside it what plink2 takes to read and write them."""
    ours = Job(
        "genassoc", WHOLE, lambda n, out: peers.ours_convert(Path(f"{prefix(n)}{suffix}"), out / "store.zarr"), "qc.parquet",
        after=lambda n, out: peers.ours_qc(out / "store.zarr", out / "qc.parquet"),
    )  # fmt: skip
    plink2 = Job(
        "plink2", WHOLE, lambda n, out: peers.plink2_rewrite(prefix(n), option, out / "x"), "counts.gcount",
        compare=agree.compare_counts, after=lambda n, out: peers.plink2_genotype_counts(out / "x", out / "counts"),
        note="read, and written as PGEN",
    )  # fmt: skip
    return Row(key, work, ours, (plink2,))


def _export(inputs: Inputs) -> Row:
    """What is stored, as VCF.gz; what was written is read again and counted."""

    def counted(n: str, out: Path) -> str:
        again = out / "again.zarr"
        return f"{peers.ours_convert(out / 'x.vcf.gz', again)} && {peers.ours_qc(again, out / 'qc.parquet')}"

    ours = Job(
        "genassoc", WHOLE, lambda n, out: peers.ours_export(inputs.store(n), out / "x.vcf.gz"), "qc.parquet", after=counted
    )  # fmt: skip
    plink2 = Job(
        "plink2", WHOLE, lambda n, out: peers.plink2_export(inputs.pgen(n), out / "x"), "counts.gcount",
        compare=agree.compare_counts, after=lambda n, out: peers.plink2_genotype_counts(inputs.pgen(n), out / "counts"),
        note="PGEN to VCF.gz",
    )  # fmt: skip
    return Row("export-vcf", "store to VCF.gz", ours, (plink2,))


def _linear(inputs: Inputs) -> Row:
    files = inputs.files
    ours = Job(
        "genassoc", BOTH, lambda n, out: peers.ours_assoc(inputs.store(n), files, "q1", out / "q1.parquet", "linear"),
        "q1.parquet",
    )  # fmt: skip
    plink2 = Job(
        "plink2", SLICES, lambda n, out: peers.plink2_glm(inputs.pgen(n), files, "q1", out / "x"), "x.q1.glm.linear",
        compare=agree.compare_tests(agree.LINEAR, agree.plink2_linear),
    )  # fmt: skip
    regenie = Job(
        "regenie", BOTH, lambda n, out: peers.regenie_step2(inputs.pgen(n), files, "q1", out / "x"), "x_q1.regenie",
        compare=agree.compare_tests(agree.REGENIE_LINEAR, agree.regenie_linear, 20.0, complete=True),
        note="step 2 without predictions",
    )  # fmt: skip
    plink1 = Job(
        "plink1.9", SLICES, lambda n, out: peers.plink1_linear(inputs.bed(n), files, "q1", out / "x"), "x.assoc.linear",
        compare=agree.compare_tests(agree.PLINK1, agree.plink1_linear, 20.0),
    )  # fmt: skip
    script = Path(__file__).with_name("peers_python.py")
    names = ",".join(COVARIATES)
    sgkit = Job(
        "sgkit", SLICES,
        lambda n, out: f"{inputs.tool('sgkit')} {script} sgkit {inputs.vcz(n)} {files.pheno} q1 {names} {out}/q1.tsv",
        "q1.tsv", compare=agree.compare_tests(agree.SGKIT, agree.sgkit_linear, complete=True), note="from VCF Zarr",
    )  # fmt: skip
    return Row("linear1", "linear, 1 trait", ours, (plink2, regenie, plink1, sgkit), cold=True)


def _linear_many(inputs: Inputs, key: str, letter: str, pattern: str) -> Row:
    files = inputs.files
    listed = ",".join(f"{letter}{j}" for j in range(1, TRAITS + 1))
    ours = Job(
        "genassoc", WHOLE, lambda n, out: peers.ours_assoc(inputs.store(n), files, listed, out / "r.parquet", "linear"),
        f"{letter}7.parquet", after=lambda n, out: inputs.one_trait(out / "r.parquet", f"{letter}7", out),
    )  # fmt: skip
    plink2 = Job(
        "plink2", SLICES,
        lambda n, out: peers.plink2_glm(inputs.pgen(n), files, f"{letter}1-{letter}{TRAITS}", out / "x"),
        f"x.{letter}7.glm.linear", compare=agree.compare_tests(agree.LINEAR, agree.plink2_linear),
    )  # fmt: skip
    return Row(key, f"linear, {TRAITS} traits, {pattern}", ours, (plink2,))


def _logistic(
    inputs: Inputs, key: str, traits: tuple[str, ...], cases: str, kind: tuple[str, str], cold: bool = False
) -> Row:
    """Logistic scans: PLINK 2 falls back to Firth's penalty where it must, ours where it says."""
    files, (words, options) = inputs.files, kind
    last, listed = traits[-1], ",".join(traits)
    ours = Job(
        "genassoc", WHOLE,
        lambda n, out: peers.ours_assoc(inputs.store(n), files, listed, out / "r.parquet", "logistic" + options),
        f"{last}.parquet", after=lambda n, out: inputs.one_trait(out / "r.parquet", last, out),
    )  # fmt: skip
    compare = (
        agree.compare_tests(agree.WALD, agree.plink2_logistic)
        if options
        else agree.compare_tests(agree.REFINED, agree.plink2_logistic, 100.0)
    )
    plink2 = Job(
        "plink2", SLICES, lambda n, out: peers.plink2_glm(inputs.pgen(n), files, listed, out / "x", "firth-fallback"),
        f"x.{last}.glm.logistic.hybrid", compare=compare,
    )  # fmt: skip
    several = "" if len(traits) == 1 else f", {len(traits)} traits"
    return Row(key, f"logistic{several}, {cases}{words}", ours, (plink2,), cold)


def _genotypic(inputs: Inputs) -> Row:
    """Two degrees of freedom; not compared: ours is a score test where PLINK 2's is a Wald test."""
    files = inputs.files
    ours = Job(
        "genassoc", WHOLE,
        lambda n, out: peers.ours_assoc(
            inputs.store(n), files, "b1", out / "r.parquet", "logistic --genetic-model genotypic"
        ),
    )  # fmt: skip
    plink2 = Job(
        "plink2", SLICES,
        lambda n, out: peers.plink2_glm(inputs.pgen(n), files, "b1", out / "x", "genotypic firth-fallback"),
    )  # fmt: skip
    return Row("genotypic-b1", "logistic, genotypic, 20 % cases", ours, (plink2,))


def _qc(inputs: Inputs) -> Row:
    ours = Job("genassoc", BOTH, lambda n, out: peers.ours_qc(inputs.store(n), out / "qc.parquet"), "qc.parquet")
    plink2 = Job(
        "plink2", BOTH, lambda n, out: peers.plink2_counts(inputs.pgen(n), out / "x"), "x",
        compare=agree.compare_qc,
    )  # fmt: skip
    plink1 = Job("plink1.9", WHOLE, lambda n, out: peers.plink1_counts(inputs.bed(n), out / "x"))
    return Row("qc", "counts, missing rates, exact HWE", ours, (plink2, plink1))


def _straight(inputs: Inputs) -> Row:
    files = inputs.files
    ours = Job(
        "genassoc", WHOLE, lambda n, out: peers.ours_assoc(files.vcf(n), files, "q1", out / "q1.parquet", "linear"),
        "q1.parquet",
    )  # fmt: skip
    plink2 = Job(
        "plink2", WHOLE, lambda n, out: peers.plink2_import(files.vcf(n), out / "x"), "x.q1.glm.linear",
        compare=agree.compare_tests(agree.LINEAR, agree.plink2_linear),
        after=lambda n, out: peers.plink2_glm(out / "x", files, "q1", out / "x"), note="its import alone",
    )  # fmt: skip
    return Row("straight", "VCF.gz to linear results", ours, (plink2,))


def _python_readers(inputs: Inputs) -> Row:
    vcf = inputs.files.vcf
    script = Path(__file__).with_name("peers_python.py")

    def job(tool: str, target: str, note: str) -> Job:
        return Job(
            tool, SLICES, lambda n, out: f"{inputs.tool(tool)} {script} {tool} {inputs.indexed(n)}" + (f" {out}/{target}" if target else ""),
            note=note,
        )  # fmt: skip

    ours = Job("genassoc", WHOLE, lambda n, out: peers.ours_convert(vcf(n), out / "store.zarr"))
    others = (
        job("bio2zarr", "x.vcz", "to VCF Zarr"),
        job("scikit-allel", "x.npy", "read_vcf into memory, then a file"),
        job("cyvcf2", "", "reads calls into numpy, writes nothing"),
    )
    return Row("convert-python", "VCF.gz (GT only) to arrays", ours, others)
