"""What a run runs on: JAX as it is started, versions, source revision, hardware."""

import contextlib
import ctypes
import functools
import os
import platform
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ACCELERATORS = ("jax_plugins", "libtpu")  # Modules that bring them.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
MADV_HUGEPAGE, HUGE = 14, 2**21
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
PACKAGES = ("cnnjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def start_jax(dtype: str, platform: str | None = None, cpu_devices: int | None = None) -> None:
    """Switch on what must be set before JAX computes: float64, the compilation cache, the platform
    where it is not to be JAX's choice, and how many devices the CPU passes for."""
    import jax

    from cnnjax.data import cache

    if platform:
        jax.config.update("jax_platforms", platform)
    if cpu_devices:
        jax.config.update("jax_num_cpu_devices", cpu_devices)
    if dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    _keep_memory()
    # A computation takes its memory in the thread that asks for it: the main one, whose is kept.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache.folder() / "programs"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def _keep_memory() -> None:
    """Let glibc keep what was freed rather than give large arrays back to the system, from which
    their pages come back one by one, and in huge pages where there are: of a step on the CPU that
    takes a fifth. It is the main thread's memory: to share one among all threads would have them
    wait for each other in every compilation."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        # Where an accelerator computes, the main thread has no large arrays.
        if os.confstr("CS_GNU_LIBC_VERSION") and not any(map(find_spec, ACCELERATORS)):
            libc = ctypes.CDLL(None)  # What follows is of mallopt(3).
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, -1)
            _ask_for_huge_pages(libc, (free_memory() or 0) // 2)


def _ask_for_huge_pages(libc: ctypes.CDLL, size: int) -> None:
    """For so many bytes that glibc will give out next: it takes them from the system, and has them
    again before any is touched."""
    if OVERCOMMIT.read_text().split() == ["2"]:  # There what is not touched is taken from others.
        return
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = (ctypes.c_size_t,)
    libc.free.argtypes = (ctypes.c_void_p,)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if start := libc.malloc(size):
        first = -start % HUGE
        libc.madvise(start + first, (size - first) // HUGE * HUGE, MADV_HUGEPAGE)
        libc.free(start)


def cores() -> list[int]:
    """The processor cores that this process may use, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def free_memory() -> int | None:
    """Bytes that programs may still take, of the machine or of the container; None where that is
    not told."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        told = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        found.append(1024 * int(told))
    with contextlib.suppress(OSError, ValueError):  # `max` where there is no limit.
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found, default=None)


@functools.cache
def versions() -> dict[str, str]:
    """The versions of Python and the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def revision() -> str | None:
    """The source's git revision, `+changes` where the checkout differs; None outside one."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(
            ("git", "-C", str(here), *words), capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(here))
        return git("rev-parse", "--short=10", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def hardware(devices: Any) -> dict[str, Any]:
    """The devices of a training and the machine around them; `peak_flops` is what all devices
    together could do a second (`train.peaks`), where that is known."""
    from cnnjax.train.peaks import peak

    first = devices.mesh.devices.flat[0]
    there = peak(first.device_kind)
    return (
        {
            "devices": f"{devices.count} × {first.device_kind}",
            "kind": first.platform,
            "count": devices.count,
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "processor": _processor(),
            "host": platform.node(),
        }
        | ({"peak_flops": there.flops * devices.count} if there else {})
        | ({"convolutions": way} if (way := devices.convolutions()) else {})
    )


def place(devices: Any) -> str:
    """The devices in words that tell one machine's from another's, for what is measured there."""
    found = hardware(devices)
    told = [found["devices"]]
    if found["kind"] == "cpu":
        told += [found["processor"], f"{found['cores'] or os.cpu_count()} cores"]
        told += [f"{found['convolutions']} convolutions"]
    told += [devices.mode] if devices.count > 1 else []
    if devices.scan is not None:
        told += ["blocks scanned" if devices.scan else "blocks unrolled"]
    told += ["blocks computed again"] if devices.remat else []
    return ", ".join(told)


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
