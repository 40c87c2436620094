"""Claims of the field as values: what is predicted, by how much and how it will be judged, said
before anything is trained.

An experiment that puts claims to the test has `claims()`, which returns them; its points stand at
the axes `claim`, the claim's name, and `arm`. `report/claims.py` judges them from records.
"""

from collections.abc import Sequence
from typing import Any

from cnnjax.errors import UserError, unknown
from cnnjax.study.untrusted import line, number, sequence
from cnnjax.values import to_json, value

AXES = ("claim", "arm")
_MOST = 100  # Claims, contrasts or terms that are read from a file.


@value
class Score:
    """A metric of a run's record at the end of training, a share such as `test_accuracy`."""

    name: str = "test_accuracy"


@value
class Steps:
    """Training steps until the curve's `column` first stands at `goal`, in logarithms: differences
    are factors. A run that never comes there counts as its whole training, a lower bound."""

    column: str = "train_accuracy"
    goal: float = 0.75


@value
class TrainingMacs:
    """Multiply-accumulates of training until the best validation accuracy that the arm `base` came
    to from the same seed, over what that took `base`, in logarithms. A run that never comes there
    counts as its whole training, a lower bound. Pre-training is not counted."""

    base: str


@value
class Contrast:
    """Predicted: Σ weight · metric of the arms lies above `margin`.

    `terms` are (weight, arm); the margin is a share (0.01 is a point), or the logarithm of a
    factor.
    """

    label: str
    terms: tuple[tuple[float, str], ...]
    margin: float = 0.0


@value
class Fact:
    """Predicted of costs, exactly: the measure of `arm` equals that of `base`, where `same`, or
    exceeds it."""

    measure: str
    arm: str
    base: str
    same: bool = True


@value
class Claim:
    """What somebody found, with what would show it here.

    It is supported where the interval of every contrast lies above its margin and every fact holds,
    contradicted where an interval lies below its margin or a fact does not hold, else undecided.
    The intervals are at 95 %, corrected for the number of the claim's contrasts as Holm does.
    `seeds` is how many each arm takes. `adapted` says what differs from the source's experiment.

    Raises:
      UserError: nothing to judge by, or too few seeds for an interval.
    """

    name: str
    statement: str
    source: str
    contrasts: tuple[Contrast, ...]
    metric: Score | Steps | TrainingMacs = Score()
    facts: tuple[Fact, ...] = ()
    seeds: int = 5
    adapted: str = ""

    def __post_init__(self) -> None:
        if not self.contrasts:
            raise UserError(f"the claim {self.name!r} has no contrast to judge it by")
        if self.seeds < 2:
            raise UserError(f"the claim {self.name!r}: seeds={self.seeds} give no interval; take 2")

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm that it is judged by, each once."""
        named = [arm for c in self.contrasts for _, arm in c.terms]
        named += [self.metric.base] if isinstance(self.metric, TrainingMacs) else []
        return tuple(dict.fromkeys([*named, *(a for f in self.facts for a in (f.arm, f.base))]))

    @property
    def factor(self) -> bool:
        """Whether differences are factors, not points."""
        return not isinstance(self.metric, Score)


def check(claims: Sequence[Claim], places: Sequence[tuple[Any, Any]]) -> None:
    """Refuse claims whose arms are not all among the study's (claim, arm).

    Raises:
      UserError: naming the arm and the nearest there is.
    """
    for claim in claims:
        there = [str(arm) for name, arm in places if name == claim.name]
        for arm in claim.arms:
            if arm not in there:
                raise unknown(f"arm of the claim {claim.name!r}", arm, there)


def entry(claims: Sequence[Claim], changed: Sequence[str] = ()) -> dict[str, Any]:
    """What a plan in study.json holds of them: `changed` are the flags that make the study another
    than was declared; nothing where there are no claims."""
    if not claims:
        return {}
    return {"claims": [to_json(claim) for claim in claims], "changed": list(changed)}


def read(data: Any) -> tuple[Claim, ...]:
    """The claims of an entry; one of another form is left out: files are trusted for nothing."""
    found = [_claim(x) for x in sequence(data)[:_MOST]]
    named = {claim.name: claim for claim in found if claim}
    return tuple(named.values())


def _claim(data: Any) -> Claim | None:
    if not isinstance(data, dict):
        return None
    name, metric = line(data.get("name")), _metric(data.get("metric"))
    contrasts = [_contrast(x) for x in sequence(data.get("contrasts"))[:_MOST]]
    facts = [_fact(x) for x in sequence(data.get("facts"))[:_MOST]]
    seeds = data.get("seeds")
    good = name and metric and contrasts and None not in (*contrasts, *facts)
    if not good or type(seeds) is not int or not 2 <= seeds <= 10**6:
        return None
    told = {k: line(data.get(k)) for k in ("statement", "source", "adapted")}
    return Claim(
        name=name,
        contrasts=tuple(contrasts),
        metric=metric,
        facts=tuple(facts),
        seeds=seeds,
        **told,
    )


def _metric(data: Any) -> Score | Steps | TrainingMacs | None:
    data = data if isinstance(data, dict) else {}
    kind, goal = data.get("type"), number(data.get("goal"))
    if kind == "Score" and line(data.get("name")):
        return Score(line(data["name"]))
    if kind == "Steps" and line(data.get("column")) and goal is not None:
        return Steps(line(data["column"]), float(goal))
    if kind == "TrainingMacs" and line(data.get("base")):
        return TrainingMacs(line(data["base"]))
    return None


def _contrast(data: Any) -> Contrast | None:
    data = data if isinstance(data, dict) else {}
    margin = number(data.get("margin"))
    pairs = [x for x in sequence(data.get("terms"))[:_MOST] if isinstance(x, list) and len(x) == 2]
    terms = [(number(weight), line(arm)) for weight, arm in pairs]
    if margin is None or not terms or any(weight is None or not arm for weight, arm in terms):
        return None
    named = tuple((float(weight), arm) for weight, arm in terms)
    return Contrast(line(data.get("label")), named, float(margin))


def _fact(data: Any) -> Fact | None:
    data = data if isinstance(data, dict) else {}
    named = [line(data.get(k)) for k in ("measure", "arm", "base")]
    if not all(named) or not isinstance(data.get("same"), bool):
        return None
    return Fact(*named, same=data["same"])
