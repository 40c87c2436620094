"""The served page in a browser, while a study goes on and whatever its records hold."""

import contextlib
import shutil
import threading

import pytest

from cnnjax.cli import serve
from cnnjax.report.live import running, shelf, watch
from tests import browser, chromium
from tests import synthetic_results as synthetic
from tests.test_page_looks import assert_nothing_ran, spoil

pytestmark = browser.there

# What stands on the page: how far it is, what the charts show, and whether it is still that page.
TOLD = """({
  progress: document.getElementById("now").innerText,
  marks: document.querySelector(".view svg").innerHTML,
  title: document.querySelector("h1").textContent,
  same: window.same ?? null,
})"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Every look is a new one, and reports may be made one after the other."""
    monkeypatch.setattr(watch, "FRESH", 0.0)
    monkeypatch.setattr(shelf, "REST", 0.0)
    monkeypatch.setattr(running, "PAUSE", 0.0)


@pytest.fixture
def tab(tmp_path):
    with chromium.tab(tmp_path / "profile") as found:
        found.look()
        yield found


@contextlib.contextmanager
def served(folder):
    with serve.server([folder], 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield "http://{}:{}".format(*server.server_address)
        finally:
            server.shutdown()
            thread.join()


def test_an_open_page_follows_its_study(tab, tmp_path):
    study = synthetic.write(tmp_path / "results" / "depth", "depth", seeds=2, done=0.75).path
    whole = synthetic.write(tmp_path / "whole" / "depth", "depth", seeds=2).path
    with served(tmp_path / "results") as address:
        tab.open(f"{address}/depth/")
        tab.run("window.same = 1")
        before = tab.run(TOLD)
        assert "30 of 40 runs ended" in before["progress"]

        for run in (whole / "runs").iterdir():  # The others end, their records last.
            if not (study / "runs" / run.name).exists():
                shutil.copytree(run, study / "runs" / run.name)
        tab.until('!document.getElementById("now").innerText')
        tab.until('!!document.querySelector(".view svg")')
        after = tab.run(TOLD)
        assert after["title"] == before["title"]
        assert after["same"] == 1  # It was not loaded again.
        assert after["marks"] != before["marks"]
        assert "40 runs, all ended" in tab.run("document.querySelector('header').innerText")
        assert tab.run("document.getElementById('connection').textContent") == "live"
        assert tab.lines == []
        assert all(asked.startswith((address, "data:")) for asked in tab.asked)


def test_a_page_that_lost_its_server_says_so_and_finds_it_again(tab, tmp_path):
    synthetic.write(tmp_path / "results" / "train", "train", seeds=2)
    with served(tmp_path / "results") as address:
        tab.open(f"{address}/train/")
        tab.until("document.getElementById('connection').textContent === 'live'")
    tab.until("document.getElementById('connection').textContent.startsWith('not connected')")
    assert tab.run("document.querySelectorAll('h1').length") == 1  # What it showed stays.


def test_words_of_others_are_words_on_a_served_page(tab, tmp_path):
    study = synthetic.write(tmp_path / "results" / "study", "filter_size", seeds=2).path
    spoil(study)
    with served(tmp_path / "results") as address:
        tab.open(f"{address}/study/")
        assert_nothing_ran(tab)
        assert tab.lines == []
