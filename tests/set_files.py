"""A small store for tests of sets of variants, and what is looked at of them."""

import numpy as np
import polars as pl
from memory_store import MemoryStore

VARIANTS = [
    # chromosome, position, REF, ALT, rsid
    ("1", 100, "A", "C", "rs1"),
    ("1", 200, "A", "G", "rs2"),
    ("1", 200, "A", "T", "rs2"),  # another ALT of the record
    ("1", 300, "C", "CTT", None),
    ("1", 400, "G", "T", "rs4"),
    ("2", 100, "T", "C", "rs5"),
    ("2", 150, "T", "<DEL>", "sv1"),
    ("X", 50, "G", "A", "rs6"),
    ("X", 60, "G", "A", "rs7"),
    ("X", 60, "G", "A", "rs8"),  # the same variant again
]


def store_of(rows=VARIANTS):
    contig, position, ref, alt, rsid = zip(*rows)
    table = pl.DataFrame(
        {
            "chromosome": contig,
            "base_pair_location": np.array(position, dtype=np.int64),
            "effect_allele": alt,
            "other_allele": ref,
            "rsid": pl.Series(rsid, dtype=pl.String),
            "record": np.arange(len(rows)),
            "alt_index": np.ones(len(rows), dtype=np.int32),
        }
    )
    return MemoryStore(np.zeros((len(rows), 4)), "abcd", table)


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def shown(found):
    return "\n".join(found.lines())


def as_dict(found):
    """Set -> (variants, annotations, weights) of matched sets."""
    weights = found.weight_columns.get("weight")
    return {
        name: (
            found.members[s].tolist(),
            [None if k < 0 else found.categories[k] for k in found.annotation[s]],
            None if weights is None else weights[s].tolist(),
        )
        for s, name in enumerate(found.ids)
    }
