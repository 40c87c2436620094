"""Design spaces: what the command line says, and the nets that are drawn."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax import compute, nets
from cnnjax.cli.main import main
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.study import ranges, space
from cnnjax.study.ranges import Axis, Bounds, Choices, Integers, LogUniform, Space

IMAGES = (32, 32, 1)


def base():
    return nets.get("vgg4_slim", 10, IMAGES)


def one(text):
    (found,) = ranges.spaces(text)
    return found


def drawn(text, count, seed=0, constraints=(), net=None, images=IMAGES):
    return list(space.sample(one(text), net or base(), count, seed, images, constraints))


# What the command line says


def test_spaces_are_read_as_written():
    small, wide = ranges.spaces(
        " small : depth = 1..3, kernel=1|3 per stage;wide: width=0.5..2 per  stage ; "
    )
    kernel = Axis("kernel", Choices((1, 3)), per_stage=True)
    assert small == Space("small", (Axis("depth", Integers(1, 3)), kernel))
    assert wide == Space("wide", (Axis("width", LogUniform(0.5, 2.0), per_stage=True),))


def test_commas_within_brackets_belong_to_the_value():
    found = one("a: norm=group(groups=2, epsilon=0.1)|none, kernel=3")
    assert found.axes[0].range == Choices(("group(groups=2, epsilon=0.1)", "none"))
    assert found.axes[1] == Axis("kernel", Choices((3,)))


def test_every_axis_has_its_kind_of_range():
    words = {"activation", "norm", "pooling", "shortcut", "connectivity", "padding"}
    assert {*ranges.WHOLE, *ranges.FACTORS, *words} == set(vary.AXES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--spaces names no space: write --spaces="),
        (" ; ", "--spaces names no space"),
        ("kernel=3", "can't read the space 'kernel=3': write"),
        (": kernel=3", "can't read the space ': kernel=3'"),
        ("a:", "the space 'a' has no ranges"),
        ("a: kernel=3; a: kernel=5", "names the space 'a' twice: rename one"),
        ("a: kernel=3, kernel=5", "the space 'a' gives kernel twice: keep one"),
        ("a: kernal=3", "unknown axis of the space 'a': 'kernal': did you mean 'kernel'?"),
        ("a: kernel", "can't read 'kernel' of the space 'a': write axis=range"),
        ("a: kernel=", "can't read 'kernel=' of the space 'a'"),
        ("a: kernel=big", "kernel=big of the space 'a': its values are whole numbers"),
        ("a: kernel=1..2.5", "its values are whole numbers: write 1|3|5 or 1..4"),
        ("a: kernel=3|", "kernel=3| of the space 'a': its values are whole numbers"),
        ("a: kernel=5..3", "kernel=5..3 of the space 'a': its low end is above its high end"),
        ("a: width=0..1", "factors are above 0"),
        ("a: width=1..inf", "factors are above 0"),
        ("a: width=wide", "its values are numbers"),
        ("a: norm=batch..none", "its values are words: write a|b"),
        ("a: norm=batch|", "a choice is empty: write a|b"),
        ("a: output_stride=4 per stage", "is of the whole net: leave out “per stage”"),
    ],
)
def test_what_cannot_be_read_says_how_to_write_it(text, said):
    with pytest.raises(UserError) as e:
        ranges.spaces(text)
    assert said in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("500k..2M", 5e5, 2e6), ("..2M", 0, 2e6), ("1e3..", 1e3, math.inf), ("10 .. 1.5G", 10, 1.5e9)],
)
def test_bounds_are_read_with_units(text, low, high):
    found = ranges.bounds("macs", text)
    assert (found.low, found.high) == (low, high)
    assert found.hold(max(low, 1))
    assert not found.hold(low - 1)
    assert math.isinf(high) or (found.hold(high) and not found.hold(high + 1))


@pytest.mark.parametrize("text", ["2M", "..", "a..b", "1..2..3", "-1..2", "1K..2"])
def test_bounds_that_cannot_be_read(text):
    with pytest.raises(UserError, match=r"can't read --macs=.*write --macs=LOW\.\.HIGH"):
        ranges.bounds("macs", text)


def test_bounds_the_wrong_way_round():
    with pytest.raises(UserError, match="--macs=2M..1M: its low end is above its high end"):
        ranges.bounds("macs", "2M..1M")
    assert ranges.bounds("macs", None) is None
    assert ranges.bounds("macs", "") is None


# The nets


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(0, 4))
def test_whole_numbers_stay_within_their_ends(seed, low, more):
    rng = np.random.default_rng(seed)
    assert low <= Integers(low, low + more).draw(rng) <= low + more


@given(st.integers(0, 2**32), st.floats(0.01, 10), st.floats(1, 100))
def test_factors_stay_within_their_ends_and_are_what_their_text_says(seed, low, ratio):
    v = LogUniform(low, low * ratio).draw(np.random.default_rng(seed))
    assert low <= v <= low * ratio
    assert float(f"{v:.3g}") == v or v in (low, low * ratio)


def test_factors_are_uniform_on_a_logarithmic_scale():
    rng = np.random.default_rng(0)
    logs = np.log2([LogUniform(0.25, 4).draw(rng) for _ in range(4000)])
    counts, _ = np.histogram(logs, bins=4, range=(-2, 2))
    assert np.abs(counts - 1000).max() < 4 * math.sqrt(1000 * 0.75)


def test_whole_numbers_and_choices_come_equally_often():
    for range_ in (Integers(1, 4), Choices((1, 2, 3, 4))):
        rng = np.random.default_rng(1)
        counts = np.bincount([range_.draw(rng) for _ in range(4000)])[1:]
        assert np.abs(counts - 1000).max() < 4 * math.sqrt(1000 * 0.75)


def test_a_larger_sample_begins_with_the_smaller():
    text = "a: kernel=1|3|5 per stage, width=0.5..2"
    few, many = drawn(text, 3), drawn(text, 6)
    assert many[:3] == few
    assert [d.number for d in many] == [1, 2, 3, 4, 5, 6]
    assert drawn(text, 3, seed=1) != few


def test_spaces_of_other_names_are_drawn_independently():
    a, b = (drawn(f"{name}: width=0.5..2 per stage", 3) for name in "ab")
    assert not {d.net for d in a} & {d.net for d in b}


def test_nets_are_what_the_settings_say_and_meet_the_constraints():
    bounds = [Bounds("macs", 3e5, 9e5), Bounds("params", 2e3, 6e3), Bounds("activations", 8e3, 2e4)]
    found = drawn("a: kernel=1|3|5 per stage, width=0.5..2", 4, constraints=bounds)
    for d in found:
        assert d.net == vary.apply(base(), **dict(d.settings))
        costs = compute.measure(d.net, IMAGES)
        assert all(b.hold(costs[b.measure]) for b in bounds)
    kernel = dict(found[0].settings)["kernel"]
    assert found[0].told["kernel"] == "-".join(map(str, kernel))


def test_settings_that_make_one_net_are_one_net():
    # Widths so near 1 that every channel count rounds to that of the base net.
    with pytest.raises(UserError, match="only 1 net of 1,000 draws, and --count=2 are wanted"):
        drawn("a: width=0.99..1.01", 2)


def test_all_nets_of_a_small_space_are_found_once():
    found = drawn("a: kernel=1|3 per stage", 8)
    kernels = {dict(d.settings)["kernel"] for d in found}
    assert kernels == set(itertools.product((1, 3), repeat=3))


def test_too_few_nets_say_how_many_fitted():
    bounds = [Bounds("macs", 0, 2e5, "..200k")]
    with pytest.raises(UserError) as e:
        drawn("a: kernel=1|3 per stage", 8, constraints=bounds)
    fitting = sum(
        compute.macs.total(compute.trace.trace(vary.kernel(base(), k), IMAGES)) <= 2e5
        for k in itertools.product((1, 3), repeat=3)
    )
    assert 1 < fitting < 8
    assert str(e.value) == (
        f"the space 'a': only {fitting} distinct nets of 1,000 draws meet --macs=..200k, and "
        f"--count=8 are wanted: widen the ranges, or ask for fewer with --count={fitting}"
    )
    with pytest.raises(UserError, match=r"no net of 1,000 draws meets --macs=1\.\.2, and"):
        drawn("a: kernel=3", 1, constraints=[Bounds("macs", 1, 2, "1..2")])


def test_nets_that_do_not_fit_the_images_are_drawn_again_and_counted():
    # Three pools halve 12 pixels to 1; a stride more leaves nothing.
    text = "a: stride=1|2 per stage"
    small = (12, 12, 1)
    net = nets.get("vgg4_slim", 10, small)
    fit = [d.net for d in drawn(text, 1, net=net, images=small)]
    compute.measure(fit[0], small)
    with pytest.raises(UserError, match=r"\(\d+ don't fit the images\)"):
        drawn(text, 8, net=net, images=small)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: kernel=0..3", "the space 'a': kernel: 0 is out of range"),
        ("a: shortcut=pad|none", "the space 'a': shortcut: this net has nothing"),
        ("a: activation=relu|gelo", "the space 'a': unknown activation 'gelo': did you mean"),
        ("a: norm=group(group=2)", "unknown field of group"),
    ],
)
def test_a_range_that_the_net_does_not_take_is_refused_before_any_draw(text, said):
    with pytest.raises(UserError) as e:
        drawn(text, 1)
    assert said in str(e.value)


def test_the_plan_says_what_so_many_nets_could_show(tmp_path, capsys):
    flags = ["--experiment=design_space", "--dry_run", f"--results={tmp_path}", "--count=5"]
    spaces = "--spaces=a: width=0.5..2; b: width=0.5..2, kernel=2"
    assert main([*flags, spaces], Path(__file__).parent.parent / "experiments") == 0
    said = capsys.readouterr().out
    assert "10 runs to train" in said
    assert f"with 5 a space a difference is found, four times in five, from {2.0:.1f}" in said
    assert "One seed shows no spread" not in said
