"""A step compiled for devices that are not there, and what it would send between them."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import PartitionSpec

from cnnjax.cli.main import main
from cnnjax.errors import UserError
from cnnjax.train import ahead, peaks
from cnnjax.train.collectives import collectives
from cnnjax.train.devices import local
from cnnjax.train.recipe import Recipe
from cnnjax.train.step import Task
from tests.tiny import small_net, write_dataset

EXPERIMENTS = Path(__file__).parent.parent / "experiments"

TASK = Task(small_net(), Recipe(batch_size=16), (8, 8, 1), (0.5,), (0.2,), True, 100)


@settings(max_examples=8)
@given(st.integers(1, 400), st.integers(2, 5), st.booleans())
def test_collectives_are_counted_as_often_as_loops_turn(size, turns, wide):
    """Sums over the devices in a scan of known length, and one gathering before it."""
    dtype = jnp.float32 if wide else jnp.int16

    def f(x):
        every = lax.all_gather(x[0, 0], "data")
        body = lambda c, _: (lax.psum(c, "data") * 2, None)  # noqa: E731
        return lax.scan(body, x, None, length=turns)[0] + every.sum(dtype=dtype)

    mesh = local("jit", 4).mesh
    spec = PartitionSpec("data")
    mapped = jax.shard_map(f, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    compiled = jax.jit(mapped).lower(jnp.zeros((4, size), dtype)).compile()
    found = collectives(compiled.as_text())
    assert found.pop("all-gather").count == 1
    ((kind, tally),) = found.items()
    assert kind == "all-reduce"
    # XLA:CPU sums small integers as 32 bits.
    assert (tally.count, tally.bytes) in [(turns, turns * size * n) for n in (2, 4)]


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_a_data_parallel_step_sends_its_gradients_and_statistics(mode):
    from cnnjax import compute
    from cnnjax.train.program import lowered

    found = collectives(lowered(TASK, 32, local(mode, 8))[0].compile().as_text())
    assert set(found) == {"all-reduce"}
    params = compute.measure(TASK.net, TASK.image_shape)["params"]
    assert 4 * params <= found["all-reduce"].bytes <= 6 * params


def test_a_step_is_lowered_for_a_gpu_that_is_not_there():
    where = ahead.target("cuda", "pmap")
    assert where.platform == "cuda"
    assert where.context().max_pool is None  # The CPU's own gradients stay on the CPU.
    needs = ahead.needs(TASK, where)
    assert needs.lowered > 10_000
    assert needs.memory is None


def test_a_step_is_exported_for_a_gpu():
    from cnnjax.train.program import step_program

    function, arguments = step_program(TASK, 32, ahead.target("cuda", "jit"))
    exported = jax.export.export(jax.jit(function), platforms=("cuda",))(*arguments)
    assert exported.platforms == ("cuda",)
    state = jax.tree.leaves(arguments[0])
    assert [a.shape for a in exported.out_avals][: len(state)] == [x.shape for x in state]
    assert "stablehlo.convolution" in exported.mlir_module()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tup:v5e:2x2", "unknown target 'tup': did you mean 'tpu'"),
        ("cuda:8", "for GPUs one device is lowered: write cuda"),
    ],
)
def test_targets_that_are_none_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        ahead.target(name, "pmap")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is here")
def test_without_libtpu_a_tpu_is_refused_in_a_line():
    with pytest.raises(UserError, match="compiling for a TPU needs libtpu, and no TPU: pip inst"):
        ahead.target("tpu:v5e:2x2", "pmap")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
@pytest.mark.parametrize("mode", ["pmap", "jit", "fsdp"])
def test_a_step_is_compiled_for_a_tpu_that_is_not_there(mode):
    """In a process of its own, since libtpu writes to the terminal and keeps a lock."""
    code = (
        "from cnnjax.train import ahead\nfrom tests.test_ahead import TASK\n"
        f"n = ahead.needs(TASK, ahead.target('tpu:v5e:2x4', {mode!r}))\n"
        "print(n.memory, sum(t.bytes for t in n.collectives.values()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    memory, sent = map(int, done.stdout.split())
    assert 0 < memory < 16e9
    assert sent > 1000


def test_a_plans_steps_are_told_in_a_table(tmp_path, capsys):
    data = write_dataset(tmp_path / "tiny.npz")
    flags = [f"--dataset={data}", "--widths=1,2", "--batch_size=16", "--compile_for=cuda"]
    flags += ["--net=tests.tiny:small_net", "--learning_rates=0.1,0.2", f"--results={tmp_path}/r"]
    assert main(["--experiment=width", *flags], EXPERIMENTS) == 0
    head, _, *rows, foot = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["net", "a", "step", "of"]
    assert ["width 1" in rows[0], "width 2" in rows[1], len(rows)] == [True, True, 2]
    assert all("16 images" in row and "1 × cuda" in row for row in rows)
    assert "lowered for cuda" in foot
    assert not (tmp_path / "r").exists()  # Nothing is trained, and nothing written.
    measuring = ["--experiment=throughput", "--nets=lenet5", "--compile_for=cuda"]
    assert main(measuring, EXPERIMENTS) == 2
    assert "--compile_for is for trainings, and this study measures" in capsys.readouterr().err


def test_a_devices_peak_is_found_by_its_kind():
    assert peaks.peak("NVIDIA H100 80GB HBM3").flops == 989e12
    assert peaks.peak("NVIDIA H100 PCIe").flops == 756e12
    assert peaks.peak("NVIDIA A100-SXM4-40GB").flops == 312e12
    assert peaks.peak("TPU v5 lite").memory == 16e9
    assert peaks.peak("cpu") is None
    assert peaks.peak("Tesla V1000") is None
