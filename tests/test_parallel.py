"""How many devices and processes, and in which mode, changes nothing but rounding."""

import pytest

from cnnjax.errors import UserError
from cnnjax.train import hosts
from tests import parallel


@pytest.mark.slow
def test_devices_processes_and_modes_change_nothing_but_rounding(tmp_path):
    rows = parallel.table(tmp_path)
    assert len(rows) == 2 * (1 + 3 * 3 + 3 * 3)
    assert {k: v for k, v in rows.items() if v > parallel.BOUNDS[k.split()[0]]} == {}
    assert any(v > 0 for v in rows.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("127.0.0.1:1", None, 0), "several hosts: give --num_processes too"),
        ((None, 2, None), "give --coordinator and --process_id too"),
        (("127.0.0.1:1", 2, 2), "process_id: 2 is out of range: from 0 to 1"),
    ],
)
def test_half_a_description_of_the_processes_is_refused(given, message):
    with pytest.raises(UserError, match=message):
        hosts.start(*given)


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "2", "SLURM_JOB_ID": "7"}, False),  # A job, but no step of it.
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "2"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    ],
)
def test_a_launchers_processes_are_found_in_the_environment(environment, several, monkeypatch):
    joined = []
    for name in (*hosts._STEPS, "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(hosts.jax.distributed, "initialize", lambda *a, **k: joined.append(a))
    hosts.start()
    assert bool(joined) is several


def test_one_process_agrees_with_itself():
    assert hosts.agree(True, False, 3) == (True, False, 3)
    assert hosts.tell([1, {"a": None}]) == [1, {"a": None}]
    assert hosts.leads()
