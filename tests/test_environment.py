"""How a process is set up before it computes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnjax.study import environment

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")

FAULTS = """
import resource
import numpy as np
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(2**24, np.float32).fill(1)  # 64 MiB, given back at once.
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""
KEPT = f"""
from cnnjax.study import environment
environment.start_jax("float32")
{FAULTS}
print(faults(), faults())
"""


def test_no_memory_is_set_aside_where_that_takes_it_from_others(tmp_path, monkeypatch):
    (tmp_path / "overcommit").write_text("2\n")
    monkeypatch.setattr(environment, "OVERCOMMIT", tmp_path / "overcommit")
    environment._ask_for_huge_pages(None, 2**30)  # Without a library to ask.


@pytest.mark.skipif(
    not (hasattr(os, "confstr") and "CS_GNU_LIBC_VERSION" in os.confstr_names)
    or any(map(environment.find_spec, environment.ACCELERATORS)),
    reason="needs glibc, and no accelerator",
)
def test_freed_memory_is_kept_in_huge_pages_for_what_comes_next():
    there = os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"}

    def told(script):
        command = [sys.executable, "-c", script]
        found = subprocess.run(command, env=there, capture_output=True, text=True, check=True)
        return map(int, found.stdout.split())

    (usual,) = told(f"{FAULTS}\nprint(faults())")
    first, second = told(KEPT)
    assert usual > 10_000 and second < 100  # Pages of 4 KiB.
    if HUGE.exists() and "[never]" not in HUGE.read_text():
        assert first < 1_000
