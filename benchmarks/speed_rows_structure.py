"""Rows of the speed table on relatives and ancestry: pruning, components, kinship, whole-genome regression, the exact mixed model."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import agreement_structure as agree
import peers
from peers import THREADS
from speed_cohort import COVARIATES, TRAITS
from speed_inputs import Inputs
from speed_rows import SLICES, WHOLE, Job, Row

R2, WINDOW_KB = 0.1, 1000
LEAST_KINSHIP = 0.0442  # third degree and nearer
COMPONENTS = 10
OURS = f"{sys.executable} -m genassoc"


def rows(inputs: Inputs, wanted: Collection[str]) -> Mapping[str, Row]:
    """All rows by key, beside the peers ``wanted``."""
    found = [
        _prune(inputs),
        _components(inputs),
        _kinship(inputs),
        _step1(inputs, "step1-1", 1),
        _step1(inputs, f"step1-{TRAITS}", TRAITS),
        _mixture(inputs),
        _mixed(inputs),
    ]
    return {row.key: replace(row, peers=tuple(job for job in row.peers if job.tool in wanted)) for row in found}


def _prune(inputs: Inputs) -> Row:
    ours = Job(
        "genassoc", WHOLE,
        lambda n, out: f"{OURS} prune {inputs.store(n)} --out {out}/kept.parquet --r2 {R2} --window {WINDOW_KB}kb --threads {THREADS}",
        "kept.parquet",
    )  # fmt: skip
    plink2 = Job(
        "plink2", WHOLE,
        lambda n, out: f"plink2 --pfile {inputs.pgen(n)} --indep-pairwise {WINDOW_KB}kb {R2} --threads {THREADS} --out {out}/x",
        "x.prune.in", compare=agree.compare_pruned(lambda: inputs.store("full"), R2, 1000 * WINDOW_KB),
    )  # fmt: skip
    return Row("prune", f"LD pruning, {WINDOW_KB} kb, r2 {R2}", ours, (plink2,))


def _components(inputs: Inputs) -> Row:
    """All samples and the same pruned variants for both, whatever their frequency and place: what is compared is the decomposition."""
    approx = " approx" if inputs.files.size.n_samples >= 5000 else ""  # of fewer PLINK 2 warns
    ours = Job(
        "genassoc", WHOLE,
        lambda n, out: f"{OURS} pca {inputs.store(n)} --out {out}/scores.parquet --variants {inputs.pruned(n)} -k {COMPONENTS} --maf 0 --long-range-ld --threads {THREADS}",
        "scores.parquet",
    )  # fmt: skip
    plink2 = Job(
        "plink2", WHOLE,
        lambda n, out: f"plink2 --pfile {inputs.pgen(n)} --extract {inputs.pruned(n)} --pca {COMPONENTS}{approx} --threads {THREADS} --out {out}/x",
        "x.eigenvec", compare=agree.compare_components,
    )  # fmt: skip
    return Row("pca", f"{COMPONENTS} components of pruned variants", ours, (plink2,))


def _kinship(inputs: Inputs) -> Row:
    ours = Job(
        "genassoc", WHOLE,
        lambda n, out: f"{OURS} kinship {inputs.store(n)} --out {out}/kinship.parquet --min-kinship {LEAST_KINSHIP} --threads {THREADS}",
        "kinship.parquet",
    )  # fmt: skip
    plink2 = Job(
        "plink2", WHOLE,
        lambda n, out: f"plink2 --pfile {inputs.pgen(n)} --make-king-table --king-table-filter {LEAST_KINSHIP} --threads {THREADS} --out {out}/x",
        "x.kin0", compare=agree.compare_kinship,
    )  # fmt: skip
    return Row("kinship", "KING-robust, all pairs, those above 0.0442 written", ours, (plink2,))


def _step1(inputs: Inputs, key: str, T: int) -> Row:
    """Whole-genome regression; ours on the slice too, untimed: predictions of other variants are not the same predictions."""
    names = [f"s{j}" for j in range(1, T + 1)]
    script = Path(__file__).with_name("peers_python.py")

    def command(n: str, out: Path) -> str:
        return f"{OURS} step1 {inputs.step1_toml(n, names, 'ridge')} --out {out} --threads {THREADS}"

    ours = Job(
        "genassoc", WHOLE, command, "slice/loco",
        after=lambda n, out: f"{command('slice', out / 'slice')} && cp {out}/slice/*_1.loco {out}/slice/loco",
    )  # fmt: skip
    sgkit = Job(
        "sgkit", SLICES,
        lambda n, out: f"{inputs.tool('sgkit')} {script} sgkit-regenie {inputs.vcz(n)} {inputs.files.pheno} {','.join(names)} {','.join(COVARIATES)} {out}/loco",
        "loco", compare=agree.compare_predictions(0.9, "the same ridge with other folds and penalties"), note="from VCF Zarr",
    )  # fmt: skip
    return Row(key, f"whole-genome regression (ridge), {T} trait{'s' if T > 1 else ''}", ours, (sgkit,))


def _mixture(inputs: Inputs) -> Row:
    """No peer that can be installed without being built."""
    names = [f"s{j}" for j in range(1, TRAITS + 1)]
    ours = Job(
        "genassoc", WHOLE, lambda n, out: f"{OURS} step1 {inputs.step1_toml(n, names, 'mixture')} --out {out} --threads {THREADS}"
    )  # fmt: skip
    return Row("step1-mixture", f"whole-genome regression (mixture), {TRAITS} traits", ours)


def _mixed(inputs: Inputs) -> Row:
    """The same kinship, GEMMA's, for both; for cohorts of some thousand samples."""
    files = inputs.files
    ours = Job(
        "genassoc", WHOLE,
        lambda n, out: f"{peers.ours_assoc(inputs.store(n), files, 'q1', out / 'q1.parquet', 'mixed')} --kinship {inputs.gemma_kinship(n)}",
        "q1.parquet",
    )  # fmt: skip
    gemma = Job(
        "gemma", WHOLE,
        lambda n, out: (
            f"gemma -bfile {inputs.gemma_bed(n)} -c {inputs.folder}/gemma.covar.txt -k {inputs.gemma_kinship(n)} -lmm 1 -maf 0 -outdir {out} -o x"
        ),
        "x.assoc.txt", compare=agree.compare_gemma,
    )  # fmt: skip
    return Row("mixed", "exact linear mixed model, 1 trait, kinship given", ours, (gemma,))
