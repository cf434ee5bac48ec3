"""Cases of schedules: finite sums."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from contracts.schedule_case import Case
from reference import finite_sum

from fedjax_opt import events, keys

BLOCK = 64  # jobs whose numbers are drawn together


class Draws:
    """What a clock draws besides durations, by the documented keys.

    Attributes:
      key: of the clock.
      num_workers: n.
    """

    def __init__(self, key, num_workers):
        self.key, self.num_workers = key, num_workers
        self._uniforms = functools.cache(self._uniforms_of)

    def uniform(self, worker, job):
        """The number in [0, 1) of a job."""
        return self._uniforms(worker, job // BLOCK)[job % BLOCK]

    def coin(self, probability):
        """coin(k): does version k >= 1 compute the full gradient?"""
        return lambda version: self._coin_uniform(version) < probability

    def _uniforms_of(self, worker, block):
        return np.asarray(_job_uniforms(self.key, worker, block)).tolist()

    def _coin_uniform(self, version):
        return float(_server_uniform(self.key, version))


@jax.jit
def _job_uniforms(key, worker, block):
    def one(job):
        of_job = jax.random.fold_in(keys.of_job(key, worker, job), 2**31 - 1)
        return jax.random.uniform(of_job, dtype=jnp.float64)

    return jax.vmap(one)(block * BLOCK + jnp.arange(BLOCK))


@jax.jit
def _server_uniform(key, version):
    return jax.random.uniform(
        keys.of_job(key, keys.SERVER_DRAWS, version), dtype=jnp.float64
    )


def few(n):
    """Fewer components than workers, unless these are few."""
    return 5 + n // 3


def many(n):
    """More components than workers."""
    return 2 * n + 7


SIZES = {"batch_size": 4, "probability": 0.3, "cost_difference": 2}
OTHERS = {"batch_size": 9, "probability": 0.6, "cost_difference": 1}


def chosen(m):
    return SIZES


def freya_default(m):
    return {
        "batch_size": math.ceil(math.sqrt(m)),
        "probability": 1 / math.sqrt(m),
        "cost_difference": 2,
    }


def soviet_default(m):
    size = math.ceil(math.sqrt(m))
    return {"batch_size": size, "probability": size / (size + m), "cost_difference": 2}


def batch_size(n):
    return 2 + n // 3


def freya_sgd(n, factor=1, **options):
    rennala = events.rennala(batch_size=factor * batch_size(n), **options)
    return events.with_components(rennala)


def page_rows(reference, num_components, sizes, **options):
    def rows(given):
        draws, m = Draws(given.key, given.n), num_components(given.n)
        own = dict(sizes(m))
        own["coin"] = draws.coin(own.pop("probability"))
        return reference(
            *given.loop,
            num_events=given.num_events,
            num_components=m,
            uniform=draws.uniform,
            **own,
            **options,
        ).rows

    return rows


def sgd_rows(given, stop):
    return finite_sum.freya_sgd(
        *given.loop,
        num_events=given.num_events,
        num_components=many(given.n),
        batch_size=batch_size(given.n),
        stop=stop,
        uniform=Draws(given.key, given.n).uniform,
    ).rows


def hero_rows(given):
    return finite_sum.hero_gd(
        *given.loop,
        num_events=given.num_events,
        num_components=many(given.n),
        means=given.means,
    ).rows


def soviet_rows(num_components):
    return lambda given: (
        finite_sum.soviet_gd(
            *given.loop,
            num_events=given.num_events,
            num_components=num_components(given.n),
        ).rows
    )


CASES = {
    **{
        f"freya, {size.__name__} components, {mode}": Case(
            lambda n, stop=mode == "stop": events.freya(**SIZES, stop=stop),
            lambda n, stop=mode == "stop": events.freya(**OTHERS, stop=stop),
            page_rows(finite_sum.freya_page, size, chosen, stop=mode == "stop"),
            lambda n: list(SIZES.values()),
            rejects=True,
            interrupts=mode == "stop",
            num_components=size,
            draws=True,
        )
        for size in (few, many)
        for mode in ("ignore", "stop")
    },
    "freya, default sizes": Case(
        lambda n: events.freya(),
        lambda n: events.freya(cost_difference=1),
        page_rows(finite_sum.freya_page, few, freya_default, stop=False),
        lambda n: [2],
        rejects=True,
        num_components=few,
        draws=True,
    ),
    **{
        f"freya sgd, {mode}": Case(
            lambda n, stop=mode == "stop": freya_sgd(n, stop=stop),
            lambda n, stop=mode == "stop": freya_sgd(n, 2, stop=stop),
            lambda given, stop=mode == "stop": sgd_rows(given, stop),
            lambda n: [batch_size(n)] * 2,
            rejects=mode == "ignore",
            interrupts=mode == "stop",
            num_components=many,
            draws=True,
        )
        for mode in ("ignore", "stop")
    },
    "hero gd": Case(
        lambda n: events.hero_gd(),
        lambda n: events.hero_gd(),
        hero_rows,
        lambda n: [1],
        busy=lambda alive: 1,
        num_components=many,
    ),
    **{
        f"soviet gd, {size.__name__} components": Case(
            lambda n: events.soviet_gd(),
            lambda n: events.soviet_gd(),
            soviet_rows(size),
            lambda n: [],
            busy=None,
            needs_all=True,
            num_components=size,
        )
        for size in (few, many)
    },
    "soviet page": Case(
        lambda n: events.soviet_page(**SIZES),
        lambda n: events.soviet_page(**OTHERS),
        page_rows(finite_sum.soviet_page, many, chosen),
        lambda n: list(SIZES.values()) * 2,
        busy=None,
        needs_all=True,
        num_components=many,
        draws=True,
    ),
    "soviet page, default sizes": Case(
        lambda n: events.soviet_page(),
        lambda n: events.soviet_page(cost_difference=1),
        page_rows(finite_sum.soviet_page, few, soviet_default),
        lambda n: [2, 2],
        busy=None,
        needs_all=True,
        num_components=few,
        draws=True,
    ),
}
