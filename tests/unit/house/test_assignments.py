"""No module keeps state that changes, and none sets attributes of what another one defines."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("api", "kube", "operator", "extproc", "cli", "sim")

OF_OTHERS = {
    # their interface is assignment
    "api/pilotage_api/conditions/rewrite.py": "protobuf",
    "api/pilotage_api/content_rules.py": "RE2's options",
    "extproc/pilotage_extproc/content/custom.py": "RE2's options",
    "extproc/pilotage_extproc/content/patterns.py": "RE2's options",
    "extproc/pilotage_extproc/envoy/ext_proc/attempt_rewrite.py": "protobuf",
    "extproc/pilotage_extproc/envoy/ext_proc/messages.py": "protobuf",
    "extproc/pilotage_extproc/envoy/ext_proc/provider_hop.py": "protobuf",
    "extproc/pilotage_extproc/envoy/xds/assignment.py": "protobuf",
    "extproc/pilotage_extproc/scheduling/candidates.py": "numpy's flags",
    "extproc/pilotage_extproc/server/tls.py": "SSL contexts",
    "kube/pilotage_kube/access.py": "the Kubernetes client's connections",
    "operator/pilotage_operator/kopf_wake.py": "kopf's settings",
}
"""Files that set attributes of objects of a library, and of which."""

CHANGING = {
    "add",
    "append",
    "appendleft",
    "clear",
    "discard",
    "extend",
    "insert",
    "move_to_end",
    "pop",
    "popitem",
    "popleft",
    "remove",
    "setdefault",
    "sort",
    "update",
}
"""Methods that change a container."""
MUTABLE = {"bytearray", "Counter", "defaultdict", "deque", "dict", "list", "OrderedDict", "set"}


def targets(node: ast.AST) -> Iterator[ast.expr]:
    """What a statement binds, changes or deletes."""
    found: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        found = list(node.targets)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.AsyncFor):
        found = [node.target]
    for one in found:
        yield from one.elts if isinstance(one, ast.Tuple | ast.List) else [one]


def own_attributes(module: ast.Module) -> set[str]:
    """Attributes that classes of a module define."""
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            names |= {one.target.id for one in node.body if isinstance(one, ast.AnnAssign)}
            for inner in ast.walk(node):
                names |= {one.attr for one in targets(inner) if is_own(one)}
    return names


def is_own(target: ast.expr) -> bool:
    """Whether it is an attribute of `self` or `cls`."""
    return (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id in ("self", "cls")
    )


def set_from_outside(module: ast.Module) -> list[str]:
    """Assignments to attributes that no class of the module defines."""
    own = own_attributes(module)
    return [
        f"line {node.lineno}: {ast.unparse(target)}"
        for node in ast.walk(module)
        for target in targets(node)
        if isinstance(target, ast.Attribute) and not is_own(target) and target.attr not in own
    ]


def module_state(module: ast.Module) -> list[str]:
    """What of a module changes after it has been imported."""
    containers, found = set(), []
    for node in module.body:
        for target in targets(node):
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and value is not None:
                containers.add(target.id)
                called = value.func if isinstance(value, ast.Call) else None
                if isinstance(called, ast.Name) and called.id in MUTABLE:
                    found.append(f"line {node.lineno}: {target.id} is made to be filled")
                if isinstance(value, ast.Dict | ast.List | ast.Set) and not any(ast.iter_child_nodes(value)):
                    found.append(f"line {node.lineno}: {target.id} is made to be filled")
    for node in ast.walk(module):
        if isinstance(node, ast.Global):
            found.append(f"line {node.lineno}: global {', '.join(node.names)}")
        found += [
            f"line {node.lineno}: {ast.unparse(target)}"
            for target in targets(node)
            if isinstance(target, ast.Subscript) and is_name(target.value, containers)
        ]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method = node.func
            if method.attr in CHANGING and is_name(method.value, containers):
                found.append(f"line {node.lineno}: {ast.unparse(method)}")
    return found


def is_name(node: ast.expr, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    """All modules, by path."""
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


def test_no_module_sets_attributes_that_another_one_defines(modules):
    found = {path: set_from_outside(one) for path, one in modules.items() if path not in OF_OTHERS}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_no_module_keeps_state_that_changes(modules):
    found = {path: module_state(one) for path, one in modules.items()}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_each_exception_is_needed(modules):
    assert [path for path in OF_OTHERS if path not in modules or not set_from_outside(modules[path])] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("def f(view):\n    view.draining = True", 1),
        ("def f(view):\n    view.counts.seen += 1", 1),
        ("def f(view):\n    view.a, view.b = 1, 2", 2),
        ("class C:\n    def f(self):\n        self.a = 1", 0),
        ("class C:\n    a: int\n\ndef f(c):\n    c.a = 1", 0),
    ],
)
def test_what_counts_as_set_from_outside(text, wrong):
    assert len(set_from_outside(ast.parse(text))) == wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("SEEN = {}", 1),
        ("SEEN: dict = defaultdict(list)", 1),
        ("SEEN = {'a': 1}\n\ndef f():\n    SEEN['b'] = 2", 1),
        ("SEEN = ['a']\n\ndef f():\n    SEEN.append('b')", 1),
        ("seen = 0\n\ndef f():\n    global seen\n    seen = 1", 1),
        ("TABLE = {'a': 1}\n\ndef f():\n    return TABLE['a']", 0),
        ("def f():\n    seen = {}\n    seen['a'] = 1", 0),
    ],
)
def test_what_counts_as_state_of_a_module(text, wrong):
    assert len(module_state(ast.parse(text))) == wrong
