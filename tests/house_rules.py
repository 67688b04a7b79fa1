"""The house rules, read from the source with ast: who imports whom, doors of heavy libraries, docstrings.

Every rule takes the source as a mapping of path -> text and gives what breaks it, in words; so
`test_architecture` can show each of them a house with one fault. Reasons: CONTRIBUTING.md, docs/decisions/.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = "genassoc"
Source = dict[str, str]  # "data/store/store.py" -> text

# Which storey is right below which; "may import, and anything below".
BELOW = {
    "__main__": {"cli"},
    "cli": {"verbs"},
    "verbs": {"reporting", "explanation", "engine", "simulate"},
    "reporting": {"plots"},
    "explanation": {"plots", "refit"},
    "refit": {"models"},
    "plots": {"results"},
    "results": {"formats"},
    "formats": {"data"},
    "engine": {"models", "analyses"},
    "models": {"data"},
    "analyses": {"data"},
    "simulate": {"data"},
    "data": {"stats"},
    "stats": {"kernels"},
    "kernels": set(),
}
# Anyone may import these; they import nothing of ours.
LEAVES = {"errors", "shapes", "provenance", "progress"}

# Like genassoc/__init__.py, these name what is public and hold no code: pictures that need a cohort live above plots/ (decision 0086).
NAMES_ALONE = {"plots/__init__.py"}

# Heavy libraries and where their door is (a file, or a folder with its slash).
DOORS = {
    "numba": ("kernels/",),
    "llvmlite": ("kernels/",),
    "fsspec": ("data/store/location.py",),
    "zarr": ("data/store/", "formats/vcz/writer.py"),
    "dask": ("engine/executors_dask.py", "verbs/arrays.py"),
    "distributed": ("engine/executors_dask.py", "verbs/arrays.py"),
    "cloudpickle": ("engine/broadcast.py",),
    "allel": ("verbs/arrays.py",),
    "pysam": ("formats/",),
    "isal": ("formats/",),
    "pgenlib": ("formats/plink/",),
    "formulaic": ("tests/",),  # evaluates Python: an oracle only
    "statsmodels": ("explanation/references.py",),
    "matplotlib": ("plots/",),
    "fastexcel": ("data/phenotypes/workbooks.py",),
    "rich": ("cli/", "progress.py"),
    "click": ("cli/",),
}
# Slow to import: only inside the functions that need them, so that `import genassoc` is quick.
LAZY = {
    "zarr", "dask", "distributed", "fsspec", "allel", "pysam", "pgenlib", "statsmodels", "matplotlib", "pandas", "fastexcel",
    "scipy.stats",  # half a second
}  # fmt: skip
NO_TABLES = ("kernels/", "stats/", "models/", "analyses/")  # numpy in, numpy out: no polars, pandas or pyarrow
KERNEL_LIBRARIES = {"numpy", "numba", "llvmlite"}

MAX_LINES = 600
CRUMB_LINES = 60  # a shorter module that one other of its storey imports is a part of that one
APART: set[str] = set()  # files that may be crumbs, each with its reason
MAX_ARGUMENTS = 8  # by position: nobody can read a call with more
# Files whose functions may take more, and why.
WIDE = {
    "kernels/lanes/vector_outer.py": "an intrinsic takes each register's address by position: LLVM has no other way",
    "kernels/lanes/vector_turned.py": "the same",
}
ANY = 325  # functions whose signature has an Any, where llvmlite (which has no types) is not imported: a ceiling that only falls
SLACK = 10  # how far below the ceiling the house may be before it must come down
# Of models/, what every family uses; all other folders there are families, which never import one another.
SHARED_BY_FAMILIES = {"scan", "choices"}
# One family in another: `Logistic(matched=...)` is the public name of the regression of matched sets.
BETWEEN_FAMILIES = {("models/logistic/model.py", "genassoc.models.matched.model")}
# One format in another: the records of a VCF Zarr become lines of VCF, which go the way all lines go (decision 0066).
BETWEEN_FORMATS = {
    ("formats/vcz/source.py", "genassoc.formats.vcf.header"),
    ("formats/vcz/source.py", "genassoc.formats.vcf.line_source"),
    ("formats/vcz/source.py", "genassoc.formats.vcf.scan"),
}
# The files of engine/ that read blocks, and make rows or sums of them; all others run tasks and know nothing of what these do.
KNOWS_BLOCKS = {
    "engine/sets.py",
    "engine/gene_sets.py",
    "engine/set_scores.py",
    "engine/passes.py",
    "engine/rereading.py",
    "engine/association.py",
}
GENETICS = ("models", "analyses", "stats", "kernels", "data.cohort", "data.phenotypes", "data.store", "data.block")
SHAPELESS_NAMES = {"utils", "util", "helpers", "helper", "misc", "common", "tools"}

# Kernels without a slow twin of their file and name: kernel -> the function of tests/oracles/ that checks it.
TWINS = {
    "bgen_blocks.find_variants": "bgen.read",
    "bgen_blocks.inflate_streams": "bgen.read",
    "probabilities.read_probabilities": "probabilities.layout_2",
    "mosaic.set_carriers": "packed.set_carriers",
    "mosaic.hide_calls": "packed.hide_calls",
    "linear.list_missing": "linear.linear_by_least_squares",  # complete cases are chosen row by row there
    "linear.sum_in_float64": "linear.linear_by_least_squares",
    "linear_rows.finish": "linear.linear_by_least_squares",
    "cholesky.information": "logistic.information",
    "glm.maximise": "glm.fit",
    "glm.fitted_of": "glm.fit",  # room for it
    "negative_binomial.maximise": "negative_binomial.fit",
    "negative_binomial_columns.wald_rows": "negative_binomial.wald_rows",
    "negative_binomial.fitted_of": "negative_binomial.fit",  # room for it
    "negative_binomial_cgf.neg_log_p_rows": "negative_binomial.neg_log_p",
    "joint_score.score_sums": "joint_columns.score_sums",
    "joint_score_rows.glm_rows": "joint_columns.score_columns",
    "joint_score_rows.negative_binomial_rows": "joint_columns.score_columns",
    "logistic_ratios.ratio_rows": "joint_columns.ratio_rows",
    "glm_ratios.glm_rows": "joint_columns.ratio_rows",
    "glm_ratios.negative_binomial_rows": "negative_binomial.fit",
    "logistic_rows.analyse_rows": "logistic.analyse_rows",
    "logistic_firth.analyse_complete_rows": "logistic.analyse_rows",
    "logistic_refit.refit_rows": "logistic.analyse_rows",
    "logistic_series.series_rows": "logistic.analyse_rows",
    "logistic_score.score_with_missing": "logistic.score_with_missing",
    "logistic_score.exact_rows": "exact_rare.exact_rare_test",
    "ordinal_score.score_with_missing": "ordinal.score_with_missing",
    "cox_columns.fit_rows": "cox.fit",
    "newton.climb_of": "glm.fit",  # room for it
    "ordinal_tiles.fit": "ordinal.fit",
    "ordinal_tiles.laid_out": "ordinal.accumulate",  # the columns that it takes, in another order
    "ordinal_weighted.fit_rows": "ordinal_weighted.wald_rows",
    "cox_sums.partial_likelihood": "cox.partial_likelihood",
    "cox_sums.risk_sums": "cox.partial_likelihood",  # room for sums that are matrices there
    "cox_sums.suffix_sums": "cox.terms",
    "ordinal_terms.accumulate": "ordinal.accumulate",
    "ordinal_terms.threshold_weights": "ordinal.threshold_weights",
    "conditional_rows.analyse_rows": "conditional.analyse_rows",
    "conditional_rows.centre_in_sets": "conditional.centre_in_sets",
    "cox_rows.analyse_rows": "cox.analyse_rows",
    "cox_screen.screen": "cox.operator",
    "cox_screen.times_means": "cox.operator",
    "linear_columns.from_sums": "linear_columns.from_calls",  # from sums there, from samples here: the same regression
    "sample_pairs.add_shared": "sample_pairs.settle_counts",  # sums of chunks, from which counts are made
    "sample_pairs.add_missing_dense": "sample_pairs.settle_counts",
    "sample_pairs.add_missing_listed": "sample_pairs.settle_counts",
    "vcf.take_names": "vcf.scan",  # names and alleles are strings there
    "vcf_text.write_lines": "mosaic.vcf_line",
}


# reading ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One name imported: ``name`` is dotted and absolute."""

    file: str
    line: int
    name: str
    when: str  # "module", "function" or "typing"

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def read_package() -> Source:
    root = PROJECT / PACKAGE
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}


def module_of(file: str) -> str:
    parts = [PACKAGE, *file.removesuffix(".py").split("/")]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: str, text: str, modules: set[str]) -> Iterator[Import]:
    """All imports of a file: lazy ones, those for type checkers, and those by a string."""

    def walk(node: ast.AST, when: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(file, child.lineno, alias.name, when) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = absolute(child)
                for alias in child.names:
                    inner = f"{base}.{alias.name}"
                    yield Import(file, child.lineno, inner if inner in modules else base, when)
            elif isinstance(child, ast.Call) and called(child) in ("import_module", "__import__"):
                names = [arg.value for arg in child.args[:1] if isinstance(arg, ast.Constant)]
                yield from (Import(file, child.lineno, str(name), when) for name in names)
            yield from walk(child, inside(child, when))

    def absolute(node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        # relative to the package: a package's __init__ is one level nearer to itself than its files are
        here = module_of(file).split(".")
        up = node.level - 1 if file.endswith("__init__.py") else node.level
        return ".".join([*here[: len(here) - up], *([node.module] if node.module else [])])

    def called(node: ast.Call) -> str:
        return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")

    def inside(node: ast.AST, when: str) -> str:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return "function"
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return "typing"
        return when

    yield from walk(ast.parse(text), "module")


def all_imports(source: Source) -> list[Import]:
    modules = {module_of(file) for file in source}
    return [found for file, text in source.items() for found in imports(file, text, modules)]


def storey(module: str) -> str:
    """ "genassoc.data.store.store" -> "data"; the package itself -> ""."""
    return module.split(".")[1] if "." in module else ""


def is_ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(PACKAGE + ".")


def reachable(name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for below in BELOW[waiting.pop()] - found:
            found.add(below)
            waiting.append(below)
    return found


def at_door(file: str, doors: tuple[str, ...]) -> bool:
    return any(file == door or (door.endswith("/") and file.startswith(door)) for door in doors)


# the rules: each gives what breaks it, in words -------------------------------------------------------------


def wrong_storeys(source: Source) -> list[str]:
    """Imports that do not go down."""
    wrong = []
    for found in all_imports(source):
        home = storey(module_of(found.file))
        if not is_ours(found.name) or home == "" or found.file in NAMES_ALONE:
            continue  # what names the public things, wherever they live
        target = storey(found.name)
        if home not in BELOW and home not in LEAVES:
            wrong.append(f"{found.file}: '{home}' is no storey of the house; give it a place in BELOW")
        elif target == "":
            wrong.append(f"{found}: the package imports all of its parts, so no part imports the package")
        elif home in LEAVES:
            wrong.append(f"{found}: '{home}' imports nothing of ours")
        elif home == "kernels" and target in LEAVES - {"shapes"}:
            wrong.append(f"{found}: kernels know arrays only (shapes)")
        elif target != home and target not in LEAVES | reachable(home):
            wrong.append(f"{found}: '{home}' may not import '{target}'")
    return wrong


def cycles(source: Source) -> list[str]:
    """Files of one folder that import each other in a ring."""
    modules = {module_of(file) for file in source}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for found in all_imports(source):
        home = module_of(found.file)
        if found.name in modules and found.name != home and storey(found.name) == storey(home):
            graph[home].add(found.name)
    rings: list[str] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            rings.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for other in sorted(graph[module]):
                visit(other, [*path, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return rings


def wrong_siblings(source: Source) -> list[str]:
    """The engine knows no genetics; families of models know one another as little as formats do."""
    wrong = []
    for found in set(all_imports(source)):
        if not is_ours(found.name):
            continue
        target = found.name.removeprefix(f"{PACKAGE}.")
        runs = found.file.startswith("engine/") and found.file not in KNOWS_BLOCKS
        if runs and any(target == name or target.startswith(f"{name}.") for name in GENETICS):
            wrong.append(f"{found}: what runs tasks knows nothing of what they do")
        home, other = room_of(found.file), room_of(target.replace(".", "/") + "/")
        if home[0] != other[0] or home[1] == other[1]:
            continue
        is_family = home[0] == "models" and other[1] and other[1] not in SHARED_BY_FAMILIES
        if is_family and found.file != "models/registry.py" and (found.file, found.name) not in BETWEEN_FAMILIES:
            wrong.append(f"{found}: a family of models is its own; what others need too belongs into models/scan/")
        if home[0] == "formats" and home[1] and other[1] and (found.file, found.name) not in BETWEEN_FORMATS:
            wrong.append(f"{found}: formats meet in data/ and formats/source.py only")
    return sorted(wrong)


def room_of(file: str) -> tuple[str, str]:
    """Storey and folder: "models/cox/family.py" -> ("models", "cox"); "models/base.py" -> ("models", "")."""
    parts = [*file.split("/"), "", ""]
    return parts[0], parts[1] if "/" in file and parts[2] else ""


def wrong_doors(source: Source) -> list[str]:
    """Heavy libraries imported elsewhere than at their door; tables where arrays belong."""
    wrong = []
    for found in all_imports(source):
        library = found.name.split(".")[0]
        if library in DOORS and not at_door(found.file, DOORS[library]):
            wrong.append(f"{found}: {library}'s only door is {' and '.join(DOORS[library])}")
        if library in {"polars", "pandas", "pyarrow"} and at_door(found.file, NO_TABLES):
            wrong.append(f"{found}: kernels, stats, models and analyses take and give numpy arrays")
        third_party = library not in sys.stdlib_module_names and not is_ours(library)
        if found.file.startswith("kernels/") and third_party and library not in KERNEL_LIBRARIES:
            wrong.append(f"{found}: kernels use numba and numpy only")
    return wrong


def evaluators(source: Source) -> list[str]:
    """Python made of a text: a formula, a record or a plan may come from somebody else."""
    return [
        f"{file}:{node.lineno} {node.func.id}(): no text is evaluated as Python"
        for file, text in source.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in {"eval", "exec", "compile", "__import__"}
    ]


def slow_imports(source: Source) -> list[str]:
    """Heavy libraries imported when the module is."""
    return [
        f"{found} at module level: import it in the function that needs it"
        for found in all_imports(source)
        if found.when == "module" and any(found.name == name or found.name.startswith(name + ".") for name in LAZY)
    ]


def undeclared(source: Source, pyproject: str) -> list[str]:
    """Libraries that pyproject.toml does not name."""
    project = tomllib.loads(pyproject)["project"]
    extras = project.get("optional-dependencies", {})
    names = {"allel" if line.startswith("scikit-allel") else line for line in project["dependencies"]}
    names |= {line for extra in extras.values() for line in extra}
    declared = {name.split(">")[0].split("=")[0].split("[")[0].strip().replace("-", "_") for name in names}
    declared.add("llvmlite")  # numba's own
    return [
        f"{found}: pyproject.toml does not declare it"
        for found in all_imports(source)
        for library in [found.name.split(".")[0]]
        if library not in sys.stdlib_module_names and not is_ours(library) and library not in declared
    ]


def too_long(source: Source) -> list[str]:
    """Files over the limit."""
    lengths = {file: len(text.splitlines()) for file, text in source.items()}
    return [
        f"{file} has {n} lines, more than {MAX_LINES}: split it by subject"
        for file, n in lengths.items()
        if n > MAX_LINES
    ]


def crumbs(source: Source) -> list[str]:
    """Short modules that one other of their storey imports, and nobody else: parts of that one."""
    modules = {module_of(file): file for file in source}
    importers: dict[str, set[str]] = {}
    for found in all_imports(source):
        if found.name in modules and modules[found.name] != found.file:
            importers.setdefault(found.name, set()).add(found.file)
    wrong = []
    for module, file in modules.items():
        homes = importers.get(module, set())
        if len(homes) != 1 or file in APART or file.endswith("__init__.py"):
            continue
        (home,) = homes
        n = len(source[file].splitlines())
        if n < CRUMB_LINES and home.split("/")[0] == file.split("/")[0] and "/" in file:
            wrong.append(f"{file} has {n} lines, and {home} alone imports it: it belongs in there")
    return wrong


def functions_of(source: Source) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of the house and its file."""
    for file, text in source.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield file, node


def too_wide(source: Source) -> list[str]:
    """Functions with many arguments by position, and dataclasses that are made so: two exchanged ones raise nothing."""
    wide = []
    for file, node in functions_of(source):
        names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
        n = len(names) - (names[:1] in (["self"], ["cls"]))
        if n > MAX_ARGUMENTS and file not in WIDE:
            wide.append(f"{file}:{node.lineno} {node.name} takes {n} arguments by position, more than {MAX_ARGUMENTS}")
    for file, text in source.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and any("dataclass" in ast.dump(line) for line in node.decorator_list):
                n = positional_fields(node)
                if n > MAX_ARGUMENTS:
                    wide.append(
                        f"{file}:{node.lineno} {node.name} has {n} fields by position, more than {MAX_ARGUMENTS}: kw_only"
                    )
    return wide


def needless(source: Source) -> list[str]:
    """Exceptions of the rules above that nothing needs any more."""
    broad = {file for file, node in functions_of(source) if len(node.args.args) > MAX_ARGUMENTS}
    taken = {(found.file, found.name) for found in all_imports(source)}
    return [
        *(f"WIDE: {file} needs no exception" for file in sorted(WIDE.keys() - broad)),
        *(f"BETWEEN_FAMILIES: {file} does not import {name}" for file, name in sorted(BETWEEN_FAMILIES - taken)),
        *(f"APART: there is no {file}" for file in sorted(APART - source.keys())),
        *(f"KNOWS_BLOCKS: there is no {file}" for file in sorted(KNOWS_BLOCKS - source.keys())),
    ]


def positional_fields(node: ast.ClassDef) -> int:
    """Fields of a dataclass that its constructor takes by position."""
    if any(
        word.arg == "kw_only" for line in node.decorator_list if isinstance(line, ast.Call) for word in line.keywords
    ):
        return 0
    n = 0
    for line in node.body:
        if not isinstance(line, ast.AnnAssign) or "ClassVar" in ast.dump(line.annotation):
            continue
        if "KW_ONLY" in ast.dump(line.annotation):
            return n
        n += 1
    return n


def untyped(source: Source) -> list[str]:
    """Functions whose signature says Any of something."""
    found = []
    for file, node in functions_of(source):
        if "llvmlite" in source[file] or "genassoc.kernels.later" in source[file]:
            continue
        hints = [arg.annotation for arg in ast.walk(node.args) if isinstance(arg, ast.arg)] + [node.returns]
        if any(isinstance(part, ast.Name) and part.id == "Any" for hint in hints if hint for part in ast.walk(hint)):
            found.append(f"{file}:{node.lineno} {node.name}: Any")
    return found


def above(found: list[str], ceiling: int) -> list[str]:
    """What is wrong with so many findings under a ceiling that can only fall."""
    if len(found) > ceiling:
        return [*found, f"these are {len(found)}, and there were {ceiling}: do without the new ones"]
    if len(found) < ceiling - SLACK:
        return [f"{len(found)} are left: lower the ceiling from {ceiling}"]
    return []


def nameless(source: Source) -> list[str]:
    """Files without a subject."""
    return [file for file in source if SHAPELESS_NAMES & set(file.removesuffix(".py").split("/"))]


def unfinished(source: Source) -> list[str]:
    """Promises instead of code."""
    marks = ("NotImplementedError", "TODO", "FIXME", "XXX")
    return [
        f"{file}:{number}: {mark}"
        for file, text in source.items()
        for number, line in enumerate(text.splitlines(), 1)
        for mark in marks
        if mark in line
    ]


def undocumented(source: Source) -> list[str]:
    """Modules, and public classes, functions and methods, without a docstring."""

    def walk(node: ast.AST, file: str, prefix: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if child.name.startswith("_"):
                    continue
                if ast.get_docstring(child) is None:
                    yield f"{file}:{child.lineno} {prefix}{child.name}"
                if isinstance(child, ast.ClassDef):
                    yield from walk(child, file, f"{child.name}.")
            elif isinstance(child, ast.If | ast.Try):
                yield from walk(child, file, prefix)

    wrong = []
    for file, text in source.items():
        tree = ast.parse(text)
        if text.strip() and ast.get_docstring(tree) is None:
            wrong.append(f"{file} says not what it is for")
        wrong += walk(tree, file, "")
    return wrong


def kernels_of(source: Source) -> dict[str, set[str]]:
    """The compiled functions of each kernel file that other folders call."""
    compiled: dict[str, set[str]] = {}
    for file, text in source.items():
        if file.startswith("kernels/") and not file.endswith("__init__.py"):
            functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
            names = {
                f.name
                for f in functions
                if any(word in ast.dump(d) for d in f.decorator_list for word in ("'jit'", "'native'"))
            }
            compiled[Path(file).stem] = {name for name in names if not name.startswith("_")}
    called = {kernel for file, text in source.items() if not file.startswith("kernels/") for kernel in called_in(text)}
    return {stem: {name for name in names if (stem, name) in called} for stem, names in compiled.items()}


def called_in(text: str) -> set[tuple[str, str]]:
    """(file of kernels/, name) of what a file takes from there, by name or through the module."""
    nodes = list(ast.walk(ast.parse(text)))
    taken: set[tuple[str, str]] = set()
    modules: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{PACKAGE}.kernels."):
            # the names may be files of a folder, or functions of a file
            modules |= {alias.asname or alias.name: alias.name for alias in node.names}
            taken |= {((node.module or "").split(".")[-1], alias.name) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            taken.add((modules[node.value.id], node.attr))
    return taken


def without_oracle(source: Source, oracles: Source, twins: dict[str, str]) -> list[str]:
    """Kernels that no slow twin in tests/oracles/ checks, and twins that are not there."""
    functions = {
        f"{Path(file).stem}.{node.name}"
        for file, text in oracles.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    kernels = {f"{stem}.{name}" for stem, names in kernels_of(source).items() for name in names}
    wrong = [
        f"kernels/{kernel.replace('.', '.py: ')} has no slow twin in tests/oracles/"
        for kernel in sorted(kernels)
        if kernel not in functions and kernel not in twins
    ]
    wrong += [f"TWINS: there is no kernel {kernel}" for kernel in sorted(twins.keys() - kernels)]
    return wrong + [f"TWINS: there is no oracle {twin}" for twin in sorted(set(twins.values()) - functions)]


def unjitted_loops(source: Source) -> list[str]:
    """Kernels compiled by other decorators than our `jit` and `native`."""
    return [
        f"{file}:{node.lineno} {node.name}: kernels are compiled by genassoc.kernels.jit alone"
        for file, text in source.items()
        if file.startswith("kernels/") and not file.endswith("__init__.py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if any(word in ast.dump(decorator) for word in ("njit", "guvectorize", "vectorize", "prange"))
    ]
