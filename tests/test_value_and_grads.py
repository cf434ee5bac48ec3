"""The oracle supplies what the parts of an optimizer ask for, and nothing else."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx
from flax.training.train_state import TrainState

from fedjax_opt import estimators, geometry, transforms
from fedjax_opt.needs import Needs

STEPS, STEP = 6, 0.1
HESSIAN = np.diag([1.0, 3.0, 10.0])
NOISE = np.random.default_rng(0).normal(size=(STEPS, 3))
X0 = np.array([1.0, -2.0, 0.5])
PROX = transforms.prox_by_gradient_steps(3, 10.0)


def loss(x, noise):
    """½ xᵀHx + noiseᵀx: the gradient is Hx + noise."""
    return x @ HESSIAN @ x / 2 + noise @ x


def of_both(p, noise):
    """Of two leaves."""
    return loss(p["a"], noise) + loss(p["b"], noise)


def quartic(x, noise):
    """Σ x⁴/4: the Hessian is 3 diag(x²)."""
    return jnp.sum(x**4) / 4 + noise @ x


class Wishes(NamedTuple):
    """State of `recorder`."""

    seen: Any
    needs: Needs


def recorder(*names, shapes=(), **wishes):
    """Passes gradients on, and keeps what it was given besides."""

    def init(params):
        nothing = tuple(jnp.zeros(shape) for shape in shapes)
        return Wishes(nothing, Needs(names, **wishes))

    def update(updates, state, params=None, **extra):
        return updates, Wishes(tuple(extra[n] for n in names), state.needs)

    return optax.GradientTransformationExtraArgs(init, update)


def trained(optimizer, loss=loss):
    """x⁰, ..., x^K of the loop in the docstring."""
    optimizer, oracle = estimators.value_and_grads(loss, optimizer)

    @jax.jit
    def step(carry, noise):
        params, state = carry
        _, grads, extra = oracle(params, state, noise)
        updates, state = optimizer.update(grads, state, params, **extra)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = (jnp.asarray(X0), optimizer.init(jnp.asarray(X0)))
    (_, state), path = jax.lax.scan(step, start, jnp.asarray(NOISE))
    return np.concatenate([X0[None], path]), state


def mvr_by_hand(beta):
    x, g, path = X0, None, [X0]
    for noise in NOISE:
        fresh = HESSIAN @ x + noise
        g = fresh if g is None else fresh + beta * (g - HESSIAN @ path[-2] - noise)
        x = x - STEP * g
        path.append(x)
    return np.stack(path)


WRAPPERS = {
    "chain": lambda t: optax.chain(t, optax.sgd(STEP)),
    "chain in a chain": lambda t: optax.chain(
        optax.chain(optax.identity(), t), optax.sgd(STEP)
    ),
    "injected": lambda t: optax.chain(
        optax.inject_hyperparams(lambda beta: estimators.mvr(beta))(beta=0.7),
        optax.sgd(STEP),
    ),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_mvr_is_given_the_gradient_at_the_previous_point(name):
    path, _ = trained(WRAPPERS[name](estimators.mvr(0.7)))
    np.testing.assert_allclose(path, mvr_by_hand(0.7), rtol=1e-12)


def test_a_hessian_product_is_exact():
    """3 diag(z²)(x − x⁻) at z = q x + (1−q) x⁻; x makes one gradient step."""
    for q in (None, 0.25):
        part = recorder("hvp", shapes=[(3,)], mixture=q)
        path, state = trained(optax.chain(part, optax.sgd(0.01)), quartic)
        x, previous = path[-2], path[-3]
        z = x if q is None else q * x + (1 - q) * previous
        (found,) = state.optimizer[0].seen
        np.testing.assert_allclose(found, 3 * z**2 * (x - previous), rtol=1e-12)


def test_the_first_previous_point_is_the_start():
    part = recorder("previous_grads", "hvp", "value", shapes=[(3,), (3,), ()])
    optimizer, oracle = estimators.value_and_grads(loss, part)
    params = jnp.asarray(X0)
    value, grads, extra = oracle(params, optimizer.init(params), NOISE[0])
    np.testing.assert_allclose(extra["previous_grads"], grads)
    np.testing.assert_array_equal(extra["hvp"], np.zeros(3))
    assert extra["value"] == value == loss(X0, NOISE[0])


def test_the_gradient_is_taken_where_a_part_wants_it():
    """Two steps ahead of the last one: at x + 2 (x − 1)."""
    part = recorder(point=lambda state, params: params + 2 * (params - 1))
    optimizer, oracle = estimators.value_and_grads(loss, part)
    value, grads, extra = oracle(X0, optimizer.init(X0), NOISE[0])
    point = 3 * X0 - 2
    np.testing.assert_allclose(grads, HESSIAN @ point + NOISE[0])
    assert value == pytest.approx(loss(point, NOISE[0])) and set(extra) == {"value"}


def test_who_asks_for_nothing_costs_nothing():
    calls = []

    def counted(x, noise):
        calls.append(None)
        return loss(x, noise)

    optimizer, oracle = estimators.value_and_grads(counted, optax.adam(0.1))
    state = optimizer.init(jnp.asarray(X0))
    _, _, extra = oracle(X0, state, NOISE[0])
    assert len(calls) == 1 and set(extra) == {"value"} and state.previous == ()


@pytest.mark.parametrize("told", [False, True])
def test_a_part_for_some_of_the_leaves(told):
    """MVR on one leaf, by its label: the others see plain gradients."""
    params = {"a": jnp.asarray(X0), "b": jnp.asarray(X0)}
    inner = optax.partition(
        {
            "mvr": optax.chain(estimators.mvr(0.7), optax.sgd(STEP)),
            "sgd": optax.sgd(STEP),
        },
        {"a": "mvr", "b": "sgd"},
        mask_compatible_extra_args=told,
    )
    optimizer, oracle = estimators.value_and_grads(of_both, inner)
    state, path = optimizer.init(params), [params]
    for noise in NOISE:
        _, grads, extra = oracle(params, state, noise)
        updates, state = optimizer.update(grads, state, params, **extra)
        params = optax.apply_updates(params, updates)
        path.append(params)
    np.testing.assert_allclose(
        np.stack([p["a"] for p in path]), mvr_by_hand(0.7), rtol=1e-12
    )
    np.testing.assert_allclose(
        np.stack([p["b"] for p in path]), mvr_by_hand(0.0), rtol=1e-12
    )


TWO_GRADIENTS = {
    "mvr": lambda: estimators.mvr(0.7),
    "gamma mvr": lambda: estimators.gamma_mvr(0.7, 0.4),
    "mars": lambda: estimators.mars(0.7),
    "gluon-mvr-3": lambda: estimators.gluon_mvr3(0.7, 0.4),
    "hessian momentum": lambda: transforms.hessian_momentum(0.7),
    "hessian momentum, clipped": lambda: transforms.clipped_hessian_momentum(
        0.7, STEP, 1.0, 1.0
    ),
}


@pytest.mark.parametrize("name", TWO_GRADIENTS)
def test_a_masked_part_sees_its_leaves_of_what_it_is_given(name):
    def steps():
        return optax.chain(TWO_GRADIENTS[name](), optax.sgd(STEP))

    masked = optax.selective_transform(steps(), freeze_mask={"a": False, "b": True})
    path = path_of(of_both, masked, {"a": X0, "b": X0})
    np.testing.assert_allclose(path["a"], path_of(loss, steps(), X0), rtol=1e-12)
    np.testing.assert_array_equal(path["b"], np.tile(X0, (STEPS, 1)))


def test_a_masked_part_sees_the_loss_of_its_leaves():
    """Proximal points in a, (I/γ + H) a⁺ = a/γ − ξ − b, gradient steps in b."""

    def coupled(p, noise):
        return of_both(p, noise) + p["a"] @ p["b"]

    prox = transforms.sppm(2.0, transforms.prox_by_newton_step(3))
    inner = optax.partition(
        {"prox": prox, "sgd": optax.sgd(STEP)}, {"a": "prox", "b": "sgd"}
    )
    path = path_of(coupled, inner, {"a": X0, "b": X0})
    a = b = X0
    for k, noise in enumerate(NOISE):
        slope = HESSIAN @ b + noise + a
        a = np.linalg.solve(np.eye(3) / 2 + HESSIAN, a / 2 - noise - b)
        b = b - STEP * slope
        np.testing.assert_allclose(path["a"][k], a, rtol=1e-10)
        np.testing.assert_allclose(path["b"][k], b, rtol=1e-10)


def nigt_steps():
    return optax.chain(transforms.nigt(0.6), optax.sgd(STEP))


OF_A_PART = {
    "partition": lambda part: optax.partition(
        {"own": part, "sgd": optax.sgd(STEP)}, {"a": "own", "b": "sgd"}
    ),
    "masked": lambda part: optax.chain(
        optax.masked(part, {"a": True, "b": False}),
        optax.masked(optax.sgd(STEP), {"a": False, "b": True}),
    ),
}


@pytest.mark.parametrize("wrapper", OF_A_PART)
@pytest.mark.parametrize(
    "part",
    [
        nigt_steps,
        lambda: transforms.ac_sa(STEP),
        lambda: transforms.stm(1 / STEP),
        lambda: transforms.extragradient(STEP),
    ],
)
def test_a_point_for_some_of_the_leaves(part, wrapper):
    """Those of "a", a tree by itself, move as they would alone; "b" by gradients."""

    def of_all(p, noise):
        return sum(loss(x, noise) for x in jax.tree.leaves(p))

    start = {"a": {"c": jnp.asarray(X0), "d": jnp.asarray(2 * X0)}, "b": X0}
    together = path_of(of_all, OF_A_PART[wrapper](part()), start)
    alone = path_of(of_all, part(), start["a"])
    plain = path_of(of_all, optax.sgd(STEP), start["b"])
    for found, expected in ((together["a"], alone), (together["b"], plain)):
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12), found, expected
        )
    assert not np.allclose(together["a"]["c"], together["b"])


def path_of(loss, optimizer, params):
    """x¹, ..., x^K on a leading axis of every leaf."""
    optimizer, oracle = estimators.value_and_grads(loss, optimizer)

    def step(carry, noise):
        params, state = carry
        _, grads, extra = oracle(params, state, noise)
        updates, state = optimizer.update(grads, state, params, **extra)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = jax.tree.map(jnp.asarray, params)
    carry = (start, optimizer.init(start))
    return jax.jit(lambda: jax.lax.scan(step, carry, jnp.asarray(NOISE))[1])()


# ---------------------------------------------------------------- of optax


def test_polyak_steps_of_optax():
    """x ← x − (f(x) − f*) / ‖g‖² g, at most 1, with f* the minimum on the sample."""
    lowest = -5.0
    path, _ = trained(optax.polyak_sgd(f_min=lowest))
    x = X0
    for k, noise in enumerate(NOISE):
        g = HESSIAN @ x + noise
        x = x - min((loss(x, noise) - lowest) / (g @ g), 1) * g
        np.testing.assert_allclose(path[k + 1], x, rtol=1e-12)


OF_OPTAX = {
    "momo": (optax.contrib.momo(), lambda value, grad, f: {"value": value}),
    "plateau": (
        optax.chain(optax.sgd(STEP), optax.contrib.reduce_on_plateau(patience=1)),
        lambda value, grad, f: {"value": value},
    ),
    "lbfgs": (
        optax.lbfgs(),
        lambda value, grad, f: {"value": value, "grad": grad, "value_fn": f},
    ),
    "backtracking": (
        optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(10)),
        lambda value, grad, f: {"value": value, "grad": grad, "value_fn": f},
    ),
}


@pytest.mark.parametrize("name", OF_OPTAX)
def test_optimizers_of_optax_are_given_what_they_take(name):
    optimizer, given = OF_OPTAX[name]
    path, _ = trained(optimizer)
    x = jnp.asarray(X0)
    state = optimizer.init(x)
    for k, noise in enumerate(NOISE):

        def f(x, noise=noise):
            return loss(x, noise)

        value, grad = jax.value_and_grad(f)(x)
        updates, state = optimizer.update(grad, state, x, **given(value, grad, f))
        x = optax.apply_updates(x, updates)
        np.testing.assert_allclose(path[k + 1], x, rtol=1e-9)


def test_a_line_search_for_some_of_the_leaves():
    masked = optax.masked(
        optax.lbfgs(), {"a": True, "b": False}, mask_compatible_extra_args=True
    )
    frozen = optax.chain(
        masked, optax.masked(optax.set_to_zero(), {"a": False, "b": True})
    )
    path = path_of(of_both, frozen, {"a": X0, "b": np.zeros(3)})
    np.testing.assert_allclose(path["a"], path_of(loss, optax.lbfgs(), X0), rtol=1e-9)


# ---------------------------------------------------------------- networks

WIDTH, INPUTS = 8, np.random.default_rng(1).normal(size=(64, 3))
TARGETS = np.sin(INPUTS.sum(axis=1, keepdims=True))


def batches():
    for start in [0, 16, 32, 48] * 10:
        yield INPUTS[start : start + 16], TARGETS[start : start + 16]


def lmo_mvr():
    return optax.chain(estimators.mvr(0.9), transforms.lmo_step(None, 0.02))


class Network(nn.Module):
    """Two layers."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.tanh(nn.Dense(WIDTH)(x)))


def test_a_network_of_linen_is_trained():
    """`TrainState.apply_gradients` passes nothing to the update: call it yourself."""
    network, traces = Network(), []

    def mean_square(params, inputs, targets):
        return jnp.mean((network.apply(params, inputs) - targets) ** 2)

    optimizer, oracle = estimators.value_and_grads(mean_square, lmo_mvr())
    params = network.init(jax.random.key(0), INPUTS)
    state = TrainState.create(apply_fn=network.apply, params=params, tx=optimizer)

    @jax.jit
    def step(state, *batch):
        traces.append(None)
        _, grads, extra = oracle(state.params, state.opt_state, *batch)
        updates, opt_state = state.tx.update(
            grads, state.opt_state, state.params, **extra
        )
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, opt_state=opt_state)

    before = mean_square(params, INPUTS, TARGETS)
    for batch in batches():
        state = step(state, *batch)
    assert mean_square(state.params, INPUTS, TARGETS) < before / 2
    assert len(traces) == 1 and state.step == 40


class NNXNetwork(nnx.Module):
    """The same."""

    def __init__(self, rngs):
        self.first = nnx.Linear(3, WIDTH, rngs=rngs)
        self.last = nnx.Linear(WIDTH, 1, rngs=rngs)

    def __call__(self, x):
        return self.last(jnp.tanh(self.first(x)))


def test_a_network_of_nnx_is_trained():
    model, traces = NNXNetwork(nnx.Rngs(0)), []
    structure = nnx.graphdef(model)

    def mean_square(params, inputs, targets):
        return jnp.mean((nnx.merge(structure, params)(inputs) - targets) ** 2)

    transformation, oracle = estimators.value_and_grads(mean_square, lmo_mvr())
    optimizer = nnx.Optimizer(model, transformation, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, *batch):
        traces.append(None)
        params, state = nnx.as_pure((nnx.state(model), optimizer.opt_state))
        _, grads, extra = oracle(params, state, *batch)
        # It looks for gradients of parameters, and takes other arrays as they are.
        optimizer.update(model, jax.tree.map(nnx.Param, grads), **extra)

    before = mean_square(nnx.state(model), INPUTS, TARGETS)
    for batch in batches():
        step(model, optimizer, *batch)
    assert mean_square(nnx.state(model), INPUTS, TARGETS) < before / 2
    assert len(traces) == 1


# ---------------------------------------------------------------- refusals


NOT_OF_AVERAGES = {
    "mvr": (estimators.mvr(0.9), "previous_grads="),
    "hessian momentum": (transforms.hessian_momentum(0.9), "hvp="),
    "polyak": (transforms.scale_by_polyak_step(), "value="),
    "distance-free": (transforms.distance_free_style(geometry.l2(), 10.0), "value="),
    "sppm": (transforms.sppm(STEP, PROX), "value_fn="),
}


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("name", NOT_OF_AVERAGES)
def test_what_cannot_be_averaged_over_minibatches_is_refused(name, chained):
    part, asked = NOT_OF_AVERAGES[name]
    optimizer = optax.MultiSteps(optax.chain(part, optax.sgd(STEP)), 2)
    if chained:
        optimizer = optax.chain(optimizer.gradient_transformation(), optax.sgd(1.0))
    optimizer, _ = estimators.value_and_grads(loss, optimizer)
    with pytest.raises(ValueError, match=f"{asked}.*leave MultiSteps out") as caught:
        optimizer.init(jnp.asarray(X0))
    assert "\n" not in str(caught.value)


def test_averages_beside_a_part_that_looks_back_pass():
    """MVR on one leaf; on the other every second step, with a mean of gradients."""
    half = optax.MultiSteps(optax.sgd(STEP), 2).gradient_transformation()
    inner = optax.partition(
        {"mvr": optax.chain(estimators.mvr(0.7), optax.sgd(STEP)), "half": half},
        {"a": "mvr", "b": "half"},
        mask_compatible_extra_args=True,
    )
    start = {"a": X0, "b": X0}
    path = path_of(of_both, inner, start)
    np.testing.assert_allclose(path["a"], mvr_by_hand(0.7)[1:], rtol=1e-12)
    mean = HESSIAN @ X0 + (NOISE[0] + NOISE[1]) / 2
    np.testing.assert_array_equal(path["b"][0], X0)
    np.testing.assert_allclose(path["b"][1], X0 - STEP * mean, rtol=1e-6)


def test_averages_of_single_gradients_pass():
    averaged = optax.MultiSteps(
        optax.chain(transforms.momentum(0.9), optax.sgd(STEP)), every_k_schedule=2
    )
    path, _ = trained(averaged)
    mean = (NOISE[0] + NOISE[1]) / 2 + HESSIAN @ X0
    np.testing.assert_allclose(path[2], X0 - STEP * 0.1 * mean)


def test_two_points_of_evaluation_are_refused():
    part = recorder(point=lambda state, params: params)
    optimizer, oracle = estimators.value_and_grads(loss, optax.chain(part, part))
    with pytest.raises(ValueError, match="keep one of them"):
        oracle(X0, optimizer.init(X0), NOISE[0])


def test_a_line_search_from_another_point_is_refused():
    both = optax.chain(transforms.nigt(0.6), optax.lbfgs())
    optimizer, oracle = estimators.value_and_grads(loss, both)
    with pytest.raises(ValueError, match="leave one of them out"):
        oracle(X0, optimizer.init(jnp.asarray(X0)), NOISE[0])


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize(
    "part",
    [estimators.mvr(0.7), transforms.hessian_momentum(0.7), transforms.nigt(0.7)]
    + [transforms.stm(10.0), transforms.sppm(STEP, PROX)],
)
def test_leaves_that_are_joined_are_refused(part, shape):
    params = {"a": jnp.ones(shape), "b": jnp.ones(shape)}
    params = params if shape == (3,) else params["a"]  # one leaf, which is no vector
    optimizer, oracle = estimators.value_and_grads(
        lambda p: sum(jnp.sum(x**2) for x in jax.tree.leaves(p)), optax.flatten(part)
    )
    state = optimizer.init(params)
    with pytest.raises(
        ValueError, match="optax.flatten.*(must be left out|leave optax.flatten out)"
    ):
        _, grads, extra = oracle(params, state)
        optimizer.update(grads, state, params, **extra)


def test_what_a_loss_does_not_tell_is_refused():
    part = recorder("temperature")
    optimizer, oracle = estimators.value_and_grads(loss, part)
    with pytest.raises(ValueError, match="asks for temperature="):
        oracle(X0, optimizer.init(X0), NOISE[0])


def test_an_update_that_looks_back_needs_the_parameters():
    optimizer, oracle = estimators.value_and_grads(loss, estimators.mvr(0.9))
    state = optimizer.init(jnp.asarray(X0))
    _, grads, extra = oracle(X0, state, NOISE[0])
    with pytest.raises(TypeError, match="update\\(grads, state, params"):
        optimizer.update(grads, state, **extra)
