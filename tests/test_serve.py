"""The served pages: they follow a study, answer nobody else, and nothing they read breaks them."""

import contextlib
import html
import http.client
import json
import os
import re
import shutil
import socket
import threading
import time

import pytest

from cnnjax import report
from cnnjax.cli import serve
from cnnjax.cli.main import main
from cnnjax.errors import UserError
from cnnjax.report import dashboard, markdown
from cnnjax.report.live import running, shelf, watch
from cnnjax.study.results import Folder
from tests.synthetic_results import write

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`|*_\x1b[31m\u2028"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Every look is a new one, reports may be made one after the other, and what rests, rests."""
    monkeypatch.setattr(watch, "FRESH", 0.0)
    monkeypatch.setattr(shelf, "REST", 0.0)
    monkeypatch.setattr(running, "PAUSE", 0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished study and one half done, with their reports; tests copy them."""
    root = tmp_path_factory.mktemp("results")
    report.write(write(root / "filter_size", "filter_size", seeds=3).path)
    report.write(write(root / "depth", "depth", seeds=3, done=0.75).path)
    return root


@pytest.fixture
def results(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results")


class Client:
    """Asks as a browser does, or as one that lies about the host."""

    def __init__(self, server):
        self.port = server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"

    def ask(self, path, method="GET", **headers):
        """(status, headers, text)"""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(line):
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in ({"Host": self.host} | headers).items():
                if value is not None:
                    line.putheader(name, value)
            line.endheaders()
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read().decode("utf-8", "replace")

    def get(self, path):
        status, _, text = self.ask(path)
        assert status == 200, text
        return text

    def state(self, path="/"):
        return json.loads(self.get(f"{path}state.json"))


@contextlib.contextmanager
def served(*folders):
    with serve.server(folders, 0) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Client(running)
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def client(results):
    with served(results) as found:
        yield found


def some(folder, status="done"):
    """The key of a run that ended so."""
    keys = sorted(p.name for p in (folder / "runs").iterdir())
    return next(k for k in keys if (Folder(folder).read_record(k) or {}).get("status") == status)


def change(folder, key, **fields):
    Folder(folder).write_record(key, Folder(folder).read_record(key) | fields)


def begin(folder, epochs=3):
    """Let one of the finished runs be under way again, so many epochs in."""
    key = some(folder)
    data = Folder(folder).read_record(key)
    config = {"type": "Run", "recipe": {"type": "Recipe", "epochs": 12, "learning_rate": 0.1}}
    change(folder, key, status="running", metrics={}, config=data.get("config", {}) | config)
    Folder(folder).truncate_curve(key, epochs)
    return key


# Pages


def test_the_index_tells_of_every_study(client):
    page = client.get("/")
    assert '<a href="/depth/">depth</a>' in page and '<a href="/filter_size/">' in page
    assert "What does a larger filter buy" in page
    assert "Best on validation: fixed width " in page  # What the report says first.
    assert re.search(r'<progress max="48" value="36" aria-label="36 of 48 runs ended">', page)
    assert (
        "36 of 48 runs ended · nothing is running · 36 finished · changed <time datetime=" in page
    )
    assert "vega.js" not in page and '<script src="/-/live.js" defer>' in page


def test_the_index_of_nothing_says_so(tmp_path):
    with served(tmp_path) as client:
        assert "No study yet: <code>python launch.py</code> names them." in client.get("/")
        write(tmp_path / "train", "train", seeds=2)
        assert '<a href="/train/">train</a>' in client.get("/")  # It came while the page was open.


def test_a_study_without_a_report_is_told_of_all_the_same(results):
    (results / "depth" / "report.md").unlink()
    with served(results) as client:
        assert "How deep before depth stops paying" in client.get("/")
        assert "Best on validation" in client.get("/depth/")  # Made from the records.


def test_a_studys_page_is_made_from_its_records(client, results):
    (results / "filter_size" / "dashboard.html").write_text("an old page")
    page = client.get("/filter_size/")
    assert "Best on validation" in page and 'id="compute-0"' in page
    assert '<a href="table.csv">table.csv</a>' in page
    assert "← all studies" in page and "reload for more" not in page
    for name in ("vega.js", "page.js", "live.js"):
        assert f'<script src="/-/{name}" defer></script>' in page
        status, headers, text = client.ask(f"/-/{name}")
        assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8") and text
    assert re.findall(r"<script(?![^>]* src=)[^>]*>", page) == [
        '<script type="application/json" id="chart-data">'
    ]
    assert client.get("/filter_size/dashboard.html") == "an old page"
    assert "## Findings" in client.get("/filter_size/report.md")
    assert client.get("/filter_size/table.csv").startswith("experiment,key,status")
    status, headers, _ = client.ask("/filter_size")
    assert (status, headers["Location"]) == (302, "/filter_size/")


def test_the_file_follows_nothing_and_asks_for_nothing(results):
    page = (results / "depth" / "dashboard.html").read_text()
    assert "live.js" not in page and "state.json" not in page and "connect-src" not in page
    assert "reload for more" in page


# Following


def test_the_page_follows_a_run(client, results):
    folder = results / "filter_size"
    before = client.state("/filter_size/")
    assert "Running now" not in before["now"]
    key = begin(folder)
    told = client.state("/filter_size/")
    assert told["state"] != before["state"]  # A run ended less: the findings may be others.
    assert "55 of 56" not in told["now"] and "41 of 42 runs ended · about" in told["now"]
    assert "Running now" in told["now"] and "epoch 3 of 12" in told["now"]
    assert re.search(r"\d+\.\d% validation · about \d+ s left", told["now"])
    assert '<polyline points="' in told["now"]
    _, headers, page = client.ask("/filter_size/content.html")
    assert headers["X-State"] == told["state"]
    assert page.count("<main>") == 1 and "<script src" not in page and "Running now" in page
    Folder(folder).append_curve(key, {"epoch": 4, "step": 184, "val_accuracy": 0.5, "seconds": 5.0})
    later = client.state("/filter_size/")
    assert later["state"] == told["state"] and "epoch 4 of 12 · 50.0% validation" in later["now"]
    index = client.get("/")
    assert "1 running" in index and '<svg class="spark"' in index
    assert index.index("/filter_size/") < index.index("/depth/")  # What goes on comes first.


def test_the_index_follows_what_ends(client, results):
    before = client.state()["state"]
    assert client.state()["state"] == before == client.ask("/")[1]["X-State"]
    begin(results / "depth")
    assert client.state()["state"] != before


def test_the_panel_tells_failures_apart_and_the_page_why(client, results):
    change(results / "depth", some(results / "depth"), status="failed", error="no <disk> left")
    page = client.get("/depth/")
    assert "1 run ended badly" in page and "no &lt;disk&gt; left" in page
    assert "1 failed" in client.get("/")


def test_a_study_that_rests_says_how_it_goes_on(client):
    now = client.state("/depth/")["now"]
    assert "36 of 48 runs ended · nothing is running" in now
    assert "It goes on with <code>python launch.py --experiment=depth</code>" in now


def test_between_two_runs_a_study_does_not_rest(client, monkeypatch):
    monkeypatch.setattr(running, "PAUSE", 1e6)
    now = client.state("/depth/")["now"]
    assert "36 of 48 runs ended<" in now and "It goes on with" not in now


def test_a_silent_run_is_told_as_such(results):
    folder = results / "filter_size"
    key = begin(folder)
    for name in ("record.json", "curve.jsonl"):
        os.utime(folder / "runs" / key / name, (1.6e9, 1.6e9))
    seen = watch.Watch(folder).look()
    assert "no sign of life since 2020-09-13 12:26 UTC" in running.panel(seen)
    assert running.progress(seen) == "41 of 42 runs ended · no sign of life"
    with served(results) as client:
        assert "1 running" not in client.get("/")
    data = Folder(folder).read_study()
    Folder(folder).write_study(data | {"plans": []})  # Nobody asks for it any more.
    assert not watch.Watch(folder).look().under


@pytest.mark.parametrize(
    ("config", "curve", "told"),
    [
        ({}, [], "in its first epoch"),
        ({}, [{"epoch": 2, "step": 20, "seconds": 9.0}], "epoch 2"),
        ({"epochs": 4}, [{"epoch": 2, "step": 20, "seconds": 60.0}], "epoch 2 of 4 · about 60 s"),
        ({"epochs": 4}, [{"epoch": 4, "step": 40, "seconds": 60.0}], "epoch 4 of 4 · evaluating"),
        ({"epochs": 4, "max_steps": 30}, [{"epoch": 2, "step": 20, "seconds": 60.0}], "about 30 s"),
        ({"epochs": -1e29}, [{"epoch": -3, "step": 0, "seconds": -1}], "epoch -3"),
        ({"epochs": "many"}, [{"epoch": 10**29, "step": -1, "val_accuracy": 1e29}], "epoch 1000"),
    ],
)
def test_time_left_of_a_run(results, config, curve, told):
    folder = results / "train"
    write(folder, "train", seeds=1, tune=False)
    key = some(folder)
    change(folder, key, status="running", config=config)
    Folder(folder).truncate_curve(key, 0)
    for row in curve:
        Folder(folder).append_curve(key, row)
    assert told in running.panel(watch.Watch(folder).look())


def test_time_left_of_a_study_is_by_what_its_points_took(results):
    folder = results / "filter_size"
    shutil.rmtree(folder)
    write(folder, "filter_size", seeds=3, spoil=lambda r, i: r | {"timings": {"total_seconds": 10}})
    keys = Folder(folder).read_study()["plans"][0]["points"][0]["runs"]
    for key in keys[:2]:
        change(folder, key, status="running", timings={})
        Folder(folder).truncate_curve(key, 0)
    seen = watch.Watch(folder).look()
    assert running.left(seen) == 10  # Two runs of 10 s, two at a time.
    change(folder, keys[1], status="stopped", timings={})
    assert running.left(watch.Watch(folder).look()) == 20


def test_one_report_for_many_readers(results, monkeypatch):
    made = []

    def slow(study):
        made.append(study)
        time.sleep(0.2)
        return shelf_report(study)

    shelf_report = shelf.report
    monkeypatch.setattr(shelf, "report", slow)
    with served(results) as client:
        threads = [threading.Thread(target=client.get, args=("/depth/",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        client.state("/depth/")
        client.state()
        assert len(made) == 1  # Asking for the state makes none.


def test_a_study_that_runs_keeps_its_processors(results, monkeypatch):
    monkeypatch.setattr(shelf, "REST", 1e6)
    with served(results) as client:
        _, headers, _ = client.ask("/depth/")
        change(results / "depth", some(results / "depth"), status="failed", error="x")
        assert client.state("/depth/")["state"] == headers["X-State"]  # Not again so soon.
        assert "ended badly" not in client.get("/depth/")


def test_only_what_changed_is_read_again(results, monkeypatch):
    read = []
    original = Folder.read_record
    monkeypatch.setattr(Folder, "read_record", lambda f, k: read.append(k) or original(f, k))
    seen = watch.Watch(results / "depth")
    first = seen.look()
    assert len(read) == 36
    key = some(results / "depth")
    read.clear()
    assert seen.look().state == first.state and read == []
    change(results / "depth", key, status="diverged")
    read.clear()
    assert seen.look().state != first.state and read == [key]


# Comparing


def test_studies_are_compared(results):
    with served(results / "depth", results / "filter_size") as client:
        page = client.get("/")
        assert "Studies compared" in page and page.count('<p class="lead">') >= 2
        assert 'id="studies-0"' in page and "vega.js" in page
        data = json.loads(re.search(r'id="chart-data">(.*?)</script>', page)[1])
        shown = data["charts"]["studies-0"]["layer"][-1]["data"]["values"]
        assert {d["study"] for d in shown} == {"depth", "filter_size"}
        assert all(d["low"] <= d["mean"] <= d["high"] for d in shown)
        assert page.count('<td class="text">filter_size</td>') == 8
        assert "← comparison" in client.get("/depth/")
        before = client.state()["state"]
        assert client.ask("/")[1]["X-State"] == before
        change(results / "depth", some(results / "depth"), status="failed", error="x")
        assert client.state()["state"] != before


def test_what_makes_studies_unlike_is_said(results):
    folder = results / "depth"
    for path in (folder / "runs").iterdir():
        if (path / "record.json").exists():
            change(folder, path.name, dataset="mnist")
    with served(folder, results / "filter_size") as client:
        told = "The studies differ in datasets: depth: mnist; filter_size: cluttered_digits."
        assert told in client.get("/")


def test_one_study_alone_is_its_own_front_page(results):
    with served(results / "depth") as client:
        assert client.ask("/")[1]["Location"] == "/depth/"
        assert "← " not in client.get("/depth/")


def test_studies_of_one_name_are_told_apart(results, tmp_path):
    other = tmp_path / "other" / "depth"
    shutil.copytree(results / "depth", other)
    with served(results / "depth", other, other) as client:
        page = client.get("/")
        for name in ("results depth", "other depth", "other depth 2"):
            assert f'<a href="/{name.replace(" ", "%20")}/">{name}</a>' in page
        assert "How deep" in client.get("/other%20depth/")


def test_a_study_that_cannot_be_compared_says_why(results):
    (results / "depth" / "study.json").write_text("{")
    with served(results / "depth", results / "filter_size") as client:
        page = client.get("/")
        assert "study.json can&#x27;t be read (no valid JSON" in page and "7×7" in page


# Bad input


def test_a_study_by_others_stops_nothing(client, results):
    for name, text in {
        "torn": "{",
        "list": "[]",
        "newer": '{"format": 99}',
        "foreign": "{}",
    }.items():
        (results / name).mkdir()
        (results / name / "study.json").write_text(text)
    (results / "empty").mkdir()
    (results / "runless").mkdir()
    (results / "runless" / "study.json").write_text('{"question": "Why?", "plans": [7, {}]}')
    (results / "runless" / "runs").write_text("no folder")
    page = client.get("/")
    assert "torn/study.json can&#x27;t be read (no valid JSON" in page
    assert "was written by a newer version" in page and 'href="/empty/"' not in page
    for name in ("torn", "list", "newer", "foreign", "runless"):
        assert f'href="/{name}/"' in page
        client.get(f"/{name}/")
        client.state(f"/{name}/")
    assert "can&#x27;t be read" in client.get("/torn/")
    assert client.ask("/empty/")[0] == 404


def test_a_bad_record_is_left_out_and_counted(client, results):
    runs = results / "depth" / "runs"
    (runs / ("e" * 16)).mkdir()
    (runs / ("e" * 16) / "record.json").write_text('{"key": "eeeeeeeeeeeeeeee", "status": "odd"}')
    (runs / "stray").mkdir()
    (runs / some(results / "depth") / "record.json").write_bytes(b"\xff\xfe{")
    assert "2 records left out" in client.get("/")
    page = client.get("/depth/")
    assert "status &#x27;odd&#x27; is none of ours" in page and "stray" in page


def test_hostile_text_stays_text(results):
    folder = results / "depth"
    study = Folder(folder).read_study()
    study["plans"][0] |= {"command": EVIL}
    Folder(folder).write_study(study | {"question": EVIL, "experiment": EVIL})
    key = begin(folder)
    config = Folder(folder).read_record(key)["config"]
    hostile = {"axes": {"series": EVIL, "depth": EVIL}, "net": EVIL, "started": EVIL}
    change(folder, key, config=config, **hostile)
    change(folder, some(folder), status="failed", error=EVIL, dataset=EVIL, revision=EVIL)
    (folder / "report.md").write_text(f"# x\n\n## Findings\n\n- **{EVIL}**: {EVIL}\n")
    named = results / "<img src=x onerror=alert(3)>&\"'%2F.."
    shutil.copytree(folder, named)
    with served(results) as client, served(folder, named, results / "filter_size") as compared:
        link = re.findall(r'href="(/%3Cimg[^"]*)"', client.get("/"))[0]
        pages = [client.get(p) for p in ("/", "/depth/", "/depth/content.html", link)]
        pages += [client.state("/depth/")["now"], compared.get("/")]
        for page in pages:
            assert "<script>alert" not in page and "<img" not in page
        assert "&lt;/script&gt;&lt;script&gt;alert(1)" in pages[0]
        assert "&lt;script&gt;alert(1)" in pages[-2]


def test_a_name_in_broken_bytes_is_served(results):
    try:
        shutil.copytree(results / "depth", results / os.fsdecode(b"br\xffken"))
    except OSError:
        pytest.skip("the file system takes no such name")
    with served(results) as client:
        assert '<a href="/br%FFken/">' in client.get("/")
        assert "How deep" in client.get("/br%FFken/")


def test_a_report_that_breaks_says_so_and_stops_nothing_else(results, monkeypatch):
    def broken(study, original=shelf.report):
        if study.experiment == "depth":
            raise IndexError("out of <range>")
        return original(study)

    monkeypatch.setattr(shelf, "report", broken)
    with served(results) as client:
        told = "The report can&#x27;t be made (IndexError: out of &lt;range&gt;)."
        assert told in client.get("/depth/")
        assert "Best on validation" in client.get("/filter_size/")
    monkeypatch.setattr(shelf, "report", shelf.report)
    monkeypatch.setattr(dashboard, "content", lambda *_: 1 / 0)
    with served(results) as client:
        assert "can&#x27;t be made (ZeroDivisionError" in client.get("/filter_size/")


def test_a_glance_that_breaks_takes_one_study_with_it(results, monkeypatch):
    monkeypatch.setattr(watch.condition, "progress", lambda study: 1 / 0)
    with served(results) as client:
        assert "depth can&#x27;t be read (ZeroDivisionError: division by zero)" in client.get("/")


# Who is answered, and with what


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1",
             "localhost.evil.example:{port}", "0.0.0.0:{port}", "[::]:{port}"],
)  # fmt: skip
def test_another_host_name_is_refused(client, host):
    for path in ("/", "/depth/state.json", "/-/page.js", "/depth/table.csv"):
        status, headers, text = client.ask(path, Host=host and host.format(port=client.port))
        assert (status, text) == (421, "open it as http://127.0.0.1\n")
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "[::1]", "127.0.0.1"])
def test_this_machines_names_are_answered(client, host):
    assert client.ask("/", Host=f"{host}:{client.port}")[0] == 200


def test_it_listens_on_loopback_only(client, results):
    with serve.server([results], 0) as running:
        assert running.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"])
def test_nothing_but_reading(client, method):
    status, headers, text = client.ask("/", method)
    assert (status, text) == (405, "only GET and HEAD are answered\n")
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_head_has_no_body(client):
    status, headers, text = client.ask("/depth/", "HEAD")
    assert (status, text) == (200, "") and int(headers["Content-Length"]) > 1000


def test_what_is_malformed_is_refused_in_a_line(client):
    for said in (b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\xff\xfe / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as line:
            line.sendall(said)
            answer = b"".join(iter(lambda: line.recv(4096), b""))
        assert b"Traceback" not in answer and answer.count(b"\n") < 20
    assert client.ask("/")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/../secret", "/%2e%2e/secret", "/depth/../../secret", "/depth/%2e%2e/%2e%2e/secret",
     "/depth/..%2f..%2fsecret", "/depth%2f..%2f..%2fsecret", "/depth/plots/..%2fstudy.json",
     "/depth/plots/../study.json", "/depth/plots/.hidden.png", "/depth/plots/", "/depth/plots",
     "/depth/runs/", "/depth/runs", "/depth/study.json", "/depth/lock", "/depth/plots/x.html",
     "/depth/plots/link.png", "/depth/table.csv/", "/linked/", "/linked", "/loose/", "/.hidden/",
     "/-/", "/-/page.css", "/-/../cli/serve.py", "/no/", "/no/state.json", "depth/",
     "http://127.0.0.1/depth/", "/depth/dashboard.html%00", "/%00/", "/?/depth/x",
     "/depth/plots/p%00.png"],
)  # fmt: skip
def test_what_is_no_page_is_not_found(results, tmp_path, path):
    (tmp_path / "secret").write_text("secret")
    plots = results / "depth" / "plots"
    plots.mkdir()
    (plots / ".hidden.png").write_text("secret")
    (plots / "x.html").write_text("secret")
    (plots / "link.png").symlink_to(tmp_path / "secret")
    shutil.copytree(results / "depth", tmp_path / "elsewhere")
    (results / "linked").symlink_to(tmp_path / "elsewhere")
    (results / "loose").mkdir()
    with served(results) as client:
        status, _, text = client.ask(path)
    if path.startswith("/?"):
        assert (status, "secret" in text) == (200, False)  # The index.
    else:
        assert (status, text) == (404, "there is no such page\n")


def test_no_link_out_of_the_results_is_followed(results, tmp_path):
    away = tmp_path / "away"
    shutil.copytree(results / "depth", away)
    (away / "table.csv").write_text("secret")
    for name in ("dashboard.html", "report.md", "table.csv"):
        (results / "depth" / name).unlink()
        (results / "depth" / name).symlink_to(away / name)
    (away / "plots").mkdir()
    (away / "plots" / "a.png").write_text("secret")
    (results / "depth" / "plots").symlink_to(away / "plots")
    for name in ("study.json", "runs"):
        linked = results / f"linked_{name[:4]}"
        shutil.copytree(results / "filter_size", linked)
        (shutil.rmtree if name == "runs" else os.unlink)(linked / name)
        (linked / name).symlink_to(away / name)
    run = results / "filter_size" / "runs" / some(results / "filter_size")
    (run / "record.json").unlink()
    (run / "record.json").symlink_to(away / "table.csv")
    with served(results) as client:
        for name in ("dashboard.html", "report.md", "table.csv", "plots/a.png"):
            assert client.ask(f"/depth/{name}")[0] == 404
        index = client.get("/")
        assert "secret" not in index and "Best on validation: plain" not in index
        for name in ("linked_stud", "linked_runs"):
            assert "is a link, which is not followed" in client.get(f"/{name}/")
        assert "secret" not in client.get("/filter_size/")


def test_a_pipe_in_place_of_a_file_holds_nobody_up(client, results):
    (results / "depth" / "table.csv").unlink()
    os.mkfifo(results / "depth" / "table.csv")
    assert client.ask("/depth/table.csv")[0] == 404


def test_pictures_are_served_and_run_nothing(client, results):
    plots = results / "depth" / "plots"
    plots.mkdir()
    (plots / "compute.png").write_bytes(b"\x89PNG")
    (plots / "a b.svg").write_text("<svg/>")
    for name, kind in (("compute.png", "image/png"), ("a%20b.svg", "image/svg+xml")):
        status, headers, _ = client.ask(f"/depth/plots/{name}")
        assert (status, headers["Content-Type"]) == (200, kind)
        assert "sandbox" in headers["Content-Security-Policy"]


def test_every_answer_says_what_may_be_done_with_it(client):
    for path in ("/", "/depth/", "/depth/content.html"):
        _, headers, _ = client.ask(path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self' 'unsafe-eval';" in policy
        assert "connect-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "connect-src" not in client.ask("/depth/dashboard.html")[1]["Content-Security-Policy"]
    for path in ("/", "/depth/dashboard.html", "/depth/table.csv", "/depth/state.json", "/no"):
        _, headers, _ = client.ask(path)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert (
            headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"
        )
        assert headers["Server"].strip() == "cnnjax"


# The command line, and what else it stands on


@pytest.mark.parametrize(
    ("argv", "folders"),
    [
        (["--dashboard"], ["results"]),
        (["--dashboard", "--results=elsewhere"], ["elsewhere"]),
        (["--dashboard="], ["results"]),
        (["--dashboard=a/b"], ["a/b"]),
        (["--dashboard", "a/b"], ["a/b"]),
        (["--dashboard=a,b,"], ["a", "b"]),
        (["--dashboard", "--port=0"], ["results"]),
    ],
)
def test_what_the_flag_means(argv, folders, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(serve, "serve", lambda found, port, show: asked.append(found) or 0)
    assert main(argv, tmp_path) == 0
    assert [str(p) for p in asked[0]] == folders


def test_a_folder_with_a_comma_in_its_name_is_one(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(serve, "serve", lambda found, port, show: asked.append(found) or 0)
    (tmp_path / "a,b").mkdir()
    assert main([f"--dashboard={tmp_path}/a,b"], tmp_path) == 0
    assert asked == [[tmp_path / "a,b"]]


def test_serving_ends_with_ctrl_c(results, monkeypatch, capsys):
    def interrupted(server):
        raise KeyboardInterrupt

    shown = []
    monkeypatch.setattr(serve.Server, "serve_forever", interrupted)
    monkeypatch.setattr(serve.webbrowser, "open", shown.append)
    assert serve.serve([results], 0, show=True) == 0
    assert re.fullmatch(r"(http://127.0.0.1:\d+/) · Ctrl-C ends it\n\n", capsys.readouterr().out)
    assert shown[0].startswith("http://127.0.0.1:")


def test_a_port_that_is_taken(client, results):
    with pytest.raises(
        UserError, match=f"can't serve on port {client.port}: .*; try another --port"
    ):
        serve.server([results], client.port)


def test_the_lead_of_a_written_report():
    text = "a*b_c \\ <i> & |x| [y](z) #1 ~ `code`"
    written = f"# t\n\n> x\n\n## Findings\n\n- **Head**: {markdown.escape(text)}\n- b"
    assert markdown.lead(written) == f"Head: {text}"
    assert markdown.lead("# t\n\n## Points\n") == markdown.lead("") == ""
    assert html.escape(markdown.lead(f"\n## Findings\n\n- {EVIL}")).count("<") == 0
