"""Stores, plans, runs and results in words and as JSON, for the command line."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from genassoc.data.cohort.builds import build_of
from genassoc.data.output import check_outputs, check_writable
from genassoc.data.result_table import table_suffix, write_table
from genassoc.data.schema import METADATA_CHUNK
from genassoc.data.sidecar import standing
from genassoc.data.store.notes import build_lines, dosage_notes
from genassoc.data.store.store import GenotypeStore
from genassoc.engine.parts import Status
from genassoc.engine.plan import Plan
from genassoc.errors import OutputError, StoreError
from genassoc.progress import Progress
from genassoc.provenance import sidecar
from genassoc.results import Results

if TYPE_CHECKING:
    from genassoc.formats.convert_parts import ConversionStatus


def store_facts(path: Path) -> dict[str, Any]:
    """What a store holds, as JSON values."""
    store = GenotypeStore.open(path)
    by_contig: dict[str, int] = {}
    for contig, start, stop in store.contig_runs():
        by_contig[contig] = by_contig.get(contig, 0) + stop - start
    # An object store charges for listing; None: not known.
    files = Path(path).rglob("*") if Path(path).is_dir() else None
    size = None if files is None else sum(file.stat().st_size for file in files if file.is_file())
    return {
        "path": str(store.path),
        "n_samples": store.n_samples,
        "n_variants": store.n_variants,
        "contigs": by_contig,
        "block_variants": store.block_variants,
        "bytes_on_disk": size,
        "fingerprint": store.fingerprint,
        "root": store.root,
        "build": build_of(store),
        "has_dosages": store.has_dosages,
        "has_probabilities": store.has_probabilities,
        "annotations": list(store.annotations),
        "rows_by_steps": _rows_by_steps(store),
        "first_samples": [str(name) for name in store.sample_ids[:5]],
        "conversion": store.attributes.get("summary"),
        "versions": store.attributes.get("versions"),
    }


def _rows_by_steps(store: GenotypeStore) -> dict[int, int]:
    """Rows by the steps of one copy in their dosages; 0: of calls only."""
    if not store.has_dosages:
        return {}
    found: dict[int, int] = {}
    for start in range(0, store.n_variants, METADATA_CHUNK):
        steps = store.dosage_steps(start, min(start + METADATA_CHUNK, store.n_variants))
        for value, n in Counter(steps.tolist()).items():
            found[value] = found.get(value, 0) + n
    return dict(sorted(found.items()))


def verify_store(path: Path, progress: Progress) -> dict[str, Any]:
    """Read all of a store and check it against its root: how many files and bytes are unchanged, as JSON values.

    Raises
    ------
    StoreError
        Names the files that are damaged, lost or from another store.
    """
    store = GenotypeStore.open(path)
    progress.begin("verify", float(len(store.pieces.listed or ())), "files")
    n_files = n_bytes = 0
    problems: list[str] = []
    try:
        for _, size, problem in store.verified():
            progress.advance(1)
            n_files += problem is None
            n_bytes += size if problem is None else 0
            problems += [str(problem)] if problem is not None else []
    finally:
        progress.end()
    if problems:
        more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise StoreError("\n".join([*problems[:20], *more]))
    return {"files": n_files, "bytes": n_bytes, "root": store.root}


def _verified_line(verified: Mapping[str, Any]) -> str:
    read = f"{verified['files']:,} files, {verified['bytes'] / 1e6:,.1f} MB read"
    if verified["root"] is None:
        return (
            f"verified in part: {read}, each chunk matches its checksum. The store was written by an earlier genassoc and has no "
            "root, so that it cannot be verified that its files belong together; convert the input again (--force) to get a root"
        )
    return f"verified: {read}, all unchanged since they were written (root {verified['root']})"


def store_json(path: Path, verify: bool, progress: Progress) -> str:
    """`store_facts` as JSON text, ``verified`` by `verify_store` if asked for."""
    checked = {"verified": verify_store(path, progress)} if verify else {}
    return json.dumps(store_facts(path) | checked, indent=1, default=str)


def store_lines(path: Path, verify: bool, progress: Progress) -> list[str]:
    """`store_facts` for people, verified by `verify_store` if asked for."""
    checked = [_verified_line(verify_store(path, progress))] if verify else []
    facts = store_facts(path)
    contigs = facts["contigs"]
    shown = ", ".join(f"{name} ({n:,})" for name, n in list(contigs.items())[:30])
    lines = [
        f"{facts['path']}: {facts['n_variants']:,} variants x {facts['n_samples']:,} samples"
        + (f", {facts['bytes_on_disk'] / 1e6:,.1f} MB on disk" if facts["bytes_on_disk"] is not None else ""),
        f"contigs: {shown}" + (f" and {len(contigs) - 30} more" if len(contigs) > 30 else ""),
        f"samples: {', '.join(facts['first_samples'])}" + (", ..." if facts["n_samples"] > 5 else ""),
        f"blocks of {facts['block_variants']:,} variants; fingerprint {facts['fingerprint']}",
    ]
    if facts["has_dosages"]:
        kinds = facts["rows_by_steps"]
        dosages = ", ".join(f"{n:,} in steps of 1/{steps}" for steps, n in kinds.items() if steps)
        known = "; probabilities of genotypes are kept" if facts["has_probabilities"] else ""
        lines.append(f"rows of calls: {kinds.get(0, 0):,}; of dosages: {dosages or 'none'}{known}")
    if facts["annotations"]:
        lines.append(f"further columns of variants: {', '.join(facts['annotations'])}")
    summary = facts["conversion"] or {}
    for source in summary.get("sources", []):
        lines.append(f"made of {source['name']} ({source['kind']}, {source['size']:,} bytes)")
    lines += build_lines(summary.get("build", {}))
    lines += [*dosage_notes(summary.get("dosages", {})), *summary.get("contig_notes", [])]
    return lines + checked


def plan_facts(plan: Plan) -> dict[str, Any]:
    """A plan's parts, as JSON values."""
    return {
        "n_parts": plan.n_parts,
        "n_tasks": len(plan.tasks),
        "n_variants": plan.n_variants,
        "fingerprint": plan.fingerprint,
        "parts": [
            {"part": number, "tasks": len(group), "variants": sum(task.n_variants for task in group)}
            for number, group in enumerate(plan.groups())
        ],
    }


def plan_json(plan: Plan) -> str:
    """`plan_facts` as JSON text."""
    return json.dumps(plan_facts(plan), indent=1)


def plan_lines(plan: Plan, work: Path) -> list[str]:
    """`plan_facts` for people, with what to type next."""
    sizes = [part["variants"] for part in plan_facts(plan)["parts"]]
    n_tasks = len(plan.tasks)
    few = [f"{n_tasks:,} tasks: more than {n_tasks:,} parts do not help"] if plan.n_parts > n_tasks else []
    return [
        *few,
        f"{plan.n_variants:,} variants in {len(plan.tasks)} tasks, {plan.n_parts} parts of {min(sizes):,} to {max(sizes):,} variants",
        f"each job: genassoc part {work} I, with I from 0 to {plan.n_parts - 1}; then: genassoc merge {work} OUT",
    ]


def conversion_plan(
    files: Sequence[str], parts: int, samples: Path | None, as_json: bool, restart: bool, **reading: object
) -> list[str]:
    """Plan the conversion of all files but the last, the work folder; the plan in words or as JSON text."""
    from genassoc.formats.convert_plan import plan_conversion
    from genassoc.formats.reading import Reading

    work = Path(files[-1])
    plan = plan_conversion(files[:-1], work, parts, samples=samples, restart=restart, reading=Reading.of(reading))
    return [plan.to_json()] if as_json else plan.lines(Path(files[-1]))


def status_json(state: "Status | ConversionStatus") -> str:
    """A status as JSON text."""
    facts = {**asdict(state), "complete": state.complete, "missing_parts": state.missing_parts}
    return json.dumps(facts, indent=1)


def status_lines(state: "Status | ConversionStatus") -> list[str]:
    """A status for people."""
    if not isinstance(state, Status):
        return state.lines()
    share = 100 * state.n_variants_done / max(state.n_variants, 1)
    lines = [f"{state.n_done} of {state.n_tasks} tasks done ({share:.0f} % of {state.n_variants:,} variants)"]
    if state.damaged:
        lines.append(f"damaged, must be computed again: tasks {', '.join(map(str, state.damaged))}")
    if state.missing_parts:
        lines.append(f"missing parts: {','.join(map(str, state.missing_parts))}")
    else:
        lines.append("complete: ready to merge")
    return lines


def check_tables(paths: Sequence[Path], inputs: Sequence[Path] = ()) -> None:
    """Refuse, before any work, tables that cannot be written or would replace an input."""
    check_outputs(paths, inputs)
    for path in paths:
        table_suffix(path)
        check_writable(path)
        if standing(path, {}, {}) is not None:
            raise OutputError(
                f"{path} holds the results of an association run, whose record lies beside it ({sidecar(path).name}); they were left "
                "as they are: choose another name, or remove both first."
            )


def write_frame(path: Path, table: pl.DataFrame) -> None:
    """Write a table whole or not at all, in the format of its suffix."""
    write_table(path, [table])


def draw_all(results: Results, folder: Path, suffix: str) -> list[Path]:
    """A Manhattan and a QQ plot of each trait and test, in ``folder``; of exactly two traits a Miami plot too.

    Raises
    ------
    GenassocError
        After all others are drawn: which could not be, and why.
    """
    from genassoc import plots
    from genassoc.errors import GenassocError, OutputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}; name a folder that can be.") from error
    drawn: dict[Path, None] = {}
    failures: list[str] = []
    for name, draw in _pictures(results):
        path = folder / f"{name}.{suffix}"
        while path in drawn:  # two traits' names may differ in what a file's name cannot hold
            path = path.with_stem(path.stem + "_")
        check_outputs([path], [] if results.path is None else [results.path])
        try:
            drawn[plots.save_figure(draw(), path)] = None
        except OutputError:
            raise
        except GenassocError as error:
            failures.append(f"{path.name}: {error}")
    if failures:
        raise GenassocError(
            f"{len(drawn)} plots are in {folder}; {len(failures)} could not be drawn:\n" + "\n".join(failures)
        )
    return list(drawn)


def _pictures(results: Results) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and drawing of each plot of some results."""
    from genassoc import plots

    pairs = results.scan().select("trait", "test").unique(maintain_order=True).collect().rows()
    tests = list(dict.fromkeys(test for _, test in pairs))
    traits = list(dict.fromkeys(trait for trait, _ in pairs))

    def name(trait: str, test: str, kind: str) -> str:
        stem = f"{trait}.{test}" if len(tests) > 1 else trait
        return "".join(c if c.isalnum() or c in "-_." else "_" for c in stem) + "." + kind

    for trait, test in pairs:
        yield name(trait, test, "manhattan"), partial(plots.manhattan, results, trait=trait, test=test)
        yield name(trait, test, "qq"), partial(plots.qq, results, trait=trait, test=test)
    if len(traits) == 2:
        for test in tests:
            if all((trait, test) in pairs for trait in traits):
                both = (traits[0], traits[1])
                yield name("-".join(both), test, "miami"), partial(plots.miami, results, trait=both, test=test)
