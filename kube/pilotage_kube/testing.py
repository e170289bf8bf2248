"""A real control plane for tests: etcd and kube-apiserver on loopback, as many side by side as wanted.

No kubelet and no controllers: objects are stored, validated, watched and guarded by RBAC, nothing runs.
The programs are found where `KUBEBUILDER_ASSETS` points (`make kube-assets` puts them somewhere).
"""

import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pilotage_kube.connection import Connection, from_kubeconfig

_READY_SECONDS = 60.0
_STOP_SECONDS = 4.0
_START_ATTEMPTS = 3


class ControlPlane:
    """One etcd and one API server with their data in `folder`. Blocking; use as a context manager."""

    def __init__(
        self, folder: Path, *, assets: Path | None = None, apiserver_arguments: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._assets = assets or Path(os.environ["KUBEBUILDER_ASSETS"])
        self._arguments = list(apiserver_arguments)
        self._etcd_port, self._peer_port, self.port = _free_ports(3)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.token = secrets.token_hex(16)
        """Of a member of system:masters."""

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """For kubectl and helm; made by `start`."""
        return self._folder / "kubeconfig"

    @property
    def authority(self) -> Path:
        """The certificate that clients trust."""
        return self._folder / "certs" / "apiserver.crt"

    def connection(self, *, token: str | None = None, server: str | None = None) -> Connection:
        """For an `ApiClient`: as administrator, or by this token; perhaps through a proxy at `server`."""
        path = self._folder / f"kubeconfig-{secrets.token_hex(4)}"
        self.write_kubeconfig(path, {"token": token or self.token}, server=server or self.server)
        return from_kubeconfig([path])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start both and wait until ready: some seconds. Raises RuntimeError with the end of the log."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_keys()
        for attempt in range(_START_ATTEMPTS):
            try:
                self.start_etcd()
                self.start_apiserver()
                break
            except RuntimeError:
                self.stop()
                if attempt == _START_ATTEMPTS - 1:
                    raise
                # somebody else may have taken a port that was free a moment ago
                self._etcd_port, self._peer_port, self.port = _free_ports(3)
            except BaseException:
                self.stop()
                raise
        self.write_kubeconfig(self.kubeconfig, {"token": self.token})

    def stop(self) -> None:
        """Stop both; data and logs stay in the folder."""
        self.stop_apiserver()
        self.stop_etcd()

    def start_etcd(self) -> None:
        """Start etcd on the data it had."""
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        self._spawn(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )

    def stop_etcd(self) -> None:
        """End etcd; the API server then answers with errors."""
        self._end("etcd")

    def start_apiserver(self) -> None:
        """Start the API server and wait until it is ready."""
        folder = self._folder
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={folder / 'certs'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'sa.pub'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            # without controllers nothing makes the account that this plug-in waits for
            "--disable-admission-plugins=ServiceAccount",
            *self._arguments,
        )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready():
            ended = any(one.poll() is not None for one in self._running.values())
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"kube-apiserver is not ready:\n{self._log_end('kube-apiserver')}")
            time.sleep(0.05)

    def stop_apiserver(self, *, kill: bool = False) -> None:
        """End the API server; `kill` without giving it time to close its watches."""
        self._end("kube-apiserver", kill=kill)

    def compact(self) -> None:
        """Make etcd forget all old versions: watches from them are answered 410."""
        key = self._etcd("/v3/kv/range", {"key": "AA==", "range_end": "AA==", "count_only": True})
        self._etcd("/v3/kv/compaction", {"revision": key["header"]["revision"], "physical": True})

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl as administrator; what it prints. Raises CalledProcessError."""
        done = subprocess.run(  # noqa: S603 - the program named
            [self._assets / "kubectl", "--kubeconfig", self.kubeconfig, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def _etcd(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._etcd_port}{path}", data=json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return json.load(answer)

    def _ready(self) -> bool:
        if not self.authority.exists():
            return False
        request = urllib.request.Request(  # noqa: S310 - to loopback
            f"{self.server}/readyz", headers={"Authorization": f"Bearer {self.token}"}
        )
        try:
            context = ssl.create_default_context(cafile=str(self.authority))
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:  # noqa: S310 - the same
                return bool(answer.status == 200)
        except OSError:
            return False

    def _spawn(self, program: str, *arguments: str) -> None:
        command = [str(self._assets / program), *arguments]
        if shutil.which("setpriv"):
            # nothing outlives a test run that is killed
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        with (self._folder / f"{program}.log").open("ab") as log:
            self._running[program] = subprocess.Popen(  # noqa: S603 - the program named
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder
            )

    def _end(self, program: str, *, kill: bool = False) -> None:
        process = self._running.pop(program, None)
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log_end(self, program: str) -> str:
        return "\n".join((self._folder / f"{program}.log").read_text().splitlines()[-20:])

    def _write_keys(self) -> None:
        tokens = self._folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self.token},admin,admin,"system:masters"\n')
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self._folder / "sa.key").touch(mode=0o600)
        (self._folder / "sa.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (self._folder / "sa.pub").write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def write_kubeconfig(self, path: Path, user: dict[str, Any], **cluster: Any) -> None:
        """Write a kubeconfig for this user; `cluster` adds to what is said of the server."""
        all_of_it = {"server": self.server, "certificate-authority": str(self.authority), **cluster}
        found = {field: value for field, value in all_of_it.items() if value is not None}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": found}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
