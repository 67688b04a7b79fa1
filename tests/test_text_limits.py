"""Headers, lines, names of contigs and compressed data of any size: read, or refused in words, below the cap of memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from isal import igzip
from test_memory import MIB, peak_of
from vcf_texts import write_bcf, write_bgzf, write_gzip

import genassoc as ga
from genassoc.engine import plan as plans
from genassoc.errors import InputError
from genassoc.formats import bgzf, convert_memory, inputs
from genassoc.formats.convert import convert
from genassoc.formats.convert_memory import ConversionSizes, header_bytes
from genassoc.formats.vcf import vcf

FORMAT = '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"


def text_of(names: list[str], records: list[str], more: str = "") -> str:
    return f"##fileformat=VCFv4.2\n{more}{FORMAT}{COLUMNS}" + "\t".join(names) + "\n" + "".join(records)


@pytest.mark.parametrize("chunk", [64, 500, 4096])
@pytest.mark.parametrize("layout", ["plain", "gzip", "bgzf"])
def test_column_names_may_be_longer_than_what_is_read_at_a_time(tmp_path, monkeypatch, layout, chunk):
    names = [f"a_sample_with_a_long_name_{i:04d}" for i in range(300)]
    record = "1\t5\t.\tA\tG\t.\t.\t.\tGT\t" + "\t".join(["0/1"] * 300) + "\n"
    text = text_of(names, [record], "##contig=<ID=1>\n")
    monkeypatch.setattr(bgzf, "PLAIN_BYTES", chunk)
    monkeypatch.setattr(bgzf, "GZIP_BYTES", chunk)
    monkeypatch.setattr(bgzf, "GROUP_BLOCKS", 1)
    path = tmp_path / "a.vcf"
    if layout == "plain":
        path.write_text(text)
    else:
        path = {"gzip": write_gzip, "bgzf": write_bgzf}[layout](tmp_path / "a.vcf.gz", text)
    for cut in (text, text.removesuffix(record).removesuffix("\n")):  # no records, and no newline at the end either
        if layout == "plain":
            path.write_text(cut)
            assert vcf.VcfSource(path, []).sample_ids == tuple(names)
    if layout == "plain":
        path.write_text(text)
    convert(path, tmp_path / "a.zarr")
    store = ga.open_store(tmp_path / "a.zarr")
    assert list(store.sample_ids) == names and (store.read(0, 1).codes() == 1).all()


def test_headers_are_bounded(tmp_path, monkeypatch):
    (tmp_path / "a.vcf").write_text(text_of(["s1", "s2"], [], "##x=" + "y" * 5000 + "\n"))
    with pytest.raises(InputError, match=r"longer than 1 MB, which is all that --memory has room for"):
        vcf.VcfSource(tmp_path / "a.vcf", [], 3000)
    monkeypatch.setattr(vcf, "MAX_HEADER_BYTES", 3000)
    with pytest.raises(InputError, match="the #CHROM line included, is longer"):
        vcf.VcfSource(tmp_path / "a.vcf", [], 3000)
    (tmp_path / "b.vcf").write_text(text_of([f"s{i}" for i in range(2000)], []))
    with pytest.raises(InputError, match="the #CHROM line included, is longer"):
        vcf.VcfSource(tmp_path / "b.vcf", [], 3000)
    (tmp_path / "d.vcf").write_text("##fileformat=VCFv4.2\n##x=" + "y" * 5000)
    with pytest.raises(InputError, match="no #CHROM line in the first"):
        vcf.VcfSource(tmp_path / "d.vcf", [], 3000)
    monkeypatch.undo()
    (tmp_path / "c.vcf").write_text(text_of([f"s{i}" for i in range(2000)], []))
    with pytest.raises(InputError, match=r"names 2,000 samples, more than --memory has room for"):
        vcf.VcfSource(tmp_path / "c.vcf", [], 100_000)
    assert len(vcf.VcfSource(tmp_path / "c.vcf", []).sample_ids) == 2000


def test_a_header_of_bcf_is_bounded_before_it_is_read(tmp_path):
    source = write_bgzf(
        tmp_path / "a.vcf.gz", text_of(["s1"], ["1\t5\t.\tA\tG\t.\t.\t.\tGT\t0/1\n"], "##contig=<ID=1>\n")
    )
    path = write_bcf(tmp_path / "a.bcf", source)
    assert inputs.open_source(path, []).sample_ids == ("s1",)
    with pytest.raises(InputError, match=r"its header is said to have .* --memory has room"):
        inputs.open_source(path, [], 50)


def test_a_line_of_many_alleles_is_bounded(tmp_path):
    alts = ",".join(["G"] * 30_000)
    (tmp_path / "a.vcf").write_text(text_of(["s1"], [f"1\t5\t.\tA\t{alts}\t.\t.\t.\tGT\t0/1\n"], "##contig=<ID=1>\n"))
    source = vcf.VcfSource(tmp_path / "a.vcf", [])
    source.max_line_bytes = 2**20
    piece = next(source.pieces(np.arange(1), None))
    with pytest.raises(vcf_record_error(), match="ALT alleles, for whose rows there is no room"):
        piece.decode()


def vcf_record_error():
    from genassoc.formats.source import RecordError

    return RecordError


def test_what_a_cap_leaves_for_lines_and_headers(monkeypatch):
    # What this process holds already depends on the tests that ran in it before.
    monkeypatch.setattr(convert_memory, "resident_memory", lambda: 250 * MIB)
    assert header_bytes(None) == ConversionSizes(1).line_bytes // 2 == 2**28
    lines = [ConversionSizes.fit(cap * MIB, 100, 2).line_bytes for cap in (600, 900, 1500, 8000)]
    assert lines == sorted(lines) and lines[0] < lines[-1] == 2**29
    assert 2**20 <= header_bytes(400 * MIB) < 100 * MIB


def bomb(path: Path, start: str, piece: bytes, n: int) -> Path:
    """A gzip file of a megabyte or so: ``start``, then ``piece`` so many times."""
    with igzip.open(path, "wb", compresslevel=3) as file:
        file.write(start.encode())
        for _ in range(n):
            file.write(piece)
    return path


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("kind", ["line", "record", "header", "names"])
def test_a_bomb_is_refused_below_the_cap(tmp_path, kind):
    """Half a gigabyte of text in half a megabyte: one line without tabs, a record of many columns, a header, column names."""
    start = text_of(["s1", "s2"], [], "##contig=<ID=1>\n")
    record = start + "1\t5\t.\tA\tG\t.\t.\t.\tGT"
    begin, piece = {
        "line": (start + "1\t5\t.\t", b"A" * MIB), "record": (record, b"\t0/1" * (MIB // 4)),
        "header": ("##fileformat=VCFv4.2\n", b"##x=" + b"y" * (MIB // 4) + b"\n"), "names": (start.rstrip("\n"), b"\ts" * (MIB // 2)),
    }[kind]  # fmt: skip
    path = bomb(tmp_path / "a.vcf.gz", begin, piece, 2048 if kind == "header" else 512)
    command = [sys.executable, "-m", "genassoc", "convert", str(path), str(tmp_path / "o.zarr"), "--memory", "450MiB"]
    peak, said = peak_of(command, tmp_path, code=1)
    assert "--memory has room for" in said and "Traceback" not in said, said
    assert peak < 450 * MIB, f"{peak / MIB:.0f} MiB"
    assert not (tmp_path / "o.zarr").exists()


# contigs -----------------------------------------------------------------------------------------------------


def draft(path: Path, n: int) -> Path:
    """A draft assembly: one record a contig, and some in rows on X and MT."""
    names = ["1", "X", "MT", *(f"scaffold_{i}" for i in range(n))]
    more = "".join(f"##contig=<ID={name},length=10000>\n" for name in names)
    calls = [["0/0", "0/1", "1/1", "0/1", "./."][i % 5] for i in range(60)]
    records = []
    for at, name in enumerate(names):
        for position in range(100, 100 + (40 if at < 3 else 1)):
            turned = calls[(at + position) % 7 :] + calls[: (at + position) % 7]
            records.append(f"{name}\t{position}\t.\tA\tG\t.\t.\t.\tGT\t" + "\t".join(turned[:30]) + "\n")
    path.write_text(text_of([f"s{i}" for i in range(30)], records, more))
    return path


def test_thousands_of_contigs_share_tasks_and_the_rows_are_the_same(tmp_path, monkeypatch):
    convert(draft(tmp_path / "a.vcf", 120), tmp_path / "a.zarr")
    rows = "".join(f"s{i}\t{i * i % 11}\t{1 + i % 2}\n" for i in range(30))
    (tmp_path / "phenotypes.tsv").write_text("IID\ty\tSEX\n" + rows)
    store = ga.open_store(tmp_path / "a.zarr")
    cohort = ga.Cohort.align(store, tmp_path / "phenotypes.tsv", sex="SEX", build="GRCh38")
    found = {}
    for most in (1000, 20):
        monkeypatch.setattr(plans, "MANY_CONTIGS", most)
        out = tmp_path / f"{most}.parquet"
        ga.associate(cohort, ga.Linear(traits=["y"], min_mac=0), out=out, executor=ga.Serial(), audit=0)
        tasks = plans.Plan.by_block(store.contig_runs(), store.block_variants).tasks
        assert len(tasks) == (123 if most == 1000 else 1)
        assert [i for task in tasks for i in range(task.start, task.stop)] == list(range(240))
        found[most] = pl.read_parquet(out)  # row groups are as the tasks are: the bytes differ between such limits
    assert found[20].equals(found[1000])
    gaps = plans.Plan.by_block([(f"c{i}", 2 * i, 2 * i + 1) for i in range(50)], 16).tasks
    assert len(gaps) == 50  # regions: what lies between is not read


@pytest.mark.integration
def test_contigs_cost_in_proportion(tmp_path):
    """Work for each contig does not grow with their number: 20,000 records on 20,000 contigs, beside as many on one."""
    script = (
        "import sys, time; import genassoc as ga; from genassoc.formats.convert import convert\n"
        "seconds = []\n"
        "for name in ('few', 'many'):\n"
        "    convert(f'{name}.vcf', f'warm-{name}.zarr', region='1')\n"
        "    start = time.process_time()\n"
        "    convert(f'{name}.vcf', f'{name}.zarr', threads=1)\n"
        "    store = ga.open_store(f'{name}.zarr'); store.contig_runs(); store.variants()\n"
        "    seconds.append(time.process_time() - start)\n"
        "print(*seconds)"
    )
    n = 20_000
    call = "\t".join(["0/1"] * 4) + "\n"
    for name, contig in (("few", lambda i: "1"), ("many", lambda i: f"s{i}" if i else "1")):
        used = dict.fromkeys(contig(i) for i in range(n))
        header = "".join(f"##contig=<ID={c},length=9>\n" for c in used)
        records = [f"{contig(i)}\t{i + 1}\t.\tA\tG\t.\t.\t.\tGT\t{call}" for i in range(n)]
        (tmp_path / f"{name}.vcf").write_text(text_of(["a", "b", "c", "d"], records, header))
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    few, many = map(float, run.stdout.split())
    assert many < few + 4.0, (few, many)  # it took 12 s more when each contig was looked for in a list of all
