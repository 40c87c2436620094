"""What a script finds on a page in a real browser, Chromium without a window."""

import html
import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium")
there = pytest.mark.skipif(not CHROMIUM, reason="there is no chromium here")


def run(page, script, address="", size=(1280, 900), flags=()):
    """What `script`, the body of an async function run once the page is drawn, returns, and what
    the page wrote on the console: `(value, lines)`. It may `await wait(milliseconds)`."""
    whole = f"""<script>addEventListener("load", async () => {{
      const wait = (ms) => new Promise((done) => setTimeout(done, ms));
      await wait(1200);
      const blank = () => [...document.querySelectorAll(".view")].some((v) => !v.firstChild);
      for (let i = 0; i < 50 && blank(); i++) await wait(50); // Views are drawn one by one.
      let value;
      try {{ value = await (async () => {{ {script} }})(); }}
      catch (error) {{ value = "failed: " + error.stack; }}
      document.body.dataset.said = JSON.stringify(value ?? null);
    }});</script></body>"""
    path = page.with_name("scripted.html")
    before, _, after = page.read_text().rpartition("</body>")
    path.write_text(before + whole + after)
    for budget in (12000, 60000):  # Virtual time may pass while a busy machine loads a picture.
        command = [
            CHROMIUM, "--headless", "--no-sandbox", f"--virtual-time-budget={budget}",
            "--dump-dom", "--enable-logging=stderr", f"--window-size={size[0]},{size[1]}", *flags,
            f"file://{path}{address}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        found = re.search(r'data-said="([^"]*)"', done.stdout)
        if found:
            break
    assert found, done.stderr[-2000:]
    value = json.loads(html.unescape(found[1]))
    assert not str(value).startswith("failed: "), value
    return value, re.findall(r'CONSOLE[^"]*"(.*)", source', done.stderr)
