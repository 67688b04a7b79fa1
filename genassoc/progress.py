"""How far the work is: a bar on a terminal, quiet lines in a log, or nothing. Imports nothing of ours."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TextIO, runtime_checkable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LINE_SECONDS = 10.0  # no two lines closer than this
LINE_SHARE = 0.1  # a line whenever this much more is done
QUIET_SECONDS = 300.0  # and, on long runs, at least this often
PHASE_SECONDS = 1.0  # a phase is told of once it has lasted so long


@runtime_checkable
class Progress(Protocol):
    """Told what is being done; called from one thread."""

    def begin(self, label: str, total: float | None, unit: str) -> None:
        """Start of a stretch of work of ``total`` units (None: not known)."""

    def advance(self, amount: float) -> None:
        """``amount`` more units are done."""

    def end(self) -> None:
        """The stretch is over, finished or not."""


class Silent:
    """Says nothing."""

    def begin(self, label: str, total: float | None, unit: str) -> None:
        """Say nothing."""

    def advance(self, amount: float) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


class Lines:
    """A line now and then, for log files: at most every ten seconds, about every ten per cent.

    Parameters
    ----------
    stream : text file, optional
        Where to write; standard error by default.
    clock : callable, optional
        Seconds; replaced in tests.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._label, self._unit = "", ""
        self._total: float | None = None
        self._done = self._done_at_line = 0.0
        self._begun = self._line_at = 0.0
        self._running = False

    def _say(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)

    def begin(self, label: str, total: float | None, unit: str) -> None:
        """Say what starts."""
        self._label, self._total, self._unit = label, total, unit
        self._done = self._done_at_line = 0.0
        self._begun = self._line_at = self._clock()
        self._running = True
        self._say(label if total is None else f"{label}: {total:,.0f} {unit}")

    def since(self, seconds: float) -> None:
        """Count the time from so many seconds ago."""
        self._begun -= seconds

    def advance(self, amount: float) -> None:
        """Count, and say so if a line is due."""
        self._done += amount
        waited = self._clock() - self._line_at
        more = (self._done - self._done_at_line) / self._total if self._total else 0.0
        if waited >= QUIET_SECONDS or (waited >= LINE_SECONDS and more >= LINE_SHARE):
            self._line_at, self._done_at_line = self._clock(), self._done
            self._say(self._state())

    def _state(self) -> str:
        elapsed = self._clock() - self._begun
        rate = self._done / elapsed if elapsed > 0 else 0.0
        text = f"{self._label}: {self._done:,.0f}"
        if self._total:
            text += f" of {self._total:,.0f}"
        text += f" {self._unit}"
        if self._total:
            text += f" ({self._done / self._total:.0%})"
        if rate > 0:
            text += f", {rate:,.0f} {self._unit}/s"
            if self._total and self._total > self._done:
                text += f", {_duration((self._total - self._done) / rate)} left"
        return text

    def end(self) -> None:
        """Say how much was done in what time."""
        if self._running:
            self._running = False
            elapsed = _duration(self._clock() - self._begun)
            counted = f"{self._done:,.0f} {self._unit} in " if self._done or self._total else ""
            self._say(f"{self._label}: {counted}{elapsed}")


def _duration(seconds: float) -> str:
    """Seconds as people say them: 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


class Terminal:
    """A bar on standard error with the rate and the time left; without colours where NO_COLOR is set.

    Parameters
    ----------
    stream : text file, optional
        Where to draw; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def begin(self, label: str, total: float | None, unit: str) -> None:
        """Show the bar."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Rate(ProgressColumn):
            def render(self, task: Task) -> Text:
                speed = task.finished_speed or task.speed
                return Text(f"{speed:,.0f} {unit}/s" if speed else "")

        self.end()
        amount = TextColumn("{task.completed:,.0f}" + (" / {task.total:,.0f} " if total else " ") + unit)
        told = (amount, Rate(), TimeRemainingColumn(compact=True)) if total else (TimeElapsedColumn(),)
        console = Console(stderr=True) if self._stream is None else Console(file=self._stream, force_terminal=True)
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(bar_width=24), *told, console=console)
        self._task = self._bar.add_task(label, total=total)
        self._bar.start()

    def since(self, seconds: float) -> None:
        """Count the time from so many seconds ago."""
        if self._bar is not None and (begun := self._bar.tasks[0].start_time) is not None:
            self._bar.tasks[0].start_time = begun - seconds

    def advance(self, amount: float) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)

    def end(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class _Late:
    """A stretch that is told of once it has lasted a second; what is done until then is told with it."""

    def __init__(self, progress: Progress, label: str, total: float | None, unit: str) -> None:
        self._progress, self._stretch = progress, (label, total, unit)
        self._begun = self._over = False
        self._done = 0.0
        self._lock = threading.Lock()  # the progress hears of one thing at a time
        self._timer = threading.Timer(PHASE_SECONDS, self._begin)
        self._timer.daemon = True
        self._timer.start()

    def _begin(self) -> None:
        with self._lock:
            if not self._over:
                self._progress.begin(*self._stretch)
                self._begun = True
                if isinstance(self._progress, Lines | Terminal):
                    self._progress.since(PHASE_SECONDS)
                if self._done:
                    self._progress.advance(self._done)

    def advance(self, amount: float) -> None:
        with self._lock:
            if self._begun:
                self._progress.advance(amount)
            else:
                self._done += amount

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._begun:
                self._progress.end()


@contextlib.contextmanager
def phase(
    progress: Progress | None, label: str, total: float | None = None, unit: str = ""
) -> Iterator[Callable[[float], None]]:
    """A phase of a run beside its main stretch, such as a fit or a merge: told of once it has lasted a second, else never.

    Parameters
    ----------
    progress : Progress or None
    label, total, unit
        As of `Progress.begin`; without a total only the time is shown.

    Yields
    ------
    callable
        Told of how many more units are done.
    """
    if progress is None or isinstance(progress, Silent):
        yield Silent().advance
        return
    late = _Late(progress, label, total, unit)
    try:
        yield late.advance
    finally:
        late.end()


def default_progress() -> Progress:
    """A bar where standard error is a terminal, else lines."""
    return Terminal() if sys.stderr.isatty() else Lines()
