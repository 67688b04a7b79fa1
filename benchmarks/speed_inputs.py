"""What the timed commands read: stores, PGEN, BED and VCF Zarr of the cohort's files, made when first asked for."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import imputed
import peers
import polars as pl
from measure import remove, run
from speed_cohort import COVARIATES, Files, compress

LIGHT = {".pgen": peers.plink2_import, ".bed": peers.plink1_import}


class Inputs:
    """Finds or makes the inputs of one run of the benchmark.

    Parameters
    ----------
    files : Files
    work : Path
        Peers' files are kept there from run to run; stores are made anew, so that they are this version's.
    install : bool
        Whether Python peers may be installed.
    environment : dict
        For our commands.
    """

    def __init__(self, files: Files, work: Path, install: bool, environment: dict[str, str]) -> None:
        self.files, self.work, self.install, self.environment = files, work, install, environment
        self._tools: dict[str, peers.Tool] = {}
        self._stores: set[str] = set()
        self.folder = files.folder / "inputs"
        self.folder.mkdir(exist_ok=True)

    def find(self, name: str) -> peers.Tool:
        """A tool, looked for once; raises `peers.AbsentError`."""
        if name not in self._tools:
            self._tools[name] = peers.find(name, self.work, self.install)
        return self._tools[name]

    def tool(self, name: str) -> str:
        """How a shell starts it."""
        return self.find(name).command

    def store(self, name: str) -> Path:
        """Our store of ``NAME.vcf.gz``, made by this version."""
        path = self.folder / f"{name}.zarr"
        if name not in self._stores:
            remove(path)
            self._run(peers.ours_convert(self.files.vcf(name), path))
            self._stores.add(name)
        return path

    def pgen(self, name: str) -> Path:
        """Prefix of PLINK 2's files."""
        return self._light(name, ".pgen")

    def bed(self, name: str) -> Path:
        """Prefix of PLINK 1.9's files."""
        return self._light(name, ".bed")

    def imputed(self, name: str, suffix: str = ".bgen") -> Path:
        """The samples, and as many variants as the file of this name has, imputed (`imputed`): ``.bgen``, ``.ds.vcf.gz`` or ``.gp.vcf.gz``."""
        path = self.folder / f"{name}.imputed{suffix}"
        if not path.exists():
            ids = pl.read_csv(self.files.pheno, separator="\t", columns=["IID"], infer_schema=False)["IID"].to_list()
            n_variants = self.files.size.variants[name]
            if suffix == ".bgen":
                imputed.write_bgen(path, ids, n_variants)
            else:
                imputed.write_vcf(path, ids, n_variants, suffix.startswith(".gp"))
                compress(path, path)
        return path

    def imputed_store(self, name: str) -> Path:
        """Our store of the imputed BGEN, made by this version."""
        path = self.folder / f"{name}.imputed.zarr"
        if path.name not in self._stores:
            remove(path)
            self._run(peers.ours_convert(self.imputed(name), path))
            self._stores.add(path.name)
        return path

    def imputed_pgen(self, name: str) -> Path:
        """Prefix of PLINK 2's files of the imputed BGEN."""
        prefix = self.folder / f"{name}.imputed"
        made = prefix.with_name(prefix.name + ".pgen.made")
        if not made.exists():
            self._run(peers.plink2_bgen(self.imputed(name), prefix))
            made.touch()
        return prefix

    def pruned(self, name: str) -> Path:
        """Names of variants that PLINK 2 keeps at r2 0.1: what components are computed from, by all."""
        prefix = self.folder / f"{name}.pruned"
        listed = self.folder / f"{name}.pruned.prune.in"
        if not listed.exists():
            self._run(f"plink2 --pfile {self.pgen(name)} --indep-pairwise 1000kb 0.1 --out {prefix}")
        return listed

    def step1_toml(self, name: str, traits: Sequence[str], prior: str) -> Path:
        """A gwas.toml of a whole-genome regression."""
        path = self.folder / f"{name}.{prior}.{len(traits)}.toml"
        path.write_text(
            f'[input]\nstore = "{self.store(name)}"\nphenotypes = "{self.files.pheno}"\nsample_id = "IID"\n'
            f'[model]\nkind = "linear"\ntraits = {json.dumps(list(traits))}\ncovariates = {json.dumps(list(COVARIATES))}\n'
            f'[step1]\nprior = "{prior}"\n[output]\npath = "unused.parquet"\n'
        )
        return path

    def gemma_bed(self, name: str) -> Path:
        """Prefix of BED files whose .fam holds q1, and GEMMA's table of covariates (an intercept first) beside them."""
        prefix = self.folder / f"{name}.gemma"
        if not prefix.with_name(prefix.name + ".made").exists():
            bed = self.bed(name)
            for suffix in (".bed", ".bim"):
                prefix.with_name(prefix.name + suffix).write_bytes(bed.with_name(bed.name + suffix).read_bytes())
            table = pl.read_csv(self.files.pheno, separator="\t", null_values="NA")
            rows = table.select(
                pl.col("IID").alias("FID"), "IID", a=pl.lit(0), b=pl.lit(0), sex=pl.lit(0), y=pl.col("q1").fill_null(-9)
            )
            rows.write_csv(prefix.with_name(prefix.name + ".fam"), separator=" ", include_header=False)
            table.select(pl.lit(1).alias("one"), *COVARIATES).write_csv(
                self.folder / "gemma.covar.txt", separator=" ", include_header=False
            )
            prefix.with_name(prefix.name + ".made").touch()
        return prefix

    def gemma_kinship(self, name: str) -> Path:
        """GEMMA's centred kinship, ten digits."""
        path = self.folder / f"{name}.cXX.txt"
        if not path.exists():
            self._run(f"{self.tool('gemma')} -bfile {self.gemma_bed(name)} -gk 1 -outdir {self.folder} -o {name}")
        return path

    def indexed(self, name: str) -> Path:
        """``NAME.vcf.gz`` with an index beside it, which bio2zarr needs."""
        path = self.files.vcf(name)
        if not path.with_name(path.name + ".tbi").exists():
            import pysam

            pysam.tabix_index(str(path), preset="vcf", force=True)
        return path

    def vcz(self, name: str) -> Path:
        """VCF Zarr, by bio2zarr."""
        path = self.folder / f"{name}.vcz"
        if not path.exists():
            script = Path(__file__).with_name("peers_python.py")
            wip = self.folder / f"wip_{name}.vcz"
            remove(wip)
            self._run(f"{self.tool('sgkit')} {script} bio2zarr {self.indexed(name)} {wip}")
            wip.rename(path)
        return path

    def one_trait(self, results: Path, trait: str, out: Path) -> str:
        """Command that leaves one trait of our results in ``OUT/TRAIT.parquet``."""
        code = (
            f"import polars as pl; pl.scan_parquet({str(results)!r}).filter(pl.col('trait') == {trait!r})"
            f".sink_parquet({str(out / (trait + '.parquet'))!r})"
        )
        return f"{sys.executable} -c {shlex.quote(code)}"

    def _light(self, name: str, suffix: str) -> Path:
        prefix = self.folder / name
        made = prefix.with_name(name + suffix + ".made")  # PLINK writes its files in place: a stamp says they are whole
        if not made.exists():
            self._run(LIGHT[suffix](self.files.vcf(name), prefix))
            made.touch()
        return prefix

    def _run(self, command: str) -> None:
        run(command, self.environment, self.folder / "inputs.log")
