"""How an answer is to be written, as a request leaves it for the script that reads the answer."""

from typing import Final

ANSWER_AS: Final = "answer_as"
"""Key: the kind of call that the caller made: `chat`, `messages` or `responses`."""
USAGE_WANTED: Final = "usage"
"""Key: there (with `YES`) where the caller's stream has its usage in the last chunk."""
THINKING_WANTED: Final = "thinking"
"""Key: there (with `YES`) where the caller asked to see what the model thinks."""
STREAM_WANTED: Final = "stream"
"""Key: there (with `YES`) where the caller asked for a stream."""
NOTES: Final = "notes"
"""Key: what was not carried as it was: names of fields, never their text."""
MOVED: Final = "moved"
"""Key, of a request that was not translated: how its lists differ from the client's (`moved_text`)."""
YES: Final = "1"
BETWEEN_NOTES: Final = "; "
