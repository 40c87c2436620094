"""Which points had seeds added after a look at them: their intervals do not hold their level.

Whoever stops when the answer pleases and goes on when it doesn't finds differences where there are
none (Simmons, Nelson & Simonsohn 2011, Psychol. Sci. 22); intervals are exact only where the number
of seeds was fixed before.
"""

import datetime

from cnnjax.study.records import Plan, Point, Study


def added(study: Study, point: Point) -> bool:
    """Whether an earlier plan asked for some of the point's replicates only, and one of those had
    ended when the next that asked for more was made. Quick looks don't count."""
    wanted = set(point.runs)
    plans = [p for p in study.plans if not p.quick]
    asked = [(plan, *_asked(plan, point)) for plan in plans]
    for i, (_, there, keys) in enumerate(asked):
        if not there or not keys < wanted:
            continue
        more = next((plan for plan, _, later in asked[i + 1 :] if keys < later <= wanted), None)
        if more is not None and any(_ended(study, key, more) for key in keys):
            return True
    return False


def _asked(plan: Plan, point: Point) -> tuple[bool, set[str]]:
    """Whether the plan has replicates of the point, and which."""
    same = [p for p in plan.points if p.net == point.net and p.axes == point.axes]
    keys = {key for p in same if p.weight == point.weight for key in p.runs}
    return bool(keys), keys


def _ended(study: Study, key: str, plan: Plan) -> bool:
    """Whether the run had ended when the plan was made; where the times are not known, yes."""
    record = study.records.get(key)
    if record is None or record.status in ("running", "stopped"):
        return False
    ended, made = _time(record.finished), _time(plan.time)
    return ended is None or made is None or ended <= made


def _time(text: str | None) -> datetime.datetime | None:
    try:
        time = datetime.datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
