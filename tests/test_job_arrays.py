"""Job arrays: a conversion in parts gives the store of one conversion, whoever dies; runs in seven parts, killed and resumed."""

import filecmp
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pysam
import pytest
from small_cohort import make_files

import genassoc as ga
from genassoc.formats import convert_parts, convert_plan
from genassoc.formats.convert_parts import conversion_status, convert_part, merge_conversion
from genassoc.formats.convert_plan import ConversionPlan, plan_conversion
from genassoc.formats.vcf import tabix

PROJECT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"), 120, 3000)


def same_folders(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    names = [sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) for folder in (one, other)]
    return names[0] == names[1] and all(filecmp.cmp(one / n, other / n, shallow=False) for n in names[0])


def split_by_contig(vcf: Path, folder: Path, index: str) -> list[Path]:
    """One file a chromosome, with an index of a kind, or none."""
    lines = pysam.BGZFile(str(vcf), "rb").read().decode().splitlines(keepends=True)
    header = [line for line in lines if line.startswith("#")]
    contigs = dict.fromkeys(line.split("\t")[0] for line in lines if not line.startswith("#"))
    paths = []
    for contig in contigs:
        path = folder / f"c{contig}.vcf.gz"
        with pysam.BGZFile(str(path), "wb") as out:
            out.write("".join(header + [line for line in lines if line.startswith(f"{contig}\t")]).encode())
        if index != "none":
            pysam.tabix_index(str(path), preset="vcf", force=True, csi=index == "csi")
        paths.append(path)
    return paths


# conversions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_parts", [1, 2, 7, 40])
def test_parts_give_the_store_of_one_conversion(files, tmp_path, n_parts):
    work = tmp_path / "work"
    plan_conversion([files.vcf], work, n_parts)
    for part in reversed(range(n_parts)):
        convert_part(work, part)
    merge_conversion(work, tmp_path / "merged.zarr")
    assert same_folders(tmp_path / "merged.zarr", files.store)


@pytest.mark.parametrize("index", ["none", "tbi", "csi"])
def test_several_files_and_a_choice_of_samples(files, tmp_path, index):
    paths = split_by_contig(files.vcf, tmp_path, index)
    samples = [str(name) for name in ga.open_store(files.store).sample_ids[5:60:3]]
    ga.convert(paths, tmp_path / "whole.zarr", samples=samples)
    plan = plan_conversion(paths, tmp_path / "work", 5, samples=samples)
    assert any(stretch.region for part in plan.parts for stretch in part) == (index != "none")
    for part in (3, 1, 4, 0, 2):
        convert_part(tmp_path / "work", part)
    merge_conversion(tmp_path / "work", tmp_path / "merged.zarr")
    assert same_folders(tmp_path / "merged.zarr", tmp_path / "whole.zarr")


RECORDS = """\
1	16384	a	A	C,G	.	.	.	GT	0/1	1/2
1	16385	b	A	.	.	.	.	GT	0/0	0/0
1	16385	c	A	C	.	.	.	DP	3	4
1	16390	d	AAAAAAAA	C	.	.	END=60000	GT	0|1	./1
1	40000	e	A	<*>,T	.	.	.	GT	0/2	0/0
1	49152	f	A	C	.	.	.	GT	1	0
1	49153	g	A	C	.	.	.	GT	0/1	0/1
2	5	h	A	C	.	.	.	GT	0/1	0/1
X	99999999	i	A	.	.	.	.	GT	0/0	0/0
"""


def test_records_at_the_cuts_and_those_that_give_no_row(tmp_path, monkeypatch):
    """Multi-allelic, dropped, haploid and long records, each at a window's edge; a part without any row."""
    head = (
        '##fileformat=VCFv4.2\n##INFO=<ID=END,Number=1,Type=Integer,Description="e">\n'
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">\n##FORMAT=<ID=DP,Number=1,Type=Integer,Description="d">\n'
        "##contig=<ID=1>\n##contig=<ID=2>\n##contig=<ID=X>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\ts2\n"
    )
    path = tmp_path / "a.vcf.gz"
    with pysam.BGZFile(str(path), "wb") as out:
        for line in (head + RECORDS).splitlines(keepends=True):
            out.write(line.encode())
            out.flush()  # a block a line: the index tells them apart
    pysam.tabix_index(str(path), preset="vcf", force=True)
    ga.convert(path, tmp_path / "whole.zarr")
    monkeypatch.setattr(convert_plan, "_PIECES_A_PART", 100)
    plan = plan_conversion([path], tmp_path / "work", 6)
    assert sum(bool(part) for part in plan.parts) > 3
    for part in range(6):
        convert_part(tmp_path / "work", part)
    assert not all((tmp_path / "work" / f"part-{part:05d}.zarr").exists() for part in range(6))
    merged = merge_conversion(tmp_path / "work", tmp_path / "merged.zarr")
    assert same_folders(tmp_path / "merged.zarr", tmp_path / "whole.zarr")
    assert merged.records == 9 and merged.dropped and merged.split == 1 and merged.outside_regions == 0


def test_windows_ascend_and_cover_the_file(files):
    index = tabix.read_index(tabix.find_index(files.vcf))
    for contig in index.contigs:
        offsets = index.windows(contig)
        assert (offsets[1:] >= offsets[:-1]).all() and offsets[0] > 0


def test_what_is_missing_is_named_and_nothing_else_is_merged(files, tmp_path, genassoc):
    work = tmp_path / "work"
    code, said, _ = genassoc("plan", "--convert", files.vcf, work, "--parts", 3)
    assert code == 0 and f"genassoc merge {work}" in said
    assert genassoc("part", work, 1, "--threads", 1)[0] == 0
    assert "missing parts: 0,2" in genassoc("status", work)[1]
    assert '"missing_parts": [' in genassoc("status", work, "--json")[1]
    code, _, error = genassoc("merge", work, tmp_path / "m.zarr")
    assert code == 1 and "2 of 3 parts are not converted yet (0, 2)" in error and not (tmp_path / "m.zarr").exists()
    assert genassoc("part", work, 3)[0] == 1
    for part in (0, 2, 1):
        assert genassoc("part", work, part)[0] == 0
    assert "complete: ready to merge" in genassoc("status", work)[1]
    code, said, _ = genassoc("merge", work, tmp_path / "m.zarr")
    assert code == 0 and "3,000 variants x 120 samples" in said
    assert same_folders(tmp_path / "m.zarr", files.store)


def test_a_part_done_twice_is_left_as_it_is(files, tmp_path):
    plan_conversion([files.vcf], tmp_path / "work", 2)
    convert_part(tmp_path / "work", 0)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "work").rglob("*")}
    convert_part(tmp_path / "work", 0)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "work").rglob("*")}


def test_other_inputs_and_other_folders_are_refused(files, tmp_path):
    vcf = tmp_path / "a.vcf.gz"
    vcf.write_bytes(files.vcf.read_bytes())
    work = tmp_path / "work"
    plan_conversion([vcf], work, 2)
    assert plan_conversion([vcf], work, 2) == ConversionPlan.read(work)
    with pytest.raises(ga.PlanError, match="another conversion's plan"):
        plan_conversion([vcf], work, 3)
    convert_part(work, 0)
    plan_conversion([vcf], work, 3, restart=True)
    assert conversion_status(work).missing_parts == (0, 1, 2)
    with pysam.BGZFile(str(vcf), "wb") as out:
        out.write(pysam.BGZFile(str(files.vcf), "rb").read() + b"")
        out.write(b"3\t250000000\t.\tA\tC\t.\t.\t.\tGT\t" + b"\t".join([b"0/1"] * 120) + b"\n")
    with pytest.raises(ga.PlanError, match="no longer"):
        convert_part(work, 0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("x")
    with pytest.raises(ga.PlanError, match="not empty"):
        plan_conversion([vcf], tmp_path / "mine", 2, restart=True)
    assert (tmp_path / "mine" / "thesis.doc").exists()


def test_stretches_that_were_changed_lose_no_record(files, tmp_path):
    """A flipped digit of a plan would leave records out, or have them twice; a job of an earlier plan may still be running."""
    work = tmp_path / "work"
    plan_conversion([files.vcf], work, 3)
    text = (work / "plan.json").read_text()
    for change in (
        lambda parts: parts[1].pop(),
        lambda parts: parts[0][-1]["region"].__setitem__(2, parts[0][-1]["region"][2] - 1),
        lambda parts: parts[2][-1]["region"].__setitem__(0, "1"),
        lambda parts: parts[1].append(parts[1][-1]),
    ):
        changed = json.loads(text)
        change(changed["parts"])
        (work / "plan.json").write_text(json.dumps(changed))
        with pytest.raises(ga.PlanError, match="do not read every record of the inputs once"):
            convert_part(work, 0)
    (work / "plan.json").write_text(text)
    convert_part(work, 0)
    facts = json.loads((work / "part-00000.json").read_text())
    assert conversion_status(work).missing_parts == (1, 2)
    facts["stretches"][-1][1][2] -= 1  # as a job wrote it whose plan had cut elsewhere
    (work / "part-00000.json").write_text(json.dumps(facts))
    assert conversion_status(work).missing_parts == (0, 1, 2)


def test_a_merge_that_is_interrupted_carries_on(files, tmp_path, monkeypatch):
    from genassoc.data import schema

    monkeypatch.setattr(schema, "MAX_BLOCK_VARIANTS", 64)
    monkeypatch.setattr(schema, "BLOCKS_PER_SHARD", 2)
    ga.convert(files.vcf, tmp_path / "whole.zarr")
    plan_conversion([files.vcf], tmp_path / "work", 3)
    for part in range(3):
        convert_part(tmp_path / "work", part)
    read, calls = ga.GenotypeStore.read, []

    def failing(store, start, stop):
        calls.append(start)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return read(store, start, stop)

    monkeypatch.setattr(ga.GenotypeStore, "read", failing)
    with pytest.raises(KeyboardInterrupt):
        merge_conversion(tmp_path / "work", tmp_path / "m.zarr")
    assert not (tmp_path / "m.zarr").exists()
    monkeypatch.setattr(ga.GenotypeStore, "read", read)
    merged = merge_conversion(tmp_path / "work", tmp_path / "m.zarr")
    assert merged.resumed_rows > 0
    assert same_folders(tmp_path / "m.zarr", tmp_path / "whole.zarr")


@pytest.mark.integration
@pytest.mark.slow
def test_a_part_killed_in_the_middle_carries_on(files, tmp_path):
    """Real processes, SIGKILL at times drawn at random; what is there at last is the store of one conversion."""
    work = tmp_path / "work"
    plan_conversion([files.vcf], work, 2)
    rng = random.Random(5)
    for part in (0, 1):
        command = [sys.executable, "-m", "genassoc", "part", str(work), str(part)]
        for _ in range(2):
            with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
                time.sleep(rng.uniform(0.5, 3))
                process.send_signal(signal.SIGKILL)
        subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    merge_conversion(work, tmp_path / "m.zarr")
    assert same_folders(tmp_path / "m.zarr", files.store)
    assert convert_parts.conversion_status(work).complete
