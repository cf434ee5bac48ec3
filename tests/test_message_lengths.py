"""How long a message may be, which is what a link is given before the numbers run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

import fedjax_opt as fo
from fedjax_opt import compressors, mechanisms, methods
from fedjax_opt.simulate import cost
from fedjax_opt.simulate.largest import largest
from fedjax_opt.static import constant

N, D = 3, 6
NUMBER, ENTRY = 64, 64 + 8  # bits; an entry is a number and its index
POINT = jax.ShapeDtypeStruct((D,), jnp.float64)
RAND_1, RAND_2 = compressors.rand_k(1), compressors.rand_k(2)
TOP_1, TOP_3 = compressors.top_k(1), compressors.top_k(3)


def lazy(compressor):
    return mechanisms.three_point(mechanisms.clag_map(compressor, trigger=1.0))


UP = {
    "of one length": (lambda: mechanisms.ef21(TOP_3), 3 * ENTRY),
    "full or compressed": (
        lambda: mechanisms.marina(RAND_1, probability=0.2),
        D * NUMBER,
    ),
    "the compressed one is longer": (
        lambda: mechanisms.marina(compressors.rand_k(D), probability=0.2),
        D * ENTRY,
    ),
    "full, or of a subset": (
        lambda: mechanisms.pp_marina(RAND_1, probability=0.2, count=2),
        D * NUMBER,
    ),
    "two messages, of a subset": (
        lambda: mechanisms.frecon(RAND_1, count=2),
        2 * ENTRY,
    ),
    "both at times": (lambda: mechanisms.rand_diana(RAND_1), ENTRY + D * NUMBER),
    "one of a ladder": (
        lambda: mechanisms.three_point(
            mechanisms.adacgd_map((TOP_1, TOP_3, compressors.top_k(2)), trigger=1.0)
        ),
        8 + 3 * ENTRY,
    ),
    "a flag, and what it announces": (lambda: lazy(TOP_3), 8 + 3 * ENTRY),
    "drawn by the compressor": (
        lambda: mechanisms.dcgd(compressors.switch((RAND_1, RAND_2), (0.5, 0.5))),
        2 * ENTRY,
    ),
    "a choice in a choice": (
        lambda: mechanisms.marina(
            compressors.switch((RAND_1, compressors.rand_k(D)), (0.5, 0.5)),
            probability=0.2,
        ),
        D * ENTRY,
    ),
    "a coin of the compressor": (
        lambda: mechanisms.dcgd(compressors.bernoulli(0.5)),
        8 + D * NUMBER,
    ),
    "a number of entries": (
        lambda: mechanisms.dcgd(compressors.hard_threshold(1.0)),
        8 + D * ENTRY,
    ),
}


@pytest.mark.parametrize("name", UP)
def test_the_longest_message_of_a_worker(name):
    make, length = UP[name]
    found, varies = cost.message_bits(make(), POINT, N)
    assert found == length
    assert varies is (name != "of one length")


def masha(down):
    return mechanisms.masha(
        mechanisms.dcgd(RAND_1), mechanisms.dcgd(down), step_size=0.1, momentum=0.5
    )


DOWN = {
    "the model": (lambda: mechanisms.dcgd(RAND_1), (D,), D * NUMBER),
    "one message": (lambda: mechanisms.ef21_bc(TOP_1, TOP_3), (D,), 3 * ENTRY),
    "full or compressed": (lambda: masha(RAND_1), (D,), D * NUMBER),
    "the compressed one is longer": (
        lambda: masha(compressors.rand_k(D)),
        (D,),
        D * ENTRY,
    ),
    "the left factor": (lambda: mechanisms.power_sgd(1), (5, 4), 5 * NUMBER),
    "the right factor": (lambda: mechanisms.power_sgd(1), (3, 7), 7 * NUMBER),
}


@pytest.mark.parametrize("name", DOWN)
def test_the_longest_message_of_the_server(name):
    make, shape, length = DOWN[name]
    point = jax.ShapeDtypeStruct(shape, jnp.float64)
    assert cost.broadcast_bits(make(), point, N) == length


def test_more_than_a_float_of_32_bits_is_a_length():
    """d numbers are told exactly where their number is a Python one."""
    with jax.enable_x64(False):
        point = jax.ShapeDtypeStruct((2**24 + 1,), jnp.float32)
        found = cost.message_bits(mechanisms.dcgd(compressors.identity()), point, N)
    assert found == (32 * (2**24 + 1), False)


COIN, INDEX = jnp.array(False), jnp.uint8(0)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda coin, index: 3 + jnp.where(coin, 1.0, 2.0), 5.0),
        (lambda coin, index: 3 * jnp.where(coin, 1.0, 2.0), 6.0),
        (lambda coin, index: jnp.array([4.0, 7.0, 1.0])[index], 7.0),
        (lambda coin, index: jnp.where(coin, jnp.array([4.0, 7.0])[index], 9.0), 9.0),
        (lambda coin, index: jnp.sum(jnp.where(coin, jnp.ones(2), 0.5)), 2.0),
        (lambda coin, index: jnp.float32(4) - 1, 3.0),
        (lambda coin, index: 3 - jnp.where(coin, 1.0, 2.0), None),
        (lambda coin, index: -3 * jnp.where(coin, 1.0, 2.0), None),
        (lambda coin, index: 2.0 * index, None),
        (lambda coin, index: jnp.where(coin, 2.0 * index, 1.0), None),
    ],
)
def test_the_largest_value_of_what_is_unknown(function, expected):
    """A difference may be largest where what is subtracted is smallest."""
    assert largest(function, COIN, INDEX) == expected


# ---------------------------------------------------------------- in time


def seconds_per_round(method, **link):
    """With a gradient in one second."""
    problem = fo.problems.quadratics(np.stack([np.eye(D)] * N), np.ones((N, D)))
    trace = fo.run(
        method,
        problem,
        num_workers=N,
        key=jax.random.key(0),
        num_updates=3,
        link=fo.timing.linear(**link),
    )
    return np.diff(trace.time)


def test_a_round_lasts_as_long_as_the_longest_message():
    """It was the sum of a full message and a compressed one: 1 + 384 + 72 seconds."""
    method = methods.masha1(
        step_size=0.1, compressor=RAND_1, server_compressor=RAND_1, momentum=0.5
    )
    lasts = seconds_per_round(method, up_bandwidth=1.0)
    np.testing.assert_array_equal(lasts, 1 + 8 + D * NUMBER)
    lasts = seconds_per_round(method, down_bandwidth=1.0)
    np.testing.assert_array_equal(lasts, 1 + D * NUMBER)


def test_a_downlink_lasts_as_long_as_its_longest_message():
    method = fo.types.Method(
        schedule=fo.events.synchronous(),
        estimator=Partial(fo.estimators.sgd),
        mechanism=Partial(constant(mechanisms.ef21(TOP_1))),
        optimizer=Partial(optax.sgd, 0.1),
        downlink=Partial(constant(mechanisms.marina(RAND_1, probability=0.5))),
        full_gradients=True,
    )
    lasts = seconds_per_round(method, up_bandwidth=1.0, down_bandwidth=2.0)
    np.testing.assert_array_equal(lasts, 1 + ENTRY + D * NUMBER / 2)
