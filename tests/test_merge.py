"""Files of different samples, merged by position as they are read: against a slow twin that knows all records at once."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import genassoc as ga
from genassoc.data import schema
from genassoc.data.block import NO_DOSAGE, DosageRows, GenotypeBlock
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.formats import bgzf, merge
from genassoc.formats.convert import convert
from genassoc.formats.convert_plan import plan_conversion
from genassoc.formats.inputs import in_genome_order, open_source, sample_groups
from genassoc.formats.merge import MergedSource
from genassoc.formats.merge_rows import Part, Reference, joined_rows
from genassoc.formats.reading import Reading
from genassoc.kernels.genotypes.packed import pack
from genassoc.shapes import packed_bytes

HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=1>\n##contig=<ID=2>\n##contig=<ID=10>\n"
    '##INFO=<ID=END,Number=1,Type=Integer,Description="x">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"
)
REFERENCE = (".", "<*>", "<NON_REF>")


def write(path: Path, samples, records) -> Path:
    """A file of records (contig, position, id, ref, alt, filter, info, calls)."""
    lines = [
        f"{c}\t{p}\t{i}\t{ref}\t{alt}\t.\t{passed}\t{info}\tGT\t" + "\t".join(calls)
        for c, p, i, ref, alt, passed, info, calls in records
    ]
    path.write_text(HEADER + "\t".join(samples) + "\n" + "".join(f"{line}\n" for line in lines))
    return path


def records_of(rng, n_samples, n_records, blocks):
    """Sorted records on two contigs, near each other, so that files share positions; some are stretches of reference calls."""
    records = []
    for contig in ("1", "10"):
        positions = np.sort(rng.integers(1, n_records, n_records // 2))
        for position in positions.tolist():
            info, passed = ".", str(rng.choice(["PASS", ".", "q10", "s50;q10"]))
            alt = str(rng.choice(["C", "C,G", "G", "T,C,G"]))
            if blocks and rng.random() < 0.5:
                alt, info = (
                    str(rng.choice(REFERENCE)),
                    str(rng.choice([".", f"END={position + int(rng.integers(0, 30))}"])),
                )
            n_alts = 0 if alt in REFERENCE else alt.count(",") + 1
            alleles = [str(k) for k in range(n_alts + 1)]
            calls = [
                str(rng.choice([*alleles[:1], f"{rng.choice(alleles)}/{rng.choice(alleles)}", "./.", "0/0"]))
                for _ in range(n_samples)
            ]
            records.append(
                (
                    contig,
                    position,
                    f"rs{position}" if rng.random() < 0.3 else ".",
                    str(rng.choice(["A", "A", "AT"])),
                    alt,
                    passed,
                    info,
                    calls,
                )
            )
    return records


def code(call: str, k: int) -> int:
    alleles = call.split("/")
    if "." in alleles:
        return 3
    return sum(a == str(k) for a in alleles) * (2 if len(alleles) == 1 else 1)


def slow(files, missing_to_ref):
    """{(contig, position, ref, alt, nth): calls of all samples}: what the store must hold, from all records of all files."""
    rows, n_samples = {}, sum(len(samples) for samples, _ in files)
    at = 0
    columns = []
    for samples, records in files:
        seen = {}
        for contig, position, _, ref, alts, _, _, calls in records:
            for k, alt in enumerate(alts.split(","), start=1):
                if alt in REFERENCE:
                    continue
                nth = seen[contig, position, ref, alt] = seen.get((contig, position, ref, alt), -1) + 1
                row = rows.setdefault((contig, position, ref, alt, nth), {})
                row[at] = [code(call, k) for call in calls]
        columns.append((at, len(samples)))
        at += len(samples)
    merged = {}
    for name, row in rows.items():
        contig, position, ref, _, _ = name
        values = [0 if missing_to_ref else 3] * n_samples
        for (start, n), (_, records) in zip(columns, files):
            if start in row:
                values[start : start + n] = row[start]
                continue
            here = [r for r in records if r[0] == contig]
            same = [r for r in here if r[1] == position and r[3] == ref and r[4] not in REFERENCE]
            stretches = [r for r in here if r[4] in REFERENCE and r[1] <= position <= last(r)]
            for r in same[:1] or stretches[-1:]:
                values[start : start + n] = [3 if "." in c.split("/") else 0 for c in r[7]]
        merged[name] = values
    return merged


def last(record):
    info = record[6]
    return int(info.removeprefix("END=")) if info.startswith("END=") else record[1] + len(record[3]) - 1


def held(path):
    """{(contig, position, ref, alt, nth): calls} of a store."""
    store = ga.open_store(path)
    codes = store.read(0, store.n_variants).codes()
    found, seen = {}, {}
    for row, values in zip(store.variants(0, store.n_variants).rows(named=True), codes.tolist()):
        name = (row["chromosome"], row["base_pair_location"], row["other_allele"], row["effect_allele"])
        nth = seen[name] = seen.get(name, -1) + 1
        found[(*name, nth)] = values
    return store, found


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three files of other samples with sites of their own, two of them with reference blocks; few enough blocks to overlap rarely."""
    folder = tmp_path_factory.mktemp("three")
    files = []
    for number, (n, blocks) in enumerate(((3, False), (1, True), (2, True))):
        rng = np.random.default_rng(number)
        samples = [f"s{number}_{i}" for i in range(n)]
        files.append((samples, records_of(rng, n, 240, blocks)))
        write(folder / f"{number}.vcf", *files[-1])
    return folder, files


@pytest.mark.parametrize("missing_to_ref", [False, True])
def test_calls_are_those_of_the_slow_twin(three, tmp_path, missing_to_ref):
    folder, files = three
    summary = convert(str(folder / "*.vcf"), tmp_path / "a.zarr", reading=Reading(missing_to_ref=missing_to_ref))
    store, found = held(tmp_path / "a.zarr")
    order = [name for samples, _ in files for name in samples]
    wanted = slow(files, missing_to_ref)
    at = [list(store.sample_ids).index(name) for name in order]
    assert {name: [values[i] for i in at] for name, values in found.items()} == wanted
    assert summary.records == sum(len(records) for _, records in files)
    changes = summary.call_changes
    assert changes["reference_block_calls"] > 0
    assert changes["absent_to_ref" if missing_to_ref else "absent_calls"] > 0
    n_blocks = sum(r[4] in REFERENCE for _, records in files for r in records)
    assert sum(summary.dropped.values()) == n_blocks
    assert any("3 sets of samples" in line for line in summary.lines())
    table = store.variants(0, store.n_variants)
    positions = table.filter(pl.col("chromosome") == "1")["base_pair_location"].to_list()
    assert positions == sorted(positions) and table["chromosome"].unique(maintain_order=True).to_list() == ["1", "10"]
    # an ALT stands once in a record, and ALTs of one record share REF
    for _, record in table.group_by("record"):
        assert record["effect_allele"].n_unique() == record.height and record["other_allele"].n_unique() == 1
        assert sorted(record["alt_index"].to_list()) == list(range(1, record.height + 1))


def merged(paths, **reading) -> MergedSource:
    opened = [open_source(path, [], reading=Reading(**reading, blocks=True)) for path in paths]
    return MergedSource(sample_groups(opened), Reading(**reading), 2)


def taken(batches):
    packed = np.concatenate([batch.packed for batch in batches])
    counters = {}
    for batch in batches:
        for name, n in {**batch.counters, **{f"filter {k}": n for k, n in batch.filters.items()}}.items():
            counters[name] = counters.get(name, 0) + n
    names = [row[:5] for batch in batches for row in batch.variants.rows()]
    return packed.tobytes(), names, counters


def test_any_piece_can_be_read_again_however_the_files_are_cut_then(three, monkeypatch):
    folder, _ = three
    paths = sorted(folder.glob("*.vcf"))
    columns = np.array([5, 0, 2, 3, 4], dtype=np.int64)
    monkeypatch.setattr(merge, "MOST_ROWS", 7)
    whole = [piece.decode() for piece in merged(paths).pieces(columns, None)]
    assert len(whole) > 20
    monkeypatch.setattr(bgzf, "PLAIN_BYTES", 700)
    again = [piece.decode() for piece in merged(paths).pieces(columns, None)]
    assert taken(again) == taken(whole)
    total = taken(whole)[2]
    for cut in (300, 1100):
        for number in (1, 5, len(again) // 2, len(again) - 2):
            monkeypatch.setattr(bgzf, "PLAIN_BYTES", cut)
            rest = [piece.decode() for piece in merged(paths).pieces(columns, again[number].place)]
            packed, names, counters = taken(rest)
            assert (packed, names) == taken(again[number:])[:2]
            before = taken(again[:number])[2]
            assert {name: counters.get(name, 0) + before.get(name, 0) for name in total} == total


def test_files_by_sample_and_chromosome(three, tmp_path):
    folder, files = three
    paths = []
    for number, (samples, records) in enumerate(files):
        for contig in ("10", "1"):
            paths.append(
                write(tmp_path / f"g{number}.chr{contig}.vcf", samples, [r for r in records if r[0] == contig])
            )
    convert(paths, tmp_path / "a.zarr")
    convert(sorted(folder.glob("*.vcf")), tmp_path / "b.zarr")
    (one, mine), (other, theirs) = held(tmp_path / "a.zarr"), held(tmp_path / "b.zarr")
    at = [list(one.sample_ids).index(name) for name in other.sample_ids]
    assert {name: [values[i] for i in at] for name, values in mine.items()} == theirs


def test_the_same_sites_pass_as_they_are(tmp_path):
    rng = np.random.default_rng(8)
    records = records_of(rng, 5, 60, False)
    whole = write(tmp_path / "w.vcf", [f"s{i}" for i in range(5)], records)
    parts = [
        write(tmp_path / f"{a}.vcf", [f"s{i}" for i in range(a, b)], [(*r[:7], r[7][a:b]) for r in records])
        for a, b in pairwise((0, 2, 5))
    ]
    one, two = convert(whole, tmp_path / "w.zarr"), convert(parts, tmp_path / "p.zarr")
    assert held(tmp_path / "w.zarr")[1] == held(tmp_path / "p.zarr")[1]
    assert (
        one.filters == two.filters and one.haploid_calls == two.haploid_calls and "absent_calls" not in two.call_changes
    )


def test_some_samples(three, tmp_path):
    folder, files = three
    kept = [files[0][0][1], files[2][0][0]]
    (tmp_path / "keep").write_text("\n".join(kept))
    convert(str(folder / "*.vcf"), tmp_path / "a.zarr", samples=tmp_path / "keep")
    store, found = held(tmp_path / "a.zarr")
    chosen = [
        ([name], [(*r[:7], [r[7][samples.index(name)]]) for r in records])
        for name in kept
        for samples, records in files
        if name in samples
    ]
    at = [list(store.sample_ids).index(name) for name in kept]
    assert {name: [values[i] for i in at] for name, values in found.items()} == slow(chosen, False)


def test_what_cannot_be_merged_is_refused(three, tmp_path):
    folder, files = three
    samples, records = files[0]
    back = write(tmp_path / "back.vcf", ["x"], [(*r[:7], r[7][:1]) for r in (records[9], records[3])])
    with pytest.raises(ga.InputError, match=r"back\.vcf: the record at 1:\d+ stands behind 1:\d+.*bcftools sort"):
        convert([folder / "0.vcf", back], tmp_path / "a.zarr")
    overlapping = write(tmp_path / "over.vcf", [samples[0], "x"], [])
    with pytest.raises(ga.InputError, match="holds other samples than"):
        convert([folder / "0.vcf", overlapping], tmp_path / "a.zarr")
    other = write(tmp_path / "chr.vcf", ["x"], [("chr1", *r[1:7], r[7][:1]) for r in records[:3]])
    with pytest.raises(ga.InputError, match="names its contigs like"):
        convert([folder / "0.vcf", other], tmp_path / "a.zarr")
    with pytest.raises(ga.PlanError, match="one job"):
        plan_conversion(sorted(folder.glob("*.vcf")), tmp_path / "work", 2)
    with pytest.raises(ga.PlanError, match="too little to merge"):
        convert(sorted(folder.glob("*.vcf")), tmp_path / "a.zarr", memory="60MiB")
    bad = write(tmp_path / "bad.vcf", ["x"], [(*records[0][:7], ["0/x"])])
    with pytest.raises(ga.InputError, match=r"bad\.vcf:7: .*'x'"):
        convert([folder / "0.vcf", bad], tmp_path / "a.zarr")


def test_files_come_in_the_order_of_the_genome(tmp_path):
    names = ["10", "2", "X", "1"]
    for contig in names:
        write(tmp_path / f"c.chr{contig}.vcf", ["a", "b"], [(contig, 5, ".", "A", "C", "PASS", ".", ["0/1", "0/0"])])
    write(tmp_path / "c.chr2_later.vcf", ["b", "a"], [("2", 900, ".", "A", "C", "PASS", ".", ["0/1", "0/0"])])
    given = sorted(tmp_path.glob("*.vcf"), reverse=True)
    store = ga.convert(given, tmp_path / "a.zarr")
    table = store.variants(0, store.n_variants)
    assert (
        table["chromosome"].to_list() == ["1", "2", "2", "10", "X"] and table["base_pair_location"].to_list()[2] == 900
    )
    assert convert(given[::-1], tmp_path / "a.zarr").already_complete
    empty = write(tmp_path / "empty.vcf", ["a", "b"], [])
    opened = [open_source(path, []) for path in [*given, empty]]
    assert in_genome_order(opened) == opened  # one does not say where it begins


# Dosages --------------------------------------------------------------------------------------------------------------


def part(samples, positions, codes, steps, values, homozygous=None):
    samples, codes = np.array(samples, np.int64), np.array(codes, np.uint8).reshape(len(positions), -1)
    packed = np.empty((len(positions), packed_bytes(samples.size)), np.uint8)
    pack(codes, packed)
    texts = [TextColumn.of([word] * len(positions)) for word in ("C", "A", ".")]
    n = len(positions)
    columns = VariantColumns((), np.array(positions), *texts, np.arange(n), np.ones(n, np.int32))
    rows = (
        None
        if steps is None
        else DosageRows(
            *(np.array(x, np.uint16) for x in (steps, values)),
            None if homozygous is None else np.array(homozygous, np.uint16),
        )
    )
    return Part(samples, np.array(positions, np.int64), columns, packed, None, rows, Reference.joined([], samples.size))


def test_dosages_meet_calls_and_other_steps():
    one = part(
        [0, 1],
        [5, 6, 7],
        [[0, 1], [2, 3], [1, 1]],
        [255, 0, 255],
        [[10, 300], [255, NO_DOSAGE]],
        [[0, 60], [0, NO_DOSAGE]],
    )
    two = part([2], [5, 7, 9], [[2], [1], [0]], [1000, 255, 1000], [[1900], [200], [3]])
    joined = joined_rows([one, two], 3, ["1"], missing_to_ref=False)
    assert joined.dosages.steps.tolist() == [32767, 0, 255, 1000]
    copies = joined.dosages.values.astype(float) / np.array([[32767], [255], [1000]])
    copies[joined.dosages.values == NO_DOSAGE] = np.nan
    # half a step of 32767 is the error of the first row; the others are exact
    np.testing.assert_allclose(
        copies, [[10 / 255, 300 / 255, 1.9], [1, np.nan, 200 / 255], [np.nan, np.nan, 0.003]], atol=0.5 / 32767
    )
    assert joined.dosages.homozygous[0, 2] == NO_DOSAGE and joined.dosages.homozygous[1].tolist() == [
        0,
        NO_DOSAGE,
        NO_DOSAGE,
    ]
    assert GenotypeBlock(joined.packed, 3).codes().tolist() == [[0, 1, 2], [2, 3, 3], [1, 1, 1], [3, 3, 0]]
    to_ref = joined_rows([one, two], 3, ["1"], missing_to_ref=True)
    assert to_ref.dosages.values[2].tolist() == [0, 0, 3]


def test_an_interrupted_merge_goes_on_to_the_same_bytes(three, tmp_path, monkeypatch):
    folder, _ = three
    for module, name, value in (
        (schema, "MAX_BLOCK_VARIANTS", 16), (schema, "BLOCKS_PER_SHARD", 2), (bgzf, "PLAIN_BYTES", 900), (merge, "MOST_ROWS", 9),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    paths = sorted(folder.glob("*.vcf"))
    convert(paths, tmp_path / "whole.zarr")
    made, limit = MergedSource._batch, [30]

    def stopped(self, *args):
        limit[0] -= 1
        if limit[0] < 0:
            raise KeyboardInterrupt
        return made(self, *args)

    monkeypatch.setattr(MergedSource, "_batch", stopped)
    resumed = []
    for size in (900, 350, 2000, 900, 700, 900):  # the files are cut otherwise each time
        monkeypatch.setattr(bgzf, "PLAIN_BYTES", size)
        limit[0] = 30
        try:
            summary = convert(paths, tmp_path / "parts.zarr")
        except KeyboardInterrupt:
            continue
        resumed.append(summary.resumed_rows)
        break
    assert resumed and resumed[0] > 0
    for name in ("pieces.txt", "zarr.json"):
        assert (tmp_path / "parts.zarr" / name).read_bytes() == (tmp_path / "whole.zarr" / name).read_bytes()
