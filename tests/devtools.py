"""A page in headless Chromium in real time, spoken to over the DevTools protocol by a pipe, for
what virtual time can't tell: how long things take."""

import contextlib
import fcntl
import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path

from tests.browser import CHROMIUM


class Page:
    """One page: `open(path)` goes to it, `run(script)` returns what an async function's body does,
    `send(method, **params)` says anything else. Lines of the console gather in `console`."""

    def __init__(self, size=(1280, 900), patience=60):
        self.patience, self.console = patience, []
        self._number, self._rest, self._answers = 0, b"", {}
        self._home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        # Chromium reads from 3 and writes to 4: out of the way, whatever the pipes' own numbers.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" 3<&{ends[0]} 4>&{ends[1]}', CHROMIUM, "--headless",
             "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={self._home.name}",
             f"--window-size={size[0]},{size[1]}", "about:blank"],
            pass_fds=ends, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (theirs_in, theirs_out, *ends):
            os.close(end)
        self._session = None
        pages = self.send("Target.getTargets")["targetInfos"]
        target = next(p["targetId"] for p in pages if p["type"] == "page")
        made = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = made["sessionId"]
        for domain in ("Page", "Runtime"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self._session = None
            self.send("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._home.cleanup()

    def open(self, path, address=""):
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=f"file://{path}{address}")

    def run(self, script):
        whole = f"(async () => {{ {script} }})()"
        found = self.send(
            "Runtime.evaluate", expression=whole, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def busy(self):
        """Milliseconds that the page's main thread has worked, as the system counts them: what
        would have passed on a machine with nothing else to do."""
        held, self._session = self._session, None
        found = self.send("SystemInfo.getProcessInfo")["processInfo"]
        self._session = held
        renderer = max((p for p in found if p["type"] == "renderer"), key=lambda p: p["cpuTime"])
        stat = Path(f"/proc/{renderer['id']}/task/{renderer['id']}/schedstat")
        return int(stat.read_text().split()[0]) / 1e6

    def send(self, method, **params):
        self._number += 1
        call = {"id": self._number, "method": method, "params": params}
        call |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(call).encode() + b"\0")
        until = time.monotonic() + self.patience
        while self._number not in self._answers:
            self._read(until)
        answer = self._answers.pop(self._number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _read(self, until):
        if not select.select([self._in], [], [], max(until - time.monotonic(), 0))[0]:
            raise TimeoutError("the browser does not answer")
        got = os.read(self._in, 1 << 20)
        if not got:
            raise RuntimeError("the browser has ended")
        *whole, self._rest = (self._rest + got).split(b"\0")
        for text in whole:
            said = json.loads(text)
            if "id" in said:
                self._answers[said["id"]] = said
            elif said["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                self.console.append(said["params"])
