"""Formulas at random: each is laid out alike by the run's code and the audit's, or refused with a typed error; nothing is executed.

A few hundred formulas, always the same; by hand ``GENASSOC_FUZZ_FORMULAS=100000 python -m pytest -n 0 tests/test_formula_fuzz.py`` tries as many as it says.
"""

import os
import random
import sys
import time

import numpy as np
import polars as pl
import pytest

from genassoc.data.phenotypes.design import build_design
from genassoc.data.phenotypes.formula import FUNCTIONS, text_of
from genassoc.data.phenotypes.formula_parser import parse_formula
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.refit.covariates import dense_covariates

N_FORMULAS = 600
N = 40
NAMES = ["a", "b", "x", "z", "dose", "C", "log", "poly", "x.y", "2z", "über", "a b", "x-z"]
WORDS = ("a", "b", "C")  # categories
NOISE = [
    "np.log", "os.system('touch canary')", "__import__('os')", "eval", "lambda", "{x}", "%in%", "/", "|", "~", ";", "\n", "\x00", "\u2212",
    "`", "``", "'", '"', "[", "]", "==", "<", "=", ",", "\ud800", "1e999", "0x10", "1_000", "9" * 400, ".", "..", "\u0301", "x.__class__",
    "()", "((", "))", "**", "^", "@", "#", "\\", "df=", "knots=c(", "ref=", "TRUE", "ﬁ", "٣", "\u202e", "import os", "f'{x}'",
]  # fmt: skip
# What Python tells of itself (PEP 578) when code is made or run, a program started or a file opened.
FORBIDDEN = (
    "exec",
    "compile",
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "open",
    "import",
    "pickle.find_class",
)
seen: list[str] = []
watching = False


def _watch(event, arguments):
    if watching and event in FORBIDDEN:
        seen.append(f"{event} {arguments!r:.200}")


@pytest.fixture
def watched():
    sys.addaudithook(_watch)
    seen.clear()
    yield
    seen.clear()


def table():
    rng = np.random.default_rng(2)
    columns = {
        name: rng.normal(3, 1, N).round(3) for name in ("x", "z", "log", "poly", "x.y", "2z", "über", "a b", "x-z")
    }
    columns |= {"a": rng.choice(list("ABC"), N), "b": rng.choice(["u", "v"], N), "C": rng.choice(["k", "l"], N)}
    columns["dose"] = rng.choice([1.0, 2.0, 4.0], N)
    frame = pl.DataFrame({"IID": [f"s{i}" for i in range(N)], **columns})
    few = pl.Series(range(N)) % 9 == 0
    return Phenotypes.read(
        frame.with_columns(z=pl.when(few).then(None).otherwise("z"), b=pl.when(few).then(None).otherwise("b"))
    )


class Writer:
    """Writes formulas: mostly within the grammar, some with noise in them."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def name(self, names=NAMES):
        name = self.random.choice(names)
        return f"`{name}`" if self.random.random() < 0.3 else name

    def number(self):
        return self.random.choice(["0", "1", "2", "0.5", "-1", "3", "1e3", ".25", "100"])

    def arithmetic(self, depth):
        r = self.random.random()
        if depth <= 0 or r < 0.35:
            numbers = NAMES if self.random.random() < 0.03 else [name for name in NAMES if name not in WORDS]
            return self.name(numbers) if self.random.random() < 0.8 else self.number()
        if r < 0.75:
            sign = self.random.choice(["+", "-", "*", "/", " ** ", "^", ":"] if r < 0.4 else ["+", "-", "*", "/"])
            return f"{self.arithmetic(depth - 1)}{sign}{self.arithmetic(depth - 1)}"
        if r < 0.85:
            return f"({self.arithmetic(depth - 1)})"
        return f"{self.random.choice(FUNCTIONS)}({self.arithmetic(depth - 1)})"

    def factor(self, depth):
        r = self.random.random()
        if r < 0.5:
            return self.name()
        if r < 0.6:
            return f"C({self.name()}" + self.random.choice(
                [")", ", ref='B')", ", contr.treatment('u'))", ", 2)", ", Treatment(reference=4))"]
            )
        if r < 0.75:
            options = [
                ", 2)",
                ", df=4)",
                ", df=5, degree=2)",
                ", knots=[2, 3])",
                ", 3, raw=True)",
                ")",
                ", knots=c(2.5))",
                ", 9)",
            ]
            return f"{self.random.choice(['poly', 'bs', 'ns', 'cr'])}({self.arithmetic(1)}" + self.random.choice(
                options
            )
        if r < 0.9:
            return f"{self.random.choice(FUNCTIONS)}({self.arithmetic(depth)})"
        return f"({self.formula(depth - 1)})" if depth > 0 else self.name()

    def formula(self, depth=2):
        text = self.factor(depth)
        for _ in range(self.random.choice([0, 0, 1, 1, 2, 3, 5])):
            text += self.random.choice(
                [" + ", "+", ":", "*", " - "] if self.random.random() < 0.4 else [" + "]
            ) + self.factor(depth)
        if self.random.random() < 0.1:
            text = f"({text}){self.random.choice(['**2', '^3', '**0', '**9', '^x'])}"
        return self.random.choice(["", "", "", "~ ", "0 + ", "-1 + "]) + text

    def write(self):
        text = self.formula()
        kind = self.random.random()
        if kind < 0.7:
            return text
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randint(0, len(text))
            cut = at + self.random.choice([0, 0, 1, 3])
            text = text[:at] + self.random.choice([*NOISE, chr(self.random.randrange(1, 0x2FFF))]) + text[cut:]
        return text


def basis(X):
    lengths = np.sqrt((X**2).sum(axis=0))
    U, s, _ = np.linalg.svd(X[:, lengths > 0] / lengths[lengths > 0], full_matrices=False)
    return U[:, s > 1e-10 * s[0]]


def check(text, phenotypes):
    """What became of a formula: "refused", "laid out", or "no digits" where the run's columns and the audit's are rounding apart."""
    rows = np.arange(N)
    try:
        formula = parse_formula(text, phenotypes.table.columns)
        made = build_design(phenotypes, rows, (), text)
    except PhenotypeError as error:
        assert len(str(error)) < 5000, text
        return "refused"
    again = parse_formula(text_of(formula.tree), phenotypes.table.columns)
    assert again.terms == formula.terms and again.refuses_intercept == formula.refuses_intercept, text
    assert np.isfinite(made.X).all() and np.abs(made.X).max() <= 1e100, text
    n_made = len(made.covariates) + len([one for one in made.dropped_covariates if one.name != "0"])
    assert n_made > len(formula.terms), text  # a column a term at least, and the intercept
    dense = dense_covariates(phenotypes, rows, text)
    assert (dense.complete == made.complete).all() and not dense.X[~dense.complete].any(), text
    # Powers of skewed values, and splines of their few different ones, are told apart by their last digits only: what one layout
    # keeps of them the other may not. Few formulas have such; a wrong rule of terms or codings would show in many, and in others.
    A, B = basis(made.X), basis(dense.X)
    if A.shape[1] != B.shape[1] or np.abs(A - B @ (B.T @ A)).max() > 1e-6:
        assert any(word in text for word in ("poly", "bs(", "ns(", "cr(", "**", "^", "exp(", "square", "/")), text
        return "no digits"
    return "laid out"


def test_formulas_at_random(watched, tmp_path, monkeypatch):
    global watching
    monkeypatch.chdir(tmp_path)
    phenotypes = table()
    for warm in ("bs(x, df=4) + ns(z, df=3) + poly(x, 2) + C(a):log", "oops(x)", "~ a ~"):
        check(warm, phenotypes)  # what is imported late is imported now
    wanted = int(os.environ.get("GENASSOC_FUZZ_FORMULAS", str(N_FORMULAS)))
    seed = int(os.environ.get("GENASSOC_FUZZ_SEED", "1"))
    writer, became = Writer(seed), {"refused": 0, "laid out": 0, "no digits": 0}
    slowest = (0.0, "")
    for _ in range(wanted):
        text = writer.write()
        start = time.perf_counter()
        watching = True
        try:
            found = check(text, phenotypes)
        finally:
            watching = False
        slowest = max(slowest, (time.perf_counter() - start, text))
        assert seen == [], (text, seen)
        became[found] += 1
    n = wanted
    print(f"{n} formulas: {became}; the slowest took {slowest[0]:.2f} s: {slowest[1]!r:.200}")
    assert list(tmp_path.iterdir()) == []
    assert n >= 200 and became["laid out"] > 0.15 * n and became["refused"] > 0.2 * n, became
    # 9 of 100,000 had; 1 % leaves room for the few hundred of a slow machine
    assert became["no digits"] < 0.01 * n, became
    assert slowest[0] < 10, slowest  # seconds, on a machine that does other things too
