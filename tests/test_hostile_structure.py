"""Bad input to the commands of relatives and ancestry: a message that names the file, exit 1 or 2, nothing half-written."""

import gzip
import json
import struct

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

import genassoc as ga
from genassoc.cli.commands import app
from genassoc.data.cohort.kinship import standardised_pieces, with_kinship
from genassoc.data.cohort.offset_tables import with_offsets
from genassoc.data.cohort.variant_lists import read_variants
from genassoc.data.integrity import FileDigest
from genassoc.errors import InputError
from genassoc.verbs.component_files import read_components
from genassoc.verbs.relationships import n_patterns, related
from genassoc.verbs.step1 import summary_lines
from genassoc.verbs.stores import whole_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of 40 unrelated samples and its phenotypes."""
    place = tmp_path_factory.mktemp("hostile")
    made = ga.simulate_families(40, 400, seed=3, n_chromosomes=2, families={}, traits={"t": ga.SimulatedTrait()})
    made.write_store(place / "st.zarr")
    made.phenotypes.write_csv(place / "ph.tsv", separator="\t")
    return place


def asked(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


HEADERS = {
    "open parentheses": "(" * 3000,
    "unhashable": "{[]: 1}",
    "open text": "{'descr': '<f8', '''",
    "too large": f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**40}, {2**40})}}",
    "long": "{}" + " " * 60_000,
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_of_a_stranger_is_refused_in_our_words(name, folder, tmp_path):
    header = HEADERS[name].encode() + b"\n"
    path = tmp_path / "kin.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(InputError, match=r"kin\.npy is no matrix as numpy\.save writes it") as caught:
        with_kinship(whole_store(ga.open_store(folder / "st.zarr")), path)
    assert "allow_pickle" not in str(caught.value) and "trust" not in str(caught.value)


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(40), b"PK\x05\x06", b"\x80\x04\x95.", b""])
def test_archives_and_pickles_by_the_name_of_a_matrix_are_refused(content, folder, tmp_path):
    path = tmp_path / "kin.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"kin\.npy is no matrix"):
        with_kinship(whole_store(ga.open_store(folder / "st.zarr")), path)


def test_a_damaged_gzip_and_an_underscore_in_a_matrix_are_refused(folder, tmp_path):
    cohort = whole_store(ga.open_store(folder / "st.zarr"))
    text = "\n".join(" ".join(map(str, row)) for row in np.eye(40)).encode()
    packed = bytearray(gzip.compress(np.random.default_rng(1).bytes(4000)))
    packed[1000:1004] = b"zzzz"
    (tmp_path / "kin.txt.gz").write_bytes(packed)
    (tmp_path / "kin.txt").write_bytes(text.replace(b"1.0", b"1_0", 1))
    with pytest.raises(InputError, match=r"kin\.txt\.gz"):
        with_kinship(cohort, tmp_path / "kin.txt.gz")
    with pytest.raises(InputError, match=r"kin\.txt, line 1: b'1_0' is no number"):
        with_kinship(cohort, tmp_path / "kin.txt")


@pytest.mark.parametrize("content", ["ID\n", ".\n.\n", "#CHROM\tPOS\tID\tREF\tALT\n"])
def test_a_list_without_variants_is_refused_by_name(content, folder, tmp_path):
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(InputError, match=r"list\.txt names no variant"):
        read_variants(tmp_path / "list.txt", folder / "st.zarr")


def test_a_name_with_brackets_is_no_pattern(folder, tmp_path):
    store = ga.open_store(folder / "st.zarr")
    store.variants(0, 3).write_parquet(tmp_path / "list[1].parquet")
    assert len(read_variants(tmp_path / "list[1].parquet", store)) == 3


@pytest.mark.parametrize("command", ["prune", "pca", "kinship"])
def test_commands_say_what_a_list_names_in_vain(command, folder, tmp_path):
    ids = ga.open_store(folder / "st.zarr").variants(0, 300)["rsid"].to_list()
    (tmp_path / "list.txt").write_text("\n".join([*ids, ids[0], "nowhere"]))
    found = asked(command, folder / "st.zarr", "--variants", tmp_path / "list.txt", "--out", tmp_path / "out.tsv")
    assert found.exit_code == 0
    assert "1 of 301 variants are not in the store: 'nowhere'" in found.output
    assert "names 1 variants more than once" in found.output


def test_options_without_effect_are_refused(folder, tmp_path):
    store, out = folder / "st.zarr", tmp_path / "out.tsv"
    for args in (
        ("pca", store, "--out", out, "--project", tmp_path, "-k", 3),
        ("pca", store, "--out", out, "--project", tmp_path, "--maf", 0.2),
        ("pca", store, "--out", out, "--max-kinship", 0.1),
        ("prune", store, "--out", out, "--build", "GRCh37"),
        ("qc", store, "--out", out, "--het-limit", 4),
        ("qc", store, "--out", out, "--samples-out", tmp_path / "s.tsv", "--het-limit", 0),
    ):
        assert asked(*args).exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_cohort_without_relatives_goes_through_all_commands(folder, tmp_path):
    store, pairs = folder / "st.zarr", tmp_path / "kin.tsv"
    assert asked("kinship", store, "--out", pairs, "--min-kinship", 0.4).exit_code == 0
    assert len(pairs.read_text().splitlines()) == 1  # the header alone
    found = asked("pca", store, "--out", tmp_path / "pcs.tsv", "--unrelated", pairs, "-k", 2)
    assert found.exit_code == 0 and "of 40 samples" in found.output


def test_an_unrelated_set_that_cannot_be_written_costs_no_work(folder, tmp_path):
    store, out = folder / "st.zarr", tmp_path / "kin.tsv"
    with pytest.raises(ga.GenassocError, match="Nothing was computed"):
        CliRunner().invoke(
            app,
            ["kinship", str(store), "--out", str(out), "--unrelated-out", str(tmp_path / "no" / "u.txt")],
            catch_exceptions=False,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", ["large", "zero", "twice"])
def test_loadings_that_no_fit_gives_are_refused(change, folder, tmp_path):
    place = tmp_path / "fit"
    ga.pca(whole_store(ga.open_store(folder / "st.zarr")), 2).write(place)
    file = place / "loadings.parquet"
    table = pl.read_parquet(file)
    changes = {
        "large": table.with_columns(pl.col("PC1") * 1e300),
        "zero": table.with_columns(PC1=pl.lit(0.0)),
        "twice": pl.concat([table, table]),
    }
    changes[change].write_parquet(file)
    record = json.loads((place / "components.json").read_text())
    digest = FileDigest.of(file)
    record["files"][file.name] = {"bytes": digest.n_bytes, "sha256": digest.sha256, "rows": changes[change].height}
    (place / "components.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"loadings\.parquet holds no principal components"):
        read_components(place)


def test_the_line_of_a_prior_without_penalties():
    row = {
        "trait": "t", "n": 10, "n_folds": 5, "h2": None, "r2": None, "neg_log_likelihood": None, "failure": None,
    }  # fmt: skip
    assert summary_lines(pl.DataFrame([row])) == ["t: 10 samples, 5 folds"]


def test_step1_refuses_before_any_work(folder, tmp_path):
    table = pl.read_csv(folder / "ph.tsv", separator="\t").rename({"t": "a b"})
    table.write_csv(tmp_path / "ph.tsv", separator="\t")
    store = ga.open_store(folder / "st.zarr")
    (tmp_path / "kin.tsv").write_text(
        "sample_id_1\tsample_id_2\tkinship\n" + "\t".join(map(str, store.sample_ids[:2])) + "\t9\n"
    )
    base = f'[input]\nstore = "{folder}/st.zarr"\nphenotypes = "%s"\n[model]\nkind = "linear"\ntraits = ["%s"]\n'
    for name, text in {
        "blank": base % (tmp_path / "ph.tsv", "a b"),
        "kin.tsv": base % (folder / "ph.tsv", "t") + f'[step1]\nrelatives = "{tmp_path}/kin.tsv"\n',
    }.items():
        (tmp_path / "gwas.toml").write_text(text)
        with pytest.raises(ga.GenassocError, match=name):
            CliRunner().invoke(
                app, ["step1", str(tmp_path / "gwas.toml"), "--out", str(tmp_path / "L")], catch_exceptions=False
            )
        assert not (tmp_path / "L").exists()


def test_a_matrix_in_another_order_is_told(folder):
    cohort = ga.Cohort.align(ga.open_store(folder / "st.zarr"), folder / "ph.tsv", sample_id="IID")
    own = cohort.store.n_samples
    block = cohort.read(0, 400)
    Z = np.concatenate(list(standardised_pieces(block, "standardised", 0.01)))[:, :own].astype(float)
    kinship = Z.T @ Z / len(Z)
    at = np.roll(np.arange(own), 1)
    model = ga.LinearMixed(traits=["t"])
    assert not any("does not go with" in note for note in related(cohort, model, kinship).notes)
    assert any("another order" in note for note in related(cohort, model, kinship[np.ix_(at, at)]).notes)
    assert related(cohort, model, np.eye(own)).notes == cohort.notes  # says nothing of pairs


def test_the_mixed_model_counts_patterns_of_traits_with_offsets_by_chromosome(folder):
    cohort = ga.Cohort.align(ga.open_store(folder / "st.zarr"), folder / "ph.tsv", sample_id="IID")
    tables = {
        name: pl.DataFrame({"IID": cohort.sample_ids.tolist(), "t": np.linspace(0, size, cohort.n_samples)})
        for name, size in (("1", 1.0), ("2", 2.0))
    }
    assert n_patterns(with_offsets(cohort, tables, ["t"], "quantitative"), ga.LinearMixed(traits=["t"])) == 1


def test_a_simulated_heritability_is_a_number():
    with pytest.raises(ValueError, match="h2"):
        ga.SimulatedTrait(h2=float("nan"))


@pytest.mark.parametrize(
    "command",
    [
        ("prune", "{st}", "--out", "{out}"),
        ("kinship", "{st}", "--out", "{out}"),
        ("pca", "{st}", "-k", "2", "--out", "{out}"),
        ("prune", "{st}", "--out", "{out}", "--force"),
        ("kinship", "{st}", "--out", "{out}", "--force"),
        ("pca", "{st}", "-k", "2", "--out", "{out}", "--force"),
    ],
    ids=" ".join,
)
def test_a_folder_of_somebody_s_where_the_parts_would_lie_stays(command, folder, tmp_path):
    out = tmp_path / "found.tsv"
    theirs = tmp_path / "found.tsv.work"
    theirs.mkdir()
    (theirs / "notes.txt").write_text("mine")
    asked(*(word.format(st=folder / "st.zarr", out=out) for word in command))
    assert (theirs / "notes.txt").read_text() == "mine"
