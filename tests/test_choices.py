"""Choices of reading that are wrong, or that nothing answers to: refused, or said; never silent."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from plink_files import random_codes, write_fileset

import genassoc as ga
from genassoc.data.block import DosageRows
from genassoc.data.store.arrays import Contents
from genassoc.data.store.shard_file import Encoded, ShardFile, write_shard_file
from genassoc.data.store.writer import StoreWriter
from genassoc.errors import InputError, OutputError, PlanError
from genassoc.formats.convert import convert
from genassoc.formats.reading import Reading

VCF = """##fileformat=VCFv4.2
##contig=<ID=1>
##FORMAT=<ID=GT,Number=1,Type=String,Description="">
##FORMAT=<ID=DS,Number=A,Type=Float,Description="">
##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb
1\t5\t.\tA\tG\t.\t.\t.\tGT\t0/1\t./.
"""


@pytest.fixture
def vcf(tmp_path):
    (tmp_path / "a.vcf").write_text(VCF)
    return tmp_path / "a.vcf"


@pytest.mark.parametrize(
    "choice",
    [
        {"info": 5}, {"info": [1]}, {"info": b"R2"}, {"info": "../../x"}, {"info": ["A" * 300]}, {"info": ["é"]},
        {"allele_balance": 5}, {"min_gq": 10**400}, {"min_dp": float("nan")}, {"dosage": ["DS"]},
        {"pass_only": "yes"}, {"missing_to_ref": "no"}, {"sample_file": 3}, {"id_map": b"x"}, {"fasta": " "},
    ],
)  # fmt: skip
def test_choices_of_wrong_types_are_refused(choice):
    with pytest.raises(InputError, match=next(iter(choice))):
        Reading.of(choice)


@pytest.mark.parametrize("wrong", [{"region": 5}, {"region": [5]}, {"samples": 5}, {"threads": "a"}])
def test_arguments_of_wrong_types_are_refused(vcf, tmp_path, wrong):
    with pytest.raises((InputError, PlanError), match=next(iter(wrong))):
        ga.convert(vcf, tmp_path / "o.zarr", **wrong)
    with pytest.raises(InputError, match="path"):
        ga.convert([5], tmp_path / "o.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["a.vcf"]


def test_choices_of_other_formats_are_refused(vcf, tmp_path):
    bed = write_fileset(tmp_path / "b", random_codes(3, 2))
    for path, reading in ((vcf, {"sample_file": "x"}), (bed, {"sample_file": "x"}), (vcf, {"reference": "first"})):
        with pytest.raises(InputError, match="leave"):
            ga.convert(path, tmp_path / "o.zarr", **reading)


def test_choices_that_changed_nothing_are_said(vcf, tmp_path):
    reading = Reading(dosage="DS", min_gq=20, allele_balance=(0.2, 0.8), missing_to_ref=True)
    said = "\n".join(convert(vcf, tmp_path / "o.zarr", reading=reading).lines())
    for words in (
        "--dosage DS: no record has it",
        "--min-gq masked no call",
        "--allele-balance masked",
        "--missing-to-ref changed",
    ):
        assert words in said  # fmt: skip
    assert "--min-dp" not in said
    assert "masked" not in "\n".join(convert(vcf, tmp_path / "p.zarr").lines())


def test_a_list_of_samples_without_a_line_of_names_has_all_columns(tmp_path):
    bed = write_fileset(tmp_path / "b", random_codes(3, 2), samples=["a\tNA", "b\tNA"])
    with pytest.raises(InputError, match=r"b\.fam:1: has 2 columns"):
        ga.convert(bed, tmp_path / "o.zarr")


def open_files():
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            found.append(str(entry.readlink()))
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux lists files that are open")
def test_no_file_of_a_store_stays_open_after_a_failure(tmp_path, monkeypatch):
    def full(self, chunk):
        add(self, chunk)
        raise OSError(28, "No space left on device")

    add = ShardFile.add
    monkeypatch.setattr(ShardFile, "add", full)
    with pytest.raises(OSError, match="space") as kept:
        write_shard_file(tmp_path / "c" / "0", [Encoded(b"x", b"abcd")], 1)
    assert not [name for name in open_files() if str(tmp_path) in name], kept
    import polars as pl

    writer = StoreWriter(tmp_path / "o.zarr", ["a", "b"], {}, contents=Contents(dosages=True))
    row = {"chromosome": ["1"], "base_pair_location": [5], "effect_allele": ["G"], "other_allele": ["A"], "rsid": [None],
           "record": [0], "alt_index": [1]}  # fmt: skip
    types = {"rsid": pl.String, "alt_index": pl.Int32}
    dosages = DosageRows(np.array([1000], np.uint16), np.array([[500, 1500]], np.uint16), None)
    writer.append(np.array([[0xFF]], np.uint8), None, pl.DataFrame(row, schema_overrides=types), dosages=dosages)
    with pytest.raises(OutputError, match="full") as error:
        writer.finish({})
    writer.close()
    assert not [name for name in open_files() if str(tmp_path) in name], error
    assert not [path for path in tmp_path.iterdir() if "o.zarr" in path.name]
