"""How long prompts and answers are."""

import bisect
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class TotalTokens:
    """Total tokens of a request, from a trace's cumulative distribution."""

    tokens: tuple[float, ...]
    shares: tuple[float, ...]

    def draw(self, chance: Random) -> int:
        """Linear between the points of the distribution."""
        share = chance.random() * self.shares[-1]
        index = bisect.bisect_left(self.shares, share)
        if index == 0:
            low, low_share = 8.0, 0.0
        else:
            low, low_share = self.tokens[index - 1], self.shares[index - 1]
        high, high_share = self.tokens[index], self.shares[index]
        part = (share - low_share) / (high_share - low_share) if high_share > low_share else 1.0
        return round(low + part * (high - low))


@cache
def total_tokens(trace: str) -> TotalTokens:
    """`azure`, `lmsys` or `agent_heavy`."""
    raw = json.loads((_DATA / f"{trace}_cdf.json").read_text())
    points = raw["cdf"] if isinstance(raw, dict) else raw
    return TotalTokens(tuple(float(tokens) for tokens, _ in points), tuple(share for _, share in points))


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Tokens with a mean and a long tail."""

    mean: float
    sigma: float = 0.8
    least: int = 8
    most: int = 2048

    def draw(self, chance: Random) -> int:
        mu = math.log(self.mean) - self.sigma**2 / 2
        return max(self.least, min(self.most, round(chance.lognormvariate(mu, self.sigma))))


ANSWER = LogNormal(215.0)
"""LMSYS-Chat-1M counts 214.5 tokens an answer (arXiv:2309.11998, table 1)."""
LATER_QUESTION = LogNormal(70.0)
"""The same table: 69.5 tokens a prompt."""
