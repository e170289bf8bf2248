"""Which pods serve which pools, kept current change by change: no I/O, no clock."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pilotage_api.address import bracketed
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.sources.pods import Pod
from pilotage_kube.resource import ObjectKey

Label = tuple[str, str]
_NO_POOLS: Final[tuple[str, ...]] = ()


@dataclass(slots=True)
class Effect:
    """What a change of one pod means for picks."""

    pools: tuple[str, ...] = ()
    """Pools that have other members now, or members in another state."""
    drain: tuple[str, ...] = ()
    """Addresses that must get no new request from now on."""
    restore: tuple[str, ...] = ()
    """Addresses that may again."""


@dataclass(slots=True)
class _Seen:
    pod: Pod
    was_ready: bool
    pools: tuple[str, ...]


@dataclass(slots=True)
class _Rule:
    """One pool's way to choose pods."""

    pool: str
    namespace: str
    labels: frozenset[Label]
    ports: tuple[int, ...]
    members: dict[ObjectKey, None] = field(default_factory=dict)
    addresses: tuple[str, ...] | None = None
    """Of ready members; None where it must be found anew."""

    def asks(self) -> tuple[frozenset[Label], tuple[int, ...]]:
        """What it chooses by."""
        return self.labels, self.ports


class PodSelection:
    """Pods by pool, and their addresses.

    A pod that was ready once and is not now stays known: what was learned of its caches, and Envoy's
    knowledge of it, need not be built up again when it is back. One that was never ready is not known.
    """

    def __init__(self) -> None:
        self._pods: dict[ObjectKey, _Seen] = {}
        self._rules: dict[str, _Rule] = {}
        self._by_label: dict[str, dict[Label, list[_Rule]]] = {}
        """By namespace, each rule under the label of it that fewest rules there ask for."""
        self._ready_at: Counter[str] = Counter()
        """Ready pods by IP address: those on the host's network share one."""

    def follow(self, pools: Iterable[PoolSnapshot]) -> None:
        """Choose pods for exactly these pools; pools without a selector are passed over."""
        rules: dict[str, _Rule] = {}
        for pool in pools:
            if pool.selector:
                labels = frozenset(pool.selector.items())
                rules[pool.key] = _Rule(pool.key, namespace_of(pool), labels, pool.target_ports)
        if {key: rule.asks() for key, rule in rules.items()} == {
            key: rule.asks() for key, rule in self._rules.items()
        }:
            return
        self._rules = rules
        self._by_label = _by_rarest_label(rules.values())
        for key, seen in self._pods.items():
            seen.pools = self._matching(key.namespace, seen.pod)
            for name in seen.pools:
                rules[name].members[key] = None

    def put(self, key: ObjectKey, pod: Pod | None) -> Effect:
        """A pod is like this now, or gone."""
        seen = self._pods.get(key)
        old = None if seen is None else seen.pod
        left = _NO_POOLS if seen is None else seen.pools
        joined = _NO_POOLS if pod is None else self._matching(key.namespace, pod)
        for name in left:
            if name not in joined:
                self._rules[name].members.pop(key, None)
        for name in joined:
            self._rules[name].members[key] = None
        touched = tuple(dict.fromkeys((*left, *joined)))
        for name in touched:
            self._rules[name].addresses = None
        if pod is None:
            self._pods.pop(key, None)
        else:
            same = old is not None and old.uid == pod.uid
            was_ready = pod.ready or (same and seen is not None and seen.was_ready)
            self._pods[key] = _Seen(pod, was_ready, joined)
        return self._effect(old, pod, left, joined, touched)

    def _effect(
        self,
        old: Pod | None,
        pod: Pod | None,
        left: tuple[str, ...],
        joined: tuple[str, ...],
        touched: tuple[str, ...],
    ) -> Effect:
        before = old.ip if old is not None and old.ready else ""
        after = pod.ip if pod is not None and pod.ready else ""
        if before == after:
            return Effect(touched if left != joined or _known(old) != _known(pod) else ())
        effect = Effect(touched)
        if before:
            self._ready_at[before] -= 1
            if self._ready_at[before] <= 0:
                del self._ready_at[before]
                effect.drain = tuple(self._ports_at(before, left))
        if after:
            self._ready_at[after] += 1
            effect.restore = tuple(self._ports_at(after, joined))
        return effect

    def addresses(self, pool: str) -> tuple[str, ...]:
        """`ip:port` of the pool's ready pods, every target port of each."""
        rule = self._rules.get(pool)
        if rule is None:
            return ()
        if rule.addresses is None:
            pods = (self._pods[key].pod for key in rule.members)
            rule.addresses = tuple(
                dict.fromkeys(join(pod.ip, port) for pod in pods if pod.ready for port in rule.ports)
            )
        return rule.addresses

    def draining(self, pool: str) -> tuple[str, ...]:
        """Addresses of its pods that were ready, are not now, and may be again."""
        rule = self._rules.get(pool)
        if rule is None:
            return ()
        seen = (self._pods[key] for key in rule.members)
        return tuple(
            join(one.pod.ip, port)
            for one in seen
            if one.was_ready and not one.pod.ready and not one.pod.leaving and one.pod.ip
            for port in rule.ports
        )

    def total(self, pool: str) -> int:
        """Servers the pool's pods are or will be: ports of all that have not been told to go or ended."""
        rule = self._rules.get(pool)
        if rule is None:
            return 0
        return len(rule.ports) * sum(not self._pods[key].pod.leaving for key in rule.members)

    def namespaces(self) -> frozenset[str]:
        """Where pods must be watched."""
        return frozenset(rule.namespace for rule in self._rules.values())

    def forget_namespace(self, namespace: str) -> None:
        """Pods there are not watched any more."""
        for key in [key for key in self._pods if key.namespace == namespace]:
            self.put(key, None)

    def _matching(self, namespace: str, pod: Pod) -> tuple[str, ...]:
        by_label = self._by_label.get(namespace)
        if not by_label:
            return _NO_POOLS
        labels = pod.labels.items()
        return tuple(
            rule.pool for label in labels for rule in by_label.get(label, ()) if rule.labels <= labels
        )

    def _ports_at(self, ip: str, pools: Iterable[str]) -> Iterator[str]:
        for name in pools:
            for port in self._rules[name].ports:
                yield join(ip, port)


def _known(pod: Pod | None) -> tuple[str, bool, bool] | None:
    """What of a pod matters to a pool while it is not ready."""
    return None if pod is None else (pod.ip, pod.leaving, pod.ready)


def _by_rarest_label(rules: Iterable[_Rule]) -> dict[str, dict[Label, list[_Rule]]]:
    found: dict[str, dict[Label, list[_Rule]]] = {}
    of_namespace: dict[str, list[_Rule]] = {}
    for rule in rules:
        of_namespace.setdefault(rule.namespace, []).append(rule)
    for namespace, members in of_namespace.items():
        asked = Counter(label for rule in members for label in rule.labels)
        by_label: dict[Label, list[_Rule]] = found.setdefault(namespace, {})
        for rule in members:
            rarest = min(rule.labels, key=lambda label: (asked[label], label))
            by_label.setdefault(rarest, []).append(rule)
    return found


def namespace_of(pool: PoolSnapshot) -> str:
    """Where a pool's pods are: the namespace in its key, which may have a kind before it."""
    return pool.key.split("/")[-2]


def join(ip: str, port: int) -> str:
    """An Envoy address."""
    return f"{bracketed(ip)}:{port}"
