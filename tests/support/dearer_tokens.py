"""Answers that tell tokens apart which have prices of their own, and what is read of them."""

from pilotage_extproc.domain.outcome import TokenUsage

DEARER = [
    (
        b'{"usage":{"input_tokens":9,"output_tokens":4,"cache_creation_input_tokens":5,'
        b'"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":3}}}',
        TokenUsage(14, 4, None, 5, None, 3),
    ),
    (
        b'{"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":0,'
        b'"audio_tokens":6},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":2}}}',
        TokenUsage(9, 4, 0, None, 0, None, 6, 2),
    ),
    (
        b'{"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":0,'
        b'"cache_write_tokens":6,"cache_write_hour_tokens":5}}}',
        TokenUsage(9, 4, 0, 6, None, 5),
    ),
    (
        b'{"usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},'
        b'"output_tokens":45,"total_tokens":59}}',
        TokenUsage(14, 45, None, None, None, None, 14),
    ),
]
"""Tokens with prices of their own: Anthropic's cache for an hour, OpenAI's sound, translated answers,
transcriptions."""
