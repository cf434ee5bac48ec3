"""One process of a run over a mesh that spans two; started by test_processes.py.

python one_of_two.py ADDRESS INDEX FOLDER
"""

import pathlib
import sys

import jax
import numpy as np

import fedjax_opt as fo

WORKERS, DIM = 8, 20


def problem():
    return fo.problems.heterogeneous_quadratics(
        WORKERS, DIM, noise_scale=0.3, strong_convexity=0.01, seed=0, noise_level=0.1
    )


def run(mesh, seed=0) -> dict[str, np.ndarray]:
    """The columns and the last point of a run."""
    trace = fo.run(
        fo.methods.ef21_gd(step_size=0.1, compressor=fo.compressors.top_k(3)),
        problem(),
        num_workers=WORKERS,
        key=jax.random.key(seed),
        num_updates=30,
        record_every=4,
        mesh=mesh,
    )
    return trace.columns | {"params": np.asarray(trace.params)}


def sweep() -> np.ndarray:
    """The scores of a sweep, which every process makes on devices of its own."""
    return fo.sweep(
        fo.methods.asgd,
        fo.problems.tridiagonal(DIM),
        grid={"step_size": [0.1, 0.2]},
        seeds=[0, 1],
        num_workers=4,
        num_updates=20,
    ).score


def main(address: str, index: int, folder: pathlib.Path) -> None:
    jax.config.update("jax_num_cpu_devices", 2)
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, num_processes=2, process_id=index)
    mesh = jax.make_mesh((4,), ("workers",))
    refusal = ""
    try:
        run(mesh, seed=index)
    except ValueError as error:
        refusal = str(error)
    np.savez(folder / f"{index}.npz", refusal=refusal, sweep=sweep(), **run(mesh))
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3]))
