"""Folders and records of strangers: plans, locks, parts and conditions that are garbage, too large or evil. Typed errors, no hang."""

import json
import os
import random
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest
from count_cohort import RUNS
from small_cohort import make_files
from test_results import make_table

import genassoc as ga
from genassoc.data import sidecar, strangers
from genassoc.data.cohort import recipe as cohort_recipe
from genassoc.data.store.pieces import PIECES, ROOT, root_of
from genassoc.data.strangers import MalformedError
from genassoc.engine import lock as locks
from genassoc.engine.parts import WorkFolder
from genassoc.engine.plan import MAX_PARTS, Plan
from genassoc.errors import GenassocError, PlanError, StoreError
from genassoc.explanation.explain import explain
from genassoc.formats.convert_plan import ConversionPlan, is_conversion
from genassoc.formats.reading import AS_IT_IS
from genassoc.results import Results

FUZZ_SECONDS = float(os.environ.get("GENASSOC_FUZZ_SECONDS", "3"))  # each of the three; longer by hand
ODD = [
    None, True, -1, 0, 2**53, 2**200, 0.5, float("nan"), float("inf"), "", "x", "../../etc/passwd", "\x1b[2J", "\ud800", [], [[]], {},
    {"a": 1}, [None] * 3,
]  # fmt: skip


def mutated(content: object, rng: random.Random) -> object:
    """The same values with one of them, or one name, replaced, dropped or put deep into lists."""
    if isinstance(content, dict) and content and rng.random() < 0.8:
        key = rng.choice(list(content))
        changed = dict(content)
        fate = rng.random()
        if fate < 0.15:
            del changed[key]
        elif fate < 0.2:
            changed[f"{key}x"] = changed.pop(key)
        else:
            changed[key] = mutated(content[key], rng)
        return changed
    if isinstance(content, list) and content and rng.random() < 0.8:
        at = rng.randrange(len(content))
        return [*content[:at], mutated(content[at], rng), *content[at + 1 :]]
    return rng.choice(ODD)


def bytes_of(content: object, rng: random.Random) -> bytes:
    """JSON, now and then damaged as text."""
    text = json.dumps(content).encode()
    if rng.random() < 0.3:
        at = rng.randrange(len(text))
        text = text[:at] + bytes([rng.randrange(256)]) * rng.randrange(4) + text[at + rng.randrange(3) :]
    return text


def fuzz(content: object, seed: int):
    """Mutants of a content for `FUZZ_SECONDS`."""
    rng, end = random.Random(seed), time.monotonic() + FUZZ_SECONDS
    while time.monotonic() < end:
        changed = content
        for _ in range(rng.randint(1, 3)):
            changed = mutated(changed, rng)
        yield bytes_of(changed, rng)


# --- plans --------------------------------------------------------------------------------------


def test_fuzzed_plans() -> None:
    plan = Plan.by_block(RUNS, 64, "abc", n_parts=3, settings={"toml": "[input]", "memory": 2**30})
    for text in fuzz(json.loads(plan.to_json()), 1):
        try:
            read = Plan.from_json(text)
        except PlanError:
            continue
        assert read.n_variants > 0 and 1 <= read.n_parts <= MAX_PARTS  # what was taken makes sense
        assert all(task.index == number for number, task in enumerate(read.tasks))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 10**5,
        b'{"a":' * 10**4,
        b"9" * 10**5,
        b'{"format": "genassoc-plan"}',
        b"null",
        b'{"version": 1e999}',
    ],
)
def test_plans_that_are_garbage(content: bytes, tmp_path: Path, genassoc) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    for command in (["status", tmp_path], ["part", tmp_path, 0], ["merge", tmp_path, tmp_path / "out.parquet"]):
        code, _, said = genassoc(*command)
        assert code == 1 and "plan.json" in said and "defect" not in said and "Traceback" not in said


def test_a_plan_of_other_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Plan.by_block(RUNS, 64, "abc").to_json()
    monkeypatch.setattr("genassoc.engine.plan.NUMBERS", 10**6)
    with pytest.raises(
        PlanError, match=r"whose numbers have version \d+; those of this genassoc .* have version 1000000"
    ):
        Plan.from_json(text)
    with pytest.raises(PlanError, match="more than the"):
        Plan.by_block(RUNS, 64, n_parts=MAX_PARTS + 1)


def test_pipes_and_folders_in_place_of_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "plan.json")
    for read in (WorkFolder(tmp_path).plan, lambda: ConversionPlan.read(tmp_path)):
        with pytest.raises(PlanError, match="plan"):
            read()
    assert not is_conversion(tmp_path)
    plan = Plan.by_block(RUNS, 64, "abc")
    work = WorkFolder(tmp_path / "work")
    work.open(plan)
    os.mkfifo(work.part_path(plan.tasks[0]))
    work.part_path(plan.tasks[1]).mkdir()
    work.part_path(plan.tasks[2]).symlink_to("/dev/zero")
    assert work.missing(plan, thorough=True) == list(plan.tasks)


def test_conversion_plans_of_strangers(tmp_path: Path) -> None:
    content = {
        "format": "genassoc-conversion-plan", "version": 2, "reading": json.loads(json.dumps(asdict(AS_IT_IS))), "inputs": ["/x.vcf.gz"], "samples": None, "identity": {},
        "parts": [[{"source": 0, "region": ["1", 0, 5], "n_bytes": 3}], []],
    }  # fmt: skip
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    assert len(ConversionPlan.read(tmp_path).parts) == 2
    for text in fuzz(content, 2):
        path.write_bytes(text)
        try:
            plan = ConversionPlan.read(tmp_path)
        except PlanError:
            continue
        assert all(stretch.source < len(plan.inputs) for part in plan.parts for stretch in part)


def test_a_part_says_what_it_reads_and_converts_nothing(tmp_path: Path, genassoc) -> None:
    """A plan that names a VCF has its store; a stranger's plan makes none, wherever its output is said to be."""
    files = make_files(tmp_path, 60, 120)
    text = f"""
[input]
store = "{files.store}"
phenotypes = "{files.phenotypes}"
[model]
kind = "linear"
traits = ["ldl"]
[output]
path = "{tmp_path}/r.parquet"
"""
    (tmp_path / "gwas.toml").write_text(text)
    work = tmp_path / "work"
    assert genassoc("plan", tmp_path / "gwas.toml", work, "--parts", 2)[0] == 0
    code, _, said = genassoc("part", work, 0)
    assert code == 0 and f"reading {files.store} and {files.phenotypes}: the plan in {work} names them" in said
    plan = json.loads((work / "plan.json").read_text())
    plan["settings"]["toml"] = (
        plan["settings"]["toml"]
        .replace(str(files.store), str(files.vcf))
        .replace(f"{tmp_path}/r.parquet", f"{tmp_path}/elsewhere/r.parquet")
    )
    (work / "plan.json").write_text(json.dumps(plan))
    (tmp_path / "elsewhere").mkdir()
    assert genassoc("part", work, 1)[0] == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert genassoc("part", work, 10**30)[0] == 1


def test_a_plan_whose_tasks_were_changed_loses_no_variant(tmp_path: Path, genassoc) -> None:
    """The fingerprint says what is computed, the tasks on what: a cut or lost one would leave rows out in silence."""
    files = make_files(tmp_path, 60, 120)
    toml = tmp_path / "gwas.toml"
    toml.write_text(
        f'[input]\nstore = "{files.store}"\nphenotypes = "{files.phenotypes}"\n[model]\nkind = "linear"\ntraits = ["ldl"]\n'
        f'[output]\npath = "{tmp_path}/r.parquet"\n'
    )
    work = tmp_path / "work"
    assert genassoc("plan", toml, work, "--parts", 2)[0] == 0
    sound = json.loads((work / "plan.json").read_text())
    last = sound["tasks"][-1]
    for tasks in (
        [*sound["tasks"][:-1], {**last, "stop": last["stop"] - 8}],
        sound["tasks"][:-1],
        [*sound["tasks"][:-1], {**last, "stop": last["stop"] + 8}],
        [*sound["tasks"][:-1], {**last, "contig": "X"}],
    ):
        (work / "plan.json").write_text(json.dumps({**sound, "tasks": tasks}))
        for command in (["part", work, 1], ["merge", work, tmp_path / "out.parquet"]):
            code, _, said = genassoc(*command)
            assert code == 1 and "not all variants of its cohort" in said
    (work / "plan.json").write_text(json.dumps(sound))
    assert [genassoc("part", work, part)[0] for part in (0, 1)] == [0, 0]
    assert genassoc("merge", work, tmp_path / "out.parquet")[0] == 0


# --- locks --------------------------------------------------------------------------------------


def test_fuzzed_locks(tmp_path: Path) -> None:
    """Taken, or refused in words; never a library's error, never a wait."""
    path = tmp_path / locks.LOCK_NAME
    rng = random.Random(3)
    content = {"host": "elsewhere", "pid": 1, "started": "x", "token": "y"}
    for text in fuzz(content, 3):
        path.write_bytes(text)
        when = time.time() + rng.choice([-(10**6), 0, 10**6])
        os.utime(path, (when, when))
        try:
            with locks.DriverLock(tmp_path):
                pass
        except PlanError as error:
            assert "remove" in str(error)
    path.unlink(missing_ok=True)
    assert not list(tmp_path.iterdir())


def test_a_lock_from_the_future_is_named(tmp_path: Path) -> None:
    path = tmp_path / locks.LOCK_NAME
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "x"}))
    os.utime(path, (2**32, 2**32))
    with pytest.raises(PlanError, match=r"process 1 on elsewhere\).* s ahead of the disk's clock, .* remove"):
        locks.DriverLock(tmp_path).acquire()


@pytest.mark.parametrize(
    "make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path), lambda path: path.symlink_to("/dev/zero")]
)
def test_what_is_no_lock(make, tmp_path: Path) -> None:
    make(tmp_path / locks.LOCK_NAME)
    with pytest.raises(PlanError, match="is none"):
        locks.DriverLock(tmp_path).acquire()


# --- records ------------------------------------------------------------------------------------


def test_fuzzed_records(tmp_path: Path) -> None:
    """A record whose own digest is right, as a stranger can make it: every field is looked at before it is used."""
    record = {
        "parameters": {"model": {"kind": "linear", "traits": ["a"], "covariates": []}},
        "inputs": {
            "store": {"path": "/no/store", "fingerprint": "x"},
            "phenotypes": {"path": "/no/table", "fingerprint": "y"},
            "cohort": {
                "samples": "z",
                "steps": [{"step": "align", "file": "/no/table", "sample_id": "IID", "fingerprint": "y"}],
            },
        },
        "run": {"fingerprint": "f", "numbers": 2},
        "samples": {"genotyped": 3, "kept": 3, "dropped": {}, "analysed": {"a": 3}, "lacking_a_covariate": 0},
        "variants": {"read": 2, "kept": 2, "rows": 2, "dropped": {}},
        "notes": ["n"],
    }
    path = Results(make_table([1.0])).write(tmp_path / "r.tsv")
    rng, end = random.Random(4), time.monotonic() + FUZZ_SECONDS
    while time.monotonic() < end:
        changed = mutated(mutated(record, rng), rng)
        sidecar.write_record(path, changed if isinstance(changed, dict) else record)
        try:
            results = Results.read(path)
            results.ledger  # noqa: B018
            explain(results, "1_1_A_G", tell=lambda _: None)
        except GenassocError:
            continue


def test_objects_within_bounds(tmp_path: Path) -> None:
    for content in (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", b'{"a": 1, "a": 2}', b"[1]", b'{"a": \xff}'):
        with pytest.raises(MalformedError):
            strangers.parse_object(content)
    (tmp_path / "large").write_bytes(b"{}" + b" " * 100)
    with pytest.raises(MalformedError, match="more than 50 bytes"):
        strangers.read_object(tmp_path / "large", 50)
    for value in (True, 1.0, "1", None, 2**60, -1):
        with pytest.raises(MalformedError, match="n is no"):
            strangers.whole(value, "n")


# --- conditions on samples ----------------------------------------------------------------------

CONDITIONS = [
    (pl.col("age") > 18) & (pl.col("site") != "c"),
    pl.col("age").is_between(20, 60.5) | pl.col("sex").is_in(["M", "F"]),
    ~pl.col("age").is_null() & (pl.col("site").str.starts_with("a") ^ (pl.col("n").cast(pl.Float64).abs() + 1 >= 2)),
    pl.col("arm").eq_missing("x").fill_null(False),
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_are_made_again(condition: pl.Expr) -> None:
    step = json.loads(json.dumps(cohort_recipe.kept(condition)))
    again = cohort_recipe.expression_of(step)
    assert again is not None and str(again) == str(condition)


def test_conditions_that_load_code_are_not_read() -> None:
    """A plugin is a shared library that polars loads; a Python function is a pickle."""
    plain = cohort_recipe.kept(pl.col("age") > 18)
    plugin = {
        "FfiPlugin": {"flags": {"check_lengths": True, "flags": ""}, "lib": "/tmp/evil.so", "symbol": "f", "kwargs": []}
    }
    column = {"Column": "age"}
    for evil in (
        {"Function": {"input": [column], "function": plugin}},
        {"Function": {"input": [column], "function": {"Boolean": {"IsIn": plugin}}}},
        {"BinaryExpr": {"left": {"Function": {"input": [column], "function": plugin}}, "op": "Gt", "right": column}},
        {"AnonymousFunction": {"input": [column], "function": [1, 2]}},
        {"Cast": {"expr": column, "dtype": {"OfExpr": {"SubPlan": ["/etc/passwd"]}}, "options": "Strict"}},
        {"SubPlan": [{"Scan": {"sources": "/etc/passwd"}}, []]},
        {"Column": "age", "Literal": 1},
        {"Literal": {"Scalar": {"List": [1, 2, 3]}}},
        [],
        "age",
    ):
        assert cohort_recipe.expression_of({**plain, "expression": evil}) is None
    assert "expression" not in cohort_recipe.kept(pl.col("age").map_batches(lambda x: x > 1, return_dtype=pl.Boolean))


def test_explain_says_which_files_it_opens(tmp_path: Path, genassoc) -> None:
    files = make_files(tmp_path, 60, 120)
    link = tmp_path / "link.tsv"
    link.symlink_to(files.phenotypes)
    cohort = ga.Cohort.align(files.store, link)
    out = tmp_path / "r.parquet"
    rows = ga.associate(cohort, ga.Linear(["ldl"]), out=out).top(1)
    code, _, said = genassoc("explain", out, rows["variant_id"][0])
    assert (
        code == 0 and f"reading {files.store}, {link} -> {files.phenotypes}: the record beside {out} names them" in said
    )
    link.unlink()
    os.mkfifo(link)
    code, _, said = genassoc("explain", out, rows["variant_id"][0])
    assert code == 1 and "no longer there" in said


# --- stores -------------------------------------------------------------------------------------


def with_attributes(store: Path, out: Path, change: dict[str, object]) -> Path:
    """A copy of a store with other attributes, and the root that belongs to them, as who rewrites a store can make it."""
    shutil.copytree(store, out)
    document = json.loads((out / "zarr.json").read_text())
    document["attributes"] |= change
    document["attributes"][ROOT] = root_of(document, (out / PIECES).read_bytes())
    (out / "zarr.json").write_text(json.dumps(document))
    return out


@pytest.mark.parametrize(
    "change",
    [
        {"block_variants": 0},
        {"block_variants": "9"},
        {"fingerprint": "\ud800"},
        {"contig_lengths": None},
        {"contig_lengths": {"1": "long"}},
        {"haploid_chunks": [[0, 10**12]]},  # each number of it would be kept
        {"haploid_chunks": [[3, 1]]},
        {"haploid_chunks": [7]},
        {"summary": {"sources": [3]}},
        {"summary": {"sources": [{"name": "x", "kind": "VCF", "size": "many"}]}},
        {"summary": {"contig_notes": 1.5}},
        {"summary": []},
    ],
)
def test_attributes_of_a_strangers_store(change: dict[str, object], tmp_path: Path) -> None:
    store = with_attributes(make_files(tmp_path, 20, 40).store, tmp_path / "other.zarr", change)
    with pytest.raises(StoreError, match=r"is damaged: zarr\.json"):
        ga.open_store(store)


def test_an_address_within_an_address_is_not_opened(tmp_path: Path) -> None:
    """fsspec's "reference" renders the templates of the file it is given, which before 2025 ran whatever they said."""
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    canary = tmp_path / "canary"
    evil = f"{{{{ cycler.__init__.__globals__.os.system('touch {canary}') }}}}"
    (tmp_path / "r.json").write_text(
        json.dumps({"version": 1, "templates": {"f": evil}, "refs": {"zarr.json": ["{{f(a=1)}}"]}})
    )
    for address in (f"reference::file:///{tmp_path}/r.json", "simplecache::memory://x", "memory://x::reference://y"):
        with pytest.raises(StoreError, match="an address within an address"):
            ga.open_store(address)
    with pytest.raises(StoreError, match="reference://x: cannot be read"):
        ga.open_store("reference://x")
    assert not canary.exists()


def test_parts_and_merge_say_all_that_they_read(tmp_path: Path, genassoc) -> None:
    files = make_files(tmp_path, 60, 120)
    table = pl.read_csv(files.phenotypes, separator="\t", infer_schema=False)
    ids = table.columns[0]
    table.select(ids, pl.int_range(pl.len()).alias("extra")).write_csv(tmp_path / "extra.tsv", separator="\t")
    (tmp_path / "gwas.toml").write_text(f"""
[input]
store = "{files.store}"
phenotypes = "{files.phenotypes}"
covariate_files = ["{tmp_path}/extra.tsv"]
[model]
kind = "linear"
traits = ["ldl"]
covariates = "extra"
[output]
path = "{tmp_path}/r.parquet"
""")
    work = tmp_path / "work"
    assert genassoc("plan", tmp_path / "gwas.toml", work, "--parts", 1)[0] == 0
    for command in (("part", work, 0), ("merge", work, tmp_path / "out.parquet")):
        code, _, said = genassoc(*command)
        assert code == 0, said
        assert f"reading {files.store}, {files.phenotypes} and {tmp_path}/extra.tsv: the plan in {work} names" in said
    work = tmp_path / "conversion"
    assert genassoc("plan", "--convert", files.vcf, work, "--parts", 1)[0] == 0
    code, _, said = genassoc("part", work, 0)
    assert code == 0 and f"reading {files.vcf}: the plan in {work} names them" in said


def test_a_plan_whose_tables_are_no_files(tmp_path: Path, genassoc) -> None:
    """A pipe would be waited for, and /dev/zero read until the memory is full."""
    files = make_files(tmp_path, 20, 40)
    (tmp_path / "gwas.toml").write_text(f"""
[input]
store = "{files.store}"
phenotypes = "{files.phenotypes}"
[model]
kind = "linear"
traits = ["ldl"]
[output]
path = "{tmp_path}/r.parquet"
""")
    work = tmp_path / "work"
    assert genassoc("plan", tmp_path / "gwas.toml", work, "--parts", 1)[0] == 0
    whole = (work / "plan.json").read_text()
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", tmp_path / "pipe", tmp_path):
        (work / "plan.json").write_text(whole.replace(str(files.phenotypes), str(name)))
        for command in (("part", work, 0), ("merge", work, tmp_path / "out.parquet")):
            code, _, said = genassoc(*command)
            assert code == 1 and f"{name}, which the plan in {work} names as a table, is no plain file" in said
