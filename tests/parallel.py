"""One training on 1 to 8 simulated devices, of one process or two, in every parallel mode: how far
its parameters end up from those on one device. `python -m tests.parallel` prints the table.

A child process is told its number, the port where the two meet, and where to leave what it found.
"""

import dataclasses
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODES = ("pmap", "jit", "fsdp")
COUNTS = (1, 2, 4, 8)
DTYPES = {"float64": 20, "float32": 1}  # Steps: in float32 rounding grows with every one.
BOUNDS = {"float64": 1e-10, "float32": 1e-5}
PROCESS_DEVICES = {1: 8, 2: 4}


def net(depth=3):
    """Batch norm, a shortcut, dropout; its larger kernels are spread by fsdp."""
    from cnnjax.nets.blocks import Plain, Residual
    from cnnjax.nets.net import Head, Net, Stage

    return Net(
        stages=(Stage(Plain(16)), Stage(Residual(32), depth=depth)), head=Head(3, dropout=0.25)
    )


def weights(mode, count, dtype, folder, depth):
    """The parameters after the training, as one flat float64 vector."""
    import jax
    import numpy as np
    from jax.sharding import Mesh

    from cnnjax.data import Dataset, load
    from cnnjax.train.devices import Devices, local
    from cnnjax.train.loop import train
    from cnnjax.train.precision import precision
    from cnnjax.train.recipe import Recipe
    from tests.tiny import write_dataset

    path = folder / "tiny.npz"
    source = load(Dataset(str(path) if path.exists() else write_dataset(path)))
    steps = DTYPES[dtype]
    source = dataclasses.replace(source, train=source.train.take(np.arange(16 * min(steps, 2))))
    recipe = Recipe(epochs=max(1, steps // 2), batch_size=16, learning_rate=0.05, pad_crop=1,
                    cutout=2, dtype=dtype)  # fmt: skip
    # As many of each process's devices.
    every = np.array(jax.devices()).reshape(jax.process_count(), -1)
    chosen = every[:, : max(1, count // len(every))].ravel()[:count]
    where = Devices(Mesh(chosen, local().mesh.axis_names), mode)
    with precision(dtype):
        done = train(net(depth), recipe, source, 3, where)
    assert done.steps == steps
    leaves = jax.tree.leaves(done.variables["params"])
    return np.concatenate([np.asarray(x, np.float64).ravel() for x in leaves])


def found(folder, counts, depth):
    """Every mode and number of devices: the parameters by name."""
    return {f"{dtype} {mode} {count}": weights(mode, count, dtype, folder, depth)
            for dtype in DTYPES for mode in MODES for count in counts
            if (count, mode) not in {(1, "jit"), (1, "fsdp")}}  # fmt: skip


def child(index, processes, port, folder, depth, counts):
    import jax
    import numpy as np

    from cnnjax.train import hosts

    jax.config.update("jax_num_cpu_devices", PROCESS_DEVICES[processes])
    hosts.start(f"127.0.0.1:{port}", processes, index)
    assert hosts.count() == processes
    assert hosts.tell({"from": index}) == {"from": 0}
    assert hosts.agree(index == 1, index == 1, 5 + index) == (processes > 1, False, 5)
    counts = [n for n in counts if n >= processes]
    np.savez(folder / f"{processes}-{index}.npz", **found(folder, counts, depth))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(processes, folder, counts, depth):
    """The children's findings, one dictionary each."""
    port = free_port()
    flags = f"--xla_backend_optimization_level=1 {os.environ.get('XLA_FLAGS', '')}"
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": flags,
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.parallel",
             *map(str, (i, processes, port, folder, depth, *counts))],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(processes)
    ]  # fmt: skip
    import numpy as np

    outputs = [p.communicate(timeout=900)[0] for p in started]
    for process, text in zip(started, outputs, strict=True):
        assert process.returncode == 0, text[-3000:]
    return [dict(np.load(folder / f"{processes}-{i}.npz")) for i in range(processes)]


def table(folder, counts=COUNTS, depth=3):
    """Relative differences from one device by `float64 pmap 8 2`: type, mode, devices, hosts."""
    import numpy as np

    from tests.tiny import write_dataset

    write_dataset(folder / "tiny.npz")
    rows, one = {}, {}
    for processes in PROCESS_DEVICES:
        first, *others = run(processes, folder, counts, depth)
        for other in others:  # To the bit: each holds the same parameters.
            assert all(np.array_equal(first[k], other[k]) for k in first)
        one = one or {k.split()[0]: v for k, v in first.items() if k.endswith("pmap 1")}
        for name, v in first.items():
            reference = one[name.split()[0]]
            far = np.abs(v - reference).max() / np.abs(reference).max()
            rows[f"{name} {processes}"] = float(far)
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 1:
        index, processes, port, depth, *counts = map(int, (*sys.argv[1:4], *sys.argv[5:]))
        child(index, processes, port, Path(sys.argv[4]), depth, counts)
    else:
        with tempfile.TemporaryDirectory() as made:
            for name, far in table(Path(made)).items():
                dtype, mode, count, processes = name.split()
                print(f"{dtype} {DTYPES[dtype]:>2} steps  {mode:4}  {count} devices  "
                      f"{processes} processes  {far:.1e}")  # fmt: skip
