"""A run in a process of its own, which can be killed."""

import pathlib
import time

import jax
import numpy as np

import fedjax_opt as fo

CHUNK, UPDATES = 10, 1500


def quadratic():
    return fo.problems.tridiagonal(20, noise="coordinates", noise_level=0.01)


def start(folder, result, cache, reports) -> None:
    """Runs or resumes; sends a byte whenever a chunk is done, and writes the result."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

    def report(done, total):
        reports.send_bytes(b".")
        time.sleep(0.01)  # so that no machine is too fast to be killed

    trace = fo.run(
        fo.methods.asgd(step_size=0.05),
        quadratic(),
        num_workers=5,
        key=jax.random.key(3),
        compute_time=fo.timing.fixed(np.sqrt(np.arange(1.0, 6.0))),
        num_updates=UPDATES,
        record_every=4,
        checkpoint=folder,
        chunk=CHUNK,
        progress=report,
    )
    np.savez(pathlib.Path(result), params=trace.params, **trace.columns)
