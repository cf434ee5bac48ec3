"""What the tests of asynchronous methods share: a small problem on five workers."""

import jax
import numpy as np

import fedjax_opt as fo

N, DIM = 5, 6
TIMES = np.array([1.0, 1.7, 2.9, 5.3, 11.1])
CLUSTER = fo.timing.fixed(TIMES)
EQUAL = fo.timing.fixed(np.full(N, 1.7))
NOISY = fo.problems.tridiagonal(DIM, noise="coordinates", noise_level=0.05)
EXACT = fo.problems.tridiagonal(DIM, noise="none")


def go(method, problem=NOISY, *, compute_time=CLUSTER, **options):
    defaults = {"num_workers": N, "key": jax.random.key(0), "num_updates": 60}
    return fo.run(method, problem, compute_time=compute_time, **defaults | options)


def clock(schedule, compute_time=CLUSTER, num_events=400, key=0):
    return fo.simulate.trace(
        schedule,
        compute_time,
        num_workers=len(compute_time.mean),
        key=jax.random.key(key),
        num_events=num_events,
    )


def assert_same_run(first, second):
    """Bit for bit, time and everything measured."""
    for name, column in first.columns.items():
        np.testing.assert_array_equal(column, second.columns[name], err_msg=name)
    np.testing.assert_array_equal(first.params, second.params)


class Counter:
    """A problem that counts how often a gradient is really evaluated."""

    def __init__(self):
        self.calls = 0

    def problem(self):
        def grad(data, params, worker, sample):
            jax.debug.callback(self.count, worker)
            return EXACT.grad(data, params, worker, None)

        return EXACT._replace(grad=grad)

    def count(self, worker):
        self.calls += 1
