"""gwas.toml: what is computed. How it is run (threads, parts, where) are flags and no part of it."""

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from genassoc.data.cohort import variants as predicates
from genassoc.data.cohort.loco_lists import list_in
from genassoc.data.disclosure import Policy, policy_of
from genassoc.data.store.location import url_of
from genassoc.errors import InputError


class Codes:
    """The kind of ``missing_codes``: a list of texts, or a table of such lists."""


class Folds:
    """The kind of ``folds``: a whole number, or a word."""


class Numbers:
    """The kind of ``max_maf``: a number, or a list of numbers."""


class Names:
    """The kind of ``masks``: a file, or a table of lists of annotations."""


_INPUT = {
    "store": str,
    "phenotypes": str,
    "sample_id": str,
    "sex": str,
    "missing_codes": Codes,
    "decimal": str,
    "date_format": str,
    "encoding": str,
    "keep_samples": list,
    "min_overlap": float,
    "build": str,
    "id_rule": str,
    "covariate_files": list,
}
_VARIANTS = {
    "maf": float, "mac": float, "missing": float, "hwe": float, "info": float, "r2": float, "info_source": float, "region": list,
    "snv_only": bool, "pass_only": bool, "list": str,
}  # fmt: skip
_OFFSETS = {"path": str}
_KINSHIP = {"path": str}
_STEP1 = {
    "prior": str, "block_size": int, "folds": Folds, "fold_order": str, "seed": int, "exact_above": float,
    "variants": str, "relatives": str, "maf": float, "missing": float,
}  # fmt: skip
_SETS = {
    "path": str, "annotations": str, "masks": Names, "tests": list, "weights": str, "max_maf": Numbers, "singletons": bool, "burden": str,
    "collapse_below": int, "calibrated": bool, "leave_one_out": bool, "scores_out": str,
}  # fmt: skip
_SET_FILES = ("path", "annotations", "masks")
_OUTPUT = {
    "path": str,
    "dialect": str,
    "metadata": dict,
    "for_spreadsheets": bool,
    "policy": str,
    "frequency_floor": float,
}
_SECTIONS: dict[str, dict[str, Any] | None] = {
    "input": _INPUT,
    "model": None,
    "offsets": _OFFSETS,
    "kinship": _KINSHIP,
    "step1": _STEP1,
    "sets": _SETS,
    "variants": _VARIANTS,
    "output": _OUTPUT,
}
_REQUIRED = {"input": ("store", "phenotypes"), "model": ("kind",), "output": ("path",)}
_WITH_KEYS = {"offsets": ("path",), "kinship": ("path",), "sets": ("path",)}  # of tables that may be absent
VCF_SUFFIXES = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")
# Dialects of `Results.write`, and what their files must end in; () where any name will do.
DIALECTS: dict[str, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "tsv": (".tsv", ".tsv.gz", ".txt.gz"),
    "gwas-ssf": (".tsv", ".tsv.gz"),
    "plink2": (),
    "regenie": (),
    "saige": (),
}
_LEAVING_SUFFIXES = (".parquet", ".tsv", ".tsv.gz", ".txt.gz", ".regenie.gz")
_OWN_DIALECTS = ("parquet", "tsv")  # they hold every column
_DIALECT_SUFFIXES = (
    ".glm.linear", ".glm.logistic.hybrid", ".glm.logistic", ".glm.firth", ".regenie", ".saige", ".tsv", ".txt",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Config:
    """One analysis, as gwas.toml spells it.

    Attributes
    ----------
    input, model, offsets, kinship, step1, sets, variants, output : mapping
        The tables of the file.
    folder : Path
        What relative paths are relative to: the folder of the file.
    """

    input: Mapping[str, Any]
    model: Mapping[str, Any]
    output: Mapping[str, Any]
    variants: Mapping[str, Any] = field(default_factory=dict)
    offsets: Mapping[str, Any] = field(default_factory=dict)
    kinship: Mapping[str, Any] = field(default_factory=dict)
    step1: Mapping[str, Any] = field(default_factory=dict)
    sets: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)

    @classmethod
    def read(cls, path: str | Path) -> "Config":
        """Read a gwas.toml.

        Raises
        ------
        InputError
            The file is absent or no TOML, or keys are unknown, absent or of the wrong type: all at once.
        """
        path = Path(path)
        return cls.of(read_tables(path), str(path), path.parent)

    @classmethod
    def read_inputs(cls, path: str | Path) -> "Config":
        """Read a gwas.toml for what writes no results: ``[output]`` may be absent. See `read`."""
        path = Path(path)
        return cls.of({"output": {"path": "results.parquet"}, **read_tables(path)}, str(path), path.parent)

    @classmethod
    def parse(cls, text: str, name: str, folder: Path) -> "Config":
        """Read the text of a gwas.toml; see `read`."""
        return cls.of(_tables(text, name), name, folder)

    @classmethod
    def of(cls, content: Mapping[str, Any], name: str, folder: Path) -> "Config":
        """Check tables that were read from a file or made from flags; see `read`."""
        problems = problems_of(content)
        if problems:
            raise InputError(f"{name}:\n" + "\n".join(f"  - {problem}" for problem in problems))
        return cls(
            input=dict(content["input"]),
            model=dict(content["model"]),
            output=dict(content["output"]),
            variants=dict(content.get("variants", {})),
            offsets=dict(content.get("offsets", {})),
            kinship=dict(content.get("kinship", {})),
            step1=dict(content.get("step1", {})),
            sets=dict(content.get("sets", {})),
            folder=folder,
        )

    @classmethod
    def sound(cls, content: Mapping[str, Any], folder: Path) -> "Config":
        """What can be used of tables with problems: keys that are known and of their type; others may be absent."""
        tables: dict[str, dict[str, Any]] = {}
        for section, known in _SECTIONS.items():
            table = content.get(section)
            items = table.items() if isinstance(table, Mapping) else ()
            tables[section] = {
                key: value for key, value in items if known is None or (key in known and _is_a(value, known[key]))
            }
        return cls(**tables, folder=folder)

    def to_toml(self) -> str:
        """The text of a gwas.toml that means the same, with absolute paths."""
        import tomli_w

        tables: dict[str, dict[str, Any]] = {"input": dict(self.input), "model": dict(self.model)}
        tables["input"]["store"] = url_of(self.store) or str(self.store)
        tables["input"]["phenotypes"] = str(self.phenotypes)
        if self.covariate_files:
            tables["input"]["covariate_files"] = [str(path) for path in self.covariate_files]
        if self.offset_path is not None:
            tables["offsets"] = {"path": self.offset_path}
        if self.kinship_path is not None:
            tables["kinship"] = {"path": str(self.kinship_path)}
        if self.step1:
            files = {name: str(path) for name, path in self.step1_files.items()}
            tables["step1"] = {**self.step1, **files}
        if self.sets:
            tables["sets"] = {**self.sets, **{name: str(path) for name, path in self.set_files.items()}}
            if self.scores_out is not None:
                tables["sets"]["scores_out"] = str(self.scores_out)
        if self.variants:
            listed = {} if self.variant_list is None else {"list": str(self.variant_list)}
            tables["variants"] = {**self.variants, **listed}
        tables["output"] = {**self.output, "path": str(self._path(self.output["path"]))}
        plain = {
            section: {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in table.items()
                if value is not None
            }
            for section, table in tables.items()
        }
        return tomli_w.dumps(plain)

    def _path(self, value: str) -> Path:
        if "\0" in value:
            raise InputError(f"'{value}' is no name of a file: no name holds the byte 0.")
        if url_of(value) is not None:
            return Path(value)
        return (self.folder / Path(value).expanduser()).absolute()

    @property
    def store(self) -> Path:
        """The store, or the VCF it is made of."""
        return self._path(self.input["store"])

    @property
    def is_vcf(self) -> bool:
        """Whether ``input.store`` names a VCF or BCF to convert first."""
        return self.input["store"].endswith(VCF_SUFFIXES)

    @property
    def phenotypes(self) -> Path:
        """The phenotype table."""
        return self._path(self.input["phenotypes"])

    @property
    def covariate_files(self) -> list[Path]:
        """Tables whose columns join the phenotypes'."""
        return [self._path(path) for path in self.input.get("covariate_files", ())]

    @property
    def offset_path(self) -> str | None:
        """The file of offsets, or the pattern of its files; of a folder the list that it holds; None where there is none."""
        path = self.offsets.get("path")
        return None if path is None else str(list_in(self._path(path)))

    @property
    def step1_files(self) -> dict[str, Path]:
        """The files of ``[step1]``: the list of its variants, the pairs of relatives."""
        return {name: self._path(self.step1[name]) for name in ("variants", "relatives") if name in self.step1}

    @property
    def set_files(self) -> dict[str, Path]:
        """The files of ``[sets]``; masks may be a table in place of one."""
        return {name: self._path(self.sets[name]) for name in _SET_FILES if isinstance(self.sets.get(name), str)}

    @property
    def scores_out(self) -> Path | None:
        """Where score statistics of the sets are written, where they are asked for."""
        return self._path(self.sets["scores_out"]) if self.sets.get("scores_out") else None

    @property
    def kinship_path(self) -> Path | None:
        """The file of a kinship matrix; None where there is none."""
        path = self.kinship.get("path")
        return None if path is None else self._path(path)

    @property
    def variant_list(self) -> Path | None:
        """The file that names the variants to keep; None where there is none."""
        path = self.variants.get("list")
        return None if path is None else self._path(path)

    @property
    def tables(self) -> list[Path]:
        """Every table that is read."""
        offsets = [] if self.offset_path is None else [Path(self.offset_path)]
        kinship = [] if self.kinship_path is None else [self.kinship_path]
        listed = [] if self.variant_list is None else [self.variant_list]
        return [self.phenotypes, *self.covariate_files, *offsets, *kinship, *listed, *self.set_files.values()]

    @property
    def out(self) -> Path:
        """The results file: with another tool's dialect, the parquet beside it, which holds every column."""
        path = self._path(self.output["path"])
        if self.dialect is None:
            return path
        name = path.name.removesuffix(".gz")
        stem = next((name.removesuffix(end) for end in _DIALECT_SUFFIXES if name.endswith(end)), name)
        return path.with_name(f"{stem or name}.parquet")

    @property
    def dialect(self) -> str | None:
        """The dialect of another tool to write the results in as well; None where there is none."""
        name = self.output.get("dialect")
        return None if name in _OWN_DIALECTS else name

    @property
    def dialect_out(self) -> Path:
        """The file in `dialect`."""
        return self._path(self.output["path"])

    @property
    def policy(self) -> Policy | None:
        """What may leave, where that is written as well."""
        return policy_of(self.output.get("policy"), self.output.get("frequency_floor"))

    @property
    def leaving_out(self) -> Path:
        """The table as it may leave, beside the results: ``gwas.tsv.gz`` -> ``gwas.snds.tsv.gz``."""
        path = self._path(self.output["path"])
        assert self.policy is not None
        suffix = next((end for end in _LEAVING_SUFFIXES if path.name.lower().endswith(end)), path.suffix)
        stem = path.name[: len(path.name) - len(suffix)]
        return path.with_name(f"{stem}.{self.policy.name}{suffix}")

    def reading(self) -> dict[str, Any]:
        """How the tables are read, as arguments of `genassoc.data.phenotypes.phenotypes.Phenotypes.read`."""
        names = ("missing_codes", "decimal", "date_format", "encoding")
        return {name: self.input[name] for name in names if name in self.input}

    def conditions(self) -> list[Callable[[], pl.Expr]]:
        """What makes the predicates of ``[variants]``, one by one: each may refuse its bound."""
        made = {
            "maf": predicates.maf_above,
            "mac": predicates.mac_above,
            "missing": predicates.missing_below,
            "hwe": predicates.hwe_above,
            "info": predicates.info_above,
            "r2": predicates.r2_above,
            "info_source": predicates.info_source_above,
        }
        chosen: list[Callable[[], pl.Expr]] = [
            partial(make, float(self.variants[key])) for key, make in made.items() if key in self.variants
        ]
        if self.variants.get("region"):
            chosen.append(partial(predicates.in_region, *self.variants["region"]))
        if self.variants.get("snv_only"):
            chosen.append(partial(predicates.is_snv))
        if self.variants.get("pass_only"):
            chosen.append(partial(predicates.passes))
        return chosen

    def predicates(self) -> list[pl.Expr]:
        """``[variants]`` as the predicates of `genassoc.data.cohort.variants`."""
        return [make() for make in self.conditions()]


def read_tables(path: Path) -> Mapping[str, Any]:
    """The tables of a gwas.toml, unchecked.

    Raises
    ------
    InputError
        The file is absent or no TOML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows put a byte order mark before it
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text, so no TOML.") from error
    return _tables(text, str(path))


def _tables(text: str, name: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:  # the latter of numbers with thousands of digits
        raise InputError(f"{name} is no TOML: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{name}: its values lie too deep in one another.") from error


def problems_of(content: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with the tables, one line each."""
    problems = [
        f"there is no table [{name}] in gwas.toml{_meant(name, _SECTIONS)}" for name in content if name not in _SECTIONS
    ]
    for section, keys in _REQUIRED.items():
        table = content.get(section)
        if not isinstance(table, Mapping):
            problems.append(f"the table [{section}] is absent; it needs {', '.join(keys)}")
            continue
        problems += [f"[{section}] needs '{key}'{_nearly(key, table, keys)}" for key in keys if key not in table]
    for section, keys in _WITH_KEYS.items():
        table = content.get(section)
        if section in content and not isinstance(table, Mapping):
            problems.append(f"[{section}] is a table; write [{section}] and below it {keys[0]} = ...")
        elif isinstance(table, Mapping):
            problems += [f"[{section}] needs '{key}'{_nearly(key, table, keys)}" for key in keys if key not in table]
            problems += [
                f"[{section}] {key} is empty: name a file, or leave it out" for key in keys if table.get(key) == ""
            ]
    for section, known in _SECTIONS.items():
        table = content.get(section)
        if known is None or not isinstance(table, Mapping):
            continue
        for key, value in table.items():
            if key not in known:
                problems.append(f"[{section}] has no '{key}'{_meant(key, known)}")
            elif not _is_a(value, known[key]):
                problems.append(f"[{section}] {key} = {value!r} is no {_NAMES[known[key]]}")
    return (
        problems
        + _dialect_problems(content.get("output"))
        + _policy_problems(content.get("output"))
        + _of_sets(content)
    )


def _of_sets(content: Mapping[str, object]) -> list[str]:
    """What ``[sets]`` does not go together with."""
    output = content.get("output")
    dialect = output.get("dialect") if isinstance(output, Mapping) else None
    if "sets" in content and dialect in DIALECTS and dialect not in _OWN_DIALECTS:
        return [f"[output] dialect = {dialect!r} is of single variants: rows of sets are written as parquet or tsv"]
    return []


def _policy_problems(output: object) -> list[str]:
    """What is wrong with ``[output] policy`` and ``frequency_floor``."""
    if not isinstance(output, Mapping):
        return []
    policy, floor = output.get("policy"), output.get("frequency_floor")
    if not isinstance(policy, str | None) or not (floor is None or _is_a(floor, float)):
        return []  # said already
    try:
        policy_of(policy, None if floor is None else float(floor))
    except ValueError as error:
        return [f"[output] policy: {error}"]
    return []


def _dialect_problems(output: object) -> list[str]:
    """What is wrong with ``[output] dialect``."""
    if not isinstance(output, Mapping):
        return []
    dialect, path = output.get("dialect"), output.get("path")
    if output.get("for_spreadsheets") and (
        dialect not in (None, "tsv") or (isinstance(path, str) and path.lower().endswith(".parquet"))
    ):
        return [
            "[output] for_spreadsheets is for text in our own columns: a path in .tsv or .tsv.gz, and no other dialect"
        ]
    if dialect is None:
        return ["[output] metadata is for dialect = 'gwas-ssf'"] if "metadata" in output else []
    if dialect not in DIALECTS:
        return [f"[output] dialect = {dialect!r}: there are {', '.join(DIALECTS)}"]
    suffixes = DIALECTS[dialect]
    if suffixes and isinstance(path, str) and not path.endswith(suffixes):
        return [f"[output] path = {path!r}: a file in the dialect '{dialect}' ends in {' or '.join(suffixes)}"]
    if not suffixes and isinstance(path, str) and path.endswith(".parquet"):
        return [f"[output] path = {path!r}: the dialect '{dialect}' is text; let the name end in .tsv.gz, say"]
    if "metadata" in output and dialect != "gwas-ssf":
        return ["[output] metadata is for dialect = 'gwas-ssf'"]
    return []


_NAMES = {
    Codes: "list of texts, and no table of such lists,",
    Folds: "whole number, nor 'auto' or 'loocv',",
    Numbers: "number, nor a list of numbers,",
    Names: "name of a file, nor a table of lists of annotations,",
    int: "whole number",
    str: "text",
    list: "list of texts",
    float: "number",
    bool: "true or false",
    dict: "table",
}


def _is_a(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is Codes and isinstance(value, Mapping):
        return all(_is_a(codes, list) for codes in value.values())
    if kind is Folds:
        return value in ("auto", "loocv") or _is_a(value, int)
    if kind is Numbers:
        return _is_a(value, float) or (isinstance(value, list | tuple) and all(_is_a(item, float) for item in value))
    if kind is Names:
        return isinstance(value, str) or (
            isinstance(value, Mapping) and all(_is_a(item, list) for item in value.values())
        )
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (list, Codes):
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    return isinstance(value, kind)


def _nearly(key: str, table: Mapping[str, Any], required: Iterable[str]) -> str:
    """A key of the table that is probably a misspelling of ``key``."""
    close = difflib.get_close_matches(key, [name for name in table if name not in required], n=1)
    return f" (it has '{close[0]}': is '{key}' meant?)" if close else ""


def _meant(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (is '{close[0]}' meant?)" if close else f"; there are {', '.join(known)}"
