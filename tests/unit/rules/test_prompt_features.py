"""What predictors leave in an exchange, as objectives read it."""

import pytest

from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.rules.prompt_features import domain_of, gain_of
from pilotage_extproc.scheduling.objective import Gain


def exchange(**features):
    one = Exchange(RequestHead("POST", "/v1/chat/completions", {}))
    for name, value in features.items():
        one.learned(f"prompt.{name}", value)
    return one


def test_nothing_known_falls_back_to_priors():
    assert domain_of(exchange()) is None
    assert gain_of(exchange()) is None


def test_other_is_no_domain():
    assert domain_of(exchange(domain="math")) == "math"
    assert domain_of(exchange(domain="other")) is None


@pytest.mark.parametrize(
    ("features", "gain"),
    [
        ({"strongGain": 0.3, "strongGainConfidence": 0.5}, Gain(0.3, 0.5)),
        ({"strongGain": 3, "strongGainConfidence": 7.0}, Gain(1.0, 1.0)),
        ({"strongGain": -0.2}, Gain(-0.2, 1.0)),
        ({"strongGain": 0.2, "strongGainConfidence": "high"}, Gain(0.2, 0.0)),
        ({"strongGain": "much"}, None),
        ({"strongGain": float("nan")}, None),
    ],
)
def test_a_gain_is_held_to_its_bounds(features, gain):
    assert gain_of(exchange(**features)) == gain
