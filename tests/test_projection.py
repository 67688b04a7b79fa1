"""Samples projected on components: unbiased where naive scores shrink; variants matched; folders of components, sound and damaged."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from commands import refused
from oracles.components import standardised
from structured_cohort import cohort_of, places, structured_codes

import genassoc as ga
from genassoc.errors import GenassocError, InputError, OutputError
from genassoc.stats.components import TRACY_WIDOM, Spectrum

N, V = 660, 1500
LABELS = np.arange(N) % 3
HELD = np.arange(N) >= 360
CODES = structured_codes(V, LABELS, 0.02, seed=21, missing=0.01)
TABLE = places(V, seed=3)


def scores(found):
    return found.scores.drop("sample_id").to_numpy()


def centres(values, labels):
    return np.array([np.nanmean(values[labels == group], axis=0) for group in range(3)])


def scale(projected, fitted):
    """How far the centres of projected samples lie along those of fitted ones: 1 is unbiased."""
    return float((projected * fitted).sum() / (fitted * fitted).sum())


@pytest.fixture(scope="module")
def cohort():
    return cohort_of(CODES, TABLE)


@pytest.fixture(scope="module")
def found(cohort):
    return ga.pca(cohort, 2, fit_on=~HELD, method="randomised")


# Centres of 100 samples each: over twelve seeds the scale is 0.994 on average, with a standard deviation of 0.016, of which this is nearly four;
# without the correction 0.825.
SCALE = 0.06


def test_projected_samples_lie_where_fitted_ones_of_their_population_lie(found):
    fitted = centres(scores(found)[~HELD], LABELS[~HELD])
    projected = centres(scores(found)[HELD], LABELS[HELD])
    assert abs(scale(projected, fitted) - 1.0) < SCALE
    naive = scale(projected * found.shrinkage, fitted)
    assert naive < 0.9  # without the correction they would be far too near to the origin: the test can fail


def test_the_factor_is_that_of_leaving_a_sample_out(cohort):
    """The score of a sample in a fit over what the loadings of a fit without it give, averaged over samples."""
    codes = CODES[:, :150]
    whole = ga.pca(cohort_of(codes, TABLE), 2, min_maf=0.0)
    x, ratios = standardised(codes), []
    for left in range(0, 150, 5):
        others = np.arange(150) != left
        values, vectors = np.linalg.eigh(x[:, others].T @ x[:, others] / V)
        loadings = x[:, others] @ vectors[:, -2:] / (V * values[-2:])
        rotation = np.linalg.lstsq(vectors[:, -2:], scores(whole)[others], rcond=None)[0]
        ratios.append([x[:, left] @ loadings @ rotation, scores(whole)[left]])
    naive, full = np.array(ratios).transpose(1, 0, 2)
    # of 30 samples: noise of a few hundredths; components differ in their factor by less
    assert abs((naive * full).sum() / (full * full).sum() - whole.shrinkage.mean()) < 0.05


def test_missing_calls_do_not_draw_samples_to_the_origin(found):
    codes = CODES[:, HELD].copy()
    codes[np.random.default_rng(1).random(codes.shape) < 0.4] = 3
    codes[np.random.default_rng(2).random(V) < 0.3] = 3
    projected = found.project(cohort_of(codes, TABLE))
    fitted = centres(scores(found)[~HELD], LABELS[~HELD])
    assert (
        abs(scale(centres(scores(projected), LABELS[HELD]), fitted) - 1.0) < 1.5 * SCALE
    )  # of four tenths of the calls
    codes[:, 0] = 3
    codes[5:, 1] = 3
    lacking = found.project(cohort_of(codes, TABLE))
    assert lacking.scores["PC1"].null_count() == 2
    assert any("2 of 300 samples have too few calls" in note for note in lacking.notes)


@pytest.mark.parametrize("method", ["exact", "randomised"])
def test_a_sample_of_the_fit_projects_to_its_score_but_for_shrinkage(cohort, method):
    fit = ga.pca(cohort, 2, method=method)
    again = fit.project(cohort)
    complete = (CODES == 3).mean(axis=0)
    assert "named as samples of the fit" in again.notes[-1]
    naive = scores(again) * fit.shrinkage
    # calls that it lacks are the mean in the fit, and not in the projection: a hundredth of the score, and twice for twice as many
    np.testing.assert_allclose(naive, scores(fit), atol=0.1 * np.abs(scores(fit)).max() * complete.max() / 0.01)
    assert abs(np.polyfit(scores(fit)[:, 0], naive[:, 0], 1)[0] - 1.0) < 0.003  # on average it is the same


def test_alleles_names_of_chromosomes_and_order_of_variants_do_not_matter(found):
    rng = np.random.default_rng(5)
    swapped, order = rng.random(V) < 0.5, np.concatenate([np.arange(750, V), np.arange(750)])
    held = CODES[:, HELD]
    codes = np.where(swapped[:, None] & (held < 3), 2 - held, held).astype(np.uint8)
    a, b = TABLE["other_allele"].to_numpy(), TABLE["effect_allele"].to_numpy()
    table = TABLE.with_columns(
        chromosome=pl.format("chr{}", "chromosome"),
        other_allele=pl.Series(np.where(swapped, b, a)),
        effect_allele=pl.Series(np.where(swapped, a, b)),
    )
    projected = found.project(cohort_of(codes[order], table[order]))
    np.testing.assert_allclose(scores(projected), scores(found)[HELD], atol=1e-6)
    used = found.loadings.height
    assert (projected.n_matched, projected.n_loadings) == (used, used)
    assert used == V
    assert projected.n_swapped == swapped.sum()
    assert any("A/T or C/G" in note for note in projected.notes)


def test_the_other_strand_is_left_out_and_named(found):
    complement = {"A": "T", "T": "A", "C": "G", "G": "C"}
    turned = np.random.default_rng(6).random(V) < 0.3
    names = [TABLE[name].to_list() for name in ("other_allele", "effect_allele")]
    ambiguous = np.array([complement[a] == b for a, b in zip(*names)])
    columns = {
        name: pl.Series([complement[x] if t else x for x, t in zip(letters, turned)])
        for name, letters in zip(("other_allele", "effect_allele"), names)
    }
    projected = found.project(cohort_of(CODES[:, HELD], TABLE.with_columns(**columns)), min_overlap=0.3)
    matched = ~turned & ~ambiguous
    assert projected.n_matched == matched.sum()
    assert projected.n_other_strand == (turned & ~ambiguous).sum()
    assert any("both strands" in note for note in projected.notes)
    fitted = centres(scores(found)[~HELD], LABELS[~HELD])
    assert abs(scale(centres(scores(projected), LABELS[HELD]), fitted) - 1.0) < 1.5 * SCALE


def test_too_few_variants_are_refused_and_some_are_enough(found):
    few = cohort_of(CODES[:600, HELD], TABLE[:600])
    with pytest.raises(InputError, match=r"too few to project.*min_overlap.*1_10_"):
        found.project(few)
    projected = found.project(few, min_overlap=0.3)
    assert any("not in the store" in note for note in projected.notes)
    with pytest.raises(InputError, match="share"):
        found.project(few, min_overlap=3)
    other = TABLE.with_columns(base_pair_location=pl.col("base_pair_location") + 5)
    with pytest.raises(InputError, match="builds"):
        found.project(cohort_of(CODES, other))


def test_filters_of_the_other_cohort_hold(found):
    some = cohort_of(CODES[:, HELD], TABLE).keep_variants(ga.variants.missing_below(0.012))
    projected = found.project(some)
    assert projected.n_matched < found.loadings.height
    assert any("left out by the cohort's filters" in note for note in projected.notes)
    with pytest.raises(InputError, match="filters leave"):
        found.project(some.keep_variants(ga.variants.maf_above(0.49)))


# folders -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(found, tmp_path):
    return found.write(tmp_path / "a.pca")


def test_what_is_written_is_read(found, folder):
    again = ga.PrincipalComponents.read(folder)
    assert again.scores.equals(found.scores)
    assert again.loadings.equals(found.loadings)
    assert (again.fitted == found.fitted).all()
    for name in ("eigenvalues", "shrinkage", "angles"):
        assert getattr(again, name).tobytes() == getattr(found, name).tobytes()
    for name in ("total_variance", "above_noise", "method", "passes", "seed", "notes", "record"):
        assert getattr(again, name) == getattr(found, name)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["a.pca"]


def test_a_folder_is_replaced_only_when_asked_and_only_by_one_of_its_kind(found, folder, tmp_path):
    with pytest.raises(OutputError, match="there already"):
        found.write(folder)
    found.write(folder, overwrite=True)
    assert ga.PrincipalComponents.read(folder).scores.equals(found.scores)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="left as it is"):
        found.write(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"
    with pytest.raises(OutputError, match="no folder"):
        found.write(tmp_path / "absent" / "a.pca")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("wip_")]


def edited(folder, change):
    path = folder / "components.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="x"), "format"),
        (lambda c: c.update(version=9), "version 9"),
        (lambda c: c.update(k=10**9), "k is no number"),
        (lambda c: c.update(k=1), "2 numbers"),
        (lambda c: c.update(shrinkage=[0.5, 0.0]), "shrinkage"),
        (lambda c: c.update(eigenvalues=[1.0, 2.0]), "descending"),
        (lambda c: c.update(eigenvalues=[None, 2.0]), "no number"),
        (lambda c: c.update(total_variance=float("inf")), "total_variance"),
        (lambda c: c.update(method="import os"), "method"),
        (lambda c: c.update(files={}), "loadings.parquet"),
        (lambda c: c["files"]["loadings.parquet"].update(rows=2**30), "cannot be held"),
        (lambda c: c["files"]["loadings.parquet"].update(bytes=7), "bytes"),
        (lambda c: c["files"]["scores.parquet"].update(sha256="0"), "digest"),
    ],
)
def test_a_record_that_was_edited_is_refused(folder, change, words):
    edited(folder, change)
    with pytest.raises(InputError, match=words):
        ga.PrincipalComponents.read(folder)


def restated(folder, name, table):
    """A table in place of another, with the size and digest that it has."""
    from genassoc.data.integrity import FileDigest

    table.write_parquet(folder / name)
    digest = FileDigest.of(folder / name)
    stated = {"bytes": digest.n_bytes, "sha256": digest.sha256, "rows": table.height}
    edited(folder, lambda content: content["files"].update({name: stated}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.with_columns(PC1=pl.lit(float("nan"))), "PC1 of a variant is no number"),
        (lambda t: t.with_columns(effect_allele_frequency=pl.lit(1.0)), "frequency"),
        (lambda t: t.with_columns(call_rate=pl.lit(0.0)), "frequency"),
        (lambda t: t.with_columns(effect_allele=pl.lit(None, dtype=pl.String)), "alleles"),
        (lambda t: t.drop("PC2"), "columns"),
        (lambda t: t.with_columns(PC1=pl.lit("x")), "columns"),
    ],
)
def test_loadings_that_are_none_are_refused(found, folder, change, words):
    restated(folder, "loadings.parquet", change(found.loadings))
    with pytest.raises(InputError, match=words):
        ga.PrincipalComponents.read(folder)


def test_damaged_bytes_are_refused(found, folder):
    for name in ("loadings.parquet", "scores.parquet", "components.json"):
        for cut in (0, 40):
            shutil.copytree(folder, folder.parent / "b")
            (folder.parent / "b" / name).write_bytes((folder / name).read_bytes()[:cut])
            with pytest.raises(InputError, match=name.replace(".", r"\.")):
                ga.PrincipalComponents.read(folder.parent / "b")
            shutil.rmtree(folder.parent / "b")
    (folder / "scores.parquet").unlink()
    with pytest.raises(InputError, match=r"scores\.parquet is not there"):
        ga.PrincipalComponents.read(folder)
    with pytest.raises(InputError, match="is not there"):
        ga.PrincipalComponents.read(folder.parent / "nothing")


# noise -------------------------------------------------------------------------------------------------------


def test_noise_is_not_taken_for_structure():
    """Eigenvalues of independent variants: the first stands above noise as often as the level says."""
    rng, n, above = np.random.default_rng(9), 60, []
    for _ in range(300):
        x = rng.standard_normal((400, n))
        x -= x.mean(axis=1, keepdims=True)
        values = np.linalg.eigvalsh(x.T @ x / 400)[::-1]
        above.append([Spectrum.of_all(values, 3).above_noise(level) > 0 for level in TRACY_WIDOM])
    shares = np.mean(above, axis=0)
    # the law is of large matrices, and 300 draws err by 0.0126, 0.0057, 0.0018: three of these, and half of the level for the former
    for share, level, error in zip(shares, TRACY_WIDOM, (0.0126, 0.0057, 0.0018)):
        assert share < 1.5 * level + 3 * error
    assert shares[0] > 0.01  # and it does so at all


def test_structure_is_seen_and_where_spectra_are_estimated_noise_is_the_answer_in_doubt():
    rng = np.random.default_rng(3)
    values = np.sort(np.concatenate([[12.0, 5.0], rng.uniform(0.2, 2.2, 500)]))[::-1]
    known = Spectrum.of_all(values, 4)
    assert known.above_noise() == 2
    doubted = Spectrum(known.leading, known.nodes, known.multiplicities, spread_error=0.05)
    assert (doubted.tracy_widom() < known.tracy_widom()).all()


def test_shrinkage_of_independent_variants_is_that_of_lee_zou_and_wright():
    """Theirs is (l' - 1) / (l' - 1 + M / n) of a spike l' among variants; among samples it is l = 1 + (l' - 1) n / M, and the factor (l - 1) / l."""
    rng, n, m, spike = np.random.default_rng(4), 800, 4000, 4.0
    x = rng.standard_normal((m, n))
    x[:, 0] *= np.sqrt(spike)
    values = np.linalg.eigvalsh(x.T @ x / m)[::-1]
    among_variants = 1 + (spike - 1) * m / n
    theirs = (among_variants - 1) / (among_variants - 1 + m / n)
    # the sample eigenvalue has a standard deviation of 0.09: of the factor that is 0.006
    assert abs(Spectrum.of_all(values, 1).shrinkage()[0] - theirs) < 0.02


# pictures ----------------------------------------------------------------------------------------------------


def test_a_picture_of_two_components(found, tmp_path):
    from matplotlib.figure import Figure

    ax = ga.plots.pca(found, title="Populations")
    assert ax.get_xlabel().startswith(f"PC1 ({100 * found.variance_explained[0]:.3g} %)")
    drawn = sum(len(points.get_offsets()) for points in ax.collections)
    assert drawn == N
    assert "300 of them projected (hollow)" in ax.texts[0].get_text()
    assert ga.plots.save_figure(ax, tmp_path / "a.png").stat().st_size > 5000
    mine = Figure().add_subplot()
    assert ga.plots.pca(found, x=2, y=1, ax=mine) is mine


def test_colours_by_group_by_number_and_by_id(found):
    names = found.scores["sample_id"].to_list()
    groups = pl.DataFrame({"IID": names[::-1], "population": [f"pop {LABELS[int(name[1:])]}" for name in names[::-1]]})
    ax = ga.plots.pca(found, color_by=groups)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["pop 0", "pop 1", "pop 2"]
    assert ax.get_legend().get_title().get_text() == "population"
    by_id = ga.plots.pca(found, color_by={name: int(LABELS[i]) for i, name in enumerate(names[:-5])})
    assert by_id.get_legend().get_texts()[-1].get_text() == "not known"
    many = ga.plots.pca(found, color_by=[f"g{i % 12}" for i in range(N)])
    assert many.get_legend().get_texts()[-1].get_text() == "others (5)"
    numbers = ga.plots.pca(found, color_by=np.linspace(20, 70, N))
    assert numbers.get_legend() is None
    assert len(numbers.get_figure().axes) == 2


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"x": 3}, "components 1 to 2"),
        ({"x": 2, "y": 2}, "two different"),
        ({"color_by": [1, 2]}, "2 values, and there are 660"),
        ({"color_by": {"nobody": 1}}, "none of the samples"),
        ({"color_by": pl.DataFrame({"a": ["S1"], "b": [1], "c": [1]})}, "3 columns"),
    ],
)
def test_what_cannot_be_drawn_is_said(found, choices, words):
    with pytest.raises(GenassocError, match=words):
        ga.plots.pca(found, **choices)


def test_projecting_with_a_folder_that_is_none(genassoc, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "components.json").write_text("{}")
    refused(
        genassoc("pca", tmp_path / "absent.zarr", "--out", tmp_path / "o.tsv", "--project", tmp_path / "c"),
        tmp_path / "o.tsv",
        "format",
    )
