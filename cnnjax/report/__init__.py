"""Records to answers: table.csv, report.md, dashboard.html, pictures, event files for
TensorBoard, and words in the terminal.

Reads the results folder and nothing else; trains nothing, imports no JAX.
"""

from pathlib import Path

from cnnjax.report import dashboard, markdown, table, tensorboard, terminal
from cnnjax.report.breakdown import breakdowns
from cnnjax.report.charts import every
from cnnjax.report.findings import report
from cnnjax.report.plots import write as draw
from cnnjax.study import files
from cnnjax.study.results import Folder


def write(folder: str | Path, plots: bool = False, advice: str | None = None) -> None:
    """Write table.csv, report.md and dashboard.html anew, `tensorboard/` as far as runs
    changed, and the pictures in `plots/` if asked for.

    `advice` is the next command worth running, in place of the one derived from the results.

    Raises:
      UserError: there is no readable study in the folder, or the disk refuses.
    """
    folder = Path(folder)
    study = Folder(folder).load()
    told = report(study, advice)
    drawn = every(told, breakdowns(told.summary, study.warnings))
    pictures = draw(folder, drawn) if plots else []
    files.write_text(folder / "table.csv", table.write(study))
    files.write_text(folder / "report.md", markdown.write(told, pictures))
    files.write_text(folder / "dashboard.html", dashboard.write(told, drawn))
    tensorboard.write(study)


def answer(
    folder: str | Path, color: bool = False, width: int = 80, advice: str | None = None
) -> str:
    """The closing answer for the terminal: a row a point, the findings, the next command.

    Raises:
      UserError: there is no readable study in the folder.
    """
    return terminal.answer(report(Folder(folder).load(), advice), color, width)
