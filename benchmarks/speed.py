"""Speed beside the tools people run today: VCF import, linear and logistic scans, counts.

    python benchmarks/speed.py [--small | --toy] [--only ROW,...] [--repeats 5] [--slow-repeats 1] [--work DIR]
                               [--no-install] [--write]

Rows: convert, convert-rich, linear1, linear50-shared, linear50-own, logistic-b1, logistic-b2, wald-b1, wald-b2, qc,
straight, convert-python. The cohort, the peers' environments and all outputs stay under --work (a cache folder by
default). ``--write`` puts the table into RESULTS.md. Exit code 1 where a result disagrees with ours.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's genassoc, installed or not

import speed_cohort
from speed_inputs import Inputs
from speed_report import section, write
from speed_rows import rows
from speed_run import Outcome, run_row


def environment() -> dict[str, str]:
    """For our commands: the checkout's genassoc, and no progress bars."""
    here = str(Path(__file__).resolve().parents[1])
    return {"PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}


def measure(
    size: speed_cohort.Size,
    only: list[str],
    work: Path,
    repeats: int,
    slow_repeats: int,
    install: bool = True,
    warm: bool = True,
) -> tuple[list[Outcome], Inputs]:
    """Make what is needed and run the rows called for (all where ``only`` is empty)."""
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    inputs = Inputs(speed_cohort.make_files(size, work), work, install, environment())
    known = rows(inputs)
    unknown = [key for key in only if key not in known]
    if unknown:
        raise SystemExit(f"no row {', '.join(unknown)}; there are {', '.join(known)}")
    outcomes = []
    for key, row in known.items():
        if not only or key in only:
            outcomes.append(run_row(row, inputs, work / f"scratch-{size.name}", repeats, slow_repeats, warm))
            # Whatever becomes of the rows that follow: the largest takes half an hour.
            print(section(outcomes[-1:], inputs, repeats, slow_repeats), file=sys.stderr, flush=True)
    return outcomes, inputs


def main() -> int:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="1,000 samples x 10,000 variants")
    parser.add_argument("--toy", action="store_true", help="120 samples x 400 variants")
    parser.add_argument("--only", default="", help="rows, comma between")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slow-repeats", type=int, default=1, help="of peers on slices")
    parser.add_argument("--work", type=Path, default=speed_cohort.default_work())
    parser.add_argument("--no-install", action="store_true", help="make no environment for Python peers")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    size = speed_cohort.TOY if chosen.toy else speed_cohort.SMALL if chosen.small else speed_cohort.FULL
    only = [key for key in chosen.only.split(",") if key]
    outcomes, inputs = measure(
        size, only, chosen.work, chosen.repeats, chosen.slow_repeats, install=not chosen.no_install
    )
    text = section(outcomes, inputs, chosen.repeats, chosen.slow_repeats)
    print(text)
    if chosen.write:
        write(text, f"speed-{size.name}" + (f"-{'-'.join(only)}" if only else ""))
    disagree = [o.row.key for o in outcomes if not all(found.ok for found in o.agreement.values())]
    if disagree:
        print(f"results disagree in {', '.join(disagree)}", file=sys.stderr)
    return 1 if disagree else 0


if __name__ == "__main__":
    sys.exit(main())
