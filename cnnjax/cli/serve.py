"""The results as pages on the loopback interface: an index, and each study's own files."""

import functools
import html
import http.server
import json
from pathlib import Path

from cnnjax.errors import UserError

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>cnnjax results</title>
<meta name="viewport" content="width=device-width"><style>body{{font:16px/1.5 system-ui;
max-width:44rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}}li{{margin:.6rem 0}}
</style><h1>Studies</h1><ul>{rows}</ul></html>"""


def index(results: Path) -> str:
    """A link to each study's dashboard, with its question."""
    rows = []
    for page in sorted(results.glob("*/dashboard.html")):
        try:
            question = json.loads((page.parent / "study.json").read_text())["question"]
        except (OSError, ValueError, KeyError, TypeError):
            question = ""
        name = html.escape(page.parent.name, quote=True)
        rows.append(
            f'<li><a href="/{name}/dashboard.html">{name}</a><br>{html.escape(str(question))}'
        )
    return _PAGE.format(rows="".join(rows) or "<li>No study has a dashboard yet.")


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        body = index(Path(self.directory)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def translate_path(self, path: str) -> str:
        """Inside the results only: a link that leads out of them is not followed."""
        found, home = Path(super().translate_path(path)).resolve(), Path(self.directory).resolve()
        return str(found if found.is_relative_to(home) else home / "not-found")

    def log_message(self, format: str, *args: object) -> None:
        """Requests are nobody's news."""


def server(results: Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of the folder on 127.0.0.1; port 0 takes a free one.

    Raises:
      UserError: no such folder, or the port is taken.
    """
    if not results.is_dir():
        raise UserError(f"there are no results in {results}: run an experiment first")
    handler = functools.partial(_Handler, directory=str(results))
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as e:
        raise UserError(f"can't serve on port {port}: {e.strerror}; try another --port") from None


def serve(results: Path, port: int) -> int:
    """Serve until Ctrl-C."""
    with server(results, port) as running:
        print(f"http://127.0.0.1:{running.server_address[1]}/ · Ctrl-C ends it", flush=True)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
