"""Members of a body by which a client would choose behind the gateway's back; where there is a floor."""

from collections.abc import Awaitable, Iterator
from typing import Any, Final

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.carried_tools import all_tools
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.containers import is_there
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.other_models import OTHER_MODEL_MEMBERS
from pilotage_extproc.request.stage import Step
from pilotage_extproc.stages.turns import in_turns

STEERING_MEMBERS: Final = frozenset(
    OTHER_MODEL_MEMBERS
    | {
        "kv_transfer_params",  # vLLM: whose cached blocks are read, and from which server
        "bootstrap_host",  # SGLang: the same
        "bootstrap_port",
        "bootstrap_room",
        "disaggregated_params",  # TensorRT-LLM: the same
        "data_parallel_rank",
        "routed_dp_rank",  # SGLang: the same
        "disagg_prefill_dp_rank",
        "priority",  # vLLM, SGLang: who is served first
        "rid",  # SGLang: whose request is aborted, or stands in its log
        "request_id",  # vLLM: the same, and by which id a response is stored
        "session_params",  # SGLang: whose session is gone on with
        "session_id",
        "lora_path",  # SGLang: another model than `model` says
        "lora_request",  # TensorRT-LLM: the same
        "lora_id",
        "custom_logit_processor",  # SGLang: code of the client's
        "nvext",  # Dynamo: which workers serve, and a prompt in place of the messages
    }
)
"""Each reaches what no policy was asked about: another server, another's cache or request, another model,
another place in a server's queue.

vLLM: https://docs.vllm.ai/en/latest/serving/openai_compatible_server/, SGLang:
https://github.com/sgl-project/sglang/blob/main/python/sglang/srt/entrypoints/openai/protocol.py.
"""
_MODEL: Final = "model"
_CONTAINER: Final = "container"
_ENVIRONMENT: Final = "environment"
_CONTAINER_ID: Final = "container_id"


class RefuseSteering(Step):
    """Refuses what model servers would follow, and no policy can have allowed."""

    name = "steering"

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Raises RequestRefused (400) that names the member."""
        members = exchange.document.members
        for name in STEERING_MEMBERS & members.keys():
            if members[name] is not None:
                message = f"`{name}` is not served: the gateway chooses servers, caches, models and turns."
                raise RequestRefused(Refusal.INVALID_FIELD, message, param=name)
        for name in members:
            if len(name) == len(_MODEL) and name != _MODEL and name.lower() == _MODEL:
                message = "`model` stands in other letters too, and servers may read either."
                raise RequestRefused(Refusal.INVALID_FIELD, message, param=_MODEL)
        work = _tools_checked(exchange.call.kind, members, is_tenant=bool(exchange.identity.tenant))
        return in_turns(work, lambda: None)


def _tools_checked(kind: CallKind, members: Members, *, is_tenant: bool) -> Iterator[None]:
    """Raises RequestRefused where a tool names the model that it asks, as Anthropic's advisor does.

    Tenants have no tools that run where another's have run.
    """
    for member, tool in all_tools(kind, members):
        if isinstance(tool, dict):
            if tool.get(_MODEL) is not None:
                message = f"A tool in `{member}` names a model of its own: the gateway chooses models."
                raise RequestRefused(Refusal.INVALID_FIELD, message, param=member)
            if is_tenant and (is_there(tool.get(_CONTAINER)) or _runs_in(tool.get(_ENVIRONMENT))):
                message = (
                    f"A tool in `{member}` names a container: let the provider make one for each request."
                )
                raise RequestRefused(Refusal.INVALID_FIELD, message, param=member)
        yield


def _runs_in(environment: Any) -> bool:
    return isinstance(environment, dict) and environment.get(_CONTAINER_ID) is not None
