"""A guardrail to begin with: it blocks requests that users ask to build weapons in, and flags anger.

    python examples/guardrail/guard.py --port 9301

It speaks the schema of docs/content.md, "Guards of your own". Put a model in the place of `judged`.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCKED = ("build a bomb", "make a weapon")
FLAGGED = ("furious", "i hate")
MOST_BYTES = 8 << 20


def judged(texts: list[dict[str, str]]) -> dict[str, object]:
    """What becomes of a request with these texts."""
    said = " ".join(one["text"] for one in texts if one["role"] in ("user", "input")).casefold()
    if any(words in said for words in BLOCKED):
        return {"action": "block", "kinds": ["weapons"]}
    if any(words in said for words in FLAGGED):
        return {"action": "flag", "kinds": ["anger"]}
    return {"action": "allow"}


class Guard(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out whole, not its headers first

    def do_POST(self) -> None:
        """Judge one request."""
        size = int(self.headers.get("content-length", 0))
        if not 0 < size <= MOST_BYTES:
            self.send_error(413)
            return
        try:
            asked = json.loads(self.rfile.read(size))
            if asked["version"] != 1:
                raise ValueError("another version")
            answer = json.dumps(judged(asked["texts"])).encode()
        except (ValueError, KeyError, TypeError):
            self.send_error(400)
            return
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_words: object) -> None:
        """Nothing: what it is asked about is private."""


def main() -> None:
    """Serve on loopback until interrupted."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=9301)
    server = ThreadingHTTPServer(("127.0.0.1", options.parse_args().port), Guard)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
