"""Cases of schedules: steps at every arrival, jobs assigned by the server."""

from functools import partial
from itertools import accumulate

import jax
import jax.numpy as jnp
import numpy as np
from contracts.schedule_case import Case
from reference import asynchronous, clock

from fedjax_opt import events, keys

INF = float("inf")


def reference(loop, **options):
    return lambda given: loop(*given.loop, num_events=given.num_events, **options).rows


# ------------------------------------------------- rules that need the mean times


def naive_optimal_reference(noise_ratio):
    def rows(given):
        means = np.array(given.means)  # of which some may be 0
        options = {"means": means, "noise_ratio": noise_ratio(given.n)}
        with np.errstate(divide="ignore"):
            return reference(asynchronous.naive_optimal_asgd, **options)(given)

    return rows


def rescaled_reference(given):
    """The dead do not count in the mean; without times all steps are full."""
    alive = [mean for mean in given.means if mean < INF]
    typical = sum(alive) / len(alive) if any(alive) else 1.0
    means = [mean if mean < INF else typical for mean in given.means]
    means = means if any(means) else [1.0] * given.n
    rows = reference(asynchronous.rescaled_asgd, means=means)(given)
    return without_empty_steps(rows)


def without_empty_steps(rows):
    """A step of length 0, of jobs that take no time, is none: versions without them."""
    steps = [0, *accumulate(int(row.step != 0) for row in rows)]
    return [
        row._replace(version=steps[row.version], delay=steps[k] - steps[row.version])
        for k, row in enumerate(rows)
    ]


# ------------------------------------------------- draws, from the documented keys


@jax.jit
def job_uniforms(key, workers, jobs):
    def uniform(worker, job):
        of_job = jax.random.fold_in(keys.of_job(key, worker, job), 2**31 - 1)
        return jax.random.uniform(of_job, dtype=jnp.float64)

    return jax.vmap(uniform)(workers, jobs)


def hogwild_reference(max_delay):
    """The k-th arrival reads the model of ⌊u (min(D, k) + 1)⌋ steps ago."""

    def rows(given):
        arrivals = clock.asgd(given.durations, given.n, given.num_events)
        arrived = np.zeros((2, given.num_events), int)
        arrived[:, : len(arrivals)] = [
            [row.worker for row in arrivals],
            [row.job for row in arrivals],
        ]
        uniforms = np.asarray(job_uniforms(given.key, *arrived))

        def ages(worker, job, k):
            return int(uniforms[k] * (min(max_delay, k) + 1))

        return reference(
            asynchronous.hogwild, max_delay=max_delay, read="consistent", ages=ages
        )(given)

    return rows


@partial(jax.jit, static_argnames=("n", "number"))
def random_workers(key, n, number):
    def worker(t):
        uniform = jax.random.uniform(
            keys.of_job(key, keys.SERVER_DRAWS, t), dtype=jnp.float64
        )
        return jnp.floor(uniform * n).astype(int)

    return jax.vmap(worker)(jnp.arange(number))


@partial(jax.jit, static_argnames=("n", "number"))
def permutations(key, n, number):
    return jax.vmap(
        lambda block: jax.random.permutation(
            keys.of_job(key, keys.SERVER_DRAWS, block), n
        )
    )(jnp.arange(number))


def asgrad_reference(assignment, batch_size):
    def rows(given):
        n, number = given.n, given.num_events + given.n
        draws = {}
        if assignment == "random":
            draws["choose"] = random_workers(given.key, n, number).tolist().__getitem__
        if assignment == "shuffled":
            blocks = permutations(given.key, n, number // n + 1).tolist()
            draws["permutation"] = blocks.__getitem__
        found = reference(
            asynchronous.asgrad,
            assignment=assignment,
            batch=batch_size(n),
            **draws,
        )(given)
        return [row for row in found if row.time < INF]

    return rows


def asgrad_case(assignment, batch_size, **facts):
    return Case(
        lambda n: events.asgrad(assignment=assignment, batch_size=batch_size(n)),
        lambda n: events.asgrad(assignment=assignment, batch_size=1),
        asgrad_reference(assignment, batch_size),
        lambda n: [batch_size(n)] * 2,
        busy=None,
        needs_all=assignment != "pure",
        draws=assignment != "pure",
        **facts,
    )


def one(n):
    return 1


def a_third(n):
    return 1 + n // 3


CASES = {
    "koloskova, dropping": Case(
        lambda n: events.koloskova_asgd(late_step=0.0),
        lambda n: events.koloskova_asgd(late_step=3.0),
        reference(asynchronous.koloskova_asgd, late_step=0.0),
        lambda n: [0.0],
        late=True,
        rejects=True,
    ),
    "koloskova, shortening": Case(
        lambda n: events.koloskova_asgd(late_step=1.1 * n),
        lambda n: events.koloskova_asgd(late_step=0.0),
        lambda given: reference(asynchronous.koloskova_asgd, late_step=1.1 * given.n)(
            given
        ),
        lambda n: [1.1 * n],
        late=True,
    ),
    "naive optimal, little noise": Case(
        lambda n: events.naive_optimal_asgd(noise_ratio=float(n)),
        lambda n: events.naive_optimal_asgd(noise_ratio=0.0),
        naive_optimal_reference(float),
        lambda n: [float(n)],
        busy=None,
    ),
    "naive optimal, much noise": Case(
        lambda n: events.naive_optimal_asgd(noise_ratio=1e6),
        lambda n: events.naive_optimal_asgd(noise_ratio=0.0),
        naive_optimal_reference(lambda n: 1e6),
        lambda n: [1e6],
        late=True,
    ),
    "rescaled": Case(
        lambda n: events.rescaled_asgd(),
        lambda n: events.rescaled_asgd(),
        rescaled_reference,
        lambda n: [],
        late=True,
        needs_all=True,
    ),
    "rescaled, observed": Case(
        lambda n: events.rescaled_asgd(observed=True),
        lambda n: events.rescaled_asgd(observed=True),
        reference(asynchronous.rescaled_asgd_observed),
        lambda n: [],
        late=True,
        needs_all=True,
    ),
    "delayed": Case(
        lambda n: events.delayed(delay=7),
        lambda n: events.delayed(delay=2),
        reference(asynchronous.delayed_sgd, delay=7),
        lambda n: [7],
        late=True,
        sequential=False,
    ),
    "hogwild, consistent": Case(
        lambda n: events.hogwild(max_delay=9, read="consistent"),
        lambda n: events.hogwild(max_delay=2, read="consistent"),
        hogwild_reference(9),
        lambda n: [9],
        late=True,
        sequential=False,
        draws=True,
    ),
    "hogwild, inconsistent": Case(
        lambda n: events.hogwild(max_delay=9),
        lambda n: events.hogwild(max_delay=2),
        reference(asynchronous.delayed_sgd, delay=9),
        lambda n: [9],
        late=True,
        sequential=False,
    ),
    "asgrad, pure": asgrad_case("pure", one, late=True),
    "asgrad, pure, waiting": asgrad_case("pure", a_third),
    "asgrad, random": asgrad_case("random", one, late=True),
    "asgrad, random, waiting": asgrad_case("random", a_third),
    "asgrad, shuffled": asgrad_case("shuffled", one, late=True),
    "asgrad, shuffled, waiting": asgrad_case("shuffled", a_third),
}
