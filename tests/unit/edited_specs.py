"""Specs of pools and policies that edits are made of: some hang together, some are refused."""

from hypothesis import strategies as st

MODELS = ("m0", "m1", "m2", "sql")


def models(names, **facts):
    return [{"name": name, **facts} for name in names]


POOLS = st.fixed_dictionaries(
    {
        "selector": st.just({"matchLabels": {"app": "x"}}),
        "targetPorts": st.just([8000]),
        "models": st.lists(st.sampled_from(MODELS[:3]), min_size=1, max_size=2, unique=True).flatmap(
            lambda names: st.sampled_from(
                [
                    models(names),
                    models(names, contextWindow=4096, capabilities=["tools"]),
                    models(names, pricing={"inputPerMillion": "1", "outputPerMillion": "2"}),
                    [{"name": names[0], "adapters": [{"name": "sql"}]}],
                    [{"name": names[0], "aliases": ["m1"]}],
                    "no list",
                ]
            )
        ),
    },
    optional={
        "allowedNamespaces": st.sampled_from(
            [{"from": "All"}, {"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}]
        ),
        "engine": st.sampled_from(["vllm", "sglang"]),
    },
)
CANDIDATES = st.lists(
    st.sampled_from([*MODELS, "nobody"]).map(lambda name: {"model": name}),
    min_size=1,
    max_size=2,
    unique_by=str,
)
RULES = st.fixed_dictionaries(
    {"candidates": CANDIDATES},
    optional={
        "when": st.sampled_from(
            ['poolSaturation("p0") > 0.5', "request.stream", "true", 'poolSaturation("p9") > 1.0']
        ),
        "fallback": CANDIDATES.map(lambda to: {"reasons": ["serverError", "contextOverflow"], "to": to}),
        "require": st.just({"poolLabels": {"trust": "own"}}),
    },
)
POLICIES = st.fixed_dictionaries(
    {
        "match": st.sampled_from([{"models": ["auto"]}, {"models": ["a*", "m0"]}, {}]),
        "rules": st.lists(RULES, min_size=1, max_size=2) | st.just("no list"),
    },
    optional={
        "governance": st.sampled_from(
            [
                {"limits": [{"per": "key", "window": "1m", "requests": 5}]},
                {
                    "budgets": [
                        {"per": "policy", "period": "day", "timeZone": "UTC", "usd": "5", "mode": "hard"}
                    ]
                },
                {"kvIsolation": "tenant"},
            ]
        ),
        "scheduling": st.just({"scorers": [{"type": "no-such-plug-in", "weight": 1}]}),
    },
)
LABELS = st.sampled_from([{}, {"b": {"team": "x"}}, {"a": {"team": "x"}, "b": {"team": "y"}}])
