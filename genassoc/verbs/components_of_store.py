"""Principal components of a store into files, and scores of a store's samples on components that were saved: what `genassoc pca` does."""

from dataclasses import replace
from pathlib import Path

from genassoc.data.output import check_outputs, check_writable
from genassoc.data.result_table import table_suffix, write_table
from genassoc.engine.executors import Executor
from genassoc.engine.parts import WorkFolder
from genassoc.errors import OutputError
from genassoc.progress import Progress
from genassoc.verbs.component_files import check_folder
from genassoc.verbs.components import PrincipalComponents, pca
from genassoc.verbs.projection import ProjectedScores
from genassoc.verbs.stores import chosen_of_store, known_samples, listed_ids

# Calls; below, all passes together take less than a minute of one CPU, and keeping their sums as long again.
_LONG_RUN = 2 * 10**9


def components_of_store(
    store: Path,
    out: Path,
    *,
    variants: Path | None = None,
    keep: Path | None = None,
    fit_on: Path | None = None,
    unrelated: Path | None = None,
    max_kinship: float = 0.0442,
    save: Path | None = None,
    plot: Path | None = None,
    restart: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
    k: int = 10,
    min_maf: float = 0.01,
    long_range_ld: bool | None = None,
    build: str | None = None,
    method: str | None = None,
    seed: int = 1,
    memory: str | None = None,
) -> PrincipalComponents:
    """`pca` of a store's samples, or those of a list, into a table of scores; a long run that was killed is taken up from ``<out>.work``.

    ``fit_on`` is a file with the ids of the samples of the fit, ``unrelated`` a table of kinship that chooses among these, ``save`` the folder for loadings, ``plot`` a picture of PC1 and PC2.
    """
    inputs = [path for path in (store, variants, keep, fit_on, unrelated) if path is not None]
    _check_targets(out, save, plot, inputs, restart)
    cohort = chosen_of_store(store, variants=variants, keep=keep)
    fitted = None if fit_on is None else known_samples(cohort, *listed_ids(fit_on, "samples"))
    work = WorkFolder.beside(out)
    if restart:
        work.remove()
    keeps = cohort.n_samples * cohort.n_variants >= _LONG_RUN or work.path.is_dir()
    found = pca(
        cohort, k, fit_on=fitted, unrelated=unrelated, max_kinship=max_kinship, min_maf=min_maf, long_range_ld=long_range_ld, build=build, method=method, seed=seed,
        memory=memory, work=work.path if keeps else None, executor=executor, progress=progress,
    )  # fmt: skip
    found = replace(found, notes=(*cohort.notes, *found.notes))  # what there is to say of the lists
    if save is not None:
        found.write(save, overwrite=restart)
    if plot is not None:
        _draw(found, plot)
    write_table(out, [found.scores])  # last: where it is, all is
    return found


def projected_of_store(
    store: Path,
    out: Path,
    components: Path,
    *,
    keep: Path | None = None,
    min_overlap: float = 0.5,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> ProjectedScores:
    """Scores of a store's samples, or those of a list, on components that were saved, into a table."""
    _check_targets(out, None, None, [path for path in (store, components, keep) if path is not None], False)
    found = PrincipalComponents.read(components)
    cohort = chosen_of_store(store, keep=keep)
    scores = found.project(cohort, min_overlap=min_overlap, executor=executor, progress=progress)
    write_table(out, [scores.scores])
    return scores


def _check_targets(out: Path, save: Path | None, plot: Path | None, inputs: list[Path], restart: bool) -> None:
    """See, before any work, that everything can be written."""
    check_outputs([path for path in (out, save, plot) if path is not None], inputs)
    table_suffix(out)
    check_writable(out)
    if plot is not None:
        if plot.suffix.lower() not in (".png", ".pdf", ".svg"):
            raise OutputError(f"{plot}: a plot is saved as .png, .pdf or .svg.")
        check_writable(plot)
    if save is not None:
        check_folder(save, overwrite=restart)


def _draw(found: PrincipalComponents, plot: Path) -> None:
    from genassoc import plots

    if found.k < 2:
        raise OutputError(f"{plot}: a plot shows two components, and {found.k} was asked for.")
    plots.save_figure(plots.pca(found), plot)
