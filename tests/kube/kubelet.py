"""Pods of pickers, and a node's side of port-forwards, which the API server passes on here."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from extproc_rig import Pods

from pilotage_cli.cluster_admin import PICKERS
from pilotage_extproc.server.tls import self_signed
from pilotage_kube.client import ApiClient
from pilotage_kube.resource import NODES, PODS

DIED = (
    "error forwarding port {port} to pod 5f0c0a1b2c3d4e5f60718293a4b5c6d7e8f9, uid : failed to execute "
    'portforward in network namespace "/var/run/netns/cni-0b6a4b5e-3c1d-4d0e-9b52-5a5d1c1c9c57": failed to '
    'connect to localhost:{port} inside namespace "5f0c0a1b2c3d4e5f60718293a4b5c6d7e8f9", IPv4: dial tcp4 '
    "127.0.0.1:{port}:\nconnect: connection refused IPv6 dial tcp6: address localhost: no suitable address: "
    "connection refused\n"
)
"""What containerd says where nothing listens."""


class Kubelet:
    """Forwards to loopback, and says as containerd does where nothing listens there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0

    async def start(self) -> web.AppRunner:
        key, certificate = self_signed("node")
        for name, content in (("key", key), ("certificate", certificate)):
            (self._folder / name).write_bytes(content)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._folder / "certificate", self._folder / "key")
        app = web.Application()
        app.add_routes([web.get("/portForward/{namespace}/{pod}", self._forward)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def _forward(self, request: web.Request) -> web.WebSocketResponse:
        port = int(request.query["port"])
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        for channel in (0, 1):
            await socket.send_bytes(bytes((channel,)) + port.to_bytes(2, "little"))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await socket.send_bytes(b"\x01" + DIED.format(port=port).encode())
            await socket.close()
            return socket

        async def outwards() -> None:
            while piece := await reader.read(4096):
                await socket.send_bytes(b"\x00" + piece)

        answers = asyncio.create_task(outwards())
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                writer.write(message.data[1:])
        answers.cancel()
        writer.close()
        return socket


@asynccontextmanager
async def node(client: ApiClient, name: str, folder: Path) -> AsyncIterator[str]:
    """A node of this name, whose kubelet listens on loopback."""
    kubelet = Kubelet(folder)
    runner = await kubelet.start()
    await client.create(NODES, NODES.object(name))
    status: dict[str, Any] = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
    }
    await client.merge(NODES, name, {"status": status}, subresource="status")
    try:
        yield name
    finally:
        await client.delete(NODES, name)
        await runner.cleanup()


async def picker_pod(
    client: ApiClient,
    namespace: str,
    name: str = "picker",
    *,
    port: int = 9003,
    node: str = "node",
    release: str = "pilotage",
) -> None:
    """As the chart makes it, as far as a command looks."""
    labels = dict(label.split("=") for label in PICKERS.split(","))
    labels["app.kubernetes.io/instance"] = release
    admin = {"name": "admin", "containerPort": port}
    spec = {
        "nodeName": node,
        "containers": [{"name": "extproc", "image": "pilotage", "ports": [admin]}],
        "volumes": [{"name": "admin", "secret": {"secretName": f"{release}-admin"}}],
    }
    await client.create(PODS, PODS.object(name, metadata={"labels": labels}, spec=spec), namespace)
    await Pods(client, namespace).say(name, {"phase": "Running"})
