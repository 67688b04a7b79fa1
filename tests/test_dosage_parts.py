"""Conversion of files with dosages beside files without: in parts as in one, the same bytes."""

import pytest
from plink_files import plink2
from test_plink_pgen import vcf_of

from genassoc.formats.convert import convert
from genassoc.formats.convert_parts import convert_part, merge_conversion
from genassoc.formats.convert_plan import plan_conversion

pytest.importorskip("pgenlib")


def test_parts_are_merged_to_the_bytes_of_one_conversion(tmp_path, monkeypatch):
    from genassoc.data import schema

    monkeypatch.setattr(schema, "MAX_BLOCK_VARIANTS", 128)  # blocks of 128 rows, chunks of 16
    vcf_of(tmp_path / "a.vcf", dosages=True)
    vcf_of(tmp_path / "b.vcf", dosages=False, seed=6)
    plink2("--vcf", tmp_path / "a.vcf", "dosage=DS", "--out", tmp_path / "a")
    inputs = [tmp_path / "a.pgen", tmp_path / "b.vcf"]
    whole = tmp_path / "whole.zarr"
    convert(inputs, whole, threads=1)
    work = tmp_path / "work"
    plan = plan_conversion(inputs, work, 2)
    for part in range(len(plan.parts)):
        convert_part(work, part, threads=1)
    merged = tmp_path / "merged.zarr"
    merge_conversion(work, merged)
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(merged) for path in merged.rglob("*") if path.is_file())
    different = [str(name) for name in names if (whole / name).read_bytes() != (merged / name).read_bytes()]
    assert different == []
    assert (whole / schema.DOSAGE / "c" / "0" / "0").exists()
