"""What becomes of each of 1,233 malformed or odd files: ``python tests/badvcf_table.py OUT.tsv`` writes the table.

A row a file: the label its author gave it, whether bcftools reads it (1.16 as CLASSIFIED.tsv says, and the one installed), what
genassoc does, and, where both read it, whether the calls are the same.
"""

import csv
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from oracles import vcf as oracle
from real_data import real_data

from genassoc.data.block import GenotypeBlock
from genassoc.errors import InputError
from genassoc.formats.inputs import open_source
from genassoc.formats.source import RecordError, VariantBatch

COLUMNS = ("path", "label_by_author", "bcftools_1.16_view", "bcftools_here", "genassoc", "rows", "calls", "message")
Call = tuple[str, int, str, str]


def classified() -> list[dict[str, str]]:
    """Rows of CLASSIFIED.tsv."""
    with (real_data("badvcf") / "CLASSIFIED.tsv").open() as table:
        return list(csv.DictReader(table, delimiter="\t"))


def scan(path: Path) -> list[VariantBatch]:
    """Everything a conversion does with a file but the writing."""
    source = open_source(path, [])
    columns = np.arange(len(source.sample_ids), dtype=np.int64)
    return [piece.decode() for piece in source.pieces(columns, None)]


def calls_of(batches: list[VariantBatch], n_samples: int) -> list[tuple[Call, list[int]]]:
    """(contig, position, ALT, REF) of each row and its codes; none of rows of dosages, whose calls are the nearest to these."""
    found: list[tuple[Call, list[int]]] = []
    for batch in batches:
        codes = GenotypeBlock(batch.packed, n_samples).codes().tolist()
        if batch.dosages is not None:
            codes = [[] if steps else values for steps, values in zip(batch.dosages.steps, codes)]
        found += [(row[:4], values) for row, values in zip(batch.variants.rows(), codes)]
    return found


def bcftools_text(path: Path) -> str | None:
    """The file as bcftools writes it; None where it refuses it, or is not installed."""
    if shutil.which("bcftools") is None:
        return None
    done = subprocess.run(["bcftools", "view", "--no-version", str(path)], capture_output=True, check=False, timeout=60)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def bcftools_calls(text: str) -> list[tuple[Call, list[int]]]:
    """What the slow twin reads of bcftools' text; bcftools writes a last field of samples it drops as nothing."""
    return [((r.contig, r.position, r.alt, r.ref), r.codes) for r in oracle.scan(text).rows]


def outcome(row: dict[str, str]) -> dict[str, object]:
    """A row of the table."""
    path = real_data("badvcf") / row["path"]
    text = bcftools_text(path)
    found: dict[str, object] = {
        **row,
        "bcftools_here": "error" if text is None else "ok",
        "rows": "",
        "calls": "",
        "message": "",
    }
    try:
        batches = scan(path)
    except (InputError, RecordError) as error:
        message = getattr(error, "message", str(error)).replace(str(path), "").lstrip(":0123456789 ")
        return found | {"genassoc": "refused", "message": message[:150]}
    found |= {"genassoc": "read", "rows": sum(len(batch.packed) for batch in batches)}
    if text is not None:
        source = open_source(path, [])
        try:
            theirs = bcftools_calls(text)
        except ValueError as error:
            return found | {"calls": f"bcftools writes no VCF: {error}"}
        ours = calls_of(batches, len(source.sample_ids))
        alike = [name for name, _ in ours] == [name for name, _ in theirs] and all(
            not a or a == b for (_, a), (_, b) in zip(ours, theirs)
        )
        found["calls"] = "same" if alike else "differ"
    return found


def table() -> list[dict[str, object]]:
    """All rows."""
    return [outcome(row) for row in classified()]


def main(out: str) -> None:
    """Write the table, and print how many files have each outcome."""
    rows = table()
    with Path(out).open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    names = ("label_by_author", "bcftools_1.16_view", "bcftools_here", "genassoc", "calls")
    for values, n in sorted(Counter(tuple(str(row[name]) for name in names) for row in rows).items()):
        print(f"{n:5d}  " + "  ".join(f"{name}={value}" for name, value in zip(names, values) if value))


if __name__ == "__main__":
    main(sys.argv[1])
