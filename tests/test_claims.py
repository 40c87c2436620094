"""Predeclared claims: judged from planted records, and read from files that nobody vouches for."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax import compute, report, values
from cnnjax.cli.main import main
from cnnjax.errors import UserError
from cnnjax.report import claims, verdicts
from cnnjax.report.claims import Judged
from cnnjax.report.findings import report as told
from cnnjax.study import experiment as study
from cnnjax.study import predeclared, stats
from cnnjax.study.predeclared import Claim, Contrast, Fact, Score, Steps, TrainingMacs
from cnnjax.study.results import Folder
from cnnjax.study.stats import Interval, Sample
from tests.tiny import FLAGS, write_dataset

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
SEEDS = 5


def less(a, b):
    return (1.0, a), (-1.0, b)


def claim(**more):
    given = {"contrasts": (Contrast("a − b", less("a", "b")),), "source": "Nobody 2026, §1"}
    return Claim(**{"name": "one", "statement": "a beats b"} | given | more)


def about(mean, n=SEEDS, sd=0.01):
    """n values of exactly that mean and standard deviation."""
    v = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    return list(mean + sd * v / (v.std(ddof=1) if n > 1 else 1))


def plant(path, claimed, arms, metric="test_accuracy", curves=None, measures=None, **plan):
    """A study of one claim: `arms` are each arm's values of the metric, seed by seed."""
    folder = Folder(path)
    head = {"experiment": "claims", "question": "Which claims hold?", "axes": ["claim", "arm"]}
    folder.create(head | {"x": {"axis": "arm", "label": "arm"}, "series": "claim"})
    points = []
    for arm, seen in arms.items():
        axes = {"claim": claimed.name, "arm": arm}
        keys = [values.key((claimed.name, arm, i)) for i in range(len(seen))]
        points.append({"net": "net", "axes": axes, "runs": keys, "seeds": len(keys)})
        for seed, (key, v) in enumerate(zip(keys, seen, strict=True)):
            costs = {"macs": 10, **(measures or {}).get(arm, {})}
            folder.write_record(key, {
                "status": "done", "role": "replicate", "axes": axes, "seed": seed, "net": "net",
                "metrics": {"val_accuracy": 0.5, metric: v}, "epochs_done": 1,
                "measures": {k: {"value": x, "unit": ""} for k, x in costs.items()},
            })  # fmt: skip
            for row in (curves or {}).get(arm, [[]] * len(seen))[seed]:
                folder.append_curve(key, row)
    entry = {"points": points, "command": "python launch.py"} | predeclared.entry([claimed])
    folder.add_plan(entry | plan)
    return folder


def verdict(folder):
    (found,) = told(folder.load()).verdicts
    return found


@pytest.mark.parametrize(
    ("a", "margin", "word"),
    [
        (0.60, 0.0, "supported"),
        (0.40, 0.0, "contradicted"),
        (0.503, 0.0, "undecided"),
        (0.60, 0.2, "contradicted"),  # Better, and by less than was predicted.
        (0.497, -0.05, "supported"),  # No worse by as much as would count.
    ],
)
def test_a_planted_difference_gets_its_verdict(tmp_path, a, margin, word):
    one = claim(contrasts=(Contrast("a − b", less("a", "b"), margin),))
    found = verdict(plant(tmp_path, one, {"a": about(a), "b": about(0.5)}))
    assert found.word == word
    assert found.departures == ()
    (judged,) = found.judged
    assert judged.gap.mean == pytest.approx(a - 0.5)
    assert judged.gap == stats.contrast(
        [(1, Sample(tuple(about(a)))), (-1, Sample(tuple(about(0.5))))],
        stats.spread([about(a), about(0.5)]),
    )


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [(0.6, 0.6, "supported"), (0.6, 0.4, "contradicted"), (0.6, 0.501, "undecided"),
     (0.4, 0.501, "contradicted")],
)  # fmt: skip
def test_every_contrast_of_a_claim_must_hold(tmp_path, a, b, word):
    both = (Contrast("a − c", less("a", "c")), Contrast("b − c", less("b", "c")))
    arms = {"a": about(a), "b": about(b), "c": about(0.5)}
    assert verdict(plant(tmp_path, claim(contrasts=both), arms)).word == word


def test_intervals_are_corrected_for_the_claims_contrasts(tmp_path):
    both = (Contrast("a − c", less("a", "c")), Contrast("b − c", less("b", "c")))
    arms = {"a": about(0.515), "b": about(0.515), "c": about(0.5)}
    alone = verdict(plant(tmp_path / "1", claim(), {"a": arms["a"], "b": arms["c"]}))
    assert alone.word == "supported"
    assert verdict(plant(tmp_path / "2", claim(contrasts=both), arms)).word == "undecided"


@pytest.mark.parametrize(
    ("same", "b", "word"),
    [(True, 10, "supported"), (True, 11, "contradicted"), (False, 9, "supported"),
     (False, 10, "contradicted"), (True, None, "not finished")],
)  # fmt: skip
def test_facts_hold_exactly_or_the_claim_falls(tmp_path, same, b, word):
    one = claim(facts=(Fact("macs", "a", "b", same),))
    costs = {"b": {"macs": b}}
    arms = {"a": about(0.6), "b": about(0.5)}
    assert verdict(plant(tmp_path, one, arms, measures=costs)).word == word


def test_what_is_not_as_declared_says_so(tmp_path):
    arms = {"a": about(0.6, 3), "b": about(0.5)}
    few = plant(tmp_path / "few", claim(), arms)
    assert verdict(few).word == "supported"
    assert verdict(few).departures == ("3 of 5 seeds",)
    (_, said) = [f.text for f in told(few.load()).findings[:2]]
    assert "supported, but not as declared (3 of 5 seeds)" in said
    arms["a"] = about(0.6)
    quick = plant(tmp_path / "quick", claim(), arms, quick=True)
    assert verdict(quick).departures == ("a quick look",)
    other = plant(tmp_path / "other", claim(), arms, changed=["batch_size", "epochs"])
    assert verdict(other).departures == ("--batch_size, --epochs given",)
    assert told(other.load()).findings[0].text == "1 of 1 supported; 1 not as declared"


def test_one_seed_decides_nothing(tmp_path):
    found = verdict(plant(tmp_path, claim(), {"a": [0.9], "b": [0.1]}))
    assert (found.word, found.departures) == ("undecided", ("1 of 5 seeds",))


def test_an_arm_without_results_leaves_a_claim_open(tmp_path):
    assert verdict(plant(tmp_path / "1", claim(), {"a": about(0.6), "b": []})).word == (
        "not finished"
    )
    assert verdict(plant(tmp_path / "2", claim(), {"a": about(0.6)})).word == "not finished"


def test_a_claim_that_could_not_be_run_says_why(tmp_path):
    folder = plant(tmp_path, claim(), {"a": about(0.6)})
    data = folder.read_study()
    axes = {"claim": "one", "arm": "b"}
    missing = {"net": "net", "axes": axes, "runs": [], "failed_match": "it takes weights"}
    data["plans"][-1]["points"].append(missing)
    folder.write_study(data)
    assert verdict(folder).word == "not run"
    lead, said = told(folder.load()).findings[:2]
    assert lead.text == "0 of 1 supported, 1 not run"
    assert "not run: it takes weights" in said.text


def curve(*accuracies, column="train_accuracy", macs=100):
    rows = enumerate(accuracies, 1)
    return [{"epoch": e, "step": 10 * e, "train_macs": macs * e, column: v} for e, v in rows]


def test_steps_to_a_goal_are_factors_and_whole_trainings_are_lower_bounds(tmp_path):
    one = claim(metric=Steps("val_accuracy", 0.5), contrasts=(Contrast("b / a", less("b", "a")),))
    quick, slow = curve(0.1, 0.5, 0.6, 0.7), curve(0.1, 0.2, 0.3, 0.4)
    arms = {"a": [0.5] * SEEDS, "b": [0.5] * SEEDS}
    curves = {"a": [curve(0.1, 0.5)] * 3 + [quick] * 2, "b": [slow] * SEEDS}
    for arm in curves:
        curves[arm] = [[{**r, "val_accuracy": r["train_accuracy"]} for r in c] for c in curves[arm]]
    folder = plant(tmp_path, one, arms, curves=curves)
    found = verdict(folder)
    assert found.judged[0].gap.mean == pytest.approx(math.log(40 / 20))
    assert found.censored == {"b": 5}
    said = told(folder.load()).findings[1].text
    assert "2.0×" in said
    assert "5 runs of b never came there and count as their whole training" in said


def test_training_macs_are_those_to_the_bases_best_at_the_same_seed(tmp_path):
    one = claim(metric=TrainingMacs("base"), contrasts=(Contrast("base / a", ((-1.0, "a"),)),))
    arms = {"base": [0.5] * SEEDS, "a": [0.5] * SEEDS}
    base = [curve(0.1, 0.2 + i / 100, 0.2, column="val_accuracy") for i in range(SEEDS)]
    fine = [curve(0.2 + i / 100, column="val_accuracy") for i in range(SEEDS)]
    fine[0] = curve(0.1, 0.1, 0.1, 0.1, column="val_accuracy")  # Never: 4 epochs of base's 2.
    found = verdict(plant(tmp_path, one, arms, curves={"base": base, "a": fine}))
    assert found.judged[0].gap.mean == pytest.approx(np.log([0.5, 2, 2, 2, 2]).mean())
    assert found.censored == {"a": 1}


def test_any_metric_of_the_records_can_be_claimed(tmp_path):
    one = claim(metric=Score("shift_consistency"))
    arms = {"a": about(0.9), "b": about(0.8)}
    folder = plant(tmp_path / "shift", one, arms, "shift_consistency")
    assert verdict(folder).word == "supported"
    report.write(folder.path)
    header = (folder.path / "table.csv").read_text().splitlines()[0]
    assert header.endswith(",shift_consistency")
    assert verdict(plant(tmp_path / "x", one, arms, "other")).word == "not finished"


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1))
def test_what_supports_a_prediction_contradicts_its_opposite(mean, half, margin):
    opposite = {"above": "below", "below": "above", "across": "across"}
    ahead = Judged(Contrast("", (), margin), Interval(mean, mean - half, mean + half, 5))
    back = Judged(Contrast("", (), -margin), Interval(-mean, -mean - half, -mean + half, 5))
    assert back.place == opposite[ahead.place]


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=4), st.integers(0, 9))
def test_a_family_against_values_is_that_of_shifted_samples(margins, seed):
    draws = np.random.default_rng(seed).normal(0.1, 0.05, (len(margins), 4))
    several = [[(1.0, Sample(tuple(v)))] for v in draws]
    shifted = [[(1.0, Sample(tuple(v - m)))] for v, m in zip(draws, margins, strict=True)]
    found = stats.family(several, against=margins)
    for i, j, m in zip(found, stats.family(shifted), margins, strict=True):
        assert (i.low - m, i.high - m) == pytest.approx((j.low, j.high))


def test_claims_survive_their_file(tmp_path):
    facts = (Fact("params", "a", "b", same=False),)
    many = [claim(name="x", facts=facts), claim(name="y", metric=Steps(), seeds=9, adapted="small"),
            claim(name="z", metric=TrainingMacs("b"))]  # fmt: skip
    entry = json.loads(json.dumps(predeclared.entry(many, ["epochs"])))
    assert predeclared.read(entry["claims"]) == tuple(many)
    assert entry["changed"] == ["epochs"]
    assert predeclared.entry([]) == {}


def _good():
    return json.loads(json.dumps(predeclared.entry([claim()])))["claims"][0]


@pytest.mark.parametrize(
    "change",
    [{"name": None}, {"name": ""}, {"metric": "test_accuracy"}, {"metric": {"type": "Other"}},
     {"metric": {"type": "Steps", "column": "x", "goal": "much"}}, {"metric": {"type": "Score"}},
     {"contrasts": None}, {"contrasts": []}, {"contrasts": [7]}, {"seeds": 1}, {"seeds": True},
     {"seeds": 1e9}, {"facts": [{"measure": "macs"}]},
     {"contrasts": [{"label": "x", "terms": [[1, "a"]], "margin": None}]},
     {"contrasts": [{"label": "x", "terms": [["1", "a"]], "margin": 0}]},
     {"contrasts": [{"label": "x", "terms": [[1e40, "a"]], "margin": 0}]},
     {"contrasts": [{"label": "x", "terms": [], "margin": 0}]},
     {"facts": [{"measure": "macs", "arm": "a", "base": "b", "same": "yes"}]}],
)  # fmt: skip
def test_a_claim_of_another_form_is_left_out(tmp_path, change):
    bad = _good() | change
    assert predeclared.read([bad, _good()]) == (claim(),)
    folder = plant(tmp_path, claim(), {"a": about(0.6), "b": about(0.5)}, claims=[bad])
    assert told(folder.load()).verdicts == ()
    report.write(folder.path)


@pytest.mark.parametrize("bad", [None, 7, "claims", {"a": 1}, [None], [[]], [{}]])
def test_no_list_of_claims_is_none(tmp_path, bad):
    folder = plant(tmp_path, claim(), {"a": about(0.6), "b": about(0.5)}, claims=bad)
    assert told(folder.load()).verdicts == ()


def test_a_types_name_in_a_file_imports_nothing():
    bad = _good() | {"metric": {"type": "no_such_module:Score", "name": "x"}}
    assert predeclared.read([bad]) == ()


def test_the_report_shows_every_contrast_and_trusts_no_text(tmp_path):
    hostile = "</script><b>x"
    one = claim(statement=hostile, source=hostile, facts=(Fact("macs", "a", "b"),),
                contrasts=(Contrast(hostile, less("a", "b")),))  # fmt: skip
    folder = plant(tmp_path, one, {"a": about(0.6), "b": about(0.5)})
    report.write(folder.path, plots=True)
    page = (folder.path / "dashboard.html").read_text()
    assert "1 of 1 supported" in page
    assert hostile not in page
    text = (folder.path / "report.md").read_text()
    assert "| one | supported |" in text
    assert "macs: a = b".replace("macs", "MACs") in text
    assert "<b>" not in text
    assert (folder.path / "plots" / "claims.png").stat().st_size > 1000
    assert "+10.0 points" in report.answer(folder.path)


def test_a_study_of_claims_is_told_by_them_alone(tmp_path):
    found = told(plant(tmp_path, claim(), {"a": about(0.6), "b": about(0.5)}).load())
    assert found.comparisons == ()
    assert found.next == ""
    assert {"Best on validation", "Pareto front"}.isdisjoint(f.head for f in found.findings)


def test_a_verdict_lies_beside_its_kind_in_the_lead(tmp_path):
    good = verdict(plant(tmp_path / "1", claim(), {"a": about(0.6), "b": about(0.5)}))
    bad = verdict(plant(tmp_path / "2", claim(), {"a": about(0.4), "b": about(0.5)}))
    text = verdicts.lead([good, good, bad])
    assert text == "2 of 3 supported, 1 contradicted"
    assert [v.tone for v in (good, bad)] == ["better", "worse"]
    assert set(claims.TONES.values()) <= {"better", "worse", "open", "note"}


# What an experiment declares


FILE = '''"""Does it hold?"""
from absl import flags
from cnnjax.study.options import Defaults
from cnnjax.study.predeclared import Claim, Contrast
FLAGS = flags.FlagValues()
DEFAULTS = Defaults(common={"epochs": 3}, quick={"seeds": 2})
def claims():
    terms = ((1.0, "wide"), (-1.0, "NAMED"))
    return [Claim("w", "wide wins", "me", (Contrast("w", terms),), seeds=7)]
def runs(setting):
    for arm, f in (("wide", 1.0), ("slim", 0.5)):
        yield setting.run(setting.net(width=f), claim="w", arm=arm, seeds=7)
'''


@pytest.fixture
def asked(tmp_path):
    data = write_dataset(tmp_path / "tiny.npz", side=16)

    def ask(*given, named="slim", quick=False):
        (tmp_path / "held.py").write_text(FILE.replace("NAMED", named))
        found = study.load("held", tmp_path, [f"--dataset={data}", *given], quick)
        return found, study.asked(found)[0]

    return ask


def test_a_point_takes_the_seeds_of_its_claim_unless_the_command_line_says(asked):
    assert {p.seeds for p in asked()[1]} == {7}
    assert {p.seeds for p in asked("--seeds=3")[1]} == {3}
    assert {p.seeds for p in asked(quick=True)[1]} == {2}


def test_a_claim_about_no_arm_of_the_study_is_refused(asked):
    with pytest.raises(
        UserError, match=r"unknown arm of the claim 'w' 'slum': did you mean 'slim'"
    ):
        asked(named="slum")


def test_flags_that_make_another_study_are_found(asked):
    assert asked()[0].changed == ["dataset"]  # The file's own data are others.
    assert asked("--seeds=3", "--inspect", "--retries=1")[0].changed == ["dataset"]
    assert asked("--epochs=3")[0].changed == ["dataset"]  # As it would have been.
    found = asked("--epochs=4", "--learning_rate=0.1")[0].changed
    assert found == ["dataset", "epochs", "learning_rate"]


def test_a_claim_needs_something_to_be_judged_by():
    with pytest.raises(UserError, match="'one' has no contrast to judge it by"):
        claim(contrasts=())
    with pytest.raises(UserError, match="seeds=1 give no interval; take 2"):
        claim(seeds=1)


# The shipped claims


@pytest.fixture(scope="module")
def shipped():
    found = study.load("claims", EXPERIMENTS, [])
    return found.claims, study.asked(found)


def test_the_shipped_claims_arms_are_what_they_say(shipped):
    """Facts such as equal outputs, fields and MACs hold of the nets that are trained."""
    said, (points, _) = shipped
    costs = {tuple(p.run.axes): compute.measure(p.run.net, p.run.image_shape) for p in points}
    checked = 0
    for one in said:
        for fact in one.facts:
            pair = [(("claim", one.name), ("arm", arm)) for arm in (fact.arm, fact.base)]
            a, b = (costs[place][fact.measure] for place in pair)
            assert a == b if fact.same else a > b, fact
            checked += 1
    assert checked == 8


def test_the_shipped_arms_of_a_claim_are_tuned_alike(shipped):
    said, (points, missing) = shipped
    for one in said:
        mine = [p for p in points if dict(p.run.axes)["claim"] == one.name]
        assert len({len(p.trials) for p in mine}) <= 1
        assert {p.seeds for p in mine} <= {one.seeds}
    assert [dict(m.axes)["claim"] for m in missing] == ["transfer"] * 2
    assert "--classes=0,1,2,3,4" in missing[0].reason
    assert len({json.dumps(p.run.axes) for p in points}) == len(points)


def test_a_claim_without_its_weights_says_how_to_get_them(capsys):
    flags = ["--experiment=claims", "--claims=transfer", "--dry_run"]
    assert main(flags, EXPERIMENTS) == 2
    assert "asks for no runs: it takes weights: python launch.py" in capsys.readouterr().err


@pytest.mark.slow
def test_every_shipped_claim_comes_to_its_verdict(tmp_path, capsys):
    data = write_dataset(tmp_path / "tiny.npz", side=32, classes=4)
    net = "--net=tests.tiny:least_net"  # The shipped one's facts are looked at above.
    flags = [f"--dataset={data}", f"--results={tmp_path}/results", net, *FLAGS]
    assert main(["--experiment=train", "--classes=0,1", *flags], EXPERIMENTS) == 0
    (weights,) = (tmp_path / "results" / "train" / "runs").iterdir()
    flags = ["--experiment=claims", f"--pretrained={weights}", *flags]
    assert main(flags, EXPERIMENTS) == 0
    capsys.readouterr()
    found = told(Folder(tmp_path / "results" / "claims").load()).verdicts
    assert len(found) == 8
    assert all(v.word in ("undecided", "contradicted") for v in found)  # One seed shows nothing.
    assert all(f"1 of {v.claim.seeds} seeds" in v.departures for v in found)
    broken = [(v.claim.name, fact) for v in found for fact, held in v.facts if not held]
    # Of so small a net a stack of filters reaches no further than its map.
    assert {name for name, _ in broken} <= {"dilation", "stack"}, broken
