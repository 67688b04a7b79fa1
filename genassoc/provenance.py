"""What produced a file: versions, machine, inputs, parameters, time, memory. Imports nothing of ours."""

import datetime
import hashlib
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

# The version, here and nowhere else by hand: pyproject.toml reads it from this line. A release is the commit that the tag v<VERSION>
# stands on; CITATION.cff and conda-recipe/meta.yaml say the same, which tests/test_packaging.py holds.
VERSION = "0.1.0"

# Raised whenever the numbers that the same inputs and choices give become others, by however little, in whatever model.
# It enters every run's fingerprint (genassoc.engine.plan): parts and results of other numbers are never taken for new ones.
# 1: until 0.x without this count.
# 2: Formulas by a grammar of our own: every term is in the design, knots and centres are of the cohort's samples. Degrees of
#    freedom and p of few carriers (linear, robust and weighted) and of heavy tails. Laws of few events (logistic, Poisson,
#    Cox, ordinal, weighted and robust). Exact p by one two-sided rule; Firth in full where its approximation overshoots, and
#    intervals by likelihood; PLINK 2's fall-back by either allele; R's cox.zph. Names of contigs: 25 is the pseudo-autosomal
#    X, accessions and words are X, Y and MT.
# 3: Exact tests of the rarer outcome, under missing="mean", of dosages and fitted Cox rows; PLINK 2's separated covariates.
# 4: Standard errors of logistic and Cox score and Wald rows to the last bit; order of sums with weights, sandwich variances and
#    several tested columns; dosages in fixed point; the code of collinear genotypic rows.
# 5: Variants of several tested columns (genotypic, interactions, several alleles) have score tests where these say that no fit is
#    needed; likelihood ratios of those fitted, to the error at which Newton's method stops.
NUMBERS = 5

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "polars",
    "pyarrow",
    "zarr",
    "pysam",
    "isal",
    "statsmodels",
    "dask",
)


def genassoc_version() -> str:
    """The version of the code that runs, whether it was installed or not."""
    return VERSION


def package_versions() -> dict[str, str]:
    """Versions of genassoc, Python and the packages that decide the numbers."""
    versions = {"genassoc": genassoc_version(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def cpu_model() -> str:
    """The processor's name, as far as the operating system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.lower().startswith(("model name", "hardware", "cpu model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """Operating system, architecture, processor and CPUs of this machine."""
    return {
        "platform": platform.platform(),
        "architecture": platform.machine(),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "host": platform.node(),
    }


def peak_memory_bytes() -> int | None:
    """Largest resident memory of this process so far; None where the system does not tell (Windows).

    Linux' own count of this program: ``getrusage`` would give that of the process which started it, if that was larger.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes on Linux, bytes on macOS


def file_fingerprint(path: str | Path) -> dict[str, Any]:
    """Path, size and SHA-256 of an input file (read whole)."""
    path = Path(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def sidecar(path: str | Path) -> Path:
    """Where the provenance of the results file ``path`` lies: ``<path>.provenance.json``."""
    path = Path(path)
    return path.with_name(path.name + ".provenance.json")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass
class Recorder:
    """Started with the work, finished with it: its record says what was done, with what, and what it took.

    Attributes
    ----------
    parameters : mapping
        Every choice, defaults included; JSON values.
    inputs : mapping
        Name of the input -> its fingerprint.
    command : list of str
        The command line, or what else started the work.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    command: list[str] = field(default_factory=lambda: list(sys.argv))
    started: str = field(default_factory=_now)
    _clock: float = field(default_factory=time.monotonic, repr=False)

    def finish(self, **more: Any) -> dict[str, Any]:
        """The record; ``more`` (JSON values, e.g. the run's ledger) is added to it."""
        return {
            "parameters": dict(self.parameters),
            "inputs": dict(self.inputs),
            "command": list(self.command),
            "versions": package_versions(),
            "machine": machine(),
            "started": self.started,
            "finished": _now(),
            "wall_seconds": round(time.monotonic() - self._clock, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            **more,
        }
