"""Where points are kept: each slot holds what is read from it, and no more are used
than points are alive at once."""

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

import fedjax_opt as fo
from fedjax_opt import events
from fedjax_opt.simulate import stream
from fedjax_opt.types import Event


def run_of(steps, delays, kinds, points):
    """A run whose k-th row reads the version of `delays[k]` updates ago."""
    steps = np.asarray(steps, bool)
    updates = np.cumsum(steps) - steps
    version = np.maximum(updates - np.asarray(delays), 0)
    kind = np.where(version > 0, np.asarray(kinds), 0) if points == 2 else 0 * version
    zeros = np.zeros(len(steps), np.int32)
    events = Event(
        time=np.arange(1.0, len(steps) + 1),
        worker=zeros,
        job=zeros,
        version=version.astype(np.int32),
        delay=(updates - version).astype(np.int32),
        accepted=np.ones(len(steps), bool),
        weight=np.ones(len(steps)),
        step=steps.astype(float),
        work=zeros + 1,
        kind=kind.astype(np.int32),
        busy=zeros,
        sample=zeros,
    )
    return stream.used(events, np.array([steps.sum()]), points, in_order=False)


def alive_at_once(rows, steps, points):
    """The most versions that are there, and still read, before the write of a row."""
    last = {}
    for k in range(len(rows.worker)):
        last[rows.version[k]] = k
        if points == 2 and rows.kind[k]:
            last[rows.version[k] - 1] = k
    born = {0: -1}
    born |= {v + 1: k for v, k in enumerate(np.flatnonzero(steps))}
    most = 1
    for k in range(len(rows.worker)):
        # A slot that is read in a row for the last time takes the point it leaves.
        here = [v for v, end in last.items() if born[v] < k <= end]
        after = [v for v, end in last.items() if born[v] <= k < end]
        most = max(most, len(here), len(after))
    return most


ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 1)),
    min_size=1,
    max_size=60,
)


@hypothesis.given(ROWS, st.sampled_from([1, 2]))
@hypothesis.settings(deadline=None, max_examples=300)
def test_a_slot_holds_what_is_read(rows, points):
    rows = [*rows, (True, 0, 0)]  # a run ends with a step
    steps, delays, kinds = map(np.array, zip(*rows, strict=True))
    run = run_of(steps, delays, kinds, points)
    if run.slots == 0:
        assert (run.rows.version == run.rows.newest).all()
        return
    assert run.slots == alive_at_once(run.rows, steps, points)
    shape = stream.capacities([run], sample_bytes=4)
    placed = jax_free(stream.streams([run], shape).rows)
    held = np.zeros(shape.slots, int)  # version 0 is everywhere
    version = 0
    for k in range(len(steps)):
        assert held[placed.slot[k]] == placed.version[k]
        if points == 2 and placed.kind[k]:
            assert held[placed.before[k]] == placed.version[k] - 1
        version += steps[k]
        held[placed.keep[k]] = version


def jax_free(rows):
    """The rows of the only run."""
    return type(rows)(*(np.asarray(column)[0] for column in rows))


def test_as_many_slots_as_workers_and_not_as_the_largest_delay():
    """A worker that is a thousand steps late holds one point all the while."""
    steps = np.ones(3000, bool)
    delays = np.where(np.arange(3000) % 1000 == 999, 999, 0)
    assert run_of(steps, delays, 0 * delays, points=1).slots <= 4


N = 20
KEPT = {
    "asgd": (events.asgd(), N),
    "delay_adaptive": (events.delay_adaptive_asgd(), N),
    "koloskova": (events.koloskova_asgd(late_step=1.0), N),
    "ringmaster": (events.ringmaster(delay_threshold=7), 7),
    "ringleader": (events.ringleader(), N),
    "ia2sgd": (events.ia2sgd(), N),
    "rescaled": (events.rescaled_asgd(), N),
    "pure": (events.asgrad(assignment="pure"), N),
    "random": (events.asgrad(assignment="random"), N),
    "shuffled": (events.asgrad(assignment="shuffled"), N),
    "the fastest 5": (events.fastest(events.asgd(), 5), 5),
    "delayed": (events.delayed(delay=9), 10),
}


@pytest.mark.parametrize("name", KEPT)
def test_as_many_models_as_the_docstrings_say(name):
    schedule, most = KEPT[name]
    found = fo.simulate.trace(
        schedule,
        fo.timing.half_normal(np.sqrt(np.arange(1.0, N + 1)), scale=1.0),
        num_workers=N,
        key=jax.random.key(0),
        num_events=4000,
    )
    updates = np.count_nonzero(found.step)
    run = stream.used(found, np.array([updates]), points=1, in_order=False)
    assert 2 <= run.slots <= most
