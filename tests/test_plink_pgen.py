"""PGEN: calls and dosages of files that plink2 made; several ALTs, phase, lists in every form; headers that lie are refused."""

import re

import numpy as np
import polars as pl
import pytest
import zstandard
from oracles import packed as packed_oracle
from plink_files import plink2, random_codes, write_fileset
from real_data import real_data

import genassoc as ga
from genassoc.data.block import NO_DOSAGE
from genassoc.errors import InputError, MissingExtraError
from genassoc.formats import inputs
from genassoc.formats.convert import convert
from genassoc.formats.plink import fileset, pgen, pgen_header
from genassoc.formats.reading import AS_IT_IS, Reading
from genassoc.formats.source import Place

pgenlib = pytest.importorskip("pgenlib")
N = 60
HEADER = """##fileformat=VCFv4.3
##contig=<ID=1,length=248956422>
##contig=<ID=X,length=156040895>
##FILTER=<ID=q10,Description="low">
##INFO=<ID=R2,Number=1,Type=Float,Description="quality">
##INFO=<ID=CSQ,Number=.,Type=String,Description="consequence">
##FORMAT=<ID=GT,Number=1,Type=String,Description="call">
##FORMAT=<ID=DS,Number=A,Type=Float,Description="dosage">
"""


def vcf_of(path, *, dosages, seed=5, n_variants=80):
    """Phased and unphased calls, some missing; with several ALTs, or with dosages."""
    rng = np.random.default_rng(seed)
    lines = [HEADER + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t" + "\t".join(f"s{i}" for i in range(N))]
    for v in range(n_variants):
        n_alternates = 1 if dosages else int(rng.choice([1, 1, 2, 3, 5]))
        calls = rng.integers(0, n_alternates + 1, (N, 2)) * (rng.random((N, 2)) < rng.choice([0.01, 0.1, 0.5, 0.95]))
        cells = []
        for a, b in calls:
            if rng.random() < 0.03:
                cells.append("./.")
                continue
            text = f"{min(a, b)}/{max(a, b)}" if v % 2 else f"{a}|{b}"
            if dosages:
                moved = rng.uniform(-0.5, 0.5) if v % 4 and rng.random() < 0.5 else 0
                text += f":{min(2, max(0, a + b + moved)):.3f}"
            cells.append(text)
        alts = ",".join(["C", "G", "T", "AC", "AG"][:n_alternates])
        info = f"R2={v / 100};CSQ=a|b{v}" if v % 3 else "CSQ=a"
        keys = "GT:DS" if dosages else "GT"
        contig = "1" if v < n_variants - 10 else "X"
        fixed = [contig, 1000 + v, f"rs{v}" if v % 5 else ".", "A", alts, ".", "PASS" if v % 4 else "q10", info, keys]
        lines.append("\t".join(map(str, [*fixed, *cells])))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pgen")
    plink2("--vcf", vcf_of(folder / "many.vcf", dosages=False), "--make-pgen", "--out", folder / "many")
    plink2("--vcf", vcf_of(folder / "dose.vcf", dosages=True), "dosage=DS", "--make-pgen", "--out", folder / "dose")
    return folder


def decoded(path, columns=None, region=None, start=None, reading=AS_IT_IS):
    """(codes, steps, dosages in copies with NaN (V, N), table, source, batches) of all pieces."""
    source = inputs.open_source(path, inputs.parse_regions(region), reading=reading)
    columns = np.arange(len(source.sample_ids)) if columns is None else np.asarray(columns)
    batches = [piece.decode() for piece in source.pieces(columns, start)]
    codes, steps, values = [], [], []
    for batch in batches:
        codes.append(packed_oracle.unpack(batch.packed, columns.size))
        dense = np.full((len(batch.packed), columns.size), np.nan)
        of = np.zeros(len(batch.packed), np.uint16) if batch.dosages is None else batch.dosages.steps
        if batch.dosages is not None:
            found = batch.dosages.values
            dense[of > 0] = np.where(found == NO_DOSAGE, np.nan, found / 16384)
        steps.append(of)
        values.append(dense)
    table = pl.concat([batch.variants for batch in batches])
    return np.concatenate(codes), np.concatenate(steps), np.concatenate(values), table, source, batches


def of_vcf(path):
    source = inputs.open_source(path, [])
    batches = [piece.decode() for piece in source.pieces(np.arange(N), None)]
    codes = np.concatenate([packed_oracle.unpack(batch.packed, N) for batch in batches])
    return codes, pl.concat([batch.variants for batch in batches])


def test_several_alts_give_the_rows_of_the_vcf(made, monkeypatch):
    codes, table = of_vcf(made / "many.vcf")
    monkeypatch.setattr(fileset, "MOST_LINES", 9)
    found, steps, _, rows, source, batches = decoded(made / "many.pgen")
    assert rows.drop("record").equals(table.drop("record")) and table["alt_index"].max() > 2
    np.testing.assert_array_equal(found, codes)
    assert not steps.any() and not source.has_dosages
    assert source.contig_lengths == {"1": 248956422, "X": 156040895}
    said = " ".join(source.notes)
    assert "phase is not kept" in said and "calls on X" in said
    columns = np.random.default_rng(2).permutation(N)[:23]
    np.testing.assert_array_equal(decoded(made / "many.pgen", columns)[0], codes[:, columns])
    some = decoded(made / "many.pgen", columns, region=["1:1020-1039", "X"])
    keep = (table["base_pair_location"].is_between(1020, 1039) | (table["chromosome"] == "X")).to_numpy()
    np.testing.assert_array_equal(some[0], codes[keep][:, columns])
    for batch in batches[::3]:
        rest = decoded(made / "many.pgen", start=Place(*batch.place))
        np.testing.assert_array_equal(rest[0], codes[len(codes) - len(rest[0]) :])


def test_dosages_are_those_of_the_vcf(made, monkeypatch):
    monkeypatch.setattr(fileset, "PIECE_BYTES", 2**13)
    monkeypatch.setattr(pgen, "_BUFFER_BYTES", 3 * 4 * N)
    found, steps, dosages, _, source, _ = decoded(made / "dose.pgen")
    assert source.has_dosages and not source.has_probabilities
    wanted = []
    for line in (made / "dose.vcf").read_text().splitlines():
        if not line.startswith("#"):
            wanted.append([np.nan if cell == "./." else float(cell.split(":")[1]) for cell in line.split("\t")[9:]])
    wanted = np.array(wanted)
    whole = np.array([(row[~np.isnan(row)] % 1 == 0).all() for row in wanted])
    assert whole.any() and (steps[whole] == 0).all() and (steps[~whole] == 16384).all()
    # plink2 rounds a dosage to the nearest of 1/16384
    np.testing.assert_allclose(dosages[~whole], wanted[~whole], atol=0.5 / 16384 + 1e-9, rtol=0)
    nearest = np.where(np.isnan(wanted), 3, np.rint(np.nan_to_num(wanted)))
    close = np.abs(np.nan_to_num(wanted) - nearest) <= 0.1  # as PLINK 2's hard calls
    unclear = np.abs(np.abs(np.nan_to_num(wanted) - np.rint(np.nan_to_num(wanted))) - 0.1) < 1e-3
    expected = np.where(close, nearest, 3)
    np.testing.assert_array_equal(found[~unclear], expected[~unclear])
    columns = np.random.default_rng(4).permutation(N)[:11]
    np.testing.assert_array_equal(decoded(made / "dose.pgen", columns)[2], dosages[:, columns])
    calls = decoded(made / "dose.pgen", reading=Reading(dosage="GT"))
    assert not calls[1].any() and not calls[4].has_dosages and any("not read" in note for note in calls[4].notes)


def test_filter_and_info(made):
    _, _, _, _, source, batches = decoded(made / "dose.pgen", reading=Reading(info=("CSQ", "R2", "ABSENT")))
    assert source.annotations == ("FILTER", "INFO/CSQ", "INFO/R2", "INFO/ABSENT", "info_source")
    texts = {name: [] for name in source.annotations}
    for batch in batches:
        assert tuple(batch.columns.annotations) == source.annotations
        for name, column in batch.columns.annotations.items():
            texts[name] += column.series().to_list()
    assert texts["FILTER"] == ["PASS" if v % 4 else "q10" for v in range(80)]
    # plink2 writes an INFO as it was read
    assert texts["INFO/R2"] == [str(v / 100) if v % 3 else "." for v in range(80)] == texts["info_source"]
    assert texts["INFO/CSQ"] == [f"a|b{v}" if v % 3 else "a" for v in range(80)]
    assert texts["INFO/ABSENT"] == ["."] * 80 and any("ABSENT" in note for note in source.notes)
    everything = decoded(made / "dose.pgen")
    passed = decoded(made / "dose.pgen", reading=Reading(pass_only=True))
    keep = np.arange(80) % 4 > 0
    np.testing.assert_array_equal(passed[0], everything[0][keep])
    np.testing.assert_array_equal(passed[2], everything[2][keep])
    assert sum(batch.counters["filtered_out"] for batch in passed[5]) == 20


def test_lists_in_every_form(made, tmp_path):
    expected = decoded(made / "dose.pgen")
    whole, pvar = (made / "dose.pgen").read_bytes(), (made / "dose.pvar").read_bytes()
    for number, (name, content) in enumerate(
        [
            ("x.pvar.zst", zstandard.compress(pvar)),
            ("x.pvar", pvar.replace(b"\n", b"\r\n") + b"\r\n\n"),
            ("x.bim", b"".join(b"%s %s 0 %s %s %s\n" % tuple(f[k] for k in (0, 2, 1, 4, 3)) for line in pvar.splitlines()
                               if not line.startswith(b"#") for f in [line.split(b"\t")])),
        ]
    ):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "x.pgen").write_bytes(whole)
        (folder / name).write_bytes(content)
        (folder / "x.fam").write_text("".join(f"0 s{i} 0 0 {i % 3} -9\n" for i in range(N)))
        found = decoded(folder / "x.pgen")
        np.testing.assert_array_equal(found[2], expected[2])
        assert found[3].equals(expected[3])
        assert found[4].sexes == tuple(i % 3 for i in range(N))
        start = Place(*found[5][-1].place)
        np.testing.assert_array_equal(decoded(folder / "x.pgen", start=start)[0], found[0][-len(found[5][-1].packed) :])


def test_fixed_width_files(made, tmp_path):
    codes = random_codes(7, 13)
    write_fileset(tmp_path / "x", codes)
    genotypes = b"".join(packed_oracle.pack(row[None], 8)[0, :4].tobytes() for row in codes & 3)
    genotypes = b"".join(_without_padding(genotypes[4 * v : 4 * v + 4], 13) for v in range(7))
    head = (7).to_bytes(4, "little") + (13).to_bytes(4, "little") + b"\x40"
    (tmp_path / "x.pgen").write_bytes(b"\x6c\x1b\x02" + head + genotypes)
    np.testing.assert_array_equal(decoded(tmp_path / "x.pgen")[0], codes)
    doses = np.random.default_rng(1).integers(0, 32769, (7, 13)).astype("<u2")
    doses[2, 3] = 65535
    rows = b"".join(genotypes[4 * v : 4 * v + 4] + doses[v].tobytes() for v in range(7))
    (tmp_path / "x.pgen").write_bytes(b"\x6c\x1b\x03" + head + rows)
    found = decoded(tmp_path / "x.pgen")
    assert (found[1] == 16384).all()
    known = doses != 65535
    np.testing.assert_array_equal(found[2][known] * 16384, doses[known])


def _without_padding(row, n):
    last = row[(n + 3) // 4 - 1] & ((1 << 2 * (n % 4)) - 1 if n % 4 else 255)
    return row[: (n + 3) // 4 - 1] + bytes([last])


def test_more_threads_than_readers(made, monkeypatch, tmp_path):
    monkeypatch.setattr(fileset, "MOST_LINES", 5)
    monkeypatch.setattr(pgen, "READERS_BYTES", 1)
    convert(made / "many.pgen", tmp_path / "a.zarr", threads=4)
    store = ga.open_store(tmp_path / "a.zarr")
    np.testing.assert_array_equal(store.read(0, store.n_variants).codes(), of_vcf(made / "many.vcf")[0])


def test_without_pgenlib_what_to_install_is_said(made, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pgenlib", None)
    with pytest.raises(MissingExtraError, match=re.escape("genassoc[pgen]")):
        inputs.open_source(made / "many.pgen", [])


def number(at, width, value):
    def change(data):
        data[at : at + width] = value.to_bytes(width, "little")

    return change


def cut(n):
    def change(data):
        del data[n:]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut(8), "is cut"),
        (cut(40), "is cut"),
        (cut(-1), "is cut"),
        (number(2, 1, 0x77), "mode 0x77"),
        (number(2, 1, 0x20), "its index apart"),
        (number(2, 1, 0x11), "extensions"),
        (number(3, 4, 0), "0 variants"),
        (number(3, 4, 2**32 - 1), "it is damaged"),
        (number(3, 4, 2**30), "more is kept in memory|does not fit"),
        (number(3, 4, 81), "."),
        (number(3, 4, 79), "."),
        (number(7, 4, 2**31 - 3), "restore the files of one set"),
        (number(7, 4, 59), "restore the files of one set"),
        (number(11, 1, 0x49), "header kind 9"),
        (number(11, 1, 0x65), "more than 255 alleles"),
        (number(12, 8, 2**63), "it is cut or damaged"),
        (number(12, 8, 2**64 - 1), "it is cut or damaged"),
        (number(12, 8, 2), "the header is damaged"),
        (number(20, 1, 2), "record 1 is of type 0x02"),
        (number(20, 1, 0x80), "record 1 is of type 0x80"),
        (number(100, 2, 65535), "."),
    ],
)  # fmt: skip
def test_headers_that_lie(made, tmp_path, change, words):
    data = bytearray((made / "many.pgen").read_bytes())
    change(data)
    (tmp_path / "x.pgen").write_bytes(data)
    for suffix in (".pvar", ".psam"):
        (tmp_path / f"x{suffix}").write_bytes((made / f"many{suffix}").read_bytes())
    with pytest.raises(InputError, match=words):
        inputs.open_source(tmp_path / "x.pgen", [])


def test_probabilities_are_not_in_a_pgen(made):
    with pytest.raises(InputError, match="no probabilities"):
        inputs.open_source(made / "dose.pgen", [], reading=Reading(dosage="GP"))


def test_lists_of_another_set(made, tmp_path):
    for suffix in (".pgen", ".pvar", ".psam"):
        (tmp_path / f"x{suffix}").write_bytes((made / f"many{suffix}").read_bytes())
    pvar = (tmp_path / "x.pvar").read_text().splitlines(keepends=True)
    (tmp_path / "x.pvar").write_text("".join(pvar[:-1]))
    with pytest.raises(InputError, match="names 79; restore"):
        inputs.open_source(tmp_path / "x.pgen", [])
    (tmp_path / "x.pvar").write_text(
        "".join(line if line[0] == "#" else re.sub("\tA\t[ACGT,]+", "\tA\tC", line) for line in pvar)
    )
    with pytest.raises(InputError, match=r"has one ALT, and x\.pgen has calls of several"):
        inputs.open_source(tmp_path / "x.pgen", [])


def test_header_of_a_real_file():
    data = real_data("regenie-example")
    header = pgen_header.read_header(data / "example.pgen", 2**30)
    assert (header.n_variants, header.n_samples, header.provisional) == (1000, 500, 2)
    assert not header.has_dosages and not header.is_phased
