"""What every served page has about its content: styles, scripts, and a line on the connection."""

import html
from collections.abc import Callable, Mapping, Sequence

from cnnjax.report import dashboard, page, theme

PLACE = "/-/"  # Where the scripts are; no study is served under that name.
SCRIPTS: Mapping[str, Callable[[], str]] = {
    "vega.js": dashboard.bundle,
    "page.js": page.script,
    "live.js": lambda: page.read("live.js"),
}
POLICY = (
    # Scripts come from the server alone: text from records, were it let through, would not run.
    # Vega compiles its expressions, which hold no text from records.
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def page_of(
    title: str,
    content: str,
    state: str,
    back: str = "",
    files: Sequence[str] = (),
    drawn: bool = True,
) -> str:
    """A whole page around `content`, which is `<main>` and the charts' data as of `state`; `back`
    is the name of the page that it is reached from, `files` are the study's own beside it, and
    without `drawn` it draws no charts."""
    e = html.escape
    names = [name for name in SCRIPTS if drawn or name != "vega.js"]
    scripts = "\n".join(f'<script src="{PLACE}{name}" defer></script>' for name in names)
    links = [f'<a href="/">← {e(back)}</a>'] if back else []
    links += [f'<a href="{e(name)}">{e(name)}</a>' for name in files]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{e(title)}</title>
<link rel="icon" href="data:,">
<style>{theme.css()}{page.style()}{page.read("live.css")}</style>
</head>
<body data-state="{e(state)}">
<nav class="live">{"".join(links)}<span id="connection" role="status"></span></nav>
{content}
{scripts}
</body>
</html>
"""


def part_of(title: str, content: str) -> str:
    """The content alone, for a page that is open already."""
    return f"<!doctype html><title>{html.escape(title)}</title>{content}"


def plain(*parts: str) -> str:
    """Content without charts."""
    inside = "\n".join(parts)
    return f"<main>\n{inside}\n</main>\n{dashboard.data([])}"
