"""docs/pipelines/: the SLURM and Bridge scripts on a real SLURM, the Snakefile under Snakemake; each skipped, saying so, elsewhere."""

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_cohort import make_files, rewrite_store

import genassoc as ga

PROJECT = Path(__file__).resolve().parents[1]
PIPELINES = PROJECT / "docs" / "pipelines"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"), 150, 1800)


@pytest.fixture
def toml(files, tmp_path):
    store = rewrite_store(files.store, tmp_path / "small.zarr", 48).path
    text = f"""
[input]
store = "{store}"
phenotypes = "{files.phenotypes}"
[model]
kind = "linear"
traits = ["ldl"]
covariates = ["age", "sex"]
[output]
path = "{tmp_path}/run.parquet"
"""
    (tmp_path / "gwas.toml").write_text(text)
    return tmp_path / "gwas.toml"


@pytest.fixture
def slurm():
    """Skip unless a SLURM takes jobs here: `slurm-local start` makes one (needs root)."""
    if shutil.which("sinfo") is None:
        pytest.skip("SLURM is not installed here")
    try:
        found = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("SLURM does not answer here")
    if not {"idle", "mixed", "allocated"} & set(found.stdout.split()):
        pytest.skip(f"SLURM has no node that is up: {(found.stdout + found.stderr).strip()}")


@pytest.fixture
def environment(tmp_path):
    """A `genassoc` on the path that is this source, and its processes' environment."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "genassoc"
    paths = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    command.write_text(f'#!/bin/bash\nPYTHONPATH="{paths}" exec "{sys.executable}" -m genassoc "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "GENASSOC": str(command)}


def run(environment, folder, *command):
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def number_of(text: str, name: str) -> str:
    """The job that a script says it submitted."""
    line = next(line for line in text.splitlines() if line.startswith(name))
    return line.rsplit(maxsplit=1)[1]


def wait_until_over(job: str) -> None:
    for _ in range(1200):
        found = subprocess.run(["squeue", "-h", "-j", job, "-o", "%i"], capture_output=True, text=True, check=False)
        if not found.stdout.strip():
            return
        time.sleep(0.2)
    raise AssertionError(f"job {job} is not over after four minutes")


@pytest.mark.integration
@pytest.mark.slow
def test_an_array_with_a_task_cancelled_and_submitted_again(slurm, toml, environment, tmp_path):
    ga.run(toml, executor=ga.Serial())
    expected = (tmp_path / "run.parquet").read_bytes()
    script, out = PIPELINES / "slurm_array.sh", tmp_path / "merged.parquet"
    made = run(environment, tmp_path, "genassoc", "plan", "gwas.toml", "work", "--parts", 3)
    assert made.returncode == 0, made.stderr
    first = run(environment, tmp_path, "bash", script, "gwas.toml", "work", out, 3, "--hold")
    assert first.returncode == 0, first.stderr
    array, merge = number_of(first.stdout, "parts 0,1,2"), number_of(first.stdout, "merge")
    try:
        subprocess.run(["scancel", f"{array}_1"], check=True)
        for job in (array, merge):
            subprocess.run(["scontrol", "release", job], check=True)
        wait_until_over(array)
        wait_until_over(merge)  # killed, since what it waits for was cancelled
        assert not out.exists()
        status = json.loads(run(environment, tmp_path, "genassoc", "status", "work", "--json").stdout)
        assert status["missing_parts"] == [1]
        again = run(environment, tmp_path, "bash", script, "gwas.toml", "work", out, 3)
        assert "parts 1:" in again.stdout, again.stderr
        merge = number_of(again.stdout, "merge")
        wait_until_over(merge)
        logs = "\n".join(path.read_text() for path in (tmp_path / "work.logs").iterdir())
        assert out.exists(), logs
        assert out.read_bytes() == expected
    finally:
        subprocess.run(["scancel", array, merge], check=False, stderr=subprocess.DEVNULL)


@pytest.mark.integration
@pytest.mark.slow
def test_a_conversion_as_an_array(slurm, files, environment, tmp_path):
    done = run(
        environment, tmp_path, "bash", PIPELINES / "slurm_array.sh", "--convert", files.vcf, "work", "merged.zarr", 2
    )
    assert done.returncode == 0, done.stderr
    wait_until_over(number_of(done.stdout, "merge"))
    logs = "\n".join(path.read_text() for path in (tmp_path / "work.logs").iterdir())
    assert (tmp_path / "merged.zarr").exists(), logs
    assert ga.open_store(tmp_path / "merged.zarr").fingerprint == ga.open_store(files.store).fingerprint


MSUB = """\
#!/bin/bash
# A stand-in for ccc_msub: the directives that Bridge hands to SLURM, translated as its documentation says.
options=()
while read -r _ flag value; do
  case $flag in
    -r) options+=("--job-name=$value");; -c) options+=("--cpus-per-task=1");; -T) options+=("--time=$((value / 60))");;
    -o) options+=("--output=$value");; -E) eval "options+=($(eval echo $value))";; -A | -q | -n | -m | -e) ;;
    *) echo "ccc_msub: unknown directive $flag" >&2; exit 1;;
  esac
done < <(grep '^#MSUB' "$1")
export BRIDGE_MSUB_PWD=$PWD BRIDGE_MSUB_NCORE=1
job=$(sbatch --parsable "${options[@]}" "$1")
echo "Submitted Batch Session ${job%%;*}"
"""


@pytest.mark.integration
@pytest.mark.slow
def test_bridge(slurm, toml, environment, tmp_path):
    """Under a stand-in for ccc_msub that submits to a real SLURM: TGCC's own is on its machines only."""
    ga.run(toml, executor=ga.Serial())
    (tmp_path / "bin" / "ccc_msub").write_text(MSUB)
    (tmp_path / "bin" / "ccc_msub").chmod(0o755)
    assert run(environment, tmp_path, "genassoc", "plan", "gwas.toml", "work", "--parts", 2).returncode == 0
    done = run(environment, tmp_path, "bash", PIPELINES / "bridge_array.sh", "work", "merged.parquet", "gen0001")
    assert done.returncode == 0, done.stderr
    assert "parts 0,1: Submitted Batch Session" in done.stdout
    wait_until_over(number_of(done.stdout, "merge"))
    logs = "\n".join(path.read_text() for path in (tmp_path / "work.logs").iterdir())
    assert (tmp_path / "merged.parquet").exists(), logs
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "run.parquet").read_bytes()


def test_bridge_prints_what_it_would_submit(toml, environment, tmp_path):
    assert run(environment, tmp_path, "genassoc", "plan", "gwas.toml", "work", "--parts", 3).returncode == 0
    script = PIPELINES / "bridge_array.sh"
    said = run(
        {**environment, "MSUB": "cat"}, tmp_path, "bash", script, "work", "o.parquet", "gen0001", "milan", "16", "600"
    )
    assert said.returncode == 0, said.stderr
    for line in ("#MSUB -A gen0001", "#MSUB -q milan", "#MSUB -c 16", "#MSUB -T 600", '#MSUB -E "--array=0,1,2"'):
        assert line in said.stdout
    assert "merge 'work' 'o.parquet'" in said.stdout


@pytest.mark.parametrize("script", ["slurm_array.sh", "bridge_array.sh"])
def test_scripts_say_how_they_are_used(script):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed here")
    assert subprocess.run([bash, "-n", PIPELINES / script], check=False).returncode == 0
    done = subprocess.run([bash, PIPELINES / script], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage:")


def snakemake() -> str:
    """A snakemake: on the path, or what GENASSOC_SNAKEMAKE names (it may live in an environment of its own)."""
    found = os.environ.get("GENASSOC_SNAKEMAKE") or shutil.which("snakemake")
    if not found:
        pytest.skip("snakemake is not installed here (GENASSOC_SNAKEMAKE may name one)")
    return found


@pytest.mark.integration
@pytest.mark.slow
def test_snakemake_from_vcf_to_results(files, environment, tmp_path):
    program = snakemake()
    text = f'[input]\nstore = "cohort.zarr"\nphenotypes = "{files.phenotypes}"\n[model]\nkind = "linear"\ntraits = ["ldl"]\n'
    (tmp_path / "gwas.toml").write_text(text + '[output]\npath = "run.parquet"\n')
    settings = [f"vcf={files.vcf}", "parts=2", "convert_parts=2", f"genassoc={environment['GENASSOC']}"]
    command = [program, "-s", PIPELINES / "Snakefile", "--cores", "2", "--config", *settings]
    done = run(environment, tmp_path, *command)
    assert done.returncode == 0, done.stderr[-3000:]
    with contextlib.chdir(tmp_path):
        ga.run("gwas.toml", executor=ga.Serial())
    assert (tmp_path / "results.parquet").read_bytes() == (tmp_path / "run.parquet").read_bytes()
    assert ga.open_store(tmp_path / "cohort.zarr").fingerprint == ga.open_store(files.store).fingerprint
    again = run(environment, tmp_path, *command)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr


def test_the_nextflow_module_calls_commands_that_there_are(genassoc):
    """Nextflow needs Java and is not run here; its commands and their flags are those of the command line."""
    text = (PIPELINES / "genassoc.nf").read_text()
    for command, flags in (("plan", ["--parts"]), ("part", ["--threads", "--memory"]), ("merge", [])):
        assert f"genassoc {command} " in text
        code, said, _ = genassoc(command, "--help")
        assert code == 0 and all(flag in said and flag in text for flag in flags)
