"""A run over a mesh that spans two processes, which talk over the loopback."""

import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import one_of_two
import pytest

PATIENCE = 120  # seconds, after which both are killed and the test has failed
SCRIPT = pathlib.Path(one_of_two.__file__)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def finished(processes, outputs) -> None:
    """Waits for all of them; kills them if one fails or the time is up."""
    deadline = time.monotonic() + PATIENCE
    try:
        while any(process.poll() is None for process in processes):
            failed = any(process.poll() for process in processes)
            if failed or time.monotonic() > deadline:
                break
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if any(process.returncode for process in processes):
        pytest.fail("\n".join(output.read_text()[-3000:] for output in outputs))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What the two processes have found."""
    folder = tmp_path_factory.mktemp("processes")
    address = f"127.0.0.1:{free_port()}"
    outputs = [folder / f"{index}.txt" for index in range(2)]
    processes = []
    for index, output in enumerate(outputs):
        command = [sys.executable, SCRIPT, address, str(index), folder]
        with output.open("w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        processes.append(process)
    finished(processes, outputs)
    return [dict(np.load(folder / f"{index}.npz")) for index in range(2)]


def test_both_processes_have_the_trace_of_a_single_one(results):
    alone = one_of_two.run(mesh=None)
    assert len(alone["loss"]) == 8 and np.unique(alone["loss"]).size == 8
    for name, column in alone.items():
        np.testing.assert_array_equal(results[0][name], results[1][name], err_msg=name)
        np.testing.assert_allclose(
            results[0][name], column, rtol=1e-10, atol=1e-12, err_msg=name
        )


def test_a_process_that_brings_another_key_is_refused_everywhere(results):
    for found in results:
        assert "differs between the processes" in str(found["refusal"])


def test_every_process_may_sweep_on_its_own_devices(results):
    alone = one_of_two.sweep()
    for found in results:
        np.testing.assert_allclose(found["sweep"], alone, rtol=1e-10)
