"""Stores in an object store: a real server of the S3 protocol on loopback, with fsspec's own environment for credentials."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from small_cohort import associate, make_files, rewrite_store

import genassoc as ga
from genassoc.data import schema
from genassoc.data.store.location import url_of

PROJECT = Path(__file__).resolve().parents[1]
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://bucket/x.zarr", "s3://bucket/x.zarr"),
        (Path("s3://bucket/x.zarr"), "s3://bucket/x.zarr"),
        ("https://host/a/b.zarr/", "https://host/a/b.zarr"),
        ("memory://x", "memory://x"),
        ("C:/data/x.zarr", None),
        ("/data/x.zarr", None),
        ("data/s3:/x", None),
        ("x.zarr", None),
    ],
)
def test_addresses(path, expected):
    assert url_of(path) == expected


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"), 100, 1200)


@pytest.fixture(scope="module")
def bucket(files, tmp_path_factory):
    """The address of a store that a server holds, and how to reach the server."""
    server_module = pytest.importorskip("moto.server", reason="moto is not installed (pip install 'moto[server]')")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        **VARIABLES,
        "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    store = rewrite_store(files.store, tmp_path_factory.mktemp("blocks") / "small.zarr", 64).path
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        import fsspec.config

        patch.setitem(fsspec.config.conf, "s3", {"endpoint_url": environment["FSSPEC_S3_ENDPOINT_URL"]})
        system = s3fs.S3FileSystem()
        system.mkdir("cohorts")
        system.put(str(store), "cohorts/small.zarr", recursive=True)
        yield "s3://cohorts/small.zarr", store, system, environment
    server.stop()


def test_a_store_in_a_bucket_is_the_store(bucket):
    url, local, _, _ = bucket
    remote, near = ga.open_store(url), ga.open_store(local)
    assert remote.path == url and remote.fingerprint == near.fingerprint
    assert remote.variants().equals(near.variants()) and remote.contig_runs() == near.contig_runs()
    for start, stop in ((0, 1200), (60, 70), (1199, 1200)):
        assert (remote.read(start, stop).packed == near.read(start, stop).packed).all()
    again = pickle.loads(pickle.dumps(remote))
    assert again.path == url and (again.read(5, 9).packed == near.read(5, 9).packed).all()


def test_the_same_bytes_from_a_bucket_with_threads(bucket, files, tmp_path):
    url, local, _, _ = bucket
    expected = associate(ga.open_store(local), files.phenotypes, tmp_path / "near.parquet", ga.Serial())
    assert associate(ga.open_store(url), files.phenotypes, tmp_path / "far.parquet", ga.Threads(4)) == expected
    provenance = json.loads((tmp_path / "far.parquet.provenance.json").read_text())
    assert provenance["inputs"]["store"]["path"] == url
    assert "testing" not in json.dumps(provenance)  # no credentials


def test_commands_take_an_address(bucket, files, tmp_path, genassoc):
    url = bucket[0]
    code, said, error = genassoc("info", url)
    assert code == 0 and said.startswith(f"{url}: 1,200 variants"), error
    text = f'[input]\nstore = "{url}"\nphenotypes = "{files.phenotypes}"\n[model]\nkind = "linear"\ntraits = ["ldl"]\n'
    (tmp_path / "gwas.toml").write_text(text + '[output]\npath = "out.parquet"\n')
    assert genassoc("plan", tmp_path / "gwas.toml", tmp_path / "work", "--parts", 2)[0] == 0
    for part in (0, 1):
        code, _, error = genassoc("part", tmp_path / "work", part)
        assert code == 0, error
    assert genassoc("merge", tmp_path / "work", tmp_path / "merged.parquet")[0] == 0
    assert genassoc("run", tmp_path / "gwas.toml")[0] == 0
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "out.parquet").read_bytes()


def test_what_is_not_there_and_what_is_damaged(bucket):
    url, _, system, _ = bucket
    with pytest.raises(ga.StoreError, match="no store is there"):
        ga.open_store("s3://cohorts/other.zarr")
    with pytest.raises(ga.StoreError, match=r"no store is there|cannot be read"):
        ga.open_store("s3://nobody/other.zarr")
    with pytest.raises(ga.StoreError, match="spelled right"):
        ga.open_store("s33://cohorts/other.zarr")
    key = f"cohorts/small.zarr/{schema.GENOTYPES}/c/1/0"
    damaged = bytearray(system.cat_file(key))
    damaged[7] ^= 1
    system.cp(url, "s3://cohorts/damaged.zarr", recursive=True)
    system.pipe_file(key.replace("small", "damaged"), bytes(damaged))
    store = ga.open_store("s3://cohorts/damaged.zarr")
    with pytest.raises(ga.StoreError, match=rf"chunk 8 .*{schema.GENOTYPES}/c/1/0"):
        store.read(512, 600)
    system.rm(key.replace("small", "damaged"))
    system.invalidate_cache()
    with pytest.raises(ga.StoreError, match="is missing"):
        ga.open_store("s3://cohorts/damaged.zarr").read(512, 600)


@pytest.mark.integration
@pytest.mark.slow
def test_many_readers_at_once(bucket):
    """Four processes of three threads each read all of the store through the server."""
    url, local, _, environment = bucket
    script = (
        "import sys, hashlib, genassoc as ga\n"
        "store = ga.open_store(sys.argv[1])\n"
        "def read(start): return start, store.read(start, min(start + 64, store.n_variants)).packed.tobytes()\n"
        "found = dict(ga.Threads(3).map(read, range(0, store.n_variants, 64)))\n"
        "print(hashlib.sha256(b''.join(found[k] for k in sorted(found))).hexdigest())\n"
    )
    paths = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", script, where], env={**os.environ, **environment, "PYTHONPATH": paths},
            stdout=subprocess.PIPE, text=True,
        )
        for where in (url, url, url, url, str(local))
    ]  # fmt: skip
    assert len({reader.communicate(timeout=240)[0] for reader in readers}) == 1
    assert all(reader.returncode == 0 for reader in readers)


def test_a_store_is_not_written_to_a_bucket_but_copied_there(bucket, files, tmp_path):
    _, local, system, _ = bucket
    with pytest.raises(
        ga.OutputError, match=r"aws s3 cp --recursive --exclude zarr\.json copy\.zarr s3://cohorts/copy\.zarr &&"
    ):
        ga.convert(files.vcf, "s3://cohorts/copy.zarr")
    with pytest.raises(ga.OutputError, match="with the top-level zarr"):
        ga.convert(files.vcf, "memory://cohorts/copy.zarr")
    # What the commands do, killed before the end: half a store is none.
    for file in sorted(local.rglob("*")):
        name = file.relative_to(local).as_posix()
        if file.is_file() and name != "zarr.json":
            system.put_file(str(file), f"cohorts/copy.zarr/{name}")
    with pytest.raises(ga.StoreError):
        ga.open_store("s3://cohorts/copy.zarr")
    system.put_file(str(local / "zarr.json"), "cohorts/copy.zarr/zarr.json")
    assert ga.open_store("s3://cohorts/copy.zarr").fingerprint == ga.open_store(local).fingerprint
