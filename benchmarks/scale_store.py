"""A store of a biobank's size: written block by block, scanned under a cap on memory, removed.

    python benchmarks/scale_store.py [--samples 400000] [--variants 50000] [--traits 10] [--memory 4GiB] [--threads N]
                                     [--folder DIR] [--keep] [--dask N]

Three processes, so that the peak memory of each is its own: one writes the store (rare variants, so that it compresses: most
of a sequenced cohort's are), one runs ``genassoc check``, one ``genassoc run --memory``. With ``--dask N`` a fourth scans with N
workers of Dask, and the results are compared. Sizes on disk, times and peaks (VmHWM, looked at every 20 ms) are printed.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import polars as pl
from measure import tree_of
from speed_report import commit, cpu_model

from genassoc.data.block import GenotypeBlock
from genassoc.data.memory import show_memory
from genassoc.data.schema import block_variants
from genassoc.data.store.writer import StoreWriter

SEED = 6
COVARIATES = 10
MISSING_CALLS = 0.002
CONTIGS = 22


def draw(rng: np.random.Generator, N: int, V: int) -> GenotypeBlock:
    """V variants, minor allele counts from 5 to N / 10, uniform in their logarithm; some calls missing."""
    codes = np.zeros((V, N), np.uint8)
    counts = np.rint(np.exp(rng.uniform(np.log(5), np.log(max(6, N / 10)), V))).astype(int)
    for row, mac in zip(codes, counts):
        np.add.at(row, rng.integers(0, N, mac), np.uint8(1))
        np.minimum(row, 2, out=row)
        row[rng.integers(0, N, rng.binomial(N, MISSING_CALLS))] = 3
    return GenotypeBlock.from_codes(codes)


def write_big_store(path: Path, N: int, V: int) -> None:
    """The store, one block in memory at a time."""
    writer = StoreWriter(path, [f"S{i:07d}" for i in range(N)], {"benchmark": SEED}, resume=False)
    step = max(16, block_variants(N) // 4)
    for start in range(0, V, step):
        stop = min(start + step, V)
        block = draw(np.random.default_rng([SEED, start]), N, stop - start)
        numbers = np.arange(start, stop)
        table = pl.DataFrame(
            {
                "chromosome": [str(1 + v * CONTIGS // V) for v in numbers],
                "base_pair_location": 1 + 50 * numbers,
                "effect_allele": ["A"] * len(numbers),
                "other_allele": ["G"] * len(numbers),
                "rsid": pl.Series([None] * len(numbers), dtype=pl.String),
                "record": numbers,
                "alt_index": pl.Series([1] * len(numbers), dtype=pl.Int32),
            }
        )
        writer.append(block.packed, None, table)
    writer.finish({})


def write_inputs(folder: Path, N: int, T: int) -> None:
    """Phenotypes and gwas.toml."""
    rng = np.random.default_rng([SEED, 1, 1])
    columns = {f"t{j}": rng.standard_normal(N).astype(np.float32) for j in range(T)}
    columns |= {f"c{j}": rng.standard_normal(N).astype(np.float32) for j in range(COVARIATES)}
    table = pl.DataFrame({"IID": [f"S{i:07d}" for i in range(N)], **columns})
    table.write_csv(folder / "phenotypes.tsv", separator="\t")
    traits, covariates = [f"t{j}" for j in range(T)], [f"c{j}" for j in range(COVARIATES)]
    (folder / "gwas.toml").write_text(
        '[input]\nstore = "big.zarr"\nphenotypes = "phenotypes.tsv"\n\n'
        f'[model]\nkind = "linear"\ntraits = {traits}\ncovariates = {covariates}\n\n[output]\npath = "big.parquet"\n'.replace(
            "'", '"'
        )
    )


@dataclass(frozen=True)
class Ran:
    """A process that is over: seconds by the clock and of CPU, peaks of its memory and of each child's, what it said."""

    seconds: float
    cpu: float
    peak: int
    children: tuple[int, ...]
    said: str

    @property
    def workers(self) -> str:
        """Peaks of the children that do the work, the largest first; those of nannies and trackers are left out."""
        return ", ".join(show_memory(peak) for peak in self.children if peak > 0.5 * self.children[0])


def run(folder: Path, *command: str) -> Ran:
    """Run a command of this Python in ``folder``."""
    before = os.times()
    clock = time.perf_counter()
    with (folder / "said").open("w") as said:
        process = subprocess.Popen([sys.executable, *command], cwd=folder, stdout=said, stderr=said, env=_environment())
        peaks: dict[int, int] = {}
        while process.poll() is None:
            for pid in tree_of(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), _peak(pid))
            time.sleep(0.02)
    seconds = time.perf_counter() - clock
    text = (folder / "said").read_text()
    if process.returncode:
        sys.exit(f"{' '.join(command)}:\n{text}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    peak = peaks.pop(process.pid, 0)
    return Ran(seconds, cpu, peak, tuple(sorted(peaks.values(), reverse=True)), text)


def _environment() -> dict[str, str]:
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _peak(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 0


def measure(folder: Path, chosen: argparse.Namespace) -> str:
    """Write, check, scan; a section of markdown."""
    N, V, T = chosen.samples, chosen.variants, chosen.traits
    write_inputs(folder, N, T)
    wrote = run(folder, str(Path(__file__).resolve()), "--only-write", "--samples", str(N), "--variants", str(V))
    size = sum(file.stat().st_size for file in (folder / "big.zarr").rglob("*") if file.is_file())
    threads = ["--threads", str(chosen.threads)] if chosen.threads else []
    cap = ["--memory", chosen.memory]
    checked = run(folder, "-m", "genassoc", "check", "gwas.toml", *threads, *cap)
    scanned = run(folder, "-m", "genassoc", "run", "gwas.toml", *threads, *cap)
    output = (folder / "big.parquet").stat().st_size
    packed = V * ((N + 3) // 4)
    rows = [("write the store", wrote), ("`check`", checked), (f"`run --memory {chosen.memory}`", scanned)]
    notes = []
    if chosen.dask:
        (folder / "big.parquet").rename(folder / "threads.parquet")
        far = run(folder, "-m", "genassoc", "run", "gwas.toml", "--dask", f"local:{chosen.dask}", *cap)
        same = filecmp.cmp(folder / "threads.parquet", folder / "big.parquet", shallow=False)
        rows.append((f"`run --dask local:{chosen.dask} --memory {chosen.memory}`", far))
        notes.append(f"Dask's results are {'the same bytes' if same else 'OTHER BYTES: a defect'}.")
    told = [line for line in checked.said.splitlines() if line.startswith(("memory:", "time:"))]
    runs = [scanned] if not chosen.dask else [scanned, far]
    told += [line for ran in runs for line in ran.said.splitlines() if line.startswith("memory:")]
    lines = [
        f"## A store of {N:,} samples x {V:,} variants",
        "",
        f"`python benchmarks/scale_store.py --samples {N} --variants {V} --traits {T} --memory {chosen.memory}{f' --dask {chosen.dask}' if chosen.dask else ''}`, {cpu_model()}, "
        f"commit {commit()}.",
        "",
        f"{packed / 1e9:.2f} GB of packed calls, {size / 1e9:.3f} GB on disk; {V * T:,} tests; {output / 1e6:.1f} MB of results.",
        "",
        "| process | seconds | CPU s | peak memory | of its workers, each |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {ran.seconds:.1f} | {ran.cpu:.1f} | {show_memory(ran.peak)} | {ran.workers} |"
            for name, ran in rows
        ),
        "",
        *(f"- {line}" for line in told),
        *notes,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write if asked; the store is removed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=400_000)
    parser.add_argument("--variants", type=int, default=50_000)
    parser.add_argument("--traits", type=int, default=10)
    parser.add_argument("--memory", default="4GiB")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dask", type=int, metavar="N", help="scan again on N worker processes, each under --memory")
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary folder by default")
    parser.add_argument("--keep", action="store_true", help="leave store and results there")
    parser.add_argument("--only-write", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only_write:
        write_big_store(Path("big.zarr"), chosen.samples, chosen.variants)
        return
    folder = Path(tempfile.mkdtemp(prefix="scale-store-", dir=chosen.folder))
    try:
        text = measure(folder, chosen)
    finally:
        if not chosen.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(text)


if __name__ == "__main__":
    main()
