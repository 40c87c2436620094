"""Measuring nets: fair times within a budget, and probes that a worker carries out."""

import dataclasses
import io
from typing import Any, ClassVar

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental.compilation_cache import compilation_cache

from cnnjax.errors import UserError
from cnnjax.study.conduct import Conductor, new_plan
from cnnjax.study.executors.inline import Inline
from cnnjax.study.plan import Head, Point, describe
from cnnjax.study.probe import Probe
from cnnjax.study.progress import Progress
from cnnjax.study.results import Folder
from cnnjax.study.tuning import Search
from cnnjax.study.worker import Stopped, Worker, finished
from cnnjax.train import clock, speed
from cnnjax.train.clock import LEAST, MOST, Clock
from cnnjax.train.devices import Devices, local
from cnnjax.train.loop import DISPATCH_SECONDS
from cnnjax.train.recipe import FullTuning, GradualUnfreezing, Recipe
from cnnjax.train.speed import PROGRAMS, Reading, Speed
from cnnjax.train.step import Task
from cnnjax.values import value
from tests.tiny import least_net, small_net, trials

SHAPE = (8, 8, 1)


class Time:
    """Stands for the module: moves only when a call takes time."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    perf_counter = monotonic


@given(st.floats(1e-6, 20), st.floats(0.01, 100), st.integers(1, 1000))
def test_timing_keeps_to_its_time(call, seconds, most):
    with pytest.MonkeyPatch.context() as patch:
        fake = Time()
        patch.setattr(clock, "time", fake)
        counts = []

        def run(count):
            counts.append(count)
            fake.now += count * call

        found, warm = Clock(seconds).time(run, most)
    warming = 2 if call < clock.SHARE * seconds / LEAST else 1
    assert counts[:warming] == [1] * warming
    assert len(found) == len(counts) - warming <= MOST
    assert found == pytest.approx([call] * len(found), rel=1e-3, abs=1e-9)
    assert warm == pytest.approx(call, rel=1e-3, abs=1e-9)
    assert fake.now <= max(seconds, warming * call) * (1 + 1e-6)
    assert max(counts) * call <= max(call, DISPATCH_SECONDS)
    assert max(counts) <= most
    if (warming + LEAST * max(counts)) * call < seconds:
        assert len(found) >= LEAST


def test_timing_ends_where_it_is_told_to():
    asked = []
    found, _ = Clock(10, stop=lambda: len(asked) > 3).time(lambda count: asked.append(count))
    assert len(found) == 2  # After two of warming up.


def test_spread_is_median_and_quartiles():
    assert clock.spread([]) == {}
    found = clock.spread([0.004, 0.001, 0.002, 0.003, 0.1])
    assert found == pytest.approx({"ms": 3, "q1_ms": 2, "q3_ms": 4, "repeats": 5})


def test_what_is_timed_is_compiled_from_nothing(tmp_path):
    names = {"jax_compilation_cache_dir": str(tmp_path),
             "jax_persistent_cache_min_compile_time_secs": 0.0,
             "jax_persistent_cache_min_entry_size_bytes": -1}  # fmt: skip
    before = {name: getattr(jax.config, name) for name in names}
    x = np.arange(3.0, dtype=np.float32)

    def files(factor):
        jax.jit(lambda v: v * factor + 1).lower(x).compile()
        return len(list(tmp_path.iterdir()))

    try:
        for name, v in names.items():
            jax.config.update(name, v)
        compilation_cache.reset_cache()
        first = files(2.0)
        assert first > 0
        with clock.uncached():
            assert files(3.0) == first
        assert files(4.0) > first
    finally:
        for name, v in before.items():
            jax.config.update(name, v)
        compilation_cache.reset_cache()


def test_a_program_too_large_for_the_machine_is_refused_before_it_kills_the_process():
    @dataclasses.dataclass
    class Compiled:
        temp_size_in_bytes: int | None

        def memory_analysis(self):
            return self if self.temp_size_in_bytes is not None else None

    assert clock.free_memory() > 2**20
    with pytest.raises(MemoryError, match="bytes needed"):
        clock.check_memory(Compiled(2**60), "cpu")
    clock.check_memory(Compiled(2**60), "gpu")  # It says so itself.
    clock.check_memory(Compiled(2**10), "cpu")
    clock.check_memory(Compiled(None), "cpu")
    assert clock.temp_bytes(Compiled(None)) is None


@pytest.mark.parametrize("count", [1, 2])
def test_a_net_is_measured_whole(count):
    tool = Speed(Recipe(batch_size=8), seconds=120)
    readings = list(tool.readings(least_net(), SHAPE, local("pmap", count)))
    assert [r.remark for r in readings] == [""] * Speed.parts
    found = {name: v for r in readings for name, v in r.measures.items()}
    assert found.keys() == tool.units.keys()
    for program in PROGRAMS:
        assert 0 < found[f"{program}_q1_ms"] <= found[f"{program}_ms"] <= found[f"{program}_q3_ms"]
        assert found[f"{program}_compile_seconds"] > 0
        assert found[f"{program}_repeats"] >= LEAST
    assert found["images_per_second"] == pytest.approx(8e3 / found["inference_ms"])
    assert found["train_images_per_second"] == pytest.approx(8e3 / found["train_step_ms"])
    assert "ms an image" in tool.told(found)


def test_without_time_everything_is_left_out_and_said():
    tool = Speed(Recipe(batch_size=8), seconds=1e-6)
    readings = list(tool.readings(small_net(), SHAPE, local(count=1)))
    assert [r.measures for r in readings] == [{}] * Speed.parts
    assert all("not timed: it takes about" in r.remark for r in readings)
    assert tool.told({}) == "not measured"


def test_measuring_stops_where_it_is_told_to():
    tool = Speed(Recipe(batch_size=8))
    assert list(tool.readings(small_net(), SHAPE, local(count=1), stop=lambda: True)) == []


def test_weights_are_drawn_as_the_net_has_them():
    task = Task.on_any_images(small_net(), Recipe(batch_size=4), SHAPE, 10)
    bench = speed.Bench(task, local(count=1), 0)
    expected = jax.eval_shape(lambda k: speed.init(task, k), jax.random.key(0))
    same = jax.tree.map(
        lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), bench.state, expected
    )
    assert jax.tree.all(same)
    call, _ = bench.training()
    before = jax.tree.leaves(jax.device_get(bench.state.params))
    bench.state = None  # Donated.
    call(3)
    assert all(np.isfinite(v).all() for v in before)


@pytest.mark.parametrize("tune", [FullTuning(), GradualUnfreezing()])
def test_every_step_that_is_timed_is_taken(tune):
    """Also beyond the steps that the training would have."""
    task = Task.on_any_images(small_net(), Recipe(epochs=3, batch_size=4, fine_tune=tune), SHAPE, 3)
    call, _ = speed.Bench(task, local(count=1), 0).training()
    assert [int(call(count)) for count in (1, 1, 20)] == [1, 2, 22]


def test_equal_measurements_are_one_whatever_cannot_change_the_time():
    base = Recipe()
    same = dataclasses.replace(base, epochs=77, learning_rate=0.7)
    assert Speed.of(same, 60) == Speed.of(base, 60)
    assert Speed.of(dataclasses.replace(base, batch_size=7), 60) != Speed.of(base, 60)


# Probes


@value
class Fake:
    """An instrument that measures nothing and ends as told."""

    ends: str = "well"
    batch_size: int = 4
    seconds: float = 1.0

    parts: ClassVar[int] = 2
    steps: ClassVar[int] = 20
    units: ClassVar[dict[str, str]] = {"latency_ms": "ms", "speed_up": "times"}

    def readings(self, net: Any, image_shape: Any, devices: Any, seed: int, stop: Any):
        yield Reading({"latency_ms": 2.0 + seed})
        if self.ends != "well":
            raise RuntimeError(self.ends)
        if stop():
            return
        yield Reading({"speed_up": 1.5}, "as good as it gets")

    def told(self, measures: Any) -> str:
        return f"{measures['latency_ms']} ms"


@pytest.fixture
def worker(tmp_path):
    folder = Folder(tmp_path / "results" / "tiny")
    folder.create(Head("tiny", "How fast?").json(["input"]))
    return Worker(folder, local(count=1), "tiny")


PROBE = Probe(small_net(), SHAPE, Fake(), "here", label="small", axes=(("input", "8×8×1"),))


def test_a_probes_record_holds_what_was_measured_with_units_and_no_accuracy(worker):
    record = worker.execute(PROBE)
    assert (record["status"], record["role"], record["dataset"]) == ("done", "probe", "")
    assert record["measured"] == ["latency_ms", "speed_up"]
    assert record["measures"]["speed_up"] == {"value": 1.5, "unit": "times"}
    assert record["measures"]["macs"]["value"] > 0
    assert record["metrics"] == {} and record["notes"] == ["as good as it gets"]
    assert record["config"]["instrument"]["type"] == "tests.test_speed:Fake"
    assert finished(worker.folder, PROBE)["measured"] == record["measured"]
    assert PROBE.result(record) == "2.0 ms"
    read = worker.folder.load().records[PROBE.key]
    assert read.measured == ("latency_ms", "speed_up") and read.notes == ("as good as it gets",)


def test_what_was_measured_before_a_failure_stays(worker):
    broken = dataclasses.replace(PROBE, instrument=Fake("RESOURCE_EXHAUSTED: too much"))
    record = worker.execute(broken)
    assert record["status"] == "out_of_memory"
    assert record["error"] == "out of memory with batch_size 4; try --batch_size=2"
    assert record["measures"]["latency_ms"]["value"] == 2.0
    assert finished(worker.folder, broken) is None
    failed = dataclasses.replace(PROBE, instrument=Fake("no such thing"))
    assert worker.execute(failed)["status"] == "failed"


def test_a_stopped_probe_is_measured_anew(worker):
    with pytest.raises(Stopped):
        dataclasses.replace(worker, stop=lambda: True).execute(PROBE)
    assert worker.folder.read_record(PROBE.key)["status"] == "stopped"
    assert finished(worker.folder, PROBE) is None
    assert worker.execute(PROBE)["status"] == "done"


def test_a_probes_key_is_of_the_measurement_and_its_place():
    placed = dataclasses.replace(PROBE, label="other", axes=(), notes=("n",))
    assert placed.key == PROBE.key
    assert dataclasses.replace(PROBE, place="elsewhere").key != PROBE.key
    assert PROBE.at(None, 1).key != PROBE.key
    assert PROBE.at(*trials(0.3), 0).key == PROBE.key
    assert PROBE.trials(Search({"learning_rate": (0.1, 0.2)})) == ()


def test_a_study_of_probes_is_conducted_like_any_other(worker):
    other = dataclasses.replace(PROBE, instrument=Fake("broken"), label="other")
    points = [Point(PROBE, (), 2), Point(other, (), 2)]
    reports = []

    def conductor():
        plan = new_plan("python launch.py", {}, False)
        return Conductor(worker.folder, Inline(worker), points, plan, lambda: reports.append(1))

    first = conductor()
    said = io.StringIO()
    assert len(first.waiting()) == 4
    assert all(seconds < 60 for seconds in first.predicted().values())
    first.conduct(Progress({}, 4, stream=said))
    first.write_plan()
    assert len(reports) == 4
    assert "small · 2.0 ms" in said.getvalue() and "other · failed" in said.getvalue()
    assert "small · again, 1 · 3.0 ms" in said.getvalue()
    assert len(conductor().waiting()) == 2  # The broken ones are tried again.
    described = describe(points[0], first.records)
    assert described["runs"] == [PROBE.key, PROBE.at(None, 1).key]
    assert described["learning_rate"] is None and described["tune"] == []
    assert worker.folder.load().plan.points[0].runs == tuple(described["runs"])


def test_a_batch_that_the_devices_cannot_share_is_refused():
    probe = dataclasses.replace(PROBE, instrument=Speed(Recipe(batch_size=4)))
    with pytest.raises(UserError, match="batch_size: 4 does not divide among 3 devices"):
        probe.check_devices(local(count=3))
    probe.check_devices(local(count=2))


def test_several_processes_are_not_timed_together(monkeypatch):
    monkeypatch.setattr(Devices, "processes", 2)
    with pytest.raises(UserError, match="several processes are timed by --experiment=scaling"):
        Speed(Recipe(batch_size=4)).check(local(count=2))
