"""A browser to look over the shoulder of: Chromium without a window, driven through a pipe.

`tests/browser.py` asks a page one thing and is gone; here a page stays open, at the width and in
the colours of a given screen, while what it shows changes.
"""

import base64
import contextlib
import itertools
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.browser import CHROMIUM

PATIENCE = 60.0  # Seconds for an answer of the browser's.


class Tab:
    """One page: what it wrote on the console and asked for stands in `lines` and `asked`."""

    def __init__(self, write: int, read: int):
        self._write, self._numbers, self._session = write, itertools.count(1), None
        self._told: queue.Queue = queue.Queue()
        self.lines: list[str] = []
        self.asked: list[str] = []
        threading.Thread(target=self._listen, args=(read,), daemon=True).start()
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _listen(self, read: int) -> None:
        with os.fdopen(read, "rb") as pipe:
            rest = b""
            while part := pipe.read1(1 << 16):
                *whole, rest = (rest + part).split(b"\0")
                for message in whole:
                    self._told.put(json.loads(message))

    def send(self, method: str, **params: Any) -> Any:
        """The browser's answer to a command of the DevTools protocol."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            told = self._told.get(timeout=PATIENCE)
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            self._note(told.get("method"), told.get("params"))

    def _note(self, method: str, params: Any) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.lines.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.lines.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.lines.append(json.dumps(params["args"]))

    def look(self, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """The screen: a phone's where it is narrow."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def go(self, address: str) -> None:
        """To a page, without waiting for anything."""
        self.lines.clear()
        self.asked.clear()
        self.send("Page.navigate", url=address)

    def open(self, address: str) -> None:
        """A page, until its charts are drawn."""
        self.go(address)
        drawn = (
            "[...document.querySelectorAll('.view')].every((v) => v.querySelector('svg,canvas'))"
        )
        self.until(f"location.href !== 'about:blank' && document.readyState === 'complete' "
                   f"&& typeof cnnjax !== 'undefined' && {drawn}")  # fmt: skip

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited where it is a promise."""
        told = self.send("Runtime.evaluate", expression=expression, awaitPromise=True,
                         returnByValue=True)  # fmt: skip
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def body(self, script: str) -> Any:
        """What an async function of that body returns."""
        return self.run(f"(async () => {{ {script} }})()")

    def busy(self) -> float:
        """Milliseconds that the page's main thread has worked, as the system counts them: what
        would have passed on a machine with nothing else to do."""
        held, self._session = self._session, None  # It is the browser that is asked.
        found = self.send("SystemInfo.getProcessInfo")["processInfo"]
        self._session = held
        renderer = max((p for p in found if p["type"] == "renderer"), key=lambda p: p["cpuTime"])
        stat = Path(f"/proc/{renderer['id']}/task/{renderer['id']}/schedstat")
        return int(stat.read_text().split()[0]) / 1e6

    def until(self, expression: str, seconds: float = PATIENCE) -> Any:
        """The expression's value once it holds."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(expression)):
            assert time.monotonic() < deadline, f"it did not come about: {expression}"
            time.sleep(0.1)
        return found

    def shot(self, path: Path) -> None:
        """A picture of the whole page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        told = self.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


@contextlib.contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """A browser with a profile of its own, gone at the end."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    words = [CHROMIUM, "--headless", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run",
             "--disable-background-networking", f"--user-data-dir={profile}"]  # fmt: skip
    # The browser hears on 3 and answers on 4.
    shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *words]
    with subprocess.Popen(shell, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Tab(ours_out, ours_in)
        finally:
            os.close(ours_out)  # Without it the browser ends by itself.
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
