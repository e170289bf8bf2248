"""Names of the features that a prompt's text tells."""

from typing import Final

DOMAIN: Final = "prompt.domain"
DOMAIN_CONFIDENCE: Final = "prompt.domainConfidence"
STRONG_GAIN: Final = "prompt.strongGain"
GAIN_CONFIDENCE: Final = "prompt.strongGainConfidence"
LANGUAGE: Final = "prompt.language"
CODE: Final = "prompt.code"
KEYWORDS: Final = "prompt.keywords"
"""Of all keyword sets together: the names of those that hold."""

OF_TEXT: Final = frozenset({DOMAIN, DOMAIN_CONFIDENCE, STRONG_GAIN, GAIN_CONFIDENCE, LANGUAGE, CODE})
"""What the text alone tells, whatever policies there are."""
ALL: Final = OF_TEXT | {KEYWORDS}
"""All of them."""
