"""A folder that is followed: what stays is not compiled again, and the whole is what compiling anew gives."""

import tempfile
from pathlib import Path

import yaml
from edited_specs import LABELS, POLICIES, POOLS, models
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.compile import compile_resources
from pilotage_api.in_force import InForce
from pilotage_api.settings import GatewaySettings
from pilotage_cli.folder import FolderSource, load_folder

SETTINGS = GatewaySettings.model_validate({"namespaces": ["a", "b"]})


def resource(kind: str, place: tuple[str, int], spec: object) -> dict:
    namespace, number = place
    name = f"{'p' if kind == 'ModelPool' else 'q'}{number}"
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "pilotage.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def labelled(labels: dict[str, dict[str, str]]) -> list[dict]:
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": found}}
        for name, found in labels.items()
    ]


def written(*resources: dict) -> str:
    return yaml.safe_dump_all(resources)


PLACES = st.tuples(st.sampled_from("ab"), st.integers(0, 2))
RESOURCES = st.builds(resource, st.just("ModelPool"), PLACES, POOLS) | st.builds(
    resource, st.just("RoutePolicy"), PLACES, POLICIES
)
TEXTS = st.one_of(
    RESOURCES.map(written),
    st.lists(RESOURCES, max_size=3).map(lambda all_of: written(*all_of)),
    LABELS.map(lambda labels: written(*labelled(labels))),
    st.just("["),
)
EDITS = st.lists(st.tuples(st.integers(0, 4), TEXTS | st.none()), min_size=2, max_size=16)


@given(EDITS)
@settings(max_examples=examples(200), deadline=None)
def test_after_any_edits_it_gives_what_compiling_anew_gives(edits):
    with tempfile.TemporaryDirectory() as name:
        folder, last_good = Path(name), InForce()
        followed = FolderSource(folder, SETTINGS)
        for number, text in edits:
            file = folder / f"{number}.yaml"
            if text is None:
                file.unlink(missing_ok=True)
            else:
                file.write_text(text)
            found = followed.changed()
            if found is None:
                continue
            assert found == compile_resources(load_folder(folder), SETTINGS, last_good)
            last_good = found.in_force


def test_a_policy_whose_file_stays_is_not_compiled_again(tmp_path):
    pool = resource(
        "ModelPool",
        ("a", 0),
        {"endpoints": [{"address": "10.0.0.1", "port": 8000}], "models": models(["m0"])},
    )
    served = {"match": {"models": ["auto"]}, "rules": [{"candidates": [{"model": "m0"}]}]}
    stays, edited = (resource("RoutePolicy", ("a", number), served) for number in range(2))
    for name, one in {"pool": pool, "stays": stays, "edited": edited}.items():
        (tmp_path / f"{name}.yaml").write_text(written(one))
    followed = FolderSource(tmp_path, SETTINGS)
    before = followed.changed()
    (tmp_path / "edited.yaml").write_text(written(edited) + "# only said otherwise\n")
    after = followed.changed()
    assert before is not None
    assert after is not None
    assert after.snapshot == before.snapshot
    same = {
        one.policy: one is other
        for one, other in zip(before.snapshot.routes, after.snapshot.routes, strict=True)
    }
    assert same == {"a/q0": True, "a/q1": False}
