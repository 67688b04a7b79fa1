"""The house as it stands keeps its rules, and every rule finds a house that does not."""

import os
import subprocess
import sys

import pytest
from house_rules import (
    ANY,
    DOORS,
    MAX_ARGUMENTS,
    MAX_LINES,
    PACKAGE,
    PROJECT,
    SLACK,
    TWINS,
    Source,
    above,
    crumbs,
    cycles,
    evaluators,
    nameless,
    needless,
    read_package,
    slow_imports,
    too_long,
    too_wide,
    undeclared,
    undocumented,
    unfinished,
    unjitted_loops,
    untyped,
    without_oracle,
    wrong_doors,
    wrong_siblings,
    wrong_storeys,
)

# the house as it stands -------------------------------------------------------------------------------------

PACKAGE_RULES = [
    wrong_storeys,
    cycles,
    wrong_siblings,
    wrong_doors,
    evaluators,
    slow_imports,
    too_long,
    too_wide,
    crumbs,
    nameless,
    unfinished,
    undocumented,
    unjitted_loops,
]


@pytest.mark.parametrize("rule", PACKAGE_RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule):
    source = read_package()
    assert len(source) > 20
    assert rule(source) == []


def test_any_in_signatures_only_falls():
    assert above(untyped(read_package()), ANY) == []


def test_exceptions_are_needed():
    assert needless(read_package()) == []
    assert len(needless(SOUND)) > 3


def test_libraries_are_declared():
    assert undeclared(read_package(), (PROJECT / "pyproject.toml").read_text(encoding="utf-8")) == []


def test_kernels_have_oracles():
    oracles = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "tests" / "oracles").glob("*.py")}
    assert without_oracle(read_package(), oracles, TWINS) == []


def test_importing_the_package_loads_nothing_heavy():
    heavy = sorted({*DOORS, "polars", "scipy", "pandas", "pyarrow"})
    program = f"import sys, {PACKAGE}; print(*[name for name in {heavy!r} if name in sys.modules])"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
    }
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


# the rules can fail: a house with one fault each ------------------------------------------------------------

SOUND: Source = {
    "__init__.py": '"""Public names."""\n',
    "errors.py": '"""Errors."""\n',
    "shapes.py": '"""Shapes."""\n',
    "kernels/__init__.py": '"""The room."""\nimport numba\n',
    "kernels/deep/sums.py": (
        '"""Sums."""\nimport numpy as np\nfrom genassoc.kernels import jit\n\n\n'
        '@jit\ndef add(a, b):\n    """Add."""\n    return a + b\n'
    ),
    "stats/tails.py": '"""Tails."""\nfrom genassoc.kernels.deep import sums\n\nx = sums.add(1, 2)\n',
    "data/store/store.py": '"""Store."""\nfrom genassoc.stats import tails\n\n\ndef _f():\n    import zarr\n',
    "data/cohort/cohort.py": '"""Cohort."""\nfrom genassoc.data.store.store import Store\nfrom genassoc.errors import E\n',
    "models/linear/model.py": '"""Linear."""\nfrom genassoc.data import cohort\n',
    "engine/association.py": '"""Rows of blocks."""\nfrom genassoc.models.linear import model\n',
    "engine/executors.py": '"""Executors."""\nfrom genassoc.errors import E\n',
    "results.py": '"""Results."""\nfrom genassoc.data.store import store\n',
    "verbs/association.py": '"""Verbs."""\nfrom genassoc import results\nfrom genassoc.engine import association\n',
}
ORACLES: Source = {"sums.py": "def add(a, b):\n    return a + b\n"}

LATE = '\n\ndef f():\n    """F."""\n    '
FAULTS = [
    (
        wrong_storeys,
        "data/cohort/cohort.py",
        "\nfrom genassoc.models.linear import model\n",
        "'data' may not import 'models'",
    ),
    (
        wrong_storeys,
        "data/cohort/cohort.py",
        f"{LATE}from genassoc.engine.association import run\n",
        "may not import 'engine'",
    ),
    (wrong_storeys, "models/linear/model.py", "\nfrom genassoc.formats import vcf\n", "may not import 'formats'"),
    (wrong_storeys, "formats/vcf/vcf.py", "\nfrom ...models.linear import model\n", "may not import 'models'"),
    (wrong_storeys, "engine/association.py", f"{LATE}import genassoc.results\n", "may not import 'results'"),
    (
        wrong_storeys,
        "engine/association.py",
        "\nfrom genassoc.formats.vcf.vcf import VcfSource\n",
        "may not import 'formats'",
    ),
    (
        wrong_storeys,
        "models/linear/model.py",
        "\nfrom genassoc.engine.executors import Threads\n",
        "may not import 'engine'",
    ),
    (wrong_storeys, "simulate/x.py", "\nfrom genassoc.formats import vcf\n", "may not import 'formats'"),
    (wrong_storeys, "reporting.py", "\nimport genassoc.verbs.association\n", "may not import 'verbs'"),
    (wrong_storeys, "errors.py", "\nfrom genassoc.shapes import Array\n", "imports nothing of ours"),
    (wrong_storeys, "kernels/deep/sums.py", "\nfrom genassoc.errors import E\n", "kernels know arrays only"),
    (wrong_storeys, "kernels/deep/sums.py", f"{LATE}from genassoc.data import store\n", "may not import 'data'"),
    (wrong_storeys, "data/cohort/cohort.py", "\nimport genassoc as ga\n", "no part imports the package"),
    (
        wrong_storeys,
        "data/cohort/cohort.py",
        f"{LATE}import_module('genassoc.verbs.association')\n",
        "may not import 'verbs'",
    ),
    (
        wrong_storeys,
        "results.py",
        "\nif TYPE_CHECKING:\n    from genassoc.plots import qq\n",
        "may not import 'plots'",
    ),
    (wrong_storeys, "extras/new.py", "\nimport genassoc.errors\n", "is no storey"),
    (
        cycles,
        "data/store/store.py",
        f"{LATE}from genassoc.data.cohort.cohort import Cohort\n",
        "genassoc.data.cohort.cohort -> genassoc.data.store.store",
    ),
    (
        cycles,
        "data/store/store.py",
        "\nfrom ..cohort import cohort\n",
        "genassoc.data.cohort.cohort -> genassoc.data.store.store",
    ),
    (
        wrong_siblings,
        "engine/executors.py",
        "\nfrom genassoc.models.linear import model\n",
        "knows nothing of what they do",
    ),
    (
        wrong_siblings,
        "engine/executors.py",
        "\nfrom genassoc.data.cohort.cohort import Cohort\n",
        "knows nothing of what they do",
    ),
    (
        wrong_siblings,
        "models/cox/model.py",
        "\nfrom genassoc.models.linear.model import Linear\n",
        "a family of models is its own",
    ),
    (
        wrong_siblings,
        "models/scan/wald.py",
        "\nfrom genassoc.models.linear import model\n",
        "a family of models is its own",
    ),
    (
        wrong_siblings,
        "formats/vcf/vcf.py",
        "\nfrom genassoc.formats.sumstats.files import read\n",
        "formats meet in data/",
    ),
    (wrong_doors, "models/linear/model.py", "\nimport numba\n", "numba's only door is kernels/"),
    (wrong_doors, "stats/tails.py", "\nfrom llvmlite import ir\n", "llvmlite's only door"),
    (wrong_doors, "data/cohort/cohort.py", f"{LATE}import zarr.codecs\n", "zarr's only door"),
    (wrong_doors, "engine/association.py", "\nfrom dask import delayed\n", "dask's only door"),
    (wrong_doors, "data/store/store.py", "\nimport pysam\n", "pysam's only door"),
    (wrong_doors, "data/cohort/cohort.py", f"{LATE}import formulaic\n", "formulaic's only door"),
    (wrong_doors, "results.py", f"{LATE}import matplotlib.pyplot as plt\n", "matplotlib's only door"),
    (wrong_doors, "models/linear/model.py", f"{LATE}import statsmodels.api as sm\n", "statsmodels's only door"),
    (wrong_doors, "verbs/association.py", "\nfrom rich.table import Table\n", "rich's only door"),
    (wrong_doors, "verbs/association.py", "\nimport click\n", "click's only door"),
    (wrong_doors, "models/linear/model.py", "\nimport polars as pl\n", "take and give numpy arrays"),
    (wrong_doors, "kernels/deep/sums.py", "\nimport scipy.special\n", "numba and numpy only"),
    (evaluators, "data/cohort/cohort.py", "\nmade = eval('1 + 1')\n", "no text is evaluated"),
    (slow_imports, "plots/qq.py", "\nimport matplotlib.pyplot as plt\n", "at module level"),
    (
        slow_imports,
        "data/store/store.py",
        "\ntry:\n    import zarr\nexcept ImportError:\n    zarr = None\n",
        "at module level",
    ),
    (too_long, "data/store/store.py", "\n" * (MAX_LINES + 1), f"more than {MAX_LINES}"),
    (
        crumbs,
        "engine/association.py",
        "\nfrom genassoc.engine import executors\n",
        "engine/executors.py has 2 lines, and engine/association.py alone imports it",
    ),
    (nameless, "data/utils.py", '"""U."""\n', "data/utils.py"),
    (nameless, "helpers/arrays.py", '"""U."""\n', "helpers/arrays.py"),
    (unfinished, "data/store/store.py", f"{LATE}raise NotImplementedError\n", "NotImplementedError"),
    (undocumented, "data/store/store.py", "\n\ndef g():\n    pass\n", "data/store/store.py:9 g"),
    (undocumented, "data/store/store.py", '\n\nclass A:\n    """A."""\n\n    def b(self):\n        pass\n', "A.b"),
    (undocumented, "data/bare.py", "x = 1\n", "says not what it is for"),
    (
        unjitted_loops,
        "kernels/deep/sums.py",
        "\n\n@numba.njit(parallel=True)\ndef h():\n    pass\n",
        "by genassoc.kernels.jit",
    ),
]


@pytest.mark.parametrize("rule", PACKAGE_RULES, ids=lambda rule: rule.__name__)
def test_sound_house_passes(rule):
    assert rule(SOUND) == []


@pytest.mark.parametrize("rule, file, fault, message", FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_fault_is_found(rule, file, fault, message):
    broken = {**SOUND, file: SOUND.get(file, "") + fault}
    found = rule(broken)
    assert any(message in line for line in found), found


NINE = "abcdefghi"


@pytest.mark.parametrize(
    "fault, message",
    [
        (f"def f({', '.join(NINE)}):\n    pass\n", f"f takes 9 arguments by position, more than {MAX_ARGUMENTS}"),
        (f"class A:\n    def f(self, {', '.join(NINE)}): ...\n", "f takes 9 arguments"),
        ("@dataclass\nclass A:\n" + "".join(f"    {name}: int\n" for name in NINE), "A has 9 fields by position"),
        (f"def f({', '.join(NINE[1:])}, *, a):\n    pass\n", None),
        (f"class A:\n    def f(self, {', '.join(NINE[1:])}): ...\n", None),
        ("@dataclass(frozen=True, kw_only=True)\nclass A:\n" + "".join(f"    {name}: int\n" for name in NINE), None),
        ("@dataclass\nclass A:\n    _: KW_ONLY\n" + "".join(f"    {name}: int\n" for name in NINE), None),
    ],
)
def test_too_many_arguments_are_found(fault, message):
    found = too_wide({"data/wide.py": fault})
    assert len(found) == (message is not None)
    assert message is None or message in found[0]


@pytest.mark.parametrize(
    "fault, n",
    [
        ("def f(a: int, *, b: dict[str, Any]) -> int: ...\n", 1),
        ("def f(*a: int, **b: Any) -> Any: ...\n", 1),
        ("def f() -> Any | None: ...\nclass A:\n    def g(self, b: Any): ...\n", 2),
        ("def f(a: int) -> int:\n    x: Any = a\n    return x\n", 0),
        ("import llvmlite\n\ndef f(a: Any): ...\n", 0),
    ],
)
def test_any_in_a_signature_is_found(fault, n):
    assert len(untyped({"data/untyped.py": fault})) == n


def test_a_ceiling_only_falls():
    assert above(["a"] * 3, 3) == []
    assert above(["a"] * 3, 2)[-1].startswith("these are 3, and there were 2")
    assert "lower the ceiling" in above([], SLACK + 1)[0]


def test_undeclared_library_is_found():
    pyproject = '[project]\ndependencies = ["numpy>=2", "numba", "zarr[remote]>=3"]\n'
    assert undeclared(SOUND, pyproject) == []
    broken = {**SOUND, "verbs/association.py": "def f():\n    import xarray\n"}
    assert undeclared(broken, pyproject) == [
        "verbs/association.py:2 imports xarray: pyproject.toml does not declare it"
    ]


def test_kernel_without_oracle_is_found():
    assert without_oracle(SOUND, ORACLES, {}) == []
    assert without_oracle(SOUND, {"sums.py": "def plus(a, b): ...\n"}, {"sums.add": "sums.plus"}) == []
    assert without_oracle(SOUND, {}, {}) == ["kernels/sums.py: add has no slow twin in tests/oracles/"]
    assert without_oracle(SOUND, ORACLES, {"sums.gone": "sums.add"}) == ["TWINS: there is no kernel sums.gone"]
    assert without_oracle(SOUND, ORACLES, {"sums.add": "sums.gone"}) == ["TWINS: there is no oracle sums.gone"]
