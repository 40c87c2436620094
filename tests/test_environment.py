"""How a process is set up before it computes."""

import os
import subprocess
import sys

import pytest

from cnnjax.study import environment

TWICE = """
import resource
import numpy as np
from cnnjax.study import environment
environment.start_jax("float32")
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(2**24, np.float32).fill(1)  # 64 MiB, given back at once.
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), faults())
"""


@pytest.mark.skipif(
    not (hasattr(os, "confstr") and "CS_GNU_LIBC_VERSION" in os.confstr_names)
    or any(map(environment.find_spec, environment.ACCELERATORS)),
    reason="needs glibc, and no accelerator",
)
def test_freed_memory_is_kept_for_what_comes_next():
    there = os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"}
    command = [sys.executable, "-c", TWICE]
    found = subprocess.run(command, env=there, capture_output=True, text=True, check=True)
    first, second = map(int, found.stdout.split())
    assert first > 10_000 and second < 100  # Pages of 4 KiB.
