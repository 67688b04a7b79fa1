"""Provenance: what produced a file."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from genassoc import provenance


def test_a_record_is_json_and_says_what_took_how_long() -> None:
    recorder = provenance.Recorder({"model": "linear"}, {"store": {"sha256": "ab"}}, ["genassoc", "assoc"])
    record = recorder.finish(variants={"read": 3})
    assert json.loads(json.dumps(record)) == record
    assert record["parameters"] == {"model": "linear"} and record["inputs"]["store"] == {"sha256": "ab"}
    assert record["command"] == ["genassoc", "assoc"] and record["variants"] == {"read": 3}
    assert record["versions"]["numpy"] == np.__version__
    assert record["started"] <= record["finished"]
    assert 0 <= record["wall_seconds"] < 60
    assert record["machine"]["cpus"] >= 1 and record["machine"]["cpu"]


def test_peak_memory_sees_a_large_array() -> None:
    before = provenance.peak_memory_bytes()
    block = np.ones(30_000_000)
    after = provenance.peak_memory_bytes()
    assert before is not None and after is not None
    # In bytes, not kilobytes: at least the array, no more than any test process of ours ever holds.
    assert block.nbytes < after < 2**36


def test_fingerprint_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pheno.tsv"
    path.write_bytes(b"IID\tx\n")
    assert provenance.file_fingerprint(path) == {
        "path": str(path),
        "bytes": 6,
        "sha256": hashlib.sha256(b"IID\tx\n").hexdigest(),
    }


def test_sidecar_lies_beside() -> None:
    assert provenance.sidecar("a/t2d.tsv.gz") == Path("a/t2d.tsv.gz.provenance.json")


def test_it_imports_nothing_of_ours_and_nothing_heavy() -> None:
    code = (
        "import sys, genassoc.provenance, genassoc.progress\n"
        "print(*[name for name in sys.modules if name.startswith(('genassoc.', 'numpy', 'rich'))])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    # The package itself may load its public names lazily; none of them is asked for here.
    assert set(found.stdout.split()) <= {"genassoc.provenance", "genassoc.progress"}
