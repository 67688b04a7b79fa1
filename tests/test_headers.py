"""Headers of VCF: wherever a stretch of the file ends in them, however many contigs and samples they name."""

import gzip
import time

import numpy as np
import pytest
from real_data import real_data

import genassoc as ga
from genassoc.formats import bgzf
from genassoc.formats.convert import convert
from genassoc.formats.convert_parts import convert_part, merge_conversion
from genassoc.formats.convert_plan import plan_conversion
from genassoc.formats.inputs import open_source

FIXED = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT"
GT = '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n'


def test_a_stretch_may_end_anywhere_in_a_header(tmp_path, monkeypatch):
    names = ["a", "b", "c"]
    text = (
        "##fileformat=VCFv4.2\n##contig=<ID=1>\n"
        + FIXED
        + "\t"
        + "\t".join(names)
        + "\n1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\t0/0\t1/1\n"
    )
    for ending in ("\n", "\r\n"):
        plain, packed = tmp_path / "a.vcf", tmp_path / "a.vcf.gz"
        plain.write_bytes(text.replace("\n", ending).encode())
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        for size in range(20, len(text) + 5):
            monkeypatch.setattr(bgzf, "PLAIN_BYTES", size)
            monkeypatch.setattr(bgzf, "GZIP_BYTES", size)
            for path in (plain, packed):
                source = open_source(path, [])
                assert source.sample_ids == tuple(names) and source.first_contig() in ("1", None)
                (batch,) = (b for p in source.pieces(np.arange(3), None) if len((b := p.decode()).packed))
                assert batch.columns.positions.tolist() == [5], size


def test_a_line_of_names_that_crosses_four_megabytes():
    source = open_source(real_data("troubles") / "chrom_across_4MB_500samples.vcf.gz", [])
    assert len(source.sample_ids) == 500


def many_contigs(path, n):
    """A file with a record on each of many contigs."""
    head = "##fileformat=VCFv4.2\n" + "".join(f"##contig=<ID=s{i},length={1000 + i}>\n" for i in range(n)) + GT
    body = "".join(f"s{i}\t5\t.\tA\tC\t.\tPASS\t.\tGT\t0/1\t0/0\n" for i in range(n))
    path.write_text(head + FIXED + "\ta\tb\n" + body)
    return path


def test_the_time_of_many_contigs_grows_with_their_number(tmp_path):
    seconds = []
    for n in (2_000, 16_000):
        path = many_contigs(tmp_path / f"{n}.vcf", n)
        convert(path, tmp_path / f"warm{n}.zarr", region="s5")  # kernels
        start = time.process_time()
        convert(path, tmp_path / f"{n}.zarr")
        seconds.append(time.process_time() - start)
    # eight times the contigs; a quadratic step would cost 64 times. Twice more, and a second, for a busy machine.
    assert seconds[1] < 16 * seconds[0] + 1
    assert ga.open_store(tmp_path / "16000.zarr").n_variants == 16_000


def test_a_part_of_many_contigs_is_quick(tmp_path):
    pysam = pytest.importorskip("pysam")
    path = many_contigs(tmp_path / "a.vcf", 8_000)
    pysam.tabix_compress(str(path), str(tmp_path / "a.vcf.gz"))
    pysam.tabix_index(str(tmp_path / "a.vcf.gz"), preset="vcf", csi=True)
    plan_conversion([tmp_path / "a.vcf.gz"], tmp_path / "work", 2)
    start = time.process_time()
    for part in range(2):
        convert_part(tmp_path / "work", part)
    # 4,000 regions and as many records each: a search of all regions for every record took 0.2 s for 4,000 and 10 s for 50,000
    assert time.process_time() - start < 20
    assert merge_conversion(tmp_path / "work", tmp_path / "a.zarr").rows == 8_000


def test_files_of_sites_alone_say_what_to_do(tmp_path):
    (tmp_path / "a.vcf").write_text(
        "##fileformat=VCFv4.2\n" + "\t".join(FIXED.split("\t")[:8]) + "\n1\t5\t.\tA\tC\t.\t.\t.\n"
    )
    with pytest.raises(ga.InputError, match=r"no samples \(a sites-only VCF\).*--rsids"):
        convert(tmp_path / "a.vcf", tmp_path / "a.zarr")
