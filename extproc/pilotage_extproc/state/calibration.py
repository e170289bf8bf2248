"""How many bytes of prompt a token has, by model: learned from the token counts engines answer with."""

from collections import OrderedDict

from pilotage_extproc.domain.features import DEFAULT_BYTES_PER_TOKEN

_MOST_MODELS = 1024
_SHORTEST_PROMPT_BYTES = 512
"""Of shorter prompts the chat template is a large part of the tokens."""
_LEAST, _MOST = 0.5, 16.0
"""A count outside of this is no text: media, or an engine that counts something else."""
_LEARNING_RATE = 0.05


class TokenCalibration:
    """Bytes a token, a moving average by upstream model."""

    def __init__(self) -> None:
        self._ratios: OrderedDict[str, float] = OrderedDict()

    def bytes_per_token(self, model: str) -> float:
        """The estimate for a model."""
        return self._ratios.get(model, DEFAULT_BYTES_PER_TOKEN)

    def observe(self, model: str, prompt_bytes: int, input_tokens: int) -> None:
        """An engine counted so many tokens in a prompt of so many bytes."""
        if prompt_bytes < _SHORTEST_PROMPT_BYTES or input_tokens <= 0:
            return
        ratio = prompt_bytes / input_tokens
        if not _LEAST <= ratio <= _MOST:
            return
        known = self._ratios.get(model, ratio)  # the first count is better than the default
        self._ratios[model] = known + _LEARNING_RATE * (ratio - known)
        self._ratios.move_to_end(model)
        if len(self._ratios) > _MOST_MODELS:
            self._ratios.popitem(last=False)
