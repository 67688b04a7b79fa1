"""A Parquet lake of carriers: its two layouts give one store; what an absent call is, the user says."""

import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fuzzing import taken
from oracles import listed_calls as oracle
from test_export import same_calls

import genassoc as ga
from genassoc.data.block import GenotypeBlock
from genassoc.errors import InputError
from genassoc.formats.source import RecordError
from genassoc.kernels.genotypes.listed_calls import clear_calls, fill_reference, put_calls

REAL = Path(os.environ.get("GENASSOC_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "sake"
PEOPLE = ["p0", "p1", "p2", "p3", "p4"]
VARIANTS = [
    (10, "2", 500, "A", "C"), (11, "2", 100, "A", "G"), (12, "2", 100, "A", "C"), (2**63 + 7, "10", 7, "ATT", "A"),
    (13, "X", 90, "G", "T"), (14, "X", 80, "G", "*****"), (15, "10", 9, "C", "T"),
]  # fmt: skip
# variant, person, gt, ad, dp, gq
CALLS = [
    (10, "p0", 1, [5, 6], 11, 99), (10, "p3", 2, [0, 9], 9, 20), (11, "p1", 1, [9, 1], 10, 50), (12, "p1", 1, [4, 4], 8, None),
    (2**63 + 7, "p4", 2, [1, 30], 31, 99), (13, "p2", 2, [0, 3], 3, 9), (13, "p0", None, None, None, None), (14, "p4", 1, [8, 8], 16, 60),
]  # fmt: skip


def genotypes(calls):
    types = {
        "id": pl.UInt64,
        "sample": pl.String,
        "gt": pl.UInt8,
        "ad": pl.List(pl.UInt32),
        "dp": pl.UInt32,
        "gq": pl.UInt32,
    }
    return pl.DataFrame(calls, schema=types, orient="row")


def make_lake(root, layouts=("samples", "partitions"), calls=CALLS):
    """A lake with families of two, whose files have names that are patterns elsewhere."""
    variants = pl.DataFrame(
        VARIANTS, schema={"id": pl.UInt64, "chr": pl.String, "pos": pl.UInt64, "ref": pl.String, "alt": pl.String}, orient="row"
    )  # fmt: skip
    (root / "variants").mkdir(parents=True)
    for (name,), table in variants.group_by("chr"):
        table.write_parquet(root / "variants" / f"{name}.parquet")
    table = genotypes(calls)
    for name in layouts:
        folder = root / "genotypes" / name
        folder.mkdir(parents=True)
        if name == "samples":
            for family in range(3):
                people = PEOPLE[2 * family : 2 * family + 2]
                table.filter(pl.col("sample").is_in(people)).write_parquet(folder / f"f[{family}]*.parquet")
        else:
            for (part,), rows in table.with_columns(part=pl.col("id") % 3).group_by("part"):
                (folder / f"id_part={part}").mkdir()
                rows.drop("part").write_parquet(folder / f"id_part={part}" / "0.parquet")
    return root


def expected(reference=None):
    """Variants in order, and codes (V, N)."""
    order = sorted(VARIANTS, key=lambda v: (["2", "10", "X"].index(v[1]), *v[2:]))
    codes = np.full((len(order), len(PEOPLE)), 0, np.uint8)
    if reference is not None:
        codes[[not reference(v) for v in order]] = 3
    for number, person, gt, *_ in CALLS:
        row = next(k for k, v in enumerate(order) if v[0] == number)
        codes[row, PEOPLE.index(person)] = 3 if gt is None else gt
    return [v[1:] for v in order], codes


def test_both_layouts_give_what_is_listed(tmp_path):
    lake = make_lake(tmp_path / "germline")
    variants, codes = expected()
    stores = []
    for number, path in enumerate((lake, lake / "genotypes" / "samples", lake / "genotypes" / "partitions", tmp_path)):
        store = ga.convert(path, tmp_path / f"{number}.zarr", missing_to_ref=True)
        stores.append(store)
        table = store.variants()
        assert table.select("chromosome", "base_pair_location", "other_allele", "effect_allele").rows() == variants
        assert list(store.sample_ids) == PEOPLE
        np.testing.assert_array_equal(store.read(0, store.n_variants).codes(), codes)
    assert stores[1].attributes["summary"]["sources"][0]["kind"] == "Parquet lake (sake, samples)"
    assert stores[0].attributes["identity"]["source"]["reading"] == {"missing_to_ref": True}


def test_what_an_absent_call_is_must_be_said(tmp_path):
    lake = make_lake(tmp_path / "lake")
    with pytest.raises(InputError, match=r"--missing-to-ref.*--called-sites"):
        ga.convert(lake, tmp_path / "x.zarr")
    bed = tmp_path / "called.bed"
    bed.write_text("#capture\nchr2\t90\t100\nchr2\t100\t101\nchrX\t79\t80\n")
    with pytest.raises(InputError, match="both are given"):
        ga.convert(lake, tmp_path / "x.zarr", missing_to_ref=True, called_sites=bed)
    store = ga.convert(lake, tmp_path / "x.zarr", called_sites=bed)
    _, codes = expected(lambda v: (v[1], v[2]) in {("2", 100), ("X", 80)})
    np.testing.assert_array_equal(store.read(0, store.n_variants).codes(), codes)
    # another list is another store
    bed.write_text("2\t499\t500\n")
    again = ga.convert(lake, tmp_path / "x.zarr", called_sites=bed, overwrite=True)
    assert (again.read(0, 1).codes() == [[3, 1, 3, 3, 3]]).all()
    for text, words in (
        ("2\t5\t5\n", "ends before"),
        ("2 x 9\n", "x.bed:1: is no line of a BED"),
        ("", "no regions"),
        ("9\t1\t2\n", "of none of"),
    ):
        (tmp_path / "x.bed").write_text(text)
        with pytest.raises(InputError, match=words):
            ga.convert(lake, tmp_path / "y.zarr", called_sites=tmp_path / "x.bed")


def test_masks_regions_samples_and_small_pieces(tmp_path, monkeypatch):
    lake = make_lake(tmp_path / "lake")
    _, codes = expected()
    masked = taken(lake, missing_to_ref=True, min_gq=21, min_dp=9, allele_balance=(0.2, 0.8)).codes
    codes[2, 3] = 3  # gq 20
    codes[1, 1] = 3  # a tenth of the reads
    codes[0, 1] = 3  # dp 8; its gq is not known
    codes[6, 2] = 3  # dp 3
    np.testing.assert_array_equal(masked, codes)
    whole = ga.convert(lake, tmp_path / "a.zarr", missing_to_ref=True)
    monkeypatch.setattr("genassoc.formats.sake.source.PIECE_BYTES", 16)
    monkeypatch.setattr("genassoc.formats.sake.lake.SLICE_ROWS", 2)
    again = ga.convert(lake, tmp_path / "b.zarr", missing_to_ref=True, threads=3)
    same_calls(whole, again)
    some = ga.convert(lake, tmp_path / "c.zarr", missing_to_ref=True, region=["chr10", "2:1-100"], samples=["p4", "p1"])
    assert some.variants()["base_pair_location"].to_list() == [100, 100, 7, 9]
    assert some.read(0, 4).codes().tolist() == [[1, 0], [1, 0], [0, 2], [0, 0]]


def test_real_lake(tmp_path):
    if not REAL.exists():
        pytest.skip("the real data are not beside the checkout (../shared/data)")
    one, other = (
        ga.convert(REAL / "genotypes" / name, tmp_path / f"{name}.zarr", missing_to_ref=True) for name in ("samples", "partitions")
    )  # fmt: skip
    same_calls(one, other)
    listed = pl.concat([pl.read_parquet(file) for file in (REAL / "genotypes" / "samples").glob("*.parquet")])
    codes = one.read(0, one.n_variants).codes()
    assert {int(k): int((codes == k).sum()) for k in (1, 2, 3)} == {
        1: (listed["gt"] == 1).sum(), 2: (listed["gt"] == 2).sum(), 3: 0,
    }  # fmt: skip
    patients = ga.read_sake_patients(REAL)
    cohort = ga.Cohort.align(one, patients, sample_id="IID", sex="sex")
    assert cohort.n_samples == 18 and set(cohort.sex.tolist()) == {1, 2}


def test_patients(tmp_path):
    lake = make_lake(tmp_path / "lake")
    (lake / "samples").mkdir()
    table = pl.DataFrame(
        {
            "sample": ["p0", "p1", "p2", "p3", "p4"], "kindex": [True, False, False, False, True], "gender": ["H", "femme", "M", "F", None],
            "link": ["patient", "mère", "pere", "soeur", "patient"], "affected": [True, False, False, True, True],
            "pid_crc": ["a", "a", "a", "a", "b"], "preindication": ["x", "x", "x", "x", "y"],
        }
    )  # fmt: skip
    table.write_parquet(lake / "samples" / "patients.parquet")
    found = ga.read_sake_patients(lake)
    assert found["sex"].to_list() == [1, 2, 1, 2, 0]
    assert found["mother"].to_list() == ["p1", None, None, "p1", None]
    assert found["father"].to_list() == ["p2", None, None, "p2", None]
    assert found.columns[:5] == ["FID", "IID", "father", "mother", "sex"] and "preindication" in found.columns
    assert ga.read_sake_patients(lake / "samples" / "patients.parquet").equals(found)
    with pytest.raises(InputError, match="two samples whose link is 'pere'"):
        table.with_columns(link=pl.lit("pere")).write_parquet(tmp_path / "p.parquet")
        ga.read_sake_patients(tmp_path / "p.parquet")
    with pytest.raises(InputError, match="has no column link"):
        table.drop("link").write_parquet(tmp_path / "p.parquet")
        ga.read_sake_patients(tmp_path / "p.parquet")


def broken(lake, words, error=InputError):
    with pytest.raises(error) as found:
        taken(lake, missing_to_ref=True, min_gq=1)
    assert words in str(getattr(found.value, "message", found.value)), found.value


def test_lakes_that_are_damaged(tmp_path):
    lake = make_lake(tmp_path / "lake", layouts=("samples",))
    file = lake / "genotypes" / "samples" / "f[0]*.parquet"
    sound = pl.read_parquet(file, glob=False)

    def put(table):
        table.write_parquet(file)

    put(sound.drop("gq"))
    broken(lake, "has no column gq")
    put(sound.drop("gt"))
    broken(lake, "has no column gt")
    put(sound.with_columns(gt=pl.lit("1")))
    broken(lake, "the column gt")
    put(sound.with_columns(id=pl.col("id").cast(pl.Float64)))
    broken(lake, "the column id")
    put(sound.with_columns(id=pl.lit(77, pl.UInt64)))
    broken(lake, "the variant 77, which is in no file of variants")
    put(pl.concat([sound, sound.with_columns(gt=pl.lit(2, pl.UInt8))]))
    broken(lake, "two different calls of the variant", RecordError)
    put(pl.concat([sound, sound]))  # the same ones twice are the same calls
    np.testing.assert_array_equal(taken(lake, missing_to_ref=True).codes, expected()[1])
    put(sound.with_columns(gt=pl.lit(3, pl.UInt8)))  # of three copies: not observed
    assert (taken(lake, missing_to_ref=True).codes[2] == [3, 0, 0, 2, 0]).all()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    broken(lake, "cannot be read as Parquet")
    file.write_bytes(b"PAR1" + b"\xff" * 40 + b"PAR1")
    broken(lake, "cannot be read as Parquet")
    put(sound)
    ten = lake / "variants" / "10.parquet"
    table = pl.read_parquet(ten)
    pl.concat([table, table]).write_parquet(ten)
    broken(lake, "is listed twice")
    table.with_columns(alt=pl.lit("A,C")).write_parquet(ten)
    broken(lake, "a comma, a blank")
    table.with_columns(chr=pl.lit("1 0")).write_parquet(ten)
    broken(lake, "no name of a chromosome")
    shutil.rmtree(lake / "variants")
    broken(lake, "has no variants")
    make_lake(tmp_path / "two" / "germline")
    make_lake(tmp_path / "two" / "somatic")
    broken(tmp_path / "two", "holds germline, somatic")


@pytest.mark.kernel
@pytest.mark.parametrize("seed", range(3))
def test_calls_are_put_as_the_oracle_puts_them(seed):
    rng = np.random.default_rng(seed)
    V, N, K = 5, 7, 20
    codes = np.full((V, N), 3, np.uint8)
    packed = GenotypeBlock.from_codes(codes).packed
    rows, columns, calls = rng.integers(0, V, K), rng.integers(0, N, K), rng.integers(0, 3, K).astype(np.uint8)
    assert put_calls(packed, rows, columns, calls) == oracle.put_calls(codes, rows, columns, calls)
    reference = rng.random(V) < 0.5
    fill_reference(packed, reference, N)
    oracle.fill_reference(codes, reference)
    clear_calls(packed, rows[:3], columns[:3])
    oracle.clear_calls(codes, rows[:3], columns[:3])
    np.testing.assert_array_equal(GenotypeBlock(packed, N).codes(), codes)
    np.testing.assert_array_equal(packed, GenotypeBlock.from_codes(codes).packed)  # the padding too
