"""The page in a browser: what is picked in one view is picked in all, the explorer, tables, what is
saved, and that nothing is asked of a network."""

import re

import pytest

from cnnjax import report
from tests import browser
from tests import synthetic_results as synthetic

pytestmark = browser.there

DRAWN = "[...document.querySelectorAll('.view')].filter((v) => v.querySelector('svg, canvas'))"
# Of every mark that stands for one point how opaque it is, by the point's id.
SEEN = """
  const seen = (place) => {
    const found = {};
    place.querySelectorAll("svg path, svg line").forEach((mark) => {
      const datum = mark.__data__?.datum;
      const whole = ["line", "group"].includes(mark.__data__?.mark?.marktype); // Of many.
      const own = Number(mark.getAttribute("opacity") ?? 1); // None: where a pointer finds it.
      if (datum?.point !== undefined && !whole && own) (found[datum.point] ??= new Set()).add(
        own < 0.2 ? "faint" : "full");
    });
    return Object.fromEntries(Object.entries(found).map(([k, v]) => [k, [...v].join()]));
  };
"""
DRAG = """
  const drag = async (place, from, to) => { // Shares of the place's width and height.
    place.scrollIntoView();
    const svg = place.querySelector("svg"), box = svg.getBoundingClientRect();
    const at = ([x, y]) => ({clientX: box.x + x * box.width, clientY: box.y + y * box.height,
      bubbles: true, cancelable: true, view: window, button: 0, buttons: 1, pointerId: 1});
    const under = (p) => document.elementFromPoint(at(p).clientX, at(p).clientY) ?? svg;
    const fire = (kind, target, p) => {
      target.dispatchEvent(new PointerEvent("pointer" + kind, at(p)));
      target.dispatchEvent(new MouseEvent("mouse" + kind, at(p)));
    };
    fire("down", under(from), from);
    for (const t of [0.3, 0.6, 1])
      fire("move", window, from.map((v, i) => v + t * (to[i] - v)));
    fire("up", window, to);
    await wait(300);
  };
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = synthetic.write(tmp_path_factory.mktemp("page"), "filter_size", seeds=3)
    report.write(folder.path)
    return folder.path / "dashboard.html"


def test_everything_is_drawn_and_nothing_complains(page):
    script = f"""return {{views: document.querySelectorAll(".view").length,
      drawn: {DRAWN}.length, asked: performance.getEntriesByType("resource").length}}"""
    found, console = browser.run(page, script)
    assert found["views"] == found["drawn"] > 8
    assert found["asked"] == 0
    assert console == []


def test_what_is_picked_in_one_view_is_picked_in_all(page):
    script = (
        SEEN
        + f"""
      const rows = () => [...document.querySelectorAll("tr.picked")].map((r) => r.dataset.point);
      document.querySelector('tr[data-point="2"]').cells[3].click();
      await wait(400);
      const first = {{hash: location.hash, rows: rows(),
        bar: document.querySelector("#picked output").textContent,
        views: {DRAWN}.filter((v) => !v.id.startsWith("differences")) // Those are of two points.
          .map(seen).filter((v) => Object.keys(v).length)}};
      document.getElementById("clear").click();
      await wait(400);
      const hidden = document.getElementById("picked").hidden;
      return [first, {{hash: location.hash, rows: rows(), bar: hidden,
        views: {DRAWN}.filter((v) => !v.id.startsWith("differences")) // Those are of two points.
          .map(seen).filter((v) => Object.keys(v).length)}}];"""
    )
    (one, none), _ = browser.run(page, script)
    assert one["hash"] == "#pick=2"
    assert set(" ".join(one["rows"]).split()) == {"2"}
    assert one["bar"] == "1 of 8 points picked"
    assert len(one["views"]) > 5
    for view in one["views"]:
        assert view.pop("2", "full") == "full"
        assert set(view.values()) <= {"faint"}
    assert none["hash"] == ""
    assert none["rows"] == []
    assert none["bar"] is True
    assert {look for view in none["views"] for look in view.values()} == {"full"}


def test_equal_runs_are_picked_together_and_the_address_is_enough(page):
    rows = 'return [...document.querySelectorAll("tr.picked")].map((r) => r.dataset.point)'
    found, _ = browser.run(page, rows, "#pick=1")
    assert {"1", "5", "1 5"} >= set(found) >= {"1", "5"}  # 3×3 stands in both series.


def test_a_brush_picks_what_it_encloses(page):
    script = (
        DRAG
        + """
      const place = document.querySelector(".explore .view");
      await drag(place, [0.045, 0.085], [0.99, 0.5]);
      const high = location.hash;
      await drag(place, [0.045, 0.7], [0.99, 0.885]);
      return [high, location.hash];"""
    )
    (high, low), _ = browser.run(page, script)
    assert set(re.findall(r"\d+", high)) >= {"2", "3"}
    assert not {"0", "4"} & set(re.findall(r"\d+", high))  # Those at chance are at the bottom.
    assert set(re.findall(r"\d+", low)) == {"0", "4"}


def test_the_explorer_draws_what_is_chosen_and_keeps_it_in_the_address(page):
    script = """
      const form = document.getElementById("explorer");
      const choose = async (name, value) => {
        form.elements[name].value = value;
        form.elements[name].dispatchEvent(new Event("change", {bubbles: true}));
        await wait(500);
      };
      const told = () => [...document.querySelectorAll(".explore .view")].map((v) =>
        [...v.querySelectorAll("text")].map((t) => t.textContent));
      await choose("x", "params");
      await choose("facet", "series");
      return [told(), location.hash, [...form.elements.x.options].map((o) => o.value)];"""
    (views, address, columns), console = browser.run(page, script)
    assert len(views) == 2
    assert "series fixed width" in views[0]
    assert "params (log scale)" in views[0]
    assert {"kernel_size", "macs", "val_accuracy", "seed", "train_seconds"} <= set(columns)
    again = """return [...document.querySelectorAll(".explore .view")].map((v) =>
        [...v.querySelectorAll("text")].map((t) => t.textContent));"""
    assert browser.run(page, again, address)[0] == views
    assert console == []


def test_a_table_filters_and_sorts_and_the_address_keeps_both(page):
    rows = """[...document.querySelector(".tabled tbody").rows].filter((r) => !r.hidden)
        .map((r) => r.cells[1].textContent)"""
    script = f"""
      const box = document.querySelector(".filter input");
      const filter = (text) => {{
        box.value = text; box.dispatchEvent(new Event("input")); return {rows}; }};
      const found = [filter("equal"), filter("equal test>0.7"), filter("test<20%")];
      filter("equal");
      const head = [...document.querySelectorAll(".tabled th button")];
      head.find((b) => b.textContent === "test").click();
      head.find((b) => b.textContent === "test").click();
      return [...found, {rows}, location.hash];"""
    (equal, good, chance, ordered, address), _ = browser.run(page, script)
    assert equal == ["1×1", "3×3", "5×5", "7×7"]
    assert good == ["3×3", "5×5"]
    assert chance == ["1×1", "1×1"]
    assert ordered == ["3×3", "5×5", "7×7", "1×1"]
    assert browser.run(page, f"return {rows}", address)[0] == ordered


def test_what_is_saved_is_what_is_seen_in_light_colours(page):
    script = """
      const saved = {};
      URL.createObjectURL = (blob) => { saved.last = blob; return "#"; };
      HTMLAnchorElement.prototype.click = function () { saved.name = this.download; };
      const figure = document.querySelector('figure[data-name="compute"]');
      const found = {};
      for (const button of figure.querySelectorAll(".export button")) {
        await cnnjax.save(figure, button.textContent);
        found[button.textContent] = [saved.name, saved.last.type,
          button.textContent === "PNG" ? saved.last.size : await saved.last.text()];
      }
      return found;"""
    found, console = browser.run(page, script, flags=["--blink-settings=preferredColorScheme=0"])
    assert found["PNG"][:2] == ["compute.png", "image/png"]
    assert found["PNG"][2] > 10_000
    assert found["SVG"][0] == "compute.svg"
    assert "var(--" not in found["SVG"][2]
    assert "fixed width" in found["SVG"][2]  # The legend stands in the picture.
    assert found["CSV"][2].splitlines()[0].startswith("series,")
    assert '"layer"' in found["Vega-Lite"][2]
    assert "picked" not in found["Vega-Lite"][2]
    assert console == []


def test_text_of_others_runs_nothing_in_the_explorer(tmp_path):
    evil = (
        "<img src=x onerror=\"document.title='ran'\"></script><script>document.title='ran'</script>"
    )

    def spoil(record, number):
        record["net"] = evil
        record["axes"] = {"series": evil, "kernel_size": evil}
        record["hardware"] = {evil: number}
        return record

    folder = synthetic.write(tmp_path / "s", "filter_size", seeds=2, spoil=spoil)
    report.write(folder.path)
    script = """
      const form = document.getElementById("explorer");
      form.elements.colour.value = "net";
      form.elements.colour.dispatchEvent(new Event("change", {bubbles: true}));
      await wait(500);
      return document.title;"""
    title, _ = browser.run(folder.path / "dashboard.html", script)
    assert title != "ran"
