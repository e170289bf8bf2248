"""Features are remembered by text, tenant and what was asked; never too many."""

from pilotage_extproc.features.cache import FeatureCache

DOMAIN = frozenset(["prompt.domain"])


def test_an_entry_is_for_one_tenant_one_text_and_what_was_asked():
    cache = FeatureCache()
    cache.put(cache.digest(b"a", DOMAIN, b"hello"), {"prompt.domain": "law"})
    assert cache.get(cache.digest(b"a", DOMAIN, b"hello")) == {"prompt.domain": "law"}
    for other in (
        (b"b", DOMAIN, b"hello"),
        (b"a", frozenset(["prompt.code"]), b"hello"),
        (b"a", DOMAIN, b"hell"),
    ):
        assert cache.get(cache.digest(*other)) is None


def test_digests_mean_nothing_in_another_process():
    assert FeatureCache().digest(b"", DOMAIN, b"x") != FeatureCache().digest(b"", DOMAIN, b"x")


def test_the_least_recently_used_goes_first():
    cache = FeatureCache(most=2)
    keys = [cache.digest(b"", DOMAIN, text) for text in (b"1", b"2", b"3")]
    cache.put(keys[0], {})
    cache.put(keys[1], {})
    cache.get(keys[0])
    cache.put(keys[2], {})
    assert len(cache) == 2
    assert cache.get(keys[1]) is None
    assert cache.get(keys[0]) == {}
