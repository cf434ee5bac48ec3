"""Peak memory of runs with many workers and a large model, in processes of their own.

A model for each worker would take n·d·4 bytes; Rennala keeps one, Ringmaster R.
`python -m benchmarks.memory METHOD N D` runs a method twice and prints how many bytes
the second run takes at its peak, beyond what the process holds before it.
"""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np

import fedjax_opt as fo
from fedjax_opt.simulate import numbers

from . import programs
from .harness import Row, skipped

N, FEW_N, D = 10_000, 1_000, 100_000
R = 10
UPDATES = 200

# Linux's account of a process, and what sets its peak back. Not getrusage: its maximum
# includes the process that this one was started from.
STATUS, RESET = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")

METHODS = {
    "rennala": fo.methods.rennala_sgd(step_size=0.1, batch_size=R),
    "ringmaster": fo.methods.ringmaster_asgd(step_size=0.1, delay_threshold=R),
}


def memory() -> list[Row]:
    """Rennala with S = 10 and Ringmaster with R = 10."""
    if not os.access(RESET, os.W_OK):
        reason = f"the peak of a process is read from {STATUS}, set back by {RESET}"
        return [skipped(f"memory_{name}", reason, n=N, d=D) for name in METHODS]
    peaks = [_row(name, "", _peak, "peak of the process") for name in METHODS]
    how = "`memory_analysis` of the compiled numbers"
    return peaks + [_row(n, "_compiled", _bytes_of_program, how) for n in METHODS]


def _bytes_of_program(name, num_workers) -> int:
    """Temporaries, with the state, and results."""
    times = fo.timing.fixed(np.sqrt(np.arange(1.0, num_workers + 1)))
    arguments = programs.arguments(
        METHODS[name], _problem(D), times, num_workers=num_workers, updates=UPDATES
    )
    analysis = numbers.advance.lower(*arguments).compile().memory_analysis()
    return analysis.temp_size_in_bytes + analysis.output_size_in_bytes


def _row(method, suffix: str, bytes_of, how: str) -> Row:
    """What a method takes with many workers and with few, as `bytes_of` tells it."""
    few, many = bytes_of(method, FEW_N), bytes_of(method, N)
    return Row(
        f"memory_{method}{suffix}",
        many / 1e6,
        4 * N * D / 1e6,
        ratio=4 * N * D / many,
        unit="MB",
        against="a model for each worker, n·d·4 bytes",
        n=N,
        d=D,
        target="grows with R·d, not with n·d",
        note=f"{many / (4 * D):.0f} models; {few / 1e6:.3g} MB with n = {FEW_N}; {how}",
    )


def _peak(name, num_workers) -> int:
    """Bytes of a run in a process of its own."""
    command = [sys.executable, "-m", __name__, name, str(num_workers), str(D)]
    # Large arrays go back to the system as soon as they are freed.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    return int(done.stdout)


def _main(name, num_workers, dim) -> None:
    problem = _problem(dim)
    times = np.sqrt(np.arange(1.0, num_workers + 1))

    def run():
        fo.run(
            METHODS[name],
            problem,
            num_workers=num_workers,
            key=jax.random.key(0),
            compute_time=fo.timing.fixed(times),
            num_updates=UPDATES,
            record_every=UPDATES,
        )

    run()  # compiles, which takes more memory than the run
    before = _status("VmRSS")
    RESET.write_text("5")
    run()
    print(_status("VmHWM") - before)


def _problem(dim):
    return fo.problems.tridiagonal(dim, noise="scalar", noise_level=0.01)


def _status(field) -> int:
    """Bytes."""
    (line,) = [s for s in STATUS.read_text().splitlines() if s.startswith(field)]
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
