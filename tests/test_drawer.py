"""A net's drawer: it shows what was stored, hostile text stays text, the file stays small."""

import base64
import html.parser
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cnnjax import report
from cnnjax.report import drawer, findings
from cnnjax.report.drawer import answers, diagram, layers, png
from cnnjax.report.words import si
from cnnjax.study.artifacts import write_inspection
from cnnjax.study.stored import read_pictures, write_pictures
from tests import synthetic_results as synthetic

EVIL = "</template></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u2028"


def some(side=32, channels=3, text="", hard=10, seed=0):
    """Pictures as a run leaves them; noise, which no format makes smaller."""
    draws = np.random.default_rng(seed)

    def noise(*shape):
        return draws.integers(0, 256, shape, np.uint8)

    layers = [f"stage{i}/block1{text}" for i in (1, 2, 3, 4)]

    def maps(side):
        return noise(2, side, side, 8) * (noise(2, side, side, 8) > 127)  # As rectifiers leave it.

    return {
        "told": {"filters": f"stem/conv{text}", "maps": layers,
                 "classes": [f"class {i}{text}" for i in range(10)]},
        "images": noise(4, side, side, channels), "labels": np.arange(4),
        "answers": np.array([0, 1, 5, 3]), "chances": np.full(4, 0.25, np.float32),
        "saliency": noise(4, side, side), "field": noise(4, side, side),
        "filters": noise(16, 3, 3, channels),
        "hardest": noise(hard, side, side, channels), "hardest_index": np.arange(5, 5 + hard),
    } | {f"map{i}": maps(side >> i) for i in range(4)}  # fmt: skip


def pictured(folder, **more):
    """The study with pictures of every point's first replicate."""
    for i, point in enumerate(folder.read_study()["plans"][-1]["points"]):
        write_pictures(folder, point["runs"][0], some(seed=i, **more))
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = synthetic.write(tmp_path_factory.mktemp("drawer"), "filter_size", seeds=2)
    pictured(folder, channels=1)
    flow = [{"layer": f"conv{i}", "gradient": 10.0**-i, "relative": 0.1} for i in range(4)]
    key = folder.read_study()["plans"][-1]["points"][0]["runs"][0]
    write_inspection(folder, key, {"start": {"flow": flow}, "end": {"flow": flow[::-1]}})
    report.write(folder.path)
    return folder


def told(folder):
    return findings.report(folder.load())


class Page(html.parser.HTMLParser):
    """A page's tags, and the text in it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def pixels(img):
    data = base64.b64decode(img["src"].removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


# What a drawer shows.


def test_every_row_opens_its_own_drawer(study):
    r, page = told(study), Page((study.path / "dashboard.html").read_text())
    nets = [b["data-net"] for b in page.all("button") if "data-net" in b]
    assert sorted(nets, key=int) == [str(i) for i in range(len(r.summary.rows))]
    kept = {t["id"]: t["data-part"] for t in page.all("template")}
    assert kept == {f"net-{i}": "all" for i in nets} | {"net-none": "none"}
    text = (study.path / "dashboard.html").read_text()
    for i, label in re.findall(r'data-net="(\d+)">(.*?)</button>', text):
        assert label == r.summary.rows[int(i)].label


def test_a_drawer_shows_what_was_stored(study):
    r = told(study)
    row = r.summary.rows[1]
    p = read_pictures(study, row.done[0].key)
    page = Page(drawer.html(r, row, pictures=True))
    images = {img["alt"]: img for img in page.all("img")}
    assert all(alt and "http" not in img["src"] for alt, img in images.items())
    for i, image in enumerate(p.images, 1):
        assert np.array_equal(pixels(images[f"Validation image {i}"]), image.repeat(3, -1))
    for i, image in zip(p.hardest_index, p.hardest, strict=True):
        (img,) = [img for alt, img in images.items() if alt.startswith(f"Test image {i},")]
        assert np.array_equal(pixels(img), image.repeat(3, -1))
    for words in (
        "fixed width 3×3",
        f"MACs{si(2.9e6)}",
        "class 2 → ",
        "stage3/block1",
        "Layer by layer",
    ):
        assert words in page.text
    assert len([s for s in page.all("svg") if s.get("role") == "img"]) == 1
    assert "Gradient flow" not in page.text
    assert "Gradient flow" in drawer.html(r, r.summary.rows[0], pictures=True)


def test_without_pictures_there_are_costs_and_layers(study):
    r = told(study)
    page = Page(drawer.html(r, r.summary.rows[1], pictures=False))
    assert page.all("img") == []
    assert "Layer by layer" in page.text
    assert "--dashboard" in page.text
    assert "Hardest" not in page.text


def test_a_study_without_artifacts_has_drawers_too(tmp_path):
    r = told(synthetic.write(tmp_path, "depth", seeds=2))
    page = Page(drawer.html(r, r.summary.rows[0], pictures=True))
    assert page.all("img") == []
    assert "What is taken for what" in page.text
    assert page.text.count("no. ") == answers.HARDEST


@pytest.mark.parametrize("kind", ["nothing done", "measured"])
def test_points_without_a_training_have_a_drawer(tmp_path, kind):
    done = {"nothing done": 0.0, "measured": 1.0}[kind]
    spoil = (lambda r, _: r | {"role": "probe", "metrics": {}}) if kind == "measured" else None
    r = told(synthetic.write(tmp_path, "filter_size", seeds=1, done=done, spoil=spoil, tune=False))
    page = Page(drawer.templates(r))
    assert len(page.all("template")) == len(r.summary.rows) + 1


def test_the_bars_are_shares_of_the_largest():
    rows = [
        {"layer": "a", "kind": "conv", "output": [8, 8, 4], "macs": 50, "params": 7},
        {"layer": "b", "kind": "dense", "output": [10], "macs": 200, "receptive_field": [3, 9]},
    ]
    found = layers.table(rows)
    assert '<td style="--b:25">50</td>' in found
    assert '<td style="--b:100">200</td>' in found
    assert '<td style="--b:100">3×9</td>' in found


def test_long_nets_are_cut_and_say_so():
    found = Page(layers.table([{"layer": f"l{i}"} for i in range(1000)]))
    assert len(found.all("tr")) == 401
    assert "1000 layers, the first 400" in found.text


def test_a_slab_is_as_high_as_its_map_and_as_wide_as_the_root_of_its_channels():
    rows = [
        {"layer": "stage1/conv", "kind": "conv 3×3", "output": [32, 32, 16]},
        {"layer": "stage1/norm", "kind": "norm", "output": [32, 32, 16]},
        {"layer": "stage2/conv", "kind": "conv 3×3/2", "output": [16, 16, 64]},
        {"layer": "head/logits", "kind": "dense", "output": [10]},
    ]
    slabs = Page(diagram.draw(rows)).all("rect")
    assert [s["class"] for s in slabs] == ["conv", "conv", "dense"]
    assert float(slabs[0]["height"]) == 2 * float(slabs[1]["height"])
    widths = [float(s["width"]) + 1 for s in slabs]  # A pixel is left between two.
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    many = [rows[0] | {"layer": f"stage{i % 3}/conv{i}"} for i in range(500)]
    assert len(Page(diagram.draw(many)).all("rect")) == 3
    assert diagram.draw([]) == diagram.draw([{"kind": "conv", "output": ["<"]}]) == ""


# Answers.


def test_answers_are_counted_and_the_least_likely_come_first(tmp_path):
    folder = synthetic.write(tmp_path, "train", seeds=2)
    keys = folder.read_study()["plans"][-1]["points"][0]["runs"]
    logits = np.log(np.array([
        [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.5, 0.4, 0.1]],
        [[0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.1, 0.6, 0.3]],
    ]))  # fmt: skip
    for key, values in zip(keys, logits, strict=True):
        folder.write_predictions(
            key, index=np.arange(4), label=np.array([0, 1, 2, 0]), logits=values
        )
    every = answers.read(folder, keys)
    assert answers.confusion(every).tolist() == [[2, 2, 0], [0, 2, 0], [2, 0, 0]]
    assert answers.hardest(every) == [2, 3, 0, 1]
    assert answers.hardest(every, among=[1, 0, 77]) == [0, 1]
    text = Page(answers.sections(folder, keys, None)).text
    assert "2 → 0 2×" in text
    assert "0 of 2 right" in text


@pytest.mark.parametrize(
    ("classes", "tables", "pictures"), [(10, 1, 0), (100, 0, 1), (30_000, 0, 0)]
)
def test_many_classes_take_no_more_room(tmp_path, classes, tables, pictures):
    folder = synthetic.write(tmp_path, "train", seeds=1)
    (key,) = folder.read_study()["plans"][-1]["points"][0]["runs"]
    label = np.arange(20) % classes
    logits = np.zeros((20, classes), np.float32)
    logits[:, 7] = 1
    folder.write_predictions(key, label=label, logits=logits)
    page = Page(answers.sections(folder, [key], None))
    assert len(page.all("table")) == tables
    assert len([img for img in page.all("img") if "classes" in img["alt"]]) == pictures
    assert "0 → 7" in page.text


@pytest.mark.parametrize(
    "arrays",
    [
        {"label": np.array([0, 9]), "logits": np.zeros((2, 3), np.float32)},
        {"label": np.array([0, -1]), "logits": np.zeros((2, 3), np.float32)},
        {"label": np.array([0.0, 1.0]), "logits": np.zeros((2, 3), np.float32)},
        {"label": np.array([0, 1]), "logits": np.zeros(2, np.float32)},
        {"label": np.zeros(0, int), "logits": np.zeros((0, 3), np.float32)},
        {"label": np.array([0, 1])},
    ],
)
def test_predictions_that_do_not_fit_are_as_if_absent(tmp_path, arrays):
    folder = synthetic.write(tmp_path, "train", seeds=1)
    (key,) = folder.read_study()["plans"][-1]["points"][0]["runs"]
    folder.write_predictions(key, **arrays)
    assert answers.sections(folder, [key], None) == ""


def test_logits_beyond_all_numbers_have_no_probability(tmp_path):
    folder = synthetic.write(tmp_path, "train", seeds=1)
    (key,) = folder.read_study()["plans"][-1]["points"][0]["runs"]
    logits = np.array([[np.nan, 0, 0], [np.inf, 0, 0], [5, 0, 0]], np.float32)
    folder.write_predictions(key, label=np.array([0, 1, 0]), logits=logits)
    (found,) = answers.read(folder, [key])
    assert np.isfinite(found.chances).all()


# Pictures of a page.


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_grey_photograph_is_its_pixels_and_so_is_one_of_few_colours(high, wide):
    draws = np.random.default_rng(wide)
    grey = draws.integers(0, 256, (high, wide, 1), np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png.photo(grey)))), grey[..., 0])
    few = draws.integers(0, 256, (5, 3), np.uint8)[draws.integers(0, 5, (high, wide))]
    found = Image.open(io.BytesIO(png.photo(few))).convert("RGB")
    assert np.array_equal(np.asarray(found), few)


def test_a_colour_photograph_is_nearly_its_pixels():
    row, column = np.mgrid[:32, :32]
    image = np.stack([8 * row, 8 * column, 255 - 4 * (row + column)], -1).astype(np.uint8)
    found = np.asarray(Image.open(io.BytesIO(png.photo(image))).convert("RGB"))
    assert np.abs(found.astype(int) - image).mean() < 10


@pytest.mark.parametrize("channels", [1, 3])
def test_the_tiles_of_a_sheet_are_their_pixels(channels):
    pictures = np.random.default_rng(0).integers(0, 255, (3, 2, 4, channels), np.uint8)
    found = Image.open(io.BytesIO(png.tiles(png.sheet(pictures, 2)))).convert("RGBA")
    found = np.asarray(found)
    assert found.shape == (5, 9, 4)
    for (top, left), picture in zip([(0, 0), (0, 5), (3, 0)], pictures, strict=True):
        tile = found[top : top + 2, left : left + 4]
        assert (tile[..., :3] == picture).all()
        assert (tile[..., 3] == 255).all()
    assert (found[2, :, 3] == 0).all()


@given(st.integers(1, 20), st.integers(1, 8))
def test_a_plot_keeps_values_within_half_a_grey_and_gaps_are_seen_through(n, columns):
    tiles = np.random.default_rng(n).integers(0, 256, (n, 3, 5, 1), np.uint8)
    sheet = png.sheet(tiles, columns)
    gaps = sheet[..., 0] == 255
    found = np.asarray(Image.open(io.BytesIO(png.plot(sheet[..., 0], gaps=True))).convert("RGBA"))
    assert np.array_equal(found[..., 3] == 0, gaps)
    assert np.abs(found[..., 0].astype(int) - sheet[..., 0])[~gaps].max() <= 11
    assert (~gaps).sum() == tiles.size


# The file.


def test_those_on_the_front_come_first_then_the_best_on_validation(tmp_path):
    r = told(synthetic.write(tmp_path, "design_space", seeds=3, tune=False))
    s, found = r.summary, drawer.shown(r.summary)
    assert len(s.rows) > len(found) == drawer.MOST
    assert tuple(found[: len(s.front)]) == s.front
    rest = [s.rows[i].scores["val"].mean for i in found[len(s.front) :]]
    left = [row.scores["val"].mean for i, row in enumerate(s.rows) if i not in found]
    assert rest == sorted(rest, reverse=True)
    assert min(rest) >= max(left)
    parts = {t["id"]: t["data-part"] for t in Page(drawer.templates(r)).all("template")}
    assert {f"net-{i}" for i in found} == {k for k, v in parts.items() if v == "all"}


def test_the_file_of_a_hundred_runs_stays_small(tmp_path, monkeypatch):
    points = [synthetic.nets(0.70, 0.6e6, 10), synthetic.nets(0.76, 0.7e6, 10)]
    monkeypatch.setitem(synthetic.STUDIES["design_space"], "points", points)
    deep = [
        {"layer": f"stage{i // 20}/block{i % 20}/conv", "kind": "conv 3×3", "output": [32, 32, 64],
         "params": 36864, "macs": 37748736, "activations": 65536, "receptive_field": 2 * i + 3}
        for i in range(56)
    ]  # fmt: skip
    folder = pictured(synthetic.write(tmp_path, "design_space", seeds=5, tune=False,
                                      spoil=lambda r, _: r | {"layers": deep}))  # fmt: skip
    report.write(folder.path)
    assert len(folder.load().records) == 100
    page = (folder.path / "dashboard.html").read_text()
    assert len(page.encode()) <= 3e6
    assert page.count('data-part="all"') == drawer.MOST


def test_a_study_of_thousands_has_room_for_some_and_says_what_has_the_rest(tmp_path):
    r = told(synthetic.write(tmp_path, "filter_size", seeds=1, tune=False))
    rows = r.summary.rows * 500
    thousands = findings.dataclasses.replace(
        r, summary=findings.dataclasses.replace(r.summary, rows=rows, front=(), chances=())
    )
    found = drawer.templates(thousands)
    assert len(found) < 2e6
    kinds = [t["data-part"] for t in Page(found).all("template")]
    assert {"all", "layers", "costs", "none"} == set(kinds)
    assert "--dashboard" in found


def test_a_page_that_has_a_server_starts_without_pictures(study):
    page = Page(drawer.templates(told(study), pictures=False))
    assert page.all("img") == []
    assert {t["data-part"] for t in page.all("template")} == {"layers", "none"}


def test_hostile_text_is_shown_as_text(tmp_path):
    def spoil(record, number):
        layer = {"layer": EVIL, "kind": "conv" + EVIL, "output": [8, 8, 4], "params": EVIL,
                 "macs": [EVIL], "activations": {}, "receptive_field": 10**400}  # fmt: skip
        return record | {"net": EVIL, "dataset": EVIL, "layers": [layer] * 3}

    folder = pictured(synthetic.write(tmp_path, "train", seeds=2, spoil=spoil), text=EVIL)
    flow = [{"layer": EVIL, "gradient": 10.0**-i, "relative": 0.1} for i in range(3)]
    key = folder.read_study()["plans"][-1]["points"][0]["runs"][0]
    write_inspection(folder, key, {"start": {"flow": flow}})
    r = told(folder)
    found = drawer.templates(r)
    page = Page(found)
    assert [t["id"] for t in page.all("template")] == ["net-0", "net-none"]
    assert page.all("script") == []
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert all(img["src"].startswith("data:image/png;base64,") for img in page.all("img"))
    assert found.count("</template>") == 2
    assert page.text.count("<script>alert(1)</script>") > 10


# In a browser.

CHROMIUM = shutil.which("chromium")
browser = pytest.mark.skipif(not CHROMIUM, reason="there is no chromium here")


def opened(page, steps, address=""):
    """What a script says that takes these steps on the page."""
    script = f"""<script>addEventListener("load", () => setTimeout(() => {{
      const said = [], panel = document.querySelector("dialog");
      const say = () => said.push([panel.open, location.hash, document.activeElement.dataset.net,
                                   panel.querySelector("h2")?.textContent ?? ""].join("|"));
      {steps}
      setTimeout(() => {{ document.body.dataset.said = said.join("\\n"); }}, 900);
    }}, 100));</script></body>"""
    path = page.with_name("steps.html")
    before, _, after = page.read_text().rpartition("</body>")
    path.write_text(before + script + after)
    words = [CHROMIUM, "--headless", "--no-sandbox", "--virtual-time-budget=4000", "--dump-dom"]
    done = subprocess.run([*words, f"file://{path}{address}"], capture_output=True, text=True)
    return re.search(r'data-said="([^"]*)"', done.stdout)[1].split("\n")


@browser
def test_a_drawer_opens_and_closes_in_a_browser(study):
    said = opened(
        study.path / "dashboard.html",
        """
        say();
        const button = document.querySelector('[data-net="2"]');
        button.focus(); button.click(); say();
        panel.querySelector('[data-step="1"]').click(); say();
        panel.querySelector("[data-close]").click();
        setTimeout(say, 200);
        """,
        "#x=macs",
    )
    closed, first, second, last = said
    assert closed == "false|#x=macs||"
    assert first == "true|#x=macs&net=2||fixed width 5×5".replace("&", "&amp;")
    assert second == "true|#x=macs&net=3||fixed width 7×7".replace("&", "&amp;")
    assert last == "false|#x=macs|3|"


@browser
def test_the_address_opens_a_drawer_and_one_of_no_net_does_not(study):
    steps = """say(); location.hash = "net=5"; setTimeout(() => {
      say(); location.hash = "net=none"; setTimeout(say, 200); }, 200);"""
    said = opened(study.path / "dashboard.html", steps, "#net=1")
    assert said == [
        "true|#net=1||fixed width 3×3",
        "true|#net=5||equal MACs 3×3",
        "false||5|",
    ]


@browser
def test_a_server_gives_what_the_file_has_no_room_for(study):
    said = opened(
        study.path / "dashboard.html",
        """
        document.getElementById("net-1").dataset.part = "layers";
        document.getElementById("net-3").remove();
        cnnjax.drawer(3); say(); // There is no server yet.
        cnnjax.more = (id) => Promise.resolve(id === "1" ? "<h2>all of it</h2>" : null);
        cnnjax.drawer(1); say();
        setTimeout(() => { say(); cnnjax.drawer(2); }, 100);
        setTimeout(say, 200);
        """,
    )
    names = [line.split("|")[3] for line in said]
    assert names == ["7×7", "fixed width 3×3", "all of it", "fixed width 5×5"]


@browser
def test_an_open_drawer_stays_where_the_page_is_renewed(study):
    said = opened(
        study.path / "dashboard.html",
        """
        cnnjax.drawer(1);
        const image = panel.querySelector("img");
        const text = document.documentElement.outerHTML;
        cnnjax.replace(text);
        setTimeout(() => { say(); said.push(image.isConnected); }, 100);
        """,
    )
    assert said == ["true|#net=1||fixed width 3×3", "true"]
