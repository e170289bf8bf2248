"""A request's body, parsed: what is read of it; the rest is the model server's business."""

from dataclasses import dataclass, field
from typing import Any, Final

from pilotage_extproc.dialects.forms import Form


@dataclass(slots=True)
class Document:
    """What is known of a body that is ours; lives as long as its request is decided on."""

    model: str
    """Empty where the call may do without one and does."""
    stream: bool
    members: dict[str, Any] = field(default_factory=dict)
    """All of a JSON body, parsed; the short text fields of a form."""
    stream_options: Any = None
    """As the client wrote it; None also where it is missing."""
    has_stream_options: bool = False
    previous_response_id: str | None = None
    form: Form | None = None
    """Where a form's fields stand; None of a JSON body."""


NO_DOCUMENT: Final = Document("", False)
"""Of a request without a body that is ours."""
