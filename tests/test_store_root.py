"""A store proves that it is what it was written as: every piece of another store, every link and every lost file is found."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from old_store import without_root

import genassoc as ga
from genassoc.data import schema
from genassoc.data.block import GenotypeBlock
from genassoc.data.store import pieces as store_pieces
from genassoc.data.store.pieces import PIECES, ROOT
from genassoc.data.store.store import GenotypeStore
from genassoc.data.store.writer import StoreWriter, write_store
from genassoc.errors import OutputError, StoreError
from genassoc.progress import Silent
from genassoc.verbs.describe import store_lines, verify_store

N, V = 37, 121
PROJECT = Path(__file__).resolve().parents[1]


def make(path: Path, seed: int, first_name: str = "s") -> Path:
    """A store of four shards of 32 variants; those of different seeds have files of the same names."""
    rng = np.random.default_rng(seed)
    variants = pl.DataFrame(
        {
            "chromosome": ["1"] * V, "base_pair_location": np.sort(rng.integers(1, 10_000, V)),
            "effect_allele": ["A"] * V, "other_allele": ["G"] * V,
        }
    )  # fmt: skip
    block = GenotypeBlock.from_codes(rng.integers(0, 4, (V, N)).astype(np.uint8))
    haploid = np.zeros((V, 5), np.uint8)
    haploid[50, 2] = 5
    blocks = [GenotypeBlock(block.packed, N, 0, haploid)]
    write_store(path, [f"{first_name}{i}" for i in range(N)], blocks, variants, block_variants=16)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two stores of one shape."""
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "BLOCKS_PER_SHARD", 2)
        patch.setattr(schema, "METADATA_CHUNK", 50)
        return make(folder / "a.zarr", 1), make(folder / "b.zarr", 2, "p")


@pytest.fixture
def stores(made, tmp_path, monkeypatch):
    """Copies to be damaged."""
    monkeypatch.setattr(schema, "METADATA_CHUNK", 50)
    return [Path(shutil.copytree(store, tmp_path / store.name)) for store in made]


def read_all(path: Path | str) -> GenotypeStore:
    store = GenotypeStore.open(path)
    store.variants()
    store.contig_runs()
    store.read(0, V)
    store.call_counts(0, V)
    store.position(100)
    return store


def files_of(store: Path) -> list[Path]:
    return sorted(path.relative_to(store) for path in store.rglob("*") if path.is_file())


def test_a_sound_store_is_verified(stores):
    store, _ = stores
    found = verify_store(store, Silent())
    assert found["root"] == read_all(store).root == GenotypeStore.open(store).attributes[ROOT]
    assert found["files"] == len(files_of(store)) - 2  # the list and the attributes vouch for the rest
    assert "verified: " in store_lines(store, True, Silent())[-1]
    (store / ".DS_Store").write_text("what lies about is not read")
    verify_store(store, Silent())


def test_every_file_of_another_store_is_found(stores):
    """A file, and a whole array, of a store with the same shape: before its content is used, and by a full verification."""
    store, other = stores
    kept = {key: (store / key).read_bytes() for key in files_of(store)}
    foreign = [key for key in kept if (other / key).exists() and (other / key).read_bytes() != kept[key]]
    assert {key.parts[0] for key in foreign} >= {"call_genotype_packed", "sample_id", "variant_position", "zarr.json"}
    for key in foreign:
        (store / key).write_bytes((other / key).read_bytes())
        for check in (read_all, lambda path: verify_store(path, Silent())):
            with pytest.raises(StoreError, match="is damaged") as refusal:
                check(store)
            assert str(key) in str(refusal.value)
        (store / key).write_bytes(kept[key])
    read_all(store)
    for name in (schema.SAMPLE_ID, schema.GENOTYPES, schema.VARIANT_CALL_COUNTS):
        shutil.move(store / name, store.parent / "kept")
        shutil.copytree(other / name, store / name)
        with pytest.raises(StoreError, match=f"is damaged: .*{name}"):
            read_all(store)
        shutil.rmtree(store / name)
        shutil.move(store.parent / "kept", store / name)


def test_sample_names_of_another_store_are_refused_on_opening(stores):
    store, other = stores
    shutil.copy(other / "sample_id" / "c" / "0", store / "sample_id" / "c" / "0")
    with pytest.raises(StoreError, match=r"sample_id/c/0.*another store"):
        GenotypeStore.open(store)


def test_shards_that_changed_places_are_found(stores):
    store, _ = stores
    shards = [store / schema.GENOTYPES / "c" / str(n) / "0" for n in (0, 1)]
    first, second = (shard.read_bytes() for shard in shards)
    shards[0].write_bytes(second)
    shards[1].write_bytes(first)
    with pytest.raises(StoreError, match="is damaged"):
        read_all(store)


def test_every_lost_or_cut_file_is_found_by_verification(stores):
    store, _ = stores
    for key in files_of(store):
        kept = (store / key).read_bytes()
        (store / key).unlink()
        with pytest.raises(StoreError, match=r"damaged|no store"):
            verify_store(store, Silent())
        (store / key).write_bytes(kept[:-1])
        with pytest.raises(StoreError, match="damaged"):
            verify_store(store, Silent())
        (store / key).write_bytes(kept)
    verify_store(store, Silent())


def test_every_flipped_bit_is_found_by_verification_and_named(stores):
    """A bit at random in each file, and one of its last byte."""
    store, _ = stores
    rng = np.random.default_rng(5)
    for key in files_of(store):
        kept = (store / key).read_bytes()
        for at in (len(kept) - 1, int(rng.integers(len(kept)))):
            damaged = bytearray(kept)
            damaged[at] ^= 1 << int(rng.integers(8))
            if key.name == "zarr.json" and len(key.parts) == 1 and _same_json(kept, damaged):
                continue  # a space became a tab
            (store / key).write_bytes(damaged)
            with pytest.raises(StoreError, match=r"damaged|no genassoc store") as refusal:
                verify_store(store, Silent())
            assert str(key) in str(refusal.value) or len(key.parts) == 1
        (store / key).write_bytes(kept)
    verify_store(store, Silent())


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "key", ["sample_id", "call_genotype_packed/c", "call_genotype_packed/c/1/0", "zarr.json", PIECES]
)
def test_links_inside_a_store_are_refused(stores, key):
    """Even to the very files that were there; the store itself may be reached by links."""
    store, _ = stores
    elsewhere = store.parent / "elsewhere"
    shutil.move(store / key, elsewhere)
    (store / key).symlink_to(elsewhere)
    for check in (read_all, lambda path: verify_store(path, Silent())):
        with pytest.raises(StoreError, match="in it is a link"):
            check(store)


@pytest.mark.parametrize("rooted", [True, False])
@pytest.mark.parametrize(
    "key", ["zarr.json", "sample_id/zarr.json", "variant_call_counts/zarr.json", "call_genotype_packed/c/0/0"]
)
def test_pipes_in_a_store_are_not_waited_for(stores, key, rooted):
    store = stores[0] if rooted else without_root(stores[0])
    (store / key).unlink()
    os.mkfifo(store / key)
    with pytest.raises(StoreError, match=r"is missing|has no zarr\.json"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_all(store)


def test_a_link_to_a_store_is_none_inside_it(stores, tmp_path):
    (tmp_path / "staged").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "linked.zarr").symlink_to(tmp_path / "staged" / "a.zarr", target_is_directory=True)
    assert verify_store(tmp_path / "linked.zarr", Silent())["root"]
    read_all(tmp_path / "staged" / "linked.zarr")
    (stores[0] / "notes").symlink_to(tmp_path)
    read_all(stores[0])  # never followed
    with pytest.raises(StoreError, match="notes in it is a link"):
        verify_store(stores[0], Silent())


def test_edited_attributes_are_refused(stores):
    store, other = stores
    text = (store / "zarr.json").read_text()
    document = json.loads(text)
    document["attributes"]["haploid_chunks"] = []
    (store / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match="do not belong to each other"):
        GenotypeStore.open(store)
    del document["attributes"][ROOT]
    (store / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match="is not the one that belongs"):
        GenotypeStore.open(store)
    (store / "zarr.json").write_text(text)
    shutil.copy(other / PIECES, store / PIECES)
    with pytest.raises(StoreError, match="do not belong to each other"):
        GenotypeStore.open(store)


def test_an_array_that_was_put_there_later_is_not_read(stores):
    """Haploid calls of a shard that had none."""
    store, _ = stores
    there = next((store / schema.HAPLOID / "c").glob("*/0"))
    added = store / schema.HAPLOID / "c" / "0" / "0"
    added.parent.mkdir()
    shutil.copy(there, added)
    with pytest.raises(StoreError, match="not in its pieces"):
        verify_store(store, Silent())


def test_a_store_of_an_earlier_version_is_read_and_that_is_said_once(stores):
    store = without_root(stores[0])
    with pytest.warns(UserWarning, match=r"earlier genassoc.*Convert it again"):
        assert read_all(store).root is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_all(store)
    assert store_lines(store, True, Silent())[-1].startswith("verified in part")
    chunk = store / "variant_position" / "c" / "1"
    content = bytearray(chunk.read_bytes())
    content[9] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(StoreError, match="variant_position/c/1"):
        verify_store(store, Silent())
    chunk.unlink()
    with pytest.raises(StoreError, match="variant_position/c/1 is missing"):
        verify_store(store, Silent())


def test_the_command_names_the_piece(stores, genassoc):
    store, other = stores
    code, out, _ = genassoc("info", store, "--verify", "--json")
    assert code == 0 and json.loads(out)["verified"]["root"] == json.loads(out)["root"]
    shutil.copy(other / schema.GENOTYPES / "c" / "2" / "0", store / schema.GENOTYPES / "c" / "2" / "0")
    code, _, err = genassoc("info", store, "--verify")
    assert code == 1 and "call_genotype_packed/c/2/0" in err and "Traceback" not in err


def test_many_files_are_looked_at_as_they_are_read(stores, monkeypatch):
    """Their sizes are not asked for on opening; the reading finds what is wrong."""
    store, _ = stores
    monkeypatch.setattr(store_pieces, "_SIZES_AT_ONCE", 3)
    shard = store / schema.GENOTYPES / "c" / "3" / "0"
    shard.write_bytes(shard.read_bytes() + b"x")
    opened = GenotypeStore.open(store)
    opened.read(0, 96)
    with pytest.raises(StoreError, match=r"c/3/0 has [\d,]+ bytes and not"):
        opened.read(90, 100)


def test_the_root_does_not_tell_how_the_rows_came(tmp_path, made, monkeypatch):
    """Written in one go; interrupted and resumed, also from a journal of an earlier version: the same bytes."""
    monkeypatch.setattr(schema, "BLOCKS_PER_SHARD", 2)
    monkeypatch.setattr(schema, "METADATA_CHUNK", 50)
    source = GenotypeStore.open(made[0])
    table, names = source.variants(), [str(name) for name in source.sample_ids]
    block = source.read(0, V)
    roots = set()
    for name in ("whole", "resumed", "old"):
        path = tmp_path / f"{name}.zarr"
        if name != "whole":
            writer = StoreWriter(path, names, {"a": 1}, block_variants=16)
            writer.append(block.packed[:70], block.haploid[:70], table[:70])
            writer.close()
            journal = tmp_path / f"wip_{name}.zarr" / "parts" / "journal.jsonl"
            lines = [json.loads(line) for line in journal.read_text().splitlines()]
            assert "pieces" in lines[1]
            if name == "old":
                kept = [{name: line[name] for name in line if name not in ("seal", "table")} for line in lines]
                journal.write_text("".join(json.dumps({**line, "pieces": {}}) + "\n" for line in kept))
        writer = StoreWriter(path, names, {"a": 1}, block_variants=16)
        done = writer.n_rows
        writer.append(block.packed[done:], block.haploid[done:], table[done:])
        writer.finish({})
        roots.add(verify_store(path, Silent())["root"])
    assert len(roots) == 1


def interrupted(path: Path, source: GenotypeStore) -> StoreWriter:
    """A conversion that was killed after some parts, taken up again."""
    table, block = source.variants(), source.read(0, V)
    writer = StoreWriter(path, [str(name) for name in source.sample_ids], {"a": 1}, block_variants=16)
    if not writer.resumed:
        writer.append(block.packed[:110], block.haploid[:110], table[:110])
        writer.close()
    return writer


def test_what_an_interrupted_conversion_left_is_checked(tmp_path, made, monkeypatch):
    """A damaged line of the journal, or table of a part, counts as not done: else rows, haploid marks or alleles would be others."""
    monkeypatch.setattr(schema, "BLOCKS_PER_SHARD", 2)
    monkeypatch.setattr(schema, "METADATA_CHUNK", 50)
    source = GenotypeStore.open(made[0])
    table, block = source.variants(), source.read(0, V)
    path = tmp_path / "c.zarr"
    parts = tmp_path / "wip_c.zarr" / "parts"

    def line(change):
        def damage():
            lines = (parts / "journal.jsonl").read_text().splitlines()
            lines[2] = change(lines[2])
            (parts / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines))

        return damage

    def table_of(number):
        def damage():
            file = parts / f"part-{number:05d}.npz"
            content = bytearray(file.read_bytes())
            content[len(content) // 3] ^= 1
            file.write_bytes(content)

        return damage

    def cut():
        os.truncate(tmp_path / "wip_c.zarr" / "store" / schema.GENOTYPES / "c" / "1" / "0", 100)

    for damage, sound in (
        (line(lambda text: text.replace('"haploid_chunks": [3]', '"haploid_chunks": []')), 32),
        (line(lambda text: text.replace('"rows": 32', '"rows": 31')), 32),
        (line(lambda text: '[1, "x"]'), 32),
        (line(lambda text: '{"rows": "many"}'), 32),
        (table_of(1), 32),
        (table_of(0), 0),
        (cut, 32),
    ):
        shutil.rmtree(path, ignore_errors=True)
        interrupted(path, source)
        damage()
        writer = (
            interrupted(path, source)
            if sound
            else StoreWriter(path, list(source.sample_ids), {"a": 1}, block_variants=16)
        )
        assert writer.n_rows == sound and writer.resumed == bool(sound) and writer.discarded == (not sound)
        writer.append(block.packed[sound:], block.haploid[sound:], table[sound:])
        writer.finish({})
        stored = GenotypeStore.open(path)
        assert stored.fingerprint == source.fingerprint and stored.variants().equals(table)
        np.testing.assert_array_equal(stored.read(0, V).haploid, block.haploid)
        verify_store(path, Silent())

    shutil.rmtree(path)
    interrupted(path, source)
    writer = interrupted(path, source)
    table_of(0)()  # while the rest was converted
    writer.append(block.packed[96:], block.haploid[96:], table[96:])
    with pytest.raises(OutputError, match=r"part-00000\.npz: was damaged since"):
        writer.finish({})
    writer.close()


def test_a_store_that_is_exchanged_while_it_is_open_is_found_out(stores):
    store, other = stores
    opened, old = read_all(store), without_root(shutil.copytree(store, store.parent / "old.zarr"))
    with pytest.warns(UserWarning, match="earlier genassoc"):
        opened_old = read_all(old)
    calls = opened.read(0, V).packed
    for path in (store, old):
        path.rename(path.with_suffix(".away"))
        shutil.copytree(other, path)
    with pytest.raises(StoreError, match=r"is not the one that the store was written with|has [0-9,]+ bytes and not"):
        opened.read(0, V)
    with pytest.raises(StoreError, match="was written to since the store was opened"):
        opened_old.read(0, V)
    shutil.rmtree(store)
    shutil.copytree(store.with_suffix(".away"), store)  # the same files, copied anew: other times
    assert np.array_equal(opened.read(0, V).packed, calls)


def test_a_damaged_store_is_converted_again(tmp_path, made):
    """What the errors advise works: a store of the same inputs counts as made only where it is sound."""
    vcf = tmp_path / "a.vcf"
    vcf.write_text(
        '##fileformat=VCFv4.2\n##contig=<ID=1>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\n1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1\n"
    )
    link = tmp_path / "link.zarr"
    link.symlink_to("far.zarr")
    for out in (tmp_path / "c.zarr", link):  # a link to a store that is to be made stays one
        root = ga.convert(vcf, out).root
        flip = out / "call_genotype_packed" / "c" / "0" / "0"
        content = flip.read_bytes()
        flip.write_bytes(bytes([content[0] ^ 1]) + content[1:])  # what opening does not see
        assert ga.convert(vcf, out, overwrite=True).root == root
        verify_store(out, Silent())
        (out / "variant_position" / "c" / "0").unlink()
        with pytest.raises(StoreError, match=r"variant_position/c/0 is missing.*--force"):
            ga.convert(vcf, out)
        assert ga.convert(vcf, out, overwrite=True).root == root
        (without_root(out) / "zarr.json").touch()
        assert ga.convert(vcf, out, overwrite=True).root == root
    assert link.is_symlink()


def test_a_store_in_memory_of_fsspec_is_held_against_its_root(stores):
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    store, other = stores
    system = fsspec.filesystem("memory")
    system.put(str(store), "/roots/a.zarr", recursive=True)
    address = "memory://roots/a.zarr"
    assert verify_store(address, Silent())["root"] == read_all(address).root
    for key in ("call_genotype_packed/c/2/0", "variant_position/c/1", "sample_id/c/0"):
        system.pipe(f"/roots/a.zarr/{key}", (other / key).read_bytes())
        with pytest.raises(StoreError, match=f"the file {key}"):
            read_all(address)
        with pytest.raises(StoreError, match=key):
            verify_store(address, Silent())
        system.put(str(store / key), f"/roots/a.zarr/{key}")
    read_all(address)


def test_the_provenance_of_a_run_holds_the_root(stores, tmp_path):
    store, _ = stores
    rows = "".join(f"s{i}\t{i * 7 % 11}\n" for i in range(N))
    (tmp_path / "phenotypes.tsv").write_text("IID\ty\n" + rows)
    cohort = ga.Cohort.align(ga.open_store(store), tmp_path / "phenotypes.tsv")
    results = ga.associate(cohort, ga.Linear(traits=["y"]), executor=ga.Serial(), audit=0)
    assert results.provenance["inputs"]["store"]["root"] == cohort.store.root


@pytest.mark.integration
def test_the_warnings_of_commands_are_lines(stores):
    store = without_root(stores[0])
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "genassoc", "info", str(store)]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    (line,) = run.stderr.splitlines()
    assert line.startswith("genassoc: warning: ") and "earlier genassoc" in line
