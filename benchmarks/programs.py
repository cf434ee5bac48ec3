"""The compiled program of a run's numbers, apart from its clock."""

import jax
import numpy as np

import fedjax_opt as fo
from fedjax_opt.simulate import devices, numbers, stream
from fedjax_opt.static import stacked


def arguments(method, problem, compute_time, *, num_workers: int, updates: int):
    """What `numbers.advance` takes, for one run in one piece."""
    events, count = None, updates
    while events is None or np.count_nonzero(events.step) < updates:
        count *= 2
        events = fo.simulate.trace(
            method.schedule,
            compute_time,
            num_workers=num_workers,
            key=jax.random.key(0),
            num_events=count,
        )
    run = stream.used(events, np.array([updates]), points=1, in_order=False)
    shape = stream.capacities([run], numbers.sample_bytes(problem))
    functions, start = numbers.split_problem(problem)
    alone, _ = devices.spread_runs(1)
    program = numbers.Program(functions, shape, num_workers, alone)
    methods = stacked([numbers.without_schedule(method)])
    streams = jax.device_put(stream.streams([run], shape))
    key = jax.random.key(1)[None]
    return program, methods, key, start, streams, np.zeros(1, np.int32), None
