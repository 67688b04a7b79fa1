"""One of the two processes of `paired.py`: holds a cohort, times what it is asked for. Lines of JSON in and out.

Only public names and `prepare` and `block` of models are used, and the block of dosages: they are the same in all
versions that are compared.
"""

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# This folder is on the path as the script's; the package is that of PYTHONPATH.
import numpy as np
from threadpoolctl import threadpool_limits

import genassoc as ga
from genassoc.data.block import DosageBlock

MIB = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def dosages_near(block: Any) -> DosageBlock:
    """The same calls, half of them with noise."""
    calls = block.codes().astype(float)
    calls[calls == 3] = np.nan
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.1, calls.shape) * (rng.random(calls.shape) < 0.5)
    return DosageBlock.from_dosages(np.clip(calls + noise, 0, 2))


def job(cohort: Any, asked: dict[str, Any]) -> Callable[[], Any]:
    """What is timed: a block, or the null model."""
    model = getattr(ga, asked["model"])(**asked["choices"])
    if asked["null"]:
        return lambda: model.prepare(cohort)
    block, state = cohort.read(0, asked["variants"]), model.prepare(cohort)
    if asked["dosages"]:
        block = dosages_near(block)
    return lambda: model.block(state, block)


def seconds(function: Callable[[], Any], times: int) -> float:
    """CPU seconds of so many calls."""
    start = time.process_time()
    for _ in range(times):
        function()
    return time.process_time() - start


def main(folder: Path) -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    cohort = ga.Cohort.align(folder / "inputs" / "full.zarr", folder / "pheno.tsv", sample_id="IID")
    print(json.dumps({"package": ga.__file__}), flush=True)
    function: Callable[[], Any] | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if asked["do"] == "prepare":
                function = job(cohort, asked)
                function()  # compiles
                answer = {"seconds": seconds(function, 1)}
            else:
                assert function is not None
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MIB
                answer = {"seconds": seconds(function, asked["times"]), "peak": peak}
        except Exception as error:  # said by the process that asks
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main(Path(sys.argv[1]))
