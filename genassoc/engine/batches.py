"""How many items a task of a cluster holds: about a second of work, less towards the end. Nothing here knows Dask."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

BATCH_SECONDS = 1.0  # of work in a task: what a scheduler does for one, five milliseconds, is then nothing beside it
SECONDS_IN_FLIGHT = (
    0.01  # more for each task in flight: one scheduler serves all workers, a hundred tasks a second at most
)
MOST_ITEMS = 32  # in a task, however quick they are: a message of some 2 kB
_FORGETTING = 0.5  # the weight of what was known when a batch comes back: chromosomes differ in what they cost


def batch_seconds(in_flight: int) -> float:
    """Seconds of work that a batch is to hold where so many are under way at once."""
    return max(BATCH_SECONDS, SECONDS_IN_FLIGHT * in_flight)


class Batches:
    """Consecutive items, as many at a time as are expected to take `batch_seconds`.

    The first are batches of one, until it is known how long an item takes. No batch is more than a share of what is left, so
    that all workers end together. Items whose number nobody knows beforehand go one by one: who hands out a stream may
    count on what is under way.

    Parameters
    ----------
    items : iterable
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._left = len(items) if isinstance(items, Sized) else None
        self._waiting: Iterator[Any] = iter(items)
        self._returned: deque[Any] = deque()
        self._seconds: float | None = None  # of an item

    def take(self, in_flight: int) -> list[Any]:
        """The next batch where ``in_flight`` are under way at once; empty when nothing is left."""
        batch: list[Any] = []
        for _ in range(self._size(in_flight)):
            if self._returned:
                batch.append(self._returned.popleft())
                continue
            try:
                batch.append(next(self._waiting))
            except StopIteration:
                break
        if self._left is not None:
            self._left -= len(batch)
        return batch

    def _size(self, in_flight: int) -> int:
        if self._left is None or self._seconds is None:
            return 1
        wanted = batch_seconds(in_flight)
        fitting = wanted / self._seconds if self._seconds * MOST_ITEMS > wanted else MOST_ITEMS
        return max(1, min(int(fitting), self._left // in_flight))

    def done(self, batch: Sequence[Any], n_done: int, seconds: float) -> None:
        """Learn that the first ``n_done`` of a batch took so long; the others are handed out again, before all others."""
        each = seconds / n_done
        self._seconds = each if self._seconds is None else _FORGETTING * self._seconds + (1 - _FORGETTING) * each
        self._returned.extendleft(reversed(batch[n_done:]))
        if self._left is not None:
            self._left += len(batch) - n_done
