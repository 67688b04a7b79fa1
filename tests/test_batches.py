"""Batches of items for a cluster: every item once and in order, about a second in each, small ones at the end."""

from collections import deque

import pytest

from genassoc.engine.batches import BATCH_SECONDS, MOST_ITEMS, Batches


def finish(batches: Batches, n_workers: int, seconds: dict[int, float]) -> tuple[list[list[int]], float]:
    """Batches as a cluster of ``n_workers`` would take them, two for each; how long the last worker is at work."""
    in_flight = 2 * n_workers
    queue: deque[list[int]] = deque()
    taken: list[list[int]] = []
    free = [0.0] * n_workers
    while True:
        while len(queue) < in_flight and (batch := batches.take(in_flight)):
            queue.append(batch)
            taken.append(batch)
        if not queue:
            return taken, max(free)
        batch, worker = queue.popleft(), free.index(min(free))
        spent = sum(seconds[i] for i in batch)
        free[worker] += spent
        batches.done(batch, len(batch), spent)


@pytest.mark.parametrize("each", [0.001, 0.1, 0.7, 5.0])
@pytest.mark.parametrize("n", [1, 3, 36, 1000])
def test_every_item_goes_out_once_and_in_order(n: int, each: float) -> None:
    taken, _ = finish(Batches(range(n)), 2, dict.fromkeys(range(n), each))
    assert [i for batch in taken for i in batch] == list(range(n))
    assert max(map(len, taken)) <= max(1, min(MOST_ITEMS, BATCH_SECONDS / each + 1e-9))


@pytest.mark.parametrize("each", [0.02, 0.1, 0.3, 2.0])
def test_workers_end_together(each: float) -> None:
    n = 400
    taken, end = finish(Batches(range(n)), 4, dict.fromkeys(range(n), each))
    assert end <= n * each / 4 + 2 * each  # within two items of the best there is, not within two batches
    if each < 0.5 * BATCH_SECONDS:
        assert len(taken) < 0.5 * n


def test_items_that_grow_dear_go_in_fewer() -> None:
    seconds = {i: 0.02 if i < 500 else 0.6 for i in range(1000)}
    taken, _ = finish(Batches(range(1000)), 2, seconds)
    assert max(len(batch) for batch in taken if batch[0] < 450) > 20
    assert all(len(batch) == 1 for batch in taken if batch[0] > 650)


def test_what_was_not_done_goes_out_next() -> None:
    batches = Batches(range(100))
    batches.done(batches.take(2), 1, 0.1)
    batch = batches.take(2)
    assert batch == list(range(1, 11))
    batches.done(batch, 4, 2.0)
    assert batches.take(2) == [5, 6, 7]  # half a second an item, and a tenth before: three tenths
    rest = []
    while batch := batches.take(2):
        rest += batch
    assert rest == list(range(8, 100))


def test_many_workers_take_longer_batches() -> None:
    batches = Batches(range(100_000))
    batches.done(batches.take(2000), 1, 1.0)
    assert len(batches.take(2000)) == 20  # a hundred tasks a second for a thousand threads


def test_a_stream_goes_one_by_one() -> None:
    batches = Batches(iter(range(5)))
    sizes = []
    while batch := batches.take(2):
        sizes.append(len(batch))
        batches.done(batch, len(batch), 1e-6)
    assert sizes == [1] * 5


def test_nothing_takes_no_time() -> None:
    batches = Batches(range(1000))
    batches.done(batches.take(2), 1, 0.0)
    assert len(batches.take(2)) == MOST_ITEMS
    assert Batches([]).take(2) == []
