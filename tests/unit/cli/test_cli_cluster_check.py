"""A folder laid over what a cluster holds, as if it were applied."""

import yaml

from pilotage_api.load import load_objects
from pilotage_cli.cluster_check import lay_over, unseen_generations
from pilotage_cli.replicas import pools_without_servers


def pool(name: str, namespace: str | None, port: int) -> dict:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    spec = {"endpoints": [{"address": "10.0.0.1", "port": port}], "models": [{"name": name}]}
    return {"apiVersion": "pilotage.dev/v1alpha1", "kind": "ModelPool", "metadata": metadata, "spec": spec}


def test_what_names_no_namespace_replaces_what_is_in_the_namespace_it_would_be_applied_to(tmp_path):
    loaded = load_objects([pool("small", "models", 8000), pool("small", "default", 8000)])
    laid = [pool("small", None, 9000), pool("large", "other", 9000)]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all(laid))
    lay_over(loaded, tmp_path, "models")
    ports = {str(key): one.spec.endpoints[0].port for key, one in loaded.resources.items()}
    assert ports == {
        "ModelPool models/small": 9000,
        "ModelPool default/small": 8000,
        "ModelPool other/large": 9000,
    }


def test_a_generation_that_no_status_knows_is_told():
    seen, edited, new = (pool(name, "models", 8000) for name in ("seen", "edited", "new"))
    for one, generation in ((seen, 2), (edited, 3), (new, 1)):
        one["metadata"]["generation"] = generation
    seen["status"] = {"observedGeneration": 2}
    edited["status"] = {"observedGeneration": 2}
    namespace = {"kind": "Namespace", "metadata": {"name": "models"}}
    told = unseen_generations([seen, edited, new, namespace])
    assert told == ("ModelPool models/edited", "ModelPool models/new")


def test_pools_are_told_that_no_picker_has_a_server_of():
    def says(**pools: tuple[int, int]) -> dict:
        return {"pools": {key: {"ready": ready, "total": total} for key, (ready, total) in pools.items()}}

    told = pools_without_servers([says(a=(0, 0), b=(0, 2), c=(0, 1)), says(a=(0, 0), b=(0, 3), c=(1, 1)), {}])
    assert told == ["pool a: it has no servers", "pool b: none of its 3 servers takes requests"]
