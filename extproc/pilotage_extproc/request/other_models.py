"""Members of a body by which a provider, or a gateway behind it, answers with another model or elsewhere.

No policy was asked about that model, no tenant's list of models has it, and no budget knows its price.
"""

from typing import Final

OTHER_MODEL_MEMBERS: Final = frozenset(
    {
        "fallbacks",  # Anthropic (server-side fallback), LiteLLM
        "context_window_fallbacks",  # LiteLLM
        "content_policy_fallbacks",
        "models",  # OpenRouter
        "route",
        "preset",
        "provider",  # OpenRouter: whose servers, and at which price
        "providerOptions",  # Vercel: models, and whose servers
        "provider_options",
        "compound_custom",  # Groq
        "safety_model",  # Together
        "extra_body",  # LiteLLM, Gemini: members that stand beside the others, and are not seen here
    }
)
"""Anthropic: https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback, OpenRouter:
https://openrouter.ai/docs/features/model-routing, LiteLLM: https://docs.litellm.ai/docs/proxy/reliability.
"""
