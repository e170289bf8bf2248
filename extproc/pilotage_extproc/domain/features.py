"""What scheduling may know of a request: sizes, hashes and names, no text."""

from typing import NamedTuple

from pilotage_extproc.domain.prompt_blocks import PromptBlocks

DEFAULT_BYTES_PER_TOKEN = 4.0
"""Of prompt text, until the engine's own counts have told better."""


class RequestFeatures(NamedTuple):
    """One request, as scorers see it."""

    prompt: PromptBlocks | None = None
    """None where no scorer of the profile asks for it, or the call has no prompt."""
    bytes_per_token: float = DEFAULT_BYTES_PER_TOKEN
    """Prompt bytes a token, of this model: learned."""
    session: int | None = None
    """Hash of what the client calls its session."""
    skipped: tuple[str, ...] = ()
    """`step: why` of what could not be computed; the decision is made without it."""

    @property
    def prompt_tokens(self) -> float:
        """An estimate; 0 where the prompt is not known."""
        return 0.0 if self.prompt is None else self.prompt.prompt_bytes / self.bytes_per_token


NO_FEATURES = RequestFeatures()
