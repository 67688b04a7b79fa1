"""What the timed commands read: stores, PGEN, BED and VCF Zarr of the cohort's files, made when first asked for."""

import shlex
import sys
from pathlib import Path

import imputed
import peers
import polars as pl
from measure import remove, run
from speed_cohort import Files, compress

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
