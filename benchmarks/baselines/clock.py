"""Clocks as plain loops around Python's heap, for fixed times; no numbers.

Each yields lists of `chunk` events (seconds, worker, delay, accepted), for ever. Ties
go to the lowest index.
"""

import heapq
from collections.abc import Iterator

Events = list[tuple[float, int, int, bool]]


def asgd(times: list[float], chunk: int) -> Iterator[Events]:
    """Every arrival is a step."""
    heap, updates = _started(times), 0
    while True:
        events = []
        for _ in range(chunk):
            now, worker, version = heap[0]
            events.append((now, worker, updates - version, True))
            updates += 1
            heapq.heapreplace(heap, (now + times[worker], worker, updates))
        yield events


def ringmaster(
    times: list[float], chunk: int, delay_threshold: int
) -> Iterator[Events]:
    """An arrival is a step if its delay is below R, and ignored otherwise."""
    heap, updates = _started(times), 0
    while True:
        events = []
        for _ in range(chunk):
            now, worker, version = heap[0]
            delay = updates - version
            accepted = delay < delay_threshold
            events.append((now, worker, delay, accepted))
            updates += accepted
            heapq.heapreplace(heap, (now + times[worker], worker, updates))
        yield events


def rennala(times: list[float], chunk: int, batch_size: int) -> Iterator[Events]:
    """S arrivals from the newest version are a step; others are ignored."""
    heap, updates, collected = _started(times), 0, 0
    while True:
        events = []
        for _ in range(chunk):
            now, worker, version = heap[0]
            delay = updates - version
            events.append((now, worker, delay, delay == 0))
            collected += delay == 0
            if collected == batch_size:
                updates += 1
                collected = 0
            heapq.heapreplace(heap, (now + times[worker], worker, updates))
        yield events


def _started(times):
    heap = [(seconds, worker, 0) for worker, seconds in enumerate(times)]
    heapq.heapify(heap)
    return heap
