"""The index of all studies: what each asks and found, how far it is, what is running."""

import datetime
import html
import urllib.parse
from collections.abc import Mapping

from cnnjax.report import markdown, words
from cnnjax.report.live import running, shell
from cnnjax.report.live.watch import Glance
from cnnjax.study import files
from cnnjax.study.untrusted import line

TITLE = "Studies"
LARGEST = 2**20  # Bytes of a report.md; its findings stand at its top.
SHOWN = 6  # Curves of runs under way.


def content(seen: Mapping[str, Glance]) -> str:
    """All studies: those that go on first, then by when they last changed."""
    order = sorted(seen, key=lambda n: (not running.alive(seen[n].under), -seen[n].changed, n))
    items = "".join(_item(name, seen[name]) for name in order)
    head = f"<h1>{TITLE}</h1>"
    if not items:
        return shell.plain(head, "<p>No study yet: <code>python launch.py</code> names them.</p>")
    return shell.plain(head, f'<ul class="studies">{items}</ul>')


def link(name: str) -> str:
    """A study's address; its folder's name may hold anything."""
    return f"/{urllib.parse.quote(name, safe='', errors='surrogateescape')}/"


def lead(seen: Glance) -> str:
    """What the study's report says first; none where none is written or it can't be read."""
    path = seen.path / "report.md"
    try:
        text = files.read_own(path, LARGEST).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
    return line(markdown.lead(text))


def _item(name: str, seen: Glance) -> str:
    e = html.escape
    head = f'<a href="{e(link(name))}">{e(name)}</a>'
    if seen.problem or seen.study is None:
        return f'<li><h2>{head}</h2><p class="banner">{e(seen.problem)}</p></li>'
    parts = [f"<li><h2>{head}</h2><p>{e(seen.study.question)}</p>"]
    if found := lead(seen):
        parts.append(f'<p class="found-first" title="{e(found)}">{e(found)}</p>')
    if seen.under:
        curves = running.sparklines(seen.under[:SHOWN])
        parts.append(f'<div class="sparks" title="validation accuracy">{curves}</div>')
    if seen.planned:
        parts.append(
            f'<progress max="{seen.planned}" value="{seen.ended}" '
            f'aria-label="{seen.ended} of {seen.planned} runs ended"></progress>'
        )
    parts.append(f'<p class="quiet">{" · ".join([*_counts(seen), _when(seen)])}</p></li>')
    return "".join(parts)


def _counts(seen: Glance) -> list[str]:
    told = [running.progress(seen) if seen.planned else "no plan yet"]
    alive = running.alive(seen.under)
    told += [f"{len(alive)} running"] if alive else []
    told += [f"{seen.counts['done']} finished"] if seen.counts.get("done") else []
    told += [f"{seen.failed} failed"] if seen.failed else []
    told += [f"{words.count(seen.unread, 'record')} left out"] if seen.unread else []
    return [html.escape(t) for t in told]


def _when(seen: Glance) -> str:
    """The page's script says how long ago that is."""
    at = datetime.datetime.fromtimestamp(seen.changed, datetime.UTC)
    return f'changed <time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at:%Y-%m-%d %H:%M} UTC</time>'
