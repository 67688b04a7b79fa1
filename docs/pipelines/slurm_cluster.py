"""A GWAS on workers that SLURM starts: ``python slurm_cluster.py gwas.toml --jobs 20 --cores 4 --memory 8GB``.

Needs ``pip install genassoc[hpc]``. Store, phenotypes and results lie on a disk that all nodes share. This driver is
small: let it run in a job of its own, or on a login node in tmux. If it is killed, the same command carries on.
"""

import argparse
import sys
import time

from dask_jobqueue import SLURMCluster
from distributed import Client

import genassoc as ga
from genassoc.progress import default_progress


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", metavar="gwas.toml")
    parser.add_argument("--jobs", type=int, default=4, help="SLURM jobs, each one worker")
    parser.add_argument("--cores", type=int, default=4, help="CPUs of a job: that many threads")
    parser.add_argument("--memory", default="8GB", help="of a job; 'genassoc check --threads CORES' says what it takes")
    parser.add_argument("--walltime", default="04:00:00")
    parser.add_argument("--queue", default=None, help="partition")
    parser.add_argument("--account", default=None)
    parser.add_argument("--interface", default=None, help="network of the nodes, such as ib0")
    parser.add_argument(
        "--skip-directive", action="append", default=[], help="a line of the job that this site refuses"
    )
    return parser.parse_args()


def seconds(walltime: str) -> int:
    """Of SLURM's [days-]hours:minutes:seconds, or minutes[:seconds]."""
    days, _, clock = walltime.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if not days and len(parts) < 3:
        parts = [0, *parts]  # minutes come first
    hours, minutes, rest = (*parts, 0, 0)[:3]
    return 86_400 * int(days or 0) + 3600 * hours + 60 * minutes + rest


def wait_for_jobs(cluster: SLURMCluster, patience: float = 30.0) -> None:
    """Leave if SLURM takes no job: dask-jobqueue logs its refusal, and would wait for ever."""
    deadline = time.monotonic() + patience
    while not any(job.job_id for job in cluster.workers.values()):  # numbers that sbatch gave
        if time.monotonic() > deadline:
            sys.exit(f"slurm_cluster.py: SLURM has taken none of the jobs. What was submitted:\n{cluster.job_script()}")
        time.sleep(0.5)


def main() -> None:
    chosen = arguments()
    with (
        SLURMCluster(
            cores=chosen.cores,
            processes=1,  # threads share the null models, and the kernels need no more than threads
            memory=chosen.memory,
            walltime=chosen.walltime,
            queue=chosen.queue,
            account=chosen.account,
            interface=chosen.interface,
            job_directives_skip=chosen.skip_directive,
            # A worker leaves in good order before SLURM ends its job; its tasks go to others.
            worker_extra_args=[
                "--lifetime",
                f"{max(60, seconds(chosen.walltime) - 120)}s",
                "--lifetime-stagger",
                "30s",
            ],
            scheduler_options={"dashboard_address": ":0"},
            n_workers=chosen.jobs,
        ) as cluster,
        Client(cluster) as client,
    ):
        wait_for_jobs(cluster)
        print(f"dashboard: {client.dashboard_link}", file=sys.stderr)
        client.wait_for_workers(1)  # the first job that the queue lets in; others join as they start
        results = ga.run(chosen.config, executor=ga.Dask(client), progress=default_progress())
    print(f"{results.path}: {results.provenance['variants']['rows']:,} rows")


if __name__ == "__main__":
    try:
        main()
    except ga.GenassocError as error:
        sys.exit(f"slurm_cluster.py: {error}")
