"""Speed beside the tools people run today: VCF import, linear and logistic scans, counts; and linear scans at a biobank's size.

    python benchmarks/speed.py [--sizes SIZE,...] [--only ROW,...] [--repeats 5] [--slow-repeats 1] [--work DIR]
                               [--peers TOOL,...] [--write [--apart]]

Sizes: small, import, middle, middle-beta, full, large, scale (`Linear.block` alone); each has its rows, see `speed_cohort.SIZES`.
Peers: plink2, bgzip, gemma and regenie where they are on PATH; ``--peers plink1.9,sgkit,bio2zarr,scikit-allel,cyvcf2`` adds to them. The cohorts, the
peers' environments and all outputs stay under --work (a cache folder by default). ``--write`` puts this machine's section into
RESULTS.md; ``--apart`` one of the sizes named, so that a day's sizes need not be measured at once. Exit code 1 where a result disagrees with ours.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's genassoc, installed or not

import shlex

import peers
import scale
import speed_cohort
import speed_rows_structure
from speed_inputs import Inputs
from speed_report import Measured, section, write
from speed_rows import rows
from speed_run import Outcome, run_row

PEERS = ("plink2", "bgzip", "regenie", "gemma")


def environment() -> dict[str, str]:
    """For our commands: the checkout's genassoc, with compiled modules as an installation has them, kept out of the checkout."""
    here = str(Path(__file__).resolve().parents[1])
    return {
        "PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(speed_cohort.default_work() / "pyc"),
    }


def measure(
    size: speed_cohort.Size,
    only: list[str],
    work: Path,
    repeats: int,
    slow_repeats: int,
    wanted: tuple[str, ...] = PEERS,
    warm: bool = True,
) -> tuple[list[Outcome], Inputs]:
    """Make what is needed and run the rows called for (the size's own where ``only`` is empty) beside the peers ``wanted``."""
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    inputs = Inputs(speed_cohort.make_files(size, work), work, True, environment())
    known = {**rows(inputs, wanted), **speed_rows_structure.rows(inputs, wanted)}
    unknown = [key for key in only if key not in known]
    if unknown:
        raise SystemExit(f"no row {', '.join(unknown)}; there are {', '.join(known)}")
    outcomes = []
    for key, row in known.items():
        if key in (only or size.rows):
            outcomes.append(run_row(row, inputs, work / f"scratch-{size.name}", repeats, slow_repeats, warm))
            print(size.name, key, *outcomes[-1].costs.items(), sep="\n  ", file=sys.stderr, flush=True)
    return outcomes, inputs


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main() -> int:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = {size.name: size for size in (*speed_cohort.SIZES, speed_cohort.TOY, speed_cohort.TOY_FAMILIES)}
    every = [*(size.name for size in speed_cohort.SIZES), "scale"]
    parser.add_argument("--sizes", default=",".join(every), help="comma between; toy is one too")
    parser.add_argument("--only", default="", help="rows, comma between")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slow-repeats", type=int, default=1, help="of peers on slices")
    parser.add_argument("--work", type=Path, default=speed_cohort.default_work())
    parser.add_argument("--peers", default="", help="more of them: " + ", ".join(("plink1.9", *peers.PYTHON_PEERS)))
    parser.add_argument("--write", action="store_true")
    parser.add_argument(
        "--apart", action="store_true", help="write a section for these sizes, beside the machine's own"
    )
    chosen = parser.parse_args()
    sizes, wanted = _names(chosen.sizes), (*PEERS, *_names(chosen.peers))
    if unknown := [name for name in sizes if name not in known and name != "scale"]:
        raise SystemExit(f"no size {', '.join(unknown)}; there are {', '.join([*known, 'scale'])}")
    found = Measured(shlex.join(["python", "benchmarks/speed.py", *sys.argv[1:]]), chosen.repeats, chosen.slow_repeats)
    for name in sizes:
        if name == "scale":
            for own in (False, True):
                found.scale += scale.lines(scale.measure(400_000, 2000, speed_cohort.TRAITS, own), own)
        else:
            outcomes, inputs = measure(
                known[name], _names(chosen.only), chosen.work, chosen.repeats, chosen.slow_repeats, wanted
            )
            found.cohorts.append((known[name], outcomes))
            found.add_versions(outcomes, inputs)
        if chosen.write:  # after each cohort: what an hour found outlives what ends the next one
            write(section(found, ": " + ", ".join(sizes) if chosen.apart else ""))
    print(section(found))
    disagree = [
        f"{size.name} {outcome.row.key}"
        for size, outcomes in found.cohorts
        for outcome in outcomes
        if not all(agreement.ok for agreement in outcome.agreement.values())
    ]
    if disagree:
        print(f"results disagree in {', '.join(disagree)}", file=sys.stderr)
    return 1 if disagree else 0


if __name__ == "__main__":
    sys.exit(main())
