"""Linear mixed models: rows against dense algebra and GEMMA, relationships of files and of the store, and what they refuse."""

import shutil
import subprocess

import numpy as np
import polars as pl
import pytest
import related_cohort
from commands import refused
from oracles import mixed as oracle
from oracles import shape_law as drawn
from scipy import stats

import genassoc as ga
from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.kinship import filled, matrix_of, with_kinship
from genassoc.kernels.laws import shape_law
from genassoc.kernels.likelihoods import mixed as kernel
from genassoc.models.mixed import rows as mixed_rows
from genassoc.models.mixed.null import MixedState
from genassoc.stats.mixed import NoVarianceError, fit_null, rotation


@pytest.fixture(scope="module")
def families():
    return related_cohort.draw()


@pytest.fixture(scope="module")
def files(families, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    store, table = families.written(folder)
    np.savetxt(folder / "k.cXX.txt", families.pedigree, fmt="%.10g")
    np.save(folder / "k.npy", families.pedigree)
    return folder, store, table


@pytest.fixture
def cohort(files):
    return ga.Cohort.align(files[1], files[2], sample_id="IID")


@pytest.fixture(scope="module")
def results(files):
    """Both tests by the pedigree's relationships."""
    cohort = ga.Cohort.align(files[1], files[2], sample_id="IID")
    models = {test: ga.LinearMixed(["q", "part"], ["x"], test=test, min_mac=0) for test in ("wald", "lrt")}
    return {
        test: ga.associate(cohort, model, kinship=files[0] / "k.npy", executor=ga.Serial())
        for test, model in models.items()
    }


def rows_of(families, trait):
    """Samples of a trait, its y, X, and G with means where calls are missing."""
    y = families.table[trait].to_numpy()
    here = ~np.isnan(y)
    X = np.column_stack([np.ones(here.sum()), families.table["x"].to_numpy()[here]])
    G = families.codes[:, here].astype(float)
    G[G == 3] = np.nan
    G = np.where(np.isnan(G), np.nanmean(G, axis=1)[:, None], G)
    return here, y[here], X, G


def by_chi_squared(rows, n, df):
    """-log10 p of rows of likelihood ratios, whose p is of F, as chi-squared of twice the gain in log likelihood."""
    gain = n * np.log1p(rows["statistic"].cast(pl.Float64).to_numpy() ** 2 / df)
    return -stats.chi2.logsf(gain, 1) / np.log(10)


def test_a_likelihood_ratio_of_few_samples_is_referred_to_f(families, results):
    rows = results["lrt"].table.filter(pl.col("trait") == "q", pl.col("code").is_null())
    assert set(rows["method"]) <= {"lrt_f", "spa"}
    rows = rows.filter(pl.col("method") == "lrt_f")
    by_f = -stats.f.logsf(rows["statistic"].cast(pl.Float64).to_numpy() ** 2, 1, 157) / np.log(
        10
    )  # 160 samples, x and g
    np.testing.assert_allclose(
        rows["neg_log_10_p_value"], by_f, rtol=1e-5, atol=1e-6
    )  # statistics are float32 or float64
    audited = ga.associate(
        results["lrt"].cohort, ga.LinearMixed("q", "x", test="lrt"), kinship=families.pedigree, audit=12
    )
    assert audited.provenance["audit"]["passed"] and audited.provenance["audit"]["rows"] == 12


@pytest.mark.parametrize("trait", ["q", "part"])
def test_rows_are_those_of_dense_algebra(families, results, trait):
    here, y, X, G = rows_of(families, trait)
    K = families.pedigree[np.ix_(here, here)]
    wald, lrt = (results[test].table.filter(pl.col("trait") == trait) for test in ("wald", "lrt"))
    for v in range(0, len(G), 17):
        beta, error, p_wald, p_lrt, _ = oracle.mixed_row(y, X, G[v], K)
        row, other = wald.row(v, named=True), lrt.row(v, named=True)
        # the oracle's maximum is where differences of its likelihood vanish: to about 1e-6 of ln ratio, less in what follows from it
        assert row["beta"] == pytest.approx(beta, rel=1e-5, abs=1e-5 * error)
        assert row["standard_error"] == pytest.approx(error, rel=1e-5)
        assert row["neg_log_10_p_value"] == pytest.approx(p_wald, rel=1e-4, abs=1e-5)
        found = by_chi_squared(lrt[v : v + 1], here.sum(), here.sum() - 3)[0]
        assert found == pytest.approx(p_lrt, rel=1e-4, abs=1e-5)
        assert other["beta"] == row["beta"]
        assert row["n"] == here.sum()


def test_audit_and_methods(files, cohort):
    result = ga.associate(cohort, ga.LinearMixed("q", "x"), kinship=files[0] / "k.cXX.txt", audit=12)
    assert result.provenance["audit"]["passed"]
    assert result.provenance["audit"]["rows"] == 12
    assert set(result.table["method"].drop_nulls()) == {"wald"}
    assert result.provenance["inputs"]["kinship"]["file"].endswith("k.cXX.txt")


@pytest.mark.skipif(shutil.which("gemma") is None, reason="GEMMA is not installed")
def test_numbers_are_gemmas(families, files, results, tmp_path):
    calls = [", ".join("NA" if c == 3 else str(c) for c in row) for row in families.codes]
    (tmp_path / "g.txt").write_text("".join(f"rs{i}, G, A, {row}\n" for i, row in enumerate(calls)))
    y = families.table["part"].to_list()
    (tmp_path / "p.txt").write_text("\n".join("NA" if np.isnan(v) else repr(v) for v in y) + "\n")
    np.savetxt(tmp_path / "c.txt", np.column_stack([np.ones(len(y)), families.table["x"].to_numpy()]), fmt="%.17g")
    wide = ("-maf", "0", "-miss", "0.9", "-r2", "1")
    base = ["gemma", "-g", "g.txt", "-p", "p.txt", "-outdir", ".", *wide]
    for extra in (
        ["-c", "c.txt", "-k", files[0] / "k.cXX.txt", "-lmm", "4", "-o", "lmm"],
        ["-gk", "1", "-o", "c"],
        ["-gk", "2", "-o", "s"],
    ):
        subprocess.run([*base, *extra], cwd=tmp_path, check=True, capture_output=True)
    theirs = pl.read_csv(tmp_path / "lmm.assoc.txt", separator="\t").select("rs", "beta", "se", "p_wald", "p_lrt")
    wald, lrt = (results[test].table.filter(pl.col("trait") == "part") for test in ("wald", "lrt"))
    both = wald.join(theirs, left_on="rsid", right_on="rs", suffix="_gemma").join(
        lrt.select("rsid", lrt=pl.Series(by_chi_squared(lrt, n := sum(~np.isnan(y)), n - 3))), on="rsid"
    )
    assert both.height == theirs.height > 100
    # GEMMA stops at 1e-5 of the ratio, of which these move by a tenth or less, and writes seven digits
    assert (both["beta"] - both["beta_gemma"]).abs().max() < 1e-5
    assert (both["standard_error"] / both["se"] - 1).abs().max() < 1e-5
    assert (both["neg_log_10_p_value"] + both["p_wald"].log10()).abs().max() < 1e-4
    assert (both["lrt"] + both["p_lrt"].log10()).abs().max() < 1e-4
    log = (tmp_path / "lmm.log.txt").read_text()
    here, y, X, _ = rows_of(families, "part")
    turned = rotation(families.pedigree[np.ix_(here, here)].copy(), X)
    null = fit_null(turned.d, turned.T @ y)
    assert float(log.split("## pve estimate in the null model = ")[1].split()[0]) == pytest.approx(null.share, rel=1e-4)
    assert float(log.split("## se(pve) in the null model = ")[1].split()[0]) == pytest.approx(
        null.standard_error, rel=1e-3
    )
    whole = ga.Cohort.align(files[1], files[2], sample_id="IID")
    for scaling, name in (("centred", "c.cXX.txt"), ("standardised", "s.sXX.txt")):
        made = filled(whole, ga.LinearMixed("q", grm=scaling, grm_maf=0.0).relationships())
        # sums of 512 float32 products: 1e-6 of the entries
        assert np.abs(matrix_of(made, made.kinship) - np.loadtxt(tmp_path / name)).max() < 1e-5


@pytest.mark.parametrize("choices", [{}, {"loco": True, "test": "lrt"}, {"grm": "centred"}], ids=str)
def test_bytes_are_the_same_on_threads_and_in_other_blocks(families, files, cohort, tmp_path, choices):
    model = ga.LinearMixed(["q", "h", "part"], ["x"], **choices)
    paths = [tmp_path / f"{i}.parquet" for i in range(3)]
    ga.associate(cohort, model, out=paths[0], executor=ga.Serial())
    ga.associate(cohort, model, out=paths[1], executor=ga.Threads(2))
    other = tmp_path / "other"
    other.mkdir()
    store, table = families.written(other, block_variants=16)
    ga.associate(ga.Cohort.align(store, table, sample_id="IID"), model, out=paths[2], executor=ga.Serial())
    assert paths[0].read_bytes() == paths[1].read_bytes()
    tables = [pl.read_parquet(path) for path in paths]
    assert tables[0].equals(tables[2])
    alone = ga.associate(cohort, ga.LinearMixed("h", ["x"], **choices), executor=ga.Serial())
    assert alone.table.equals(tables[0].filter(pl.col("trait") == "h"))


def test_loco_leaves_the_chromosome_out(families, cohort):
    model = ga.LinearMixed("q", ["x"], loco=True, grm_maf=0.0, min_mac=0)
    result = ga.associate(cohort, model, executor=ga.Serial())
    _, y, X, G = rows_of(families, "q")
    varies = G.std(axis=1) > 0
    Z = (G - G.mean(axis=1)[:, None]) / np.where(varies, G.std(axis=1), 1.0)[:, None]
    chromosome = families.variants["chromosome"].to_numpy()
    for v in (3, 70, 110):
        others = Z[varies & (chromosome != chromosome[v])]
        beta, error, p_wald, *_ = oracle.mixed_row(y, X, G[v], others.T @ others / len(others))
        row = result.table.row(v, named=True)
        # entries of the relationships are right to 1e-6
        assert row["beta"] == pytest.approx(beta, rel=1e-4, abs=1e-4 * error)
        assert row["neg_log_10_p_value"] == pytest.approx(p_wald, rel=1e-3, abs=1e-4)


def test_the_other_allele_has_the_other_sign(families, cohort):
    model = ga.LinearMixed(["q"], ["x"])
    state = model.prepare(with_kinship(cohort, families.pedigree))
    swapped = np.where(families.codes == 3, 3, 2 - families.codes.astype(int)).astype(np.uint8)
    one, other = (model.block(state, GenotypeBlock.from_codes(codes)).columns for codes in (families.codes, swapped))
    even = families.codes.astype(float).sum(axis=1)  # ties in frequency may be counted either way
    assert np.isfinite(even).all()
    np.testing.assert_allclose(one["beta"], -other["beta"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one["neg_log_10_p_value"], other["neg_log_10_p_value"], rtol=1e-9, atol=1e-12)


def test_rows_do_not_depend_on_their_neighbours(families, cohort):
    """BLAS adds up a variant's sums in one order, wherever it stands in a tile."""
    model = ga.LinearMixed(["q"], ["x"], min_mac=0)
    state = model.prepare(with_kinship(cohort, families.pedigree))
    assert isinstance(state, MixedState)
    copies = GenotypeBlock.from_codes(np.repeat(families.codes[5:6], mixed_rows.TILE + 3, axis=0))
    columns = model.block(state, copies).columns
    assert all(len(np.unique(columns[name])) == 1 for name in ("beta", "standard_error", "neg_log_10_p_value"))
    alone = model.block(state, GenotypeBlock.from_codes(families.codes[5:6])).columns
    assert alone["beta"][0] == columns["beta"][0]


def test_scaling_and_shift_of_a_trait(families, cohort):
    kinship = with_kinship(cohort, 3.7 * families.pedigree)
    table = families.table.with_columns(big=1e6 * pl.col("q") + 1e9)
    other = with_kinship(ga.Cohort.align(cohort.store, table.fill_nan(None), sample_id="IID"), families.pedigree)
    block = GenotypeBlock.from_codes(families.codes[:40])
    one, big = (
        model.block(model.prepare(c), block).columns
        for model, c in ((ga.LinearMixed("q", "x"), kinship), (ga.LinearMixed("big", "x"), other))
    )
    # 1e9 beside 1e6 costs three digits of sixteen
    np.testing.assert_allclose(big["beta"], 1e6 * one["beta"], rtol=1e-6)
    np.testing.assert_allclose(big["neg_log_10_p_value"], one["neg_log_10_p_value"], rtol=1e-6, atol=1e-9)


def test_negative_eigenvalues_are_said_and_count_as_zero(families, cohort):
    K = families.pedigree.copy()
    K[0, 2] = K[2, 0] = 3.0  # no covariance: two people more alike than each is with itself
    state = ga.LinearMixed("q", "x").prepare(with_kinship(cohort, K))
    assert any("eigenvalues were negative" in note for note in state.notes)


def test_a_trait_without_genes_is_at_the_bound(families, cohort):
    rng = np.random.default_rng(9)
    pairs = np.repeat(rng.normal(size=80), 2) * np.tile(
        [1.0, -1.0], 80
    )  # children of a family differ more than strangers
    table = families.table.with_columns(opposed=pl.Series(pairs))
    other = with_kinship(ga.Cohort.align(cohort.store, table.fill_nan(None), sample_id="IID"), families.pedigree)
    (fit,) = ga.LinearMixed("opposed").prepare(other).nulls[0].fits
    assert fit.fit.at_bound
    assert fit.fit.share < 1e-4
    assert 0.0 < fit.fit.standard_error < 1.0


BAD = {
    "another number of samples": (lambda K: K[:-1, :-1], "159 x 159"),
    "no square": (lambda K: K[:-1], "square"),
    "not symmetric": (lambda K: np.where(np.tri(len(K), k=-1) > 0, 0.0, K), "not symmetric"),
    "not a number": (lambda K: np.where(np.eye(len(K)) > 0, np.nan, K), "no finite number"),
    "alike": (np.ones_like, "no variance"),
}


@pytest.mark.parametrize("kind", ["array", "npy", "text"])
@pytest.mark.parametrize("case", BAD)
def test_bad_matrices_are_refused_by_name(families, files, cohort, tmp_path, case, kind):
    change, words = BAD[case]
    K = change(families.pedigree)
    given = {"array": K, "npy": tmp_path / "k.npy", "text": tmp_path / "k.txt"}[kind]
    if kind == "npy":
        np.save(given, K)
    elif kind == "text":
        np.savetxt(given, K)
        words = {"159 x 159": "159 numbers in line 1", "square": "159 lines"}.get(words, words)
    with pytest.raises(ga.InputError, match=words):
        ga.associate(cohort, ga.LinearMixed("q"), kinship=given)


@pytest.mark.parametrize(
    "content", [b"", b"a b c\n", b"\x93NUMPY\x01\x00v\x00{", b"1 2\n" * 4, b"1" * 20_000, b"\x00" * 4096], ids=repr
)
@pytest.mark.parametrize("name", ["k.txt", "k.npy", "k.txt.gz"])
def test_files_that_are_no_matrix(cohort, tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ga.InputError, match=name):
        with_kinship(cohort, tmp_path / name)


def test_objects_are_not_unpickled(cohort, tmp_path):
    np.save(tmp_path / "k.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ga.InputError, match=r"k\.npy"):
        with_kinship(cohort, tmp_path / "k.npy")
    with pytest.raises(ga.InputError, match=r"absent\.txt cannot be read"):
        with_kinship(cohort, tmp_path / "absent.txt")


def test_refusals(families, cohort):
    with pytest.raises(ga.InputError, match="LinearMixed"):
        ga.associate(cohort, ga.Linear("q"), kinship=families.pedigree)
    with pytest.raises(ga.InputError, match="loco=True"):
        ga.associate(cohort, ga.LinearMixed("q", loco=True), kinship=families.pedigree)
    with pytest.raises(ga.GenassocError, match="none of its autosomal variants"):
        ga.associate(cohort, ga.LinearMixed("q", grm_maf=0.5))
    with pytest.raises(TypeError, match="LinearMixed"):
        ga.permute(cohort, ga.LinearMixed("q"), 10, seed=1)
    for wrong in (
        {"interaction": "x"},
        {"weights": "x"},
        {"variance": "robust"},
        {"genetic_model": "genotypic"},
        {"missing": "complete"},
    ):
        with pytest.raises(ValueError, match=r"mixed model|missing is|variance is"):
            ga.LinearMixed("q", **wrong)


def test_too_many_samples_are_refused_before_any_work(cohort, monkeypatch):
    from genassoc.engine.resources import Grant
    from genassoc.verbs import relationships

    monkeypatch.setattr(relationships, "granted_memory", lambda: Grant(1_000_000, "this machine"))
    with pytest.raises(ga.PlanError, match="160 x 160"):
        ga.associate(cohort, ga.LinearMixed("q"))


def test_ten_samples_and_a_constant_trait(families, cohort):
    few = cohort.keep_samples([f"s{i}" for i in range(10)])
    table = ga.associate(few, ga.LinearMixed("q", "x", min_mac=0), kinship=families.pedigree).table
    assert table["n"].max() == 10
    with pytest.raises(ga.PhenotypeError, match="too few samples"):
        ga.associate(cohort.keep_samples(["s0", "s1", "s5"]), ga.LinearMixed("q", "x"), kinship=families.pedigree)
    with pytest.raises(NoVarianceError):
        rotation(np.ones((9, 9)), np.ones((9, 1)))


def test_command_line_and_job_array(genassoc, files, tmp_path):
    folder, store, table = files
    base = [store, table, "--sample-id", "IID", "--model", "mixed", "--trait", "q", "--covar", "x", "--kinship"]
    code, printed, errors = genassoc(
        "assoc", *base, folder / "k.cXX.txt", "--out", tmp_path / "one.parquet", "--print-toml"
    )
    assert code == 0, errors
    assert "[kinship]" in printed
    config, work = tmp_path / "gwas.toml", tmp_path / "work"
    config.write_text(printed)
    code, printed, errors = genassoc("check", config)
    assert code == 0, errors
    assert "goes with the relationships" in printed
    by_chromosome = tmp_path / "loco.toml"
    by_chromosome.write_text(
        config.read_text()
        .replace("[kinship]", "[offset]")
        .split("[offset]")[0]
        .replace('kind = "mixed"', 'kind = "mixed"\nloco = true')
        + f'[output]\npath = "{tmp_path}/l.parquet"\n'
    )
    code, printed, errors = genassoc("check", by_chromosome)
    assert code == 0, errors
    assert "3 decompositions of 160 samples" in printed
    steps = (
        ["run", config, "--audit", "0"],
        ["plan", config, work, "--parts", "2"],
        ["part", work, "0"],
        ["part", work, "1"],
    )
    for step in (*steps, ["merge", work, tmp_path / "two.parquet", "--audit", "0"]):
        code, _, errors = genassoc(*step)
        assert code == 0, errors
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    code, printed, errors = genassoc("explain", tmp_path / "one.parquet", "rs7")
    assert code == 0, errors
    assert "gives the same row" in printed
    np.savetxt(folder / "other.txt", np.eye(7))
    refused(
        genassoc("assoc", *base, folder / "other.txt", "--out", tmp_path / "x.parquet"),
        tmp_path / "x.parquet",
        "7 numbers in line 1",
    )


# kernels -------------------------------------------------------------------------------------------------------------------


@pytest.mark.kernel
def test_mixed_rows_are_the_twins():
    rng = np.random.default_rng(3)
    n = 14
    A = rng.normal(size=(n, 4))
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    turned = rotation(A @ A.T, X, whole=True)
    y = A @ rng.normal(size=4) + rng.normal(size=n)
    eta = turned.T @ y
    gammas = np.vstack([rng.normal(size=(3, n)) @ turned.T.T, np.zeros(n - 2)])
    squares = np.full(4, float(n))
    from genassoc.stats.mixed import grid, weights

    of = weights(turned.d)
    K = grid().size
    traces, all_traces = of.sum(axis=0), weights(turned.all_d).sum(axis=0)
    of_eta = (eta * eta) @ of

    def contrasts(all_d, t):
        null = fit_null(turned.d, eta, turned.all_d if all_d.size else None)
        return kernel.Contrasts(
            turned.d,
            eta,
            all_d,
            grid(),
            np.stack([of_eta[:K], of_eta[K:], t[:K], t[K:]]),
            null.ln_ratio,
            null.log_likelihood,
        )

    reml, ml = contrasts(np.empty(0), traces), contrasts(turned.all_d, all_traces)
    arguments = (gammas, squares, (gammas * gammas) @ of, gammas @ (eta[:, None] * of), reml, ml)
    found, expected = np.empty((4, kernel.N_NUMBERS)), np.empty((4, kernel.N_NUMBERS))
    status, theirs = np.empty(4, np.uint8), np.empty(4, np.uint8)
    kernel.mixed_rows(*arguments, found, status)
    oracle.mixed_rows(*arguments, expected, theirs)
    np.testing.assert_array_equal(status, theirs)
    # the twin looks where differences of the likelihood, of 1e-5, vanish
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=1e-4, equal_nan=True)
    np.testing.assert_allclose(found[:, 2], expected[:, 2], rtol=1e-4, atol=1e-4, equal_nan=True)
    np.testing.assert_allclose(found[:, 3], expected[:, 3], rtol=1e-4, atol=1e-6, equal_nan=True)


@pytest.mark.kernel
def test_tails_are_those_of_draws():
    atoms, weights = np.array([-1.0, -0.5, 4.0]), np.array([0.5, 0.4, 0.1])
    atoms = atoms - weights @ atoms
    a = np.array([[0.9, 1.0, 1.1, 0.0, -0.1, 0.02]])
    statistic = np.array([2.1])
    found, expected = np.empty((1, 2)), np.empty((1, 2))
    shape_law.shape_rows(a, atoms, weights, 0.0, statistic, found)
    drawn.shape_rows(a, atoms, weights, 0.0, statistic, expected)
    assert found[0, 1] == pytest.approx(expected[0, 1], rel=1e-9)
    # coefficients in bins of a 128th, the small ones a normal; and 400,000 draws of a p of about 0.1
    assert found[0, 0] == pytest.approx(expected[0, 0], rel=0.03)
