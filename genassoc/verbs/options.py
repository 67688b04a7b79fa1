"""How a run is done: on what, with how much memory, and who hears of it. No number depends on any of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from genassoc.engine.executors import Executor, Threads
from genassoc.explanation.audit import check_rows
from genassoc.progress import Progress, Silent
from genassoc.verbs.arguments import check_executor

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What `associate`, `run` and the steps of a job array take beside what they compute.

    Attributes
    ----------
    executor : Serial, Threads, Dask, optional
        `Threads()` by default.
    progress : Progress, optional
    restart : bool
        Begin anew: throw away the parts of an interrupted run, and replace results that are there already.
    audit : int, optional
        Rows to fit again by independent dense code; None: none.
    memory : str or int, optional
        A cap for the process, as "4GiB".
    relatedness : bool
        Whether relatives and ancestry among the samples are looked for, by a few thousand variants, and warned of.
    tell : callable, optional
        Hears, before anything is computed, what there is to say of the inputs.

    Raises
    ------
    TypeError, ValueError
        ``executor`` is no executor, or ``audit`` no number of rows.
    """

    executor: Executor | None = None
    progress: Progress | None = None
    restart: bool = False
    audit: int | None = None
    memory: str | int | None = None
    relatedness: bool = True
    tell: Tell | None = None

    def __post_init__(self) -> None:
        check_executor(self.executor)
        check_rows(self.audit)

    @property
    def shown(self) -> Progress:
        """The progress, or one that says nothing."""
        return self.progress or Silent()

    @property
    def n_threads(self) -> int | None:
        """Threads of this process that were asked for; None where the work is done elsewhere, or was left open."""
        return self.executor.n if isinstance(self.executor, Threads) else None

    def say(self, notes: Iterable[str]) -> None:
        """Let ``tell`` hear some notes."""
        if self.tell is not None:
            for note in notes:
                self.tell(note)


DEFAULT = RunOptions()
