"""Hogwild: ages of reads, updates that do not meet, lost updates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_cluster import clock, go

import fedjax_opt as fo


def test_consistent_ages_are_uniform():
    events, delay = 20000, 7
    found = clock(
        fo.events.hogwild(max_delay=delay, read="consistent"), num_events=events
    )
    updates = np.arange(events)
    assert (found.delay <= np.minimum(updates, delay)).all()
    np.testing.assert_array_equal(found.version, updates - found.delay)
    assert set(found.delay[:delay]) != {0}
    counts = np.bincount(found.delay[delay:])
    share = 1 / (delay + 1)
    assert np.abs(counts - events * share).max() < 5 * np.sqrt(events * share)


def test_coordinates_are_read_at_uniform_independent_ages():
    oldest, newest, draws = 28, 37, 4000
    slots = np.arange(16)
    version_of_slot = slots + 16 * (1 + (slots <= newest % 16))  # 22, ..., 37
    ring = {
        name: jnp.broadcast_to(version_of_slot[:, None, None], (16, 2, width))
        for name, width in (("first", 2), ("second", 3))
    }
    read = jax.jit(
        jax.vmap(lambda key: fo.events.read_coordinates(key, ring, oldest, newest))
    )(jax.random.split(jax.random.key(0), draws))
    ages = newest - np.concatenate(
        [np.reshape(leaf, (draws, -1)) for leaf in read.values()], axis=1
    )
    assert ages.min() == 0 and ages.max() == newest - oldest
    counts = np.stack([np.bincount(column) for column in ages.T])
    assert np.abs(counts - draws / 10).max() < 5 * np.sqrt(draws / 10)
    correlation = np.corrcoef(ages.T) - np.eye(ages.shape[1])
    assert np.abs(correlation).max() < 5 / np.sqrt(draws)


def _block_loss(data, x):
    return jnp.sum((x - data) ** 2) / 2


def _block_grad(data, x, worker, sample):
    block = jnp.arange(x.shape[0]) == worker
    return jnp.where(block[:, None], x - data, 0.0)


def blocks(num_workers):
    """Every worker has two coordinates of its own."""
    return fo.Problem(
        data=jnp.arange(2.0 * num_workers).reshape(-1, 2),
        init=-jnp.ones((num_workers, 2)),
        loss=_block_loss,
        draw=None,
        grad=_block_grad,
        num_workers=num_workers,
        metrics={},
        constants={},
    )


@pytest.mark.parametrize(("num_workers", "serial"), [(5, True), (4, False)])
def test_updates_of_one_block_far_apart_do_not_meet(num_workers, serial):
    """D = 4: five workers in turn write a block every D + 1 steps, four every D."""
    step_size, updates_each = 0.3, 6
    trace = go(
        fo.methods.hogwild(step_size=step_size, max_delay=4, overwrite_probability=0.5),
        blocks(num_workers),
        num_workers=num_workers,
        compute_time=fo.timing.fixed(np.ones(num_workers)),
        num_updates=num_workers * updates_each,
    )
    target = np.arange(2.0 * num_workers).reshape(-1, 2)
    expected = target + (1 - step_size) ** updates_each * (-1 - target)
    assert np.allclose(trace.params, expected, rtol=1e-12) == serial


def test_lost_updates():
    x, read = {"x": jnp.zeros((200, 50))}, {"x": jnp.full((200, 50), -2.0)}
    updates = {"x": jnp.ones((200, 50)).at[:, ::2].set(0.0)}  # half is written
    state = fo.transforms.overwrite(0.3).init(x)

    def written(probability):
        found, _ = fo.transforms.overwrite(probability).update(
            updates, state, x, read_params=read, key=jax.random.key(1)
        )
        return np.asarray(found["x"])

    some = written(0.3)
    np.testing.assert_array_equal(some[:, ::2], 0)
    lost = some[:, 1::2] == -1
    np.testing.assert_array_equal(some[:, 1::2][~lost], 1)
    assert abs(lost.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / lost.size)
    np.testing.assert_array_equal(written(0.0), updates["x"])
    np.testing.assert_array_equal(written(1.0)[:, 1::2], -1)


def test_lost_updates_need_the_point_that_was_read():
    overwrite = fo.transforms.overwrite(0.3)
    x = jnp.ones(3)
    with pytest.raises(TypeError, match="read_params"):
        overwrite.update(x, overwrite.init(x), x)
