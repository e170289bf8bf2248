"""Answers whose policy asks nothing of them arrive whole, though another policy looks at answers and the pick
had to wait: Envoy would lose an answer that comes between the pick and the end of the picker's stream."""

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from guard_stub import GuardStub
from whole_gateway import WholeGateway

BODY = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
LOOKS = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "RoutePolicy",
    "metadata": {"name": "looks"},
    "spec": {
        "match": {"models": ["looks"]},
        "rules": [{"candidates": [{"model": "small"}]}],
        "governance": {"content": {"response": [{"detectors": ["email"], "action": "block"}]}},
    },
}


class PromptServer:
    """Answers in threads of its own, head and body at once: it can be sooner than the picker's next turn."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while lines.readline():
                length = 0
                while (line := lines.readline().strip().lower()) != b"":
                    if line.startswith(b"content-length:"):
                        length = int(line[15:])
                lines.read(length)
                connection.sendall(ANSWER)


@pytest.fixture
def prompt_server() -> Iterator[PromptServer]:
    server = PromptServer()
    yield server
    server.close()


@pytest.mark.parametrize("transport", ["builtin", "grpcio"])
async def test_an_answer_that_nobody_looks_at_arrives_whole_after_a_guard_was_asked(
    tmp_path, prompt_server, transport
):
    guard = GuardStub()
    await guard.start()
    remote = [{"url": guard.url, "timeout": "2s", "onError": "refuse", "receives": "text"}]
    spec = {"governance": {"content": {"remote": remote}}}
    pools = {"small": [prompt_server]}
    gateway = WholeGateway(tmp_path / "f", pools, {}, documents=[LOOKS], spec=spec, transport=transport)
    await gateway.start()
    try:
        found = Counter[tuple[int, bool]]()
        for _ in range(100):
            status, _, body = await gateway.chat()
            found[status, body == BODY] += 1
        assert found == {(200, True): 100}
    finally:
        await gateway.stop()
        await guard.stop()
