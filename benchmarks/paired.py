"""This checkout's speed beside another's, pair by pair, in one run.

    python benchmarks/paired.py OTHER [--rows ROW,...] [--samples 500,2504] [--variants 2000] [--pairs 9] [--whole]
                                [--work DIR]

OTHER is a checkout of the version compared with. Rows are the blocks of each model and the fits of null models: two
processes, one a checkout, hold the same cohort and take turns. With ``--whole`` the commands of `speed.py` instead, as
whole processes. Ratios are of CPU time, this checkout over OTHER: geometric means over the pairs with their 95 %
intervals. Every pair starts new processes, for where memory happens to lie makes one process some per cent slower than
its twin. OTHER against itself shows what noise alone makes. One thread.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import t as student

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's genassoc, installed or not

import speed_cohort
from measure import remove, run
from speed_inputs import Inputs
from speed_rows import rows as speed_rows

HERE = Path(__file__).resolve().parents[1]
SECTION = "## Speed beside an earlier version"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
SECONDS = 0.08  # of CPU a turn; a pair has three turns of each
MANY = tuple(f"q{j}" for j in range(1, 51))
WHOLE = (
    "convert", "linear1", "linear50-shared", "linear50-own", "logistic-b1", "logistic-b2", "wald-b1", "wald-b2", "qc",
    "straight",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A model whose blocks are timed on a share of the variants, or whose null model is."""

    model: str
    choices: Mapping[str, Any]
    share: float = 0.25
    dosages: bool = False
    null: bool = False
    covariates: tuple[str, ...] = field(default=speed_cohort.COVARIATES[:4])

    def asked(self, variants: int) -> dict[str, Any]:
        """What a worker needs to know."""
        choices = {**self.choices, "covariates": list(self.covariates)}
        n = max(16, int(variants * self.share))
        return {"model": self.model, "choices": choices, "variants": n, "dosages": self.dosages, "null": self.null}


def block_rows() -> dict[str, Row]:
    """Every family: its screen, its default, the fits of every row, and each axis."""
    endpoints: dict[str, tuple[str, dict[str, Any]]] = {
        "linear": ("Linear", {"traits": ["q1"]}),
        "logistic": ("Logistic", {"traits": ["b1"]}),
        "matched": ("Logistic", {"traits": ["b1"], "matched": "set"}),
        "cox": ("Cox", {"time": ["time"], "event": ["event"]}),
        "poisson": ("Poisson", {"traits": ["count"], "exposure": "years"}),
        "ordinal": ("Ordinal", {"traits": ["grade"]}),
    }
    axes: dict[str, tuple[tuple[str, ...], dict[str, Any], float]] = {
        "": (tuple(endpoints), {}, 1.0),
        "screen": (("logistic", "cox", "poisson", "ordinal"), {"correction": None, "correct_below": 0.0}, 1.0),
        "wald": (("logistic", "cox", "poisson", "ordinal"), {"test": "wald", "correction": None}, 0.1),
        "firth": (("logistic", "cox"), {"correction": "firth", "correct_below": 1.0}, 0.05),
        "weighted": (("linear", "logistic", "cox", "poisson", "ordinal"), {"weights": "w"}, 0.1),
        "robust": (("linear", "logistic", "cox"), {"variance": "robust"}, 0.1),
        "interaction": (("linear", "logistic", "cox"), {"interaction": "arm"}, 0.1),
        "genotypic": (("linear", "logistic", "cox"), {"genetic_model": "genotypic"}, 0.1),
        "dosages": (("linear", "logistic", "cox"), {}, 0.25),
        "null": (tuple(endpoints), {}, 0.05),
    }
    found = {}
    for axis, (families, choices, share) in axes.items():
        for family in families:
            model, own = endpoints[family]
            name = f"{family}-{axis}" if axis else family
            found[name] = Row(model, {**own, **choices}, share, axis == "dosages", axis == "null")
    found["linear-50"] = Row("Linear", {"traits": list(MANY)}, 1.0, covariates=speed_cohort.COVARIATES)
    found["logistic-plink2"] = Row("Logistic", {"traits": ["b2"], "like": "plink2"}, 0.1)
    return found


def environment(checkout: Path) -> dict[str, str]:
    """For a process of a checkout: its genassoc, one thread."""
    return {**dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(checkout)}


def make_cohort(N: int, V: int, other: Path, work: Path) -> speed_cohort.Files:
    """Store and phenotypes, made by the earlier version, so that both read them."""
    files = speed_cohort.Files(work / f"paired-{N}x{V}", speed_cohort.Size("paired", N, V, (V // 2, V), V))
    store = files.folder / "inputs" / "full.zarr"
    if store.exists():
        return files
    remove(files.folder)
    store.parent.mkdir(parents=True)
    made = speed_cohort.simulate_cohort(
        N, V, 2, seed=speed_cohort.SEED, missing_rate=speed_cohort.MISSING_CALLS, min_frequency=1e-3
    )
    speed_cohort.write_vcf(files.vcf("full"), made.sample_ids, made.contigs, made.blocks())
    speed_cohort.write_phenotypes(files, made)
    with_endpoints(files.pheno)
    run(
        f"{sys.executable} -m genassoc convert {files.vcf('full')} {store}",
        environment(other),
        files.folder / "convert.log",
    )
    return files


def with_endpoints(path: Path) -> None:
    """Adds counts, grades, times, matched sets, weights and an arm to the table."""
    table = pl.read_csv(path, separator="\t", null_values="NA", infer_schema_length=None)
    rng, N = np.random.default_rng(5), table.height
    q, case, years = table["q1"].fill_null(0).to_numpy(), table["b1"].to_numpy() == 2, rng.uniform(0.5, 3, N)
    sets = np.empty(N, np.int64)
    for members in (np.flatnonzero(case), np.flatnonzero(~case)):
        sets[members] = np.arange(members.size) * max(1, int(0.8 * case.sum())) // members.size
    table.with_columns(
        arm=pl.Series(rng.integers(0, 2, N)),
        years=pl.Series(years),
        w=pl.Series(rng.choice([1.0, 2.0, 4.0], N)),
        count=pl.Series(rng.poisson(years * rng.gamma(1.5, np.exp(0.2 * q) / 1.5))),
        grade=pl.Series(np.digitize(0.4 * q + rng.logistic(size=N), [-1.2, 0.5, 2.0])),
        time=pl.Series(np.ceil(rng.exponential(np.exp(-0.3 * q)) * N / 8)),
        event=pl.Series((rng.random(N) < 0.5).astype(int)),
        set=pl.Series(sets),
    ).write_csv(path, separator="\t", null_value="NA")


class Worker:
    """A process of one checkout that holds a cohort."""

    def __init__(self, checkout: Path, files: speed_cohort.Files) -> None:
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("paired_worker.py"), files.folder], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, **environment(checkout)},
        )  # fmt: skip
        if not Path(self.answer()["package"]).is_relative_to(checkout):
            raise SystemExit(f"genassoc is not that of {checkout}")

    def answer(self) -> dict[str, Any]:
        """The next line it writes."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a worker ended; its error is above")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise SystemExit(f"{self.process.args!r}: {found['error']}")
        return found

    def ask(self, **words: Any) -> dict[str, Any]:
        """Send a line, wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        """Let it go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Pairs:
    """CPU seconds (other, this) of each pair, each of ``times`` runs; ``units`` turns them into the unit; peak memory, bytes."""

    unit: str
    units: float = 1.0
    times: int = 1
    seconds: list[tuple[float, float]] = field(default_factory=list)
    peak: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def line(self, name: str, N: int) -> str:
        """A row of the table."""
        logs = np.log([this / other for other, this in self.seconds])
        half = student.ppf(0.975, logs.size - 1) * logs.std(ddof=1) / np.sqrt(logs.size)
        ratio, low, high = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
        other, this = (statistics.median(side) / self.units for side in zip(*self.seconds))
        peaks = " / ".join(f"{peak / 2**20:,.0f}" for peak in self.peak)
        return (
            f"| {name} | {N:,} | {other:.4g} {self.unit} | {this:.4g} {self.unit} | {ratio:.3f} ({low:.3f} to {high:.3f}) | "
            f"{peaks} |"
        )


def time_blocks(
    files: speed_cohort.Files, other: Path, names: list[str], pairs: int, seconds: float = SECONDS, this: Path = HERE
) -> dict[str, Pairs]:
    """Pairs of each row: other, this, this, other, other, this; every second pair the other way round."""
    rows, found = block_rows(), dict[str, Pairs]()
    for k in range(pairs):
        workers = [Worker(other, files), Worker(this, files)]
        order = (0, 1) if k % 2 == 0 else (1, 0)
        for name in names:
            asked = rows[name].asked(files.size.n_variants)
            first = [worker.ask(do="prepare", **asked)["seconds"] for worker in workers]
            if name not in found:
                times = max(1, round(seconds / max(1e-6, min(first))))
                unit = ("ms", 3e-3 * times) if rows[name].null else ("us", 3e-6 * times * asked["variants"])
                found[name] = Pairs(*unit, times)
            spent = [0.0, 0.0]
            for side in (*order, *order[::-1], *order):
                answer = workers[side].ask(do="time", times=found[name].times)
                spent[side] += answer["seconds"]
                found[name].peak[side] = max(found[name].peak[side], answer["peak"])
            found[name].seconds.append((spent[0], spent[1]))
        for worker in workers:
            worker.end()
    return found


def time_commands(files: speed_cohort.Files, other: Path, names: list[str], pairs: int) -> dict[str, Pairs]:
    """Pairs of our commands of the speed table as whole processes, after one of each to warm up."""
    rows, found = speed_rows(Inputs(files, files.folder, False, environment(other)), ()), dict[str, Pairs]()
    out = files.folder / "paired"
    for name in names:
        command, found[name] = rows[name].ours.command("full", out), Pairs("s")
        for k in range(-1, pairs):
            spent = [0.0, 0.0]
            for side in (0, 1) if k % 2 == 0 else (1, 0):
                remove(out)
                out.mkdir()
                usage = run(command, environment((other, HERE)[side]), files.folder / "command.log")
                spent[side] = usage.cpu
                found[name].peak[side] = max(found[name].peak[side], usage.peak)
            if k >= 0:
                found[name].seconds.append((spent[0], spent[1]))
    remove(out)
    return found


def measure(
    other: Path, names: list[str], samples: list[int], V: int, pairs: int, whole: bool, work: Path
) -> list[str]:
    """The lines of the section."""
    known = WHOLE if whole else tuple(block_rows())
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no row {', '.join(unknown)}; there are {', '.join(known)}")
    if pairs < 2:
        raise SystemExit("an interval needs two pairs or more; seven or more say something")
    lines = [
        SECTION, "", f"{V:,} variants, {pairs} pairs, one thread; CPU time (user and system), {'of whole processes' if whole else 'a variant of a block, a fit of a null model'}; "
        "ratio this / earlier with its 95 % interval; peak memory of the process.", "",
        "| row | samples | earlier | this | ratio | MiB |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for N in samples:
        files = make_cohort(N, V, other, work)
        time = time_commands if whole else time_blocks
        lines += [row.line(name, N) for name, row in time(files, other, names or list(known), pairs).items()]
    return [*lines, ""]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rows", default="", help="comma between; all by default")
    parser.add_argument("--samples", default="500,2504")
    parser.add_argument("--variants", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--work", type=Path, default=speed_cohort.default_work())
    chosen = parser.parse_args()
    names, samples = [name for name in chosen.rows.split(",") if name], [int(N) for N in chosen.samples.split(",")]
    work = chosen.work.resolve()
    lines = measure(chosen.other.resolve(), names, samples, chosen.variants, chosen.pairs, chosen.whole, work)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
