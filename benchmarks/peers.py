"""The other programs: where they are, their versions, and the commands that do the same work.

Python peers live in an environment of their own under the work folder, made when a row first asks for it. A tool that
is not there gives a row that says so.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from speed_cohort import COVARIATES, Files

THREADS = 2
PYTHON_PEERS = {
    "sgkit": ("sgkit", "bio2zarr[vcf]"),
    "scikit-allel": ("scikit-allel",),
    "cyvcf2": ("cyvcf2",),
    "bio2zarr": ("bio2zarr[vcf]",),
}
COMMANDS = {
    "plink2": ("plink2", "--version"),
    "plink1.9": ("plink1.9", "--version"),
    "regenie": ("regenie", "--version"),
    "bgzip": ("bgzip", "--version"),
    "gemma": ("gemma", "-h"),
}
INSTALL_LIMIT = 900  # s


class AbsentError(RuntimeError):
    """A tool is not on this machine; says why."""


@dataclass(frozen=True)
class Tool:
    """A program that can be run.

    Attributes
    ----------
    name : str
    command : str
        How a shell starts it: the program, or the Python of its environment.
    version : str
    """

    name: str
    command: str
    version: str


def find(name: str, work: Path, install: bool = True) -> Tool:
    """The tool called ``name``.

    Raises
    ------
    AbsentError
        It is not on PATH, or its environment could not be made (or must not be, with ``install=False``).
    """
    if name in PYTHON_PEERS:
        return _in_environment(name, work, install)
    program, *options = COMMANDS[name]
    found = shutil.which(program)
    if found is None:
        raise AbsentError(f"{program} is not on PATH")
    answer = subprocess.run([found, *options], capture_output=True, text=True, timeout=60, check=False)
    lines = (answer.stdout or answer.stderr).strip().splitlines()
    return Tool(name, found, lines[0].strip() if lines else "version unknown")


def _in_environment(name: str, work: Path, install: bool) -> Tool:
    folder = work / "environments" / name
    python = folder / "bin" / "python"
    log = folder.with_suffix(".log")
    ready = folder / "installed"
    if not ready.exists():
        if not install:
            raise AbsentError(f"no environment for {name} yet, and --no-install was given")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(python), "-m", "pip", "install", "-q", "--only-binary", ":all:", *PYTHON_PEERS[name]],
            ):
                try:
                    subprocess.run(
                        command, stdout=output, stderr=output, timeout=INSTALL_LIMIT, check=True, env=_clean()
                    )
                except (subprocess.SubprocessError, OSError) as error:
                    raise AbsentError(f"{name} could not be installed ({type(error).__name__}; see {log})") from error
        ready.touch()
    package = name.split("[")[0]
    asked = f"from importlib.metadata import version; print(version({package!r}))"
    answer = subprocess.run([python, "-c", asked], capture_output=True, text=True, env=_clean(), check=False)
    if answer.returncode:
        raise AbsentError(f"{name} is broken in {folder}: {answer.stderr.strip().splitlines()[-1:]}")
    return Tool(name, str(python), f"{package} {answer.stdout.strip()}")


def _clean() -> dict[str, str]:
    """This environment without what would leak our packages into another's."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


# Commands: our own ----------------------------------------------------------------------------------------------------

COVAR_NAMES = ",".join(COVARIATES)


def ours_convert(vcf: Path, store: Path, options: str = "") -> str:
    """VCF -> store."""
    return f"{sys.executable} -m genassoc convert {vcf} {store} --threads {THREADS} {options}".rstrip()


def ours_cox(store: Path, files: Files, out: Path) -> str:
    """Cox regression of the time of b1."""
    return (
        f"{sys.executable} -m genassoc assoc {store} {files.pheno} --model cox --time time --event b1 "
        f"--covar {COVAR_NAMES} --out {out} --threads {THREADS}"
    )


def ours_export(store: Path, out: Path) -> str:
    """Store -> VCF.gz, without an index."""
    return f"{sys.executable} -m genassoc export {store} {out} --no-index --threads {THREADS}"


def ours_assoc(store: Path, files: Files, traits: str, out: Path, model: str) -> str:
    """``model`` is its name and more options."""
    return (
        f"{sys.executable} -m genassoc assoc {store} {files.pheno} --model {model} --trait {traits} "
        f"--covar {COVAR_NAMES} --out {out} --threads {THREADS}"
    )


def ours_qc(store: Path, out: Path) -> str:
    """Counts, missing rates, exact HWE."""
    return f"{sys.executable} -m genassoc qc {store} --out {out} --threads {THREADS}"


# Commands: PLINK and REGENIE ------------------------------------------------------------------------------------------


def plink2_bgen(bgen: Path, out: Path) -> str:
    """BGEN -> PGEN."""
    return f"plink2 --bgen {bgen} ref-first --double-id --make-pgen --threads {THREADS} --out {out}"


def plink2_import(vcf: Path, out: Path) -> str:
    """VCF -> PGEN; ``--double-id`` so that FID and IID fit the phenotype files."""
    return f"plink2 --vcf {vcf} --double-id --make-pgen --threads {THREADS} --out {out}"


def plink2_import_dosages(vcf: Path, out: Path) -> str:
    """VCF -> PGEN with the dosages of DS."""
    return f"plink2 --vcf {vcf} dosage=DS --double-id --make-pgen --threads {THREADS} --out {out}"


def plink2_rewrite(prefix: Path, option: str, out: Path) -> str:
    """BED (``--bfile``) or PGEN (``--pfile``) -> PGEN."""
    return f"plink2 {option} {prefix} --make-pgen --threads {THREADS} --out {out}"


def plink2_export(prefix: Path, out: Path) -> str:
    """PGEN -> VCF.gz."""
    return f"plink2 --pfile {prefix} --export vcf bgz --threads {THREADS} --out {out}"


def plink2_glm(pgen: Path, files: Files, traits: str, out: Path, modifier: str = "") -> str:
    """Linear or logistic regression; covariates' own rows are not written."""
    return (
        f"plink2 --pfile {pgen} --pheno {files.plink_pheno} --pheno-name {traits} --covar {files.plink_covar} "
        f"--covar-variance-standardize --glm hide-covar {modifier} --threads {THREADS} --out {out}"
    )


def plink2_counts(pgen: Path, out: Path) -> str:
    """Frequencies, exact HWE, missing rates."""
    return f"plink2 --pfile {pgen} --freq --hardy --missing variant-only --threads {THREADS} --out {out}"


def plink2_genotype_counts(pgen: Path, out: Path) -> str:
    """Counts of each genotype: what imports are compared by; never timed."""
    return f"plink2 --pfile {pgen} --geno-counts --threads {THREADS} --out {out}"


def plink1_import(vcf: Path, out: Path) -> str:
    """VCF -> BED."""
    return f"plink1.9 --vcf {vcf} --double-id --keep-allele-order --make-bed --threads {THREADS} --out {out}"


def plink1_linear(bed: Path, files: Files, trait: str, out: Path) -> str:
    """Linear regression by PLINK 1.9."""
    return (
        f"plink1.9 --bfile {bed} --allow-no-sex --keep-allele-order --pheno {files.plink_pheno} --pheno-name {trait} "
        f"--covar {files.plink_covar} --linear hide-covar --threads {THREADS} --out {out}"
    )


def plink1_counts(bed: Path, out: Path) -> str:
    """Frequencies, exact HWE, missing rates."""
    return (
        f"plink1.9 --bfile {bed} --allow-no-sex --keep-allele-order --freq --hardy --missing --nonfounders "
        f"--threads {THREADS} --out {out}"
    )


def regenie_step2(pgen: Path, files: Files, trait: str, out: Path) -> str:
    """Step 2 without predictions, on one quantitative trait."""
    return (
        f"regenie --step 2 --pgen {pgen} --phenoFile {files.plink_pheno} --phenoCol {trait} --covarFile {files.plink_covar} "
        f"--qt --ignore-pred --bsize 400 --minMAC 5 --threads {THREADS} --out {out}"
    )
