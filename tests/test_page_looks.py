"""How the page looks on a screen and on a phone, by day and by night, and what of it is text."""

import json
from pathlib import Path

import pytest

from cnnjax import report
from tests import browser, chromium
from tests import synthetic_results as synthetic

pytestmark = browser.there

PHONE = {"width": 390, "height": 844}
# Every text that is shown, with its contrast (WCAG 2.2, 1.4.3) to what lies behind it and whether
# it is large. What is faint is as if it were mixed with its background. Labels of axes that would
# overlap are not there at all, and a sign without letters or digits is a mark.
CONTRASTS = """(() => {
  const rgba = (css) => {
    const [r, g, b, a = 1] = css.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => a * v + (1 - a) * under[i]);
  const light = (c) => c.map((v) => v / 255).map((v) =>
    v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    const colour = rgba(getComputedStyle(e).backgroundColor);
    return e.parentElement && colour[3] < 1 ? over(colour, behind(e.parentElement))
      : over(colour, [255, 255, 255]);
  };
  const solid = (e) => !e ? 1 : Number(getComputedStyle(e).opacity) * solid(e.parentElement);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), e = walker.currentNode.parentElement;
    if (!/[\\p{L}\\p{N}]/u.test(text) || e.closest("script, style, template, option")) continue;
    if (!e.checkVisibility() || !solid(e)) continue;
    const style = getComputedStyle(e), back = behind(e.closest("svg")?.parentElement ?? e);
    const [r, g, b, a] = rgba(e.closest("svg") ? style.fill : style.color);
    const tones = [light(over([r, g, b, a * solid(e)], back)), light(back)];
    const ratio = (Math.max(...tones) + 0.05) / (Math.min(...tones) + 0.05);
    const size = parseFloat(style.fontSize);
    found.push([text, ratio, size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)]);
  }
  return found;
})()"""
# Dark-on-light or light-on-dark, and colours of marks and texts of a chart.
COLOURS = """(() => {
  const chart = document.querySelector(".view svg");
  return {page: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
    texts: [...new Set([...chart.querySelectorAll("text")].map((e) => getComputedStyle(e).fill))],
    marks: [...new Set([...chart.querySelectorAll("path")].flatMap((e) =>
      [getComputedStyle(e).fill, getComputedStyle(e).stroke]))]};
})()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with chromium.tab(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module", params=["filter_size", "depth"])
def page(request, tmp_path_factory):
    folder = synthetic.write(tmp_path_factory.mktemp("page"), request.param, seeds=2)
    report.write(folder.path)
    return (folder.path / "dashboard.html").as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read(tab, page, dark):
    tab.look(dark=dark)
    tab.open(page)
    found = tab.run(CONTRASTS)
    assert len(found) > 200
    assert [text for text, ratio, large in found if ratio < (3 if large else 4.5)] == []
    assert tab.lines == []


def test_light_and_dark_differ_and_charts_follow(tab, page):
    tab.look()
    tab.open(page)
    day = tab.run(COLOURS)
    tab.look(dark=True)  # While it is open, as when the sun goes down.
    night = tab.run(COLOURS)
    assert day["page"] == "rgb(255, 255, 255)"
    assert night["page"] == "rgb(17, 20, 24)"
    assert day["ink"] != night["ink"]
    for what in ("texts", "marks"):
        moving = {"none", "transparent", "rgba(0, 0, 0, 0)"}
        assert set(day[what]) - moving and not (set(day[what]) & set(night[what])) - moving


def test_a_phone_scrolls_tables_and_no_page(tab, page):
    tab.look(**PHONE)
    tab.open(page)
    found = tab.run("""(() => {
      const right = (e) => e.getBoundingClientRect().right;
      const tables = [...document.querySelectorAll(".scroll")].filter((e) => e.checkVisibility());
      tables.forEach((box) => box.scrollTo(1e5, 0));
      scrollTo(1e5, 0);
      return {page: document.documentElement.scrollWidth, at: scrollX,
        charts: [...document.querySelectorAll(".view svg, .view canvas")].map(right),
        boxes: tables.map(right), moved: tables.map((box) => box.scrollLeft)};
    })()""")
    assert (found["page"], found["at"]) == (PHONE["width"], 0)
    assert len(found["charts"]) > 8 and max(found["charts"]) <= PHONE["width"]
    assert max(found["boxes"]) <= PHONE["width"]
    assert max(found["moved"]) > 100  # There is a table that is wider than the screen.
    assert tab.lines == []


def test_on_a_phone_controls_stand_in_order_and_commands_whole(tab, page):
    """Each choice under its name in two columns; a command is not broken within a flag."""
    tab.look(**PHONE)
    tab.open(page)
    lefts, command = tab.run("""[
      [...document.querySelectorAll("#explorer select")].map((e) => e.getBoundingClientRect().left),
      [...document.querySelectorAll("pre")].map((e) => e.clientHeight
        / parseFloat(getComputedStyle(e).lineHeight) - e.textContent.trimEnd().split("\\n").length)]
    """)
    assert len(set(lefts)) == 2
    assert command and max(command) < 2  # Its padding; a line more would be one that was broken.


def test_the_page_asks_no_network_and_could_not(tab, page):
    tab.look()
    tab.open(page)
    assert tab.asked == [page]
    assert tab.run("performance.getEntriesByType('resource').length") == 0
    refused = tab.run("""(async () => {
      const found = [];
      addEventListener("securitypolicyviolation", (e) => found.push(e.effectiveDirective));
      await fetch("http://127.0.0.1:9/").catch(() => {});
      for (const [tag, name] of [["img", "src"], ["script", "src"], ["link", "href"]]) {
        const e = document.createElement(tag);
        if (tag === "link") e.rel = "stylesheet";
        e[name] = "http://127.0.0.1:9/" + tag;
        const ended = new Promise((done) => { e.onload = e.onerror = done; });
        document.head.append(e);
        await ended;
      }
      return found;
    })()""")
    assert refused == ["connect-src", "img-src", "script-src-elem", "style-src-elem"]


# Words of others

EVIL = (
    "<b>bold</b></script><script>window.ran = 1</script></template></textarea></style>"
    "<img src=x onerror=\"window.ran = 2\">'\" onload='window.ran = 3' javascript:window.ran=4 "
    "{{window.ran}} ${window.ran} \u2028\u202e\u0000\ud800 \udfff\ufffe"
)
KEPT = {"status", "role", "key", "runs", "tune"}  # Without these there is nothing to show.


def spoilt(data):
    """Every string of the data, and every name of an axis, with the words of an attacker behind."""
    if isinstance(data, dict):
        return {
            k: v if k in KEPT else named(v) if k == "axes" else spoilt(v) for k, v in data.items()
        }
    if isinstance(data, list):
        return [spoilt(v) for v in data]
    return data + EVIL if isinstance(data, str) else data


def named(axes):
    if isinstance(axes, dict):
        return {k + EVIL: spoilt(v) for k, v in axes.items()}
    return spoilt(axes)


def spoil(path: Path) -> None:
    """The study, its plans, records and curves, written as JSON that hides nothing."""
    for file in (path / "study.json", *path.glob("runs/*/record.json")):
        file.write_text(json.dumps(spoilt(json.loads(file.read_text()))))
    for file in path.glob("runs/*/curve.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        rows[-1] |= {"note": EVIL, "seconds": EVIL, EVIL: EVIL}
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = synthetic.write(tmp_path_factory.mktemp("hostile") / "study", "filter_size", seeds=2)
    spoil(folder.path)
    report.write(folder.path)
    return folder.path


def assert_nothing_ran(tab):
    assert "<script>window.ran = 1</script>" in tab.run("document.body.innerText")
    tab.run("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    tab.run("""(async () => {
      const {colour} = document.getElementById("explorer").elements;
      for (const {value} of colour.options) {
        colour.value = value;
        colour.dispatchEvent(new Event("change", {bubbles: true}));
        await new Promise((done) => setTimeout(done, 50));
      }
      for (const e of document.querySelectorAll(".view svg path")) // What a pointer is told.
        e.dispatchEvent(new MouseEvent("mousemove", {bubbles: true, clientX: 1, clientY: 1}));
    })()""")
    assert tab.run("typeof window.ran") == "undefined"
    assert tab.run("document.querySelectorAll('img[src=x], main script, b b').length") == 0
    assert not any(address.rpartition("/")[2] == "x" for address in tab.asked)


def test_words_of_others_are_words_in_the_file(tab, hostile):
    tab.look()
    tab.open((hostile / "dashboard.html").as_uri())
    assert_nothing_ran(tab)
    assert tab.lines == []
