"""The dashboard's style sheets and scripts, as they stand in assets/: plain CSS and JavaScript."""

import functools
from importlib import resources

STYLES = ("page.css", "drawer.css")
# In the order in which they run.
SCRIPTS = (
    "page.js", "data.js", "lazy.js", "select.js", "charts.js", "explore.js", "export.js",
    "tables.js", "drawer.js",
)  # fmt: skip


@functools.cache
def style() -> str:
    """All style sheets as one."""
    return "".join(map(read, STYLES))


@functools.cache
def script() -> str:
    """All scripts as one, which can't end its script element."""
    return "".join(map(read, SCRIPTS)).replace("</script", "<\\/script")


def read(name: str) -> str:
    """One of the assets."""
    return (resources.files("cnnjax.report") / "assets" / name).read_text(encoding="utf-8")
