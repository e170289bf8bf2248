"""A request as the pipeline sees it, free of Envoy's messages."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.domain.vouched import NOT_VOUCHED, Vouched

OBJECTIVE_HEADERS: Final = ("x-llm-d-inference-objective", "x-gateway-inference-objective")
"""Name of the request's InferenceObjective; the first that is there counts."""


class CallKind(StrEnum):
    """Which API call a request is; `dialects/table.py` says what is known of each."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"
    """Anthropic messages."""
    COUNT_TOKENS = "count_tokens"
    """Anthropic: how many tokens a message would be."""
    RERANK = "rerank"
    SCORE = "score"
    CLASSIFY = "classify"
    POOLING = "pooling"
    TOKENIZE = "tokenize"
    DETOKENIZE = "detokenize"
    TRANSCRIPTIONS = "transcriptions"
    TRANSLATIONS = "translations"
    MODELS = "models"
    """`GET /v1/models`: answered by the gateway."""
    MODEL = "model"
    """`GET /v1/models/{id}`: answered by the gateway."""
    RESPONSE_OBJECT = "response_object"
    """A call on a stored response: `GET`, `DELETE` or `POST …/cancel` of `/v1/responses/{id}`."""
    OPTIONS = "options"
    """Which methods a path takes: answered by the gateway."""
    OTHER = "other"


@dataclass(slots=True)
class RequestHead:
    """What is known before the body."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """Lower-case names; of a repeated header the values are joined by a comma."""
    subset: tuple[str, ...] | None = None
    """`ip:port` addresses the gateway allows, without a port any port of one; None means all."""
    envoy: str | None = None
    """Name of the bundled Envoy that asks; None for a third-party gateway."""
    pool: str | None = None
    """Key of the pool that the gateway has fixed, as the port it asks on says; None leaves it open."""
    reach: Reach = Reach.SECRETS
    """Which hosted providers the gateway that asks can send it to."""
    received_at: float = 0.0
    """Monotonic seconds."""
    answer_passes: bool = True
    """Whether the gateway sends the answer through the picker, should a policy ask for that."""
    vouched: Vouched = NOT_VOUCHED
    """What the gateway itself says of the client."""

    @property
    def objective(self) -> str | None:
        """The InferenceObjective that the client names."""
        for name in OBJECTIVE_HEADERS:
            if objective := self.headers.get(name):
                return objective
        return None
