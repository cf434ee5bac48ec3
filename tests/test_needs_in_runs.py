"""Runs supply what estimators and optimizers need, or refuse them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from trajectory import (
    MATRICES,
    PROBLEM,
    SHAPE,
    VECTORS,
    X0,
    N,
    full_gradient,
    measured,
    noisy_gradient,
)

from fedjax_opt import estimators, events, needs, sweep, transforms, tree
from fedjax_opt.compressors import identity, top_k
from fedjax_opt.mechanisms.coins import every
from fedjax_opt.mechanisms.dcgd import dcgd
from fedjax_opt.mechanisms.ef21 import ef21
from fedjax_opt.methods.ia2sgd import ia2sgd
from fedjax_opt.methods.l_svrg import l_svrg
from fedjax_opt.methods.picky_sgd import picky_sgd
from fedjax_opt.methods.rennala_sgd import rennala_sgd
from fedjax_opt.simulate import numbers
from fedjax_opt.static import constant
from fedjax_opt.types import Method

KEY, STEP, BETA, UPDATES = jax.random.key(4), 0.05, 0.7, 12
QUIET = PROBLEM._replace(draw=None)


def in_rounds(estimator=None, optimizer=None, mechanism=None) -> Method:
    return Method(
        schedule=events.synchronous(),
        estimator=estimator or Partial(estimators.sgd),
        mechanism=Partial(constant(mechanism or dcgd(identity()))),
        optimizer=optimizer or Partial(optax.sgd, STEP),
        label="a method",
    )


def in_batches(estimator=None, optimizer=None, pairs=False) -> Method:
    return Method(
        schedule=events.rennala(batch_size=2, pairs=pairs),
        estimator=estimator or Partial(estimators.sgd),
        optimizer=optimizer or Partial(optax.sgd, STEP),
        label="a method",
    )


def path(method, problem=PROBLEM):
    return measured(method, KEY, UPDATES, problem)[0]


def mean_gradient(x):
    return np.mean([full_gradient(i, x) for i in range(N)], axis=0)


MVR, HESSIAN = Partial(estimators.mvr, BETA), Partial(transforms.hessian_momentum, BETA)

# ---------------------------------------------------------------- products, pairs


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (in_rounds, {}),
        (in_rounds, {"mechanism": ef21(top_k(2))}),
        (in_batches, {"pairs": True}),
    ],
)
def test_hessian_momentum_is_mvr_on_quadratics_with_additive_noise(build, options):
    """∇²f(x)(x − x⁻) = ∇f(x; ξ) − ∇f(x⁻; ξ), of each worker."""
    found, expected = path(build(HESSIAN, **options)), path(build(MVR, **options))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def _between():
    """Hands on ∇f(x) + ∇²f(z)(x − x⁻), z between x⁻ and x."""
    needed = needs.Needs(("hvp",), mixture=0.0)

    def update(updates, state, params=None, *, hvp):
        del params
        return tree.add(updates, hvp), state

    return optax.GradientTransformationExtraArgs(needs.only(needed), update)


def _cubic_of_its_own(data, x, worker, sample):
    """Of fᵢ(x) = xᵢ³/6, where ∇²fᵢ(z) has the one entry zᵢ."""
    own = jnp.arange(x.size).reshape(x.shape) == worker
    return jnp.where(own, x**2 / 2, 0)


SINGLY = events.rennala(batch_size=1, pairs=True)


@pytest.mark.parametrize(
    ("schedule", "mechanism", "averaged"),
    [(events.synchronous(), dcgd(identity()), N), (SINGLY, None, 1)],
)
def test_a_run_draws_the_mixtures_of_hessians(schedule, mechanism, averaged):
    """q = (zᵢ − xᵢ⁻)/(xᵢ − xᵢ⁻), read off the path: uniform, new for every job."""
    method = Method(
        schedule=schedule,
        estimator=Partial(_between),
        mechanism=mechanism and Partial(constant(mechanism)),
        optimizer=Partial(optax.sgd, 0.1),
        label="a method",
    )
    problem = PROBLEM._replace(
        init=jnp.linspace(1.0, 2.0, N).reshape(SHAPE), draw=None, grad=_cubic_of_its_own
    )
    x = path(method, problem).reshape(-1, N)
    before, here, after = x[:-2], x[1:-1], x[2:]
    moved = (before != here) & (here != after)
    before, here, after = before[moved], here[moved], after[moved]
    product = (here - after) * averaged / 0.1 - here**2 / 2
    q = (product / (here - before) - before) / (here - before)
    assert q.size >= 8
    assert np.all((0 < q) & (q < 1)) and np.unique(q).size == q.size
    assert abs(np.mean(q) - 0.5) < 3 / np.sqrt(12 * q.size)


def _noisy_curvature(data, x, worker, sample):
    matrices, vectors = data
    scale = 1 if sample is None else 1 + sample[0, 0]
    return (scale * matrices[worker] @ x.ravel() - vectors[worker]).reshape(SHAPE)


def test_products_of_full_rounds_are_full():
    """Then m is the exact gradient, as noisy as the Hessians of samples may be."""
    method = dataclasses.replace(in_rounds(HESSIAN), refresh=Partial(every, 1))
    found = path(method, PROBLEM._replace(grad=_noisy_curvature))
    np.testing.assert_allclose(found, gradient_descent(), rtol=1e-10, atol=1e-13)


def _clipped_mvr(threshold, momentum):
    return optax.chain(transforms.clip(threshold), estimators.mvr(momentum))


def test_a_chain_is_an_estimator():
    """vᵢ ← clip(∇fᵢ(x; ξ)) + β (vᵢ − ∇fᵢ(x⁻; ξ)) at each worker."""
    gradient = noisy_gradient(jax.random.split(jax.random.split(KEY)[1])[0])
    threshold, shortened = 3.0, 0
    x, v = [X0], np.zeros((N, *SHAPE))
    for t in range(UPDATES):
        for i in range(N):
            fresh = gradient(i, x[t], t)
            norm = np.linalg.norm(fresh)
            shortened += norm > threshold
            fresh = fresh * min(1, threshold / norm)
            back = gradient(i, x[t - 1], t) if t else 0
            v[i] = fresh + BETA * (v[i] - back) if t else fresh
        x.append(x[t] - STEP * v.mean(axis=0))
    assert 0 < shortened < N * UPDATES
    found = path(in_rounds(Partial(_clipped_mvr, threshold, BETA)))
    np.testing.assert_allclose(found, np.stack(x), rtol=1e-10, atol=1e-13)


def _of_numbers(step_size, momentum):
    """An estimator that is a chain, and an optimizer with points of its own."""
    estimator = Partial(_clipped_mvr, 3.0, momentum)
    return in_rounds(estimator, Partial(transforms.ac_sa, step_size))


def test_numbers_of_such_estimators_are_swept_in_one_program():
    def swept(step_sizes):
        grid = {"step_size": step_sizes, "momentum": [0.3, BETA]}
        settings = {"num_workers": N, "num_updates": UPDATES}
        return sweep(_of_numbers, PROBLEM, grid=grid, seeds=[0], **settings)

    found = swept([0.03, STEP])
    programs = numbers.advance._cache_size()
    swept([0.02, 0.01])
    assert numbers.advance._cache_size() == programs
    method = _of_numbers(STEP, BETA)
    alone = measured(method, jax.random.key(0), UPDATES)[1]
    np.testing.assert_allclose(
        found.columns["loss"][1, 1, 0], alone.columns["loss"], rtol=1e-10
    )


# ---------------------------------------------------------------- points


def _nigt_steps(momentum, step_size):
    return optax.chain(transforms.nigt(momentum), optax.sgd(step_size))


def ac_sa_by_hand():
    x = u = X0
    found = [X0]
    for k in range(UPDATES):
        alpha = 2 / (k + 2)
        u = u - STEP * (k + 1) * mean_gradient((1 - alpha) * x + alpha * u)
        x = (1 - alpha) * x + alpha * u
        found.append(x)
    return np.stack(found)


def stm_by_hand():
    """With L₀ = 1/γ, L₁ = 0 and η = 1: aₖ₊₁ = (k+2)/2."""
    y = z = X0
    found, total = [X0], 0.0
    for k in range(UPDATES):
        a = (k + 2) / 2
        x = (total * y + a * z) / (total + a)
        z = z - STEP * a * mean_gradient(x)
        y = (total * y + a * z) / (total + a)
        total += a
        found.append(y)
    return np.stack(found)


def gradient_descent():
    """NIGT too, whose m is the exact gradient of a quadratic without noise."""
    found = [X0]
    for _ in range(UPDATES):
        found.append(found[-1] - STEP * mean_gradient(found[-1]))
    return np.stack(found)


POINTS = {
    "ac_sa": (Partial(transforms.ac_sa, STEP), ac_sa_by_hand),
    "stm": (Partial(transforms.stm, 1 / STEP), stm_by_hand),
    "nigt": (Partial(_nigt_steps, BETA, STEP), gradient_descent),
}


@pytest.mark.parametrize("name", POINTS)
def test_workers_are_sent_the_point_of_the_optimizer_in_rounds(name):
    optimizer, by_hand = POINTS[name]
    found = path(in_rounds(optimizer=optimizer), QUIET)
    np.testing.assert_allclose(found, by_hand(), rtol=1e-10, atol=1e-13)


def _mean_grad(data, x, worker, sample):
    matrices, vectors = data
    return (matrices.mean(axis=0) @ x.ravel() - vectors.mean(axis=0)).reshape(SHAPE)


ALIKE = PROBLEM._replace(draw=None, grad=_mean_grad, num_workers=None)


@pytest.mark.parametrize("name", ["stm", "nigt"])
def test_workers_are_sent_the_point_of_the_optimizer_in_batches(name):
    """Without noise a batch has the exact gradient at the point; AC-SA has a recipe."""
    optimizer, by_hand = POINTS[name]
    method = dataclasses.replace(
        rennala_sgd(step_size=STEP, batch_size=3), optimizer=optimizer
    )
    np.testing.assert_allclose(path(method, ALIKE), by_hand(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        (in_rounds(MVR, POINTS["ac_sa"][0]), QUIET),
        (in_batches(MVR, POINTS["ac_sa"][0], pairs=True), ALIKE),
    ],
)
def test_mvr_looks_back_at_the_point_that_was_sent_before(method, problem):
    """Without noise it is exact at the points of AC-SA, which are not its iterates."""
    found = path(method, problem)
    np.testing.assert_allclose(found, ac_sa_by_hand(), rtol=1e-10, atol=1e-13)


# ---------------------------------------------------------------- refusals


def _two_points():
    return optax.chain(transforms.nigt(BETA), transforms.ac_sa(STEP))


AC_SA, L_SVRG = Partial(transforms.ac_sa, STEP), l_svrg(step_size=STEP, probability=0.5)
OF_COMPONENT = Partial(estimators.of_component)


def with_part(method, **parts):
    return dataclasses.replace(method, **parts)


REFUSED = {
    "a pair, for the server": (
        in_rounds(optimizer=MVR),
        "an optimizer that needs previous_grads=",
    ),
    "the loss, for an estimator in rounds": (
        in_rounds(Partial(transforms.scale_by_polyak_step)),
        "an estimator that needs value=, which a run does not supply: take",
    ),
    "the loss, for an estimator in batches": (
        in_batches(Partial(transforms.scale_by_polyak_step)),
        "needs value=, which a run does not supply without mechanism=: take",
    ),
    "components": (in_rounds(OF_COMPONENT), "give it order="),
    "components, in batches": (
        in_batches(OF_COMPONENT),
        "needs component=, which a run does not supply without mechanism=",
    ),
    "full gradients": (in_rounds(Partial(estimators.page)), "give it refresh="),
    "a reference point, in batches": (
        with_part(L_SVRG, mechanism=None, refresh=None),
        "give it mechanism= and refresh=",
    ),
    "a reference point, without a coin": (
        with_part(L_SVRG, refresh=None),
        "give it mechanism= and refresh=",
    ),
    "pairs, for an accumulator": (
        with_part(ia2sgd(step_size=STEP), estimator=MVR),
        "takes single gradients",
    ),
    "pairs, where the model is looked at": (
        with_part(picky_sgd(step_size=STEP, radius=1.0), estimator=MVR),
        "whose jobs are single gradients",
    ),
    "pairs, of a schedule without": (
        in_batches(MVR),
        "its schedule has single ones: take one with pairs",
    ),
    "products, of a schedule without": (in_batches(HESSIAN), "needs pairs"),
    "points of an estimator": (
        in_rounds(Partial(transforms.nigt, BETA)),
        "make it the optimizer",
    ),
    "points, with a downlink": (
        with_part(in_rounds(optimizer=AC_SA), downlink=Partial(ef21, identity())),
        "a downlink sends the model",
    ),
    "two points": (in_rounds(optimizer=Partial(_two_points)), "keep one of them"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supplied_is_refused(name):
    method, match = REFUSED[name]
    with pytest.raises(ValueError, match=match):
        measured(method, KEY, 3, ALIKE)


def test_parts_of_a_chain_that_need_different_things_are_all_found():
    chain = optax.chain(transforms.scale_by_polyak_step(), estimators.mvr(BETA))
    assert needs.inputs(chain, X0) == {"value", "previous_grads"}


# ---------------------------------------------------------------- the loss


CURVATURE, SLOPE = MATRICES.mean(axis=0), VECTORS.mean(axis=0)


def loss_and_gradient(x):
    flat = x.ravel()
    grad = CURVATURE @ flat - SLOPE
    return flat @ CURVATURE @ flat / 2 - SLOPE @ flat, grad.reshape(SHAPE)


def polyak(method_of):
    """Runs with Polyak's step, and x ← x − (f(x) − f*) ∇f(x)/|∇f(x)|²."""
    minimum = -SLOPE @ np.linalg.solve(CURVATURE, SLOPE) / 2
    x = [X0]
    for _ in range(UPDATES):
        value, grad = loss_and_gradient(x[-1])
        x.append(x[-1] - (value - minimum) / np.sum(grad**2) * grad)
    return method_of(Partial(_polyak, minimum)), np.stack(x)


def _polyak(minimum):
    step = transforms.scale_by_polyak_step(minimum)
    return optax.chain(step, optax.scale(-1.0))


def test_polyak_steps_in_rounds():
    method, expected = polyak(lambda optimizer: in_rounds(optimizer=optimizer))
    found = path(method, QUIET)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_polyak_steps_on_batches():
    method, expected = polyak(lambda optimizer: in_batches(optimizer=optimizer))
    found = path(method, ALIKE)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("build", [in_rounds, in_batches])
def test_the_loss_of_a_sample_is_refused(build):
    method = build(optimizer=Partial(transforms.scale_by_polyak_step))
    with pytest.raises(ValueError, match="needs value= of the sample .* without noise"):
        measured(method, KEY, 3, PROBLEM)


def test_proximal_points_of_the_loss():
    """x ← (I + γA)⁻¹ (x + γb)."""
    solver = transforms.prox_by_newton_step(50)
    found = path(
        in_rounds(optimizer=Partial(constant(transforms.sppm(2.0, solver)))), QUIET
    )
    x = [X0.ravel()]
    for _ in range(UPDATES):
        system = np.eye(len(SLOPE)) + 2 * CURVATURE
        x.append(np.linalg.solve(system, x[-1] + 2 * SLOPE))
    np.testing.assert_allclose(
        found.reshape(UPDATES + 1, -1), np.stack(x), rtol=1e-8, atol=1e-8
    )
