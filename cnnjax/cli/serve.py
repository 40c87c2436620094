"""The results as pages on the loopback interface, which follow studies while they run."""

import http.server
import json
import re
import sys
import urllib.parse
import webbrowser
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cnnjax.errors import UserError
from cnnjax.report import dashboard
from cnnjax.report.live import index, shell
from cnnjax.report.live.shelf import Shelf
from cnnjax.study import files

HOME = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "[::1]")
LARGEST = 2**28  # Bytes of one file.
HTML = "text/html; charset=utf-8"
PAGES = ("", "state.json", "content.html")  # Of the index, and of each study.
FILES = {
    "dashboard.html": HTML,
    "report.md": "text/plain; charset=utf-8",
    "table.csv": "text/csv; charset=utf-8",
}
PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}
_NET = re.compile(r"net-(\d{1,7})\.html", re.ASCII)  # A net's drawer, by its number.
_PICTURE = re.compile(r"[\w-][\w .-]*\.(png|svg)", re.ASCII)
# A file as it stands makes no request; a picture opened by itself runs nothing either.
_FILE_POLICY = f"{dashboard.POLICY}; frame-ancestors 'none'"
_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 30  # Seconds that a client may take to say what it wants.
    server_version, sys_version = "cnnjax", ""
    server: "Server"

    def do_GET(self) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            # Another name for this address is a page elsewhere that wants to read what is here.
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "open it as http://127.0.0.1")
            return
        path, _, _ = self.path.partition("?")
        words = path.removeprefix("/").split("/") if path.startswith("/") else []
        try:
            self._answer([urllib.parse.unquote(w, errors="surrogateescape") for w in words])
        except (KeyError, OSError, files.Unreadable):
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    do_HEAD = do_GET

    def _answer(self, parts: Sequence[str]) -> None:
        """A page, its state, or a file, by names that are known; nothing else is looked for.

        Raises:
          KeyError: there is no such thing.
          Unreadable: the file is none of the study's own.
          OSError: there is no such file.
        """
        shelf = self.server.shelf
        match parts:
            case [""] if shelf.alone:
                self._redirect(index.link(*shelf.names()))
            case [what] if what in PAGES:
                self._page(None, what)
            case ["-", script]:
                text = shell.SCRIPTS[script]()
                self._send(text.encode(), "text/javascript; charset=utf-8")
            case [study] if study in shelf.names():
                self._redirect(index.link(study))
            case [study, what] if what in PAGES:
                self._page(study, what)
            case [study, file] if net := _NET.fullmatch(file):
                self._send(shelf.net(study, int(net[1])).encode("utf-8", "replace"), HTML)
            case [study, file] if file in FILES:
                found = files.read_own(shelf.names()[study] / file, LARGEST)
                self._send(found, FILES[file], _FILE_POLICY)
            case [study, "plots", file] if _PICTURE.fullmatch(file):
                folder = shelf.names()[study] / "plots"
                if folder.is_symlink():
                    raise KeyError(file)
                found = files.read_own(folder / file, LARGEST)
                self._send(found, PICTURES[Path(file).suffix], _PICTURE_POLICY)
            case _:
                raise KeyError(parts)

    def _page(self, study: str | None, what: str) -> None:
        shelf = self.server.shelf
        if what == "state.json":
            found = json.dumps(shelf.state(study))
            self._send(found.encode(), "application/json")
            return
        part = shelf.home() if study is None else shelf.page(study)
        text = shell.part_of(part.title, part.content)
        if not what:
            back = "all studies" if shelf.root else "comparison"
            back = "" if study is None or shelf.alone else back
            drawn = study is not None or not shelf.root
            text = shell.page_of(
                part.title, part.content, part.state, back, self._files(study), drawn
            )
        self._send(text.encode("utf-8", "replace"), HTML, shell.POLICY, {"X-State": part.state})

    def _files(self, study: str | None) -> list[str]:
        """The report's files that stand beside a study's page."""
        if study is None:
            return []
        folder = self.server.shelf.names()[study]
        return [name for name in FILES if (folder / name).is_file()]

    def _send(
        self,
        body: bytes,
        kind: str,
        policy: str = "default-src 'none'",
        more: dict[str, str] | None = None,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        for name, value in (headers | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _redirect(self, place: str) -> None:
        self._send(b"", "text/plain", more={"Location": place}, status=HTTPStatus.FOUND)

    def _refuse(self, status: HTTPStatus, said: str) -> None:
        self._send(f"{said}\n".encode(), "text/plain; charset=utf-8", status=status)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library refuses by itself: a malformed request, or another method."""
        other = code == HTTPStatus.NOT_IMPLEMENTED
        status = HTTPStatus.METHOD_NOT_ALLOWED if other else HTTPStatus(code)
        self._refuse(status, "only GET and HEAD are answered" if other else status.phrase.lower())

    def log_message(self, format: str, *args: object) -> None:
        """Requests are nobody's news."""


class Server(http.server.ThreadingHTTPServer):
    """Answers on 127.0.0.1, under its own names only."""

    def __init__(self, shelf: Shelf, port: int):
        super().__init__((HOME, port), _Handler)
        self.shelf = shelf
        port = self.server_address[1]
        self.hosts = {f"{name}:{port}" for name in NAMES} | ({*NAMES} if port == 80 else set())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader who went away is nobody's news either."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def server(folders: Sequence[Path], port: int) -> Server:
    """A server of the studies in a folder, or of the studies that are given; port 0 takes a free
    one.

    Raises:
      UserError: no such folder, or the port is taken.
    """
    shelf = Shelf(folders)
    try:
        return Server(shelf, port)
    except OSError as e:
        raise UserError(f"can't serve on port {port}: {e.strerror}; try another --port") from None


def serve(folders: Sequence[Path], port: int, show: bool = False) -> int:
    """Serve until Ctrl-C; `show` opens the browser."""
    with server(folders, port) as running:
        address = f"http://{HOME}:{running.server_address[1]}/"
        print(f"{address} · Ctrl-C ends it", flush=True)
        if show:
            webbrowser.open(address)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
