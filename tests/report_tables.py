"""Results for reports, in memory, and a reader of the page: what every table says, cell by cell."""

from html.parser import HTMLParser

import numpy as np
import polars as pl

from genassoc.models.base import CODES

RECORD = {
    "parameters": {
        "model": {"kind": "logistic", "genetic_model": "additive", "traits": ["t2d"], "covariates": ["age", "PC1:PC4"], "interaction": None},
        "variants": ["maf_above(0.01)"],
    },
    "inputs": {"store": {"path": "cohort.zarr", "root": "abc123", "sources": [{"name": "a.vcf.gz", "fingerprint": "f00"}]}},
    "versions": {"genassoc": "0.1.0", "numpy": "2.0"},
    "run": {"fingerprint": "0123456789abcdef01", "numbers": 5},
    "samples": {"genotyped": 1000, "kept": 900, "dropped": {"keep_samples": 100}, "lacking_a_covariate": 3, "analysed": {"t2d": 890}},
    "variants": {"read": 5000, "kept": 4000, "rows": 4000, "dropped": {"maf_above(0.01)": 1000}},
    "structure": {"samples": 890, "variants": 1500, "pairs": {"duplicates": 0, "first_degree": 2}, "components": 2, "seed": 7},
    "audit": {
        "passed": True, "rows": 20, "of": 4000, "seed": 11, "not_compared": {},
        "by_method": {"score": {"rows": 20, "beta": 1e-9, "standard_error": 2e-9, "neg_log_10_p_value": None}},
    },
    "notes": ["t2d: 0 = control, 1 = case"],
    "finished": "2026-01-01T00:00:00+00:00",
}  # fmt: skip


def table_of(
    n: int, traits: tuple[str, ...] = ("t2d",), tests: tuple[str, ...] = ("add",), seed: int = 1
) -> pl.DataFrame:
    """``n`` variants on three chromosomes, with two loci; every twentieth row has a code and no p."""
    rng = np.random.default_rng(seed)
    place = np.arange(n)
    frames = []
    for trait in traits:
        for test in tests:
            p = -np.log10(rng.uniform(size=n))
            p[n // 3 : n // 3 + 3], p[n // 2] = (12.5, 9.25, 8.5), 300.125
            frequency = rng.uniform(0.0005, 0.9995, n)
            beta = rng.normal(0, 0.2, n)
            code = [CODES[1 + k // 20 % (len(CODES) - 1)] if k % 20 == 7 else None for k in place]
            frames.append(
                pl.DataFrame(
                    {
                        "chromosome": [str(1 + 3 * k // n) for k in place], "base_pair_location": 1000 + 700 * place,
                        "effect_allele": ["A"] * n, "other_allele": ["G"] * n, "beta": beta, "standard_error": np.full(n, 0.1),
                        "ci_lower": beta - 0.196, "ci_upper": beta + 0.196, "effect_allele_frequency": frequency,
                        "neg_log_10_p_value": p, "variant_id": [f"{1 + 3 * k // n}_{1000 + 700 * k}_G_A" for k in place],
                        "rsid": [f"rs{k}" for k in place], "n": np.full(n, 890), "mac": 890 * np.minimum(frequency, 1 - frequency),
                        "trait": [trait] * n, "test": [test] * n, "method": ["score"] * n, "code": code,
                        "missing_rate": rng.uniform(0, 0.05, n), "n_cases": np.full(n, 90), "n_controls": np.full(n, 800),
                    }
                ).with_columns(pl.when(pl.col("code").is_null()).then(pl.col("neg_log_10_p_value")))
            )  # fmt: skip
    return pl.concat(frames)


class Page(HTMLParser):
    """A report read back.

    Attributes
    ----------
    tables : dict of str to list of (key, dict of column to (value, shown))
    elements : list of (name, attributes)
    ids : list of str
    text : str
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list] = {}
        self.elements: list[tuple[str, dict]] = []
        self.ids: list[str] = []
        self.short: dict[str, str] = {}
        self._table, self._cell, self._words, self._style = None, None, [], False
        self.feed(text)
        self.text = " ".join("".join(self._words).split())

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.elements.append((tag, found))
        self._style = tag == "style"
        if "id" in found:
            self.ids.append(found["id"])
        if "data-short" in found:
            self.short[found["data-short"]] = found["data-value"]
        if tag == "table":
            self._table = self.tables.setdefault(found["data-table"], [])
        elif tag == "tr" and self._table is not None:
            self._table.append((found.get("data-key"), {}))
        elif tag == "td":
            self._cell = (found["data-column"], found.get("data-value"), [])

    def handle_endtag(self, tag):
        self._style = False
        if tag == "td":
            name, value, shown = self._cell
            self._table[-1][1][name] = (value, "".join(shown))
            self._cell = None
        elif tag == "thead":
            self._table.pop()

    def handle_data(self, data):
        if self._cell is not None:
            self._cell[2].append(data)
        if not self._style:
            self._words.append(data)
