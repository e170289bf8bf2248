"""OpenAI audio: transcriptions and translations, sent as forms.

https://platform.openai.com/docs/api-reference/audio
"""

from dataclasses import replace
from typing import Final

from pilotage_extproc.dialects.call import BodyForm, Dialect, Facts
from pilotage_extproc.dialects.conversation import Media
from pilotage_extproc.domain.head import CallKind

TRANSCRIPTIONS: Final = Dialect(
    kind=CallKind.TRANSCRIPTIONS,
    paths=("/v1/audio/transcriptions",),
    body=BodyForm.MULTIPART,
    model_required=False,
    facts=Facts(media=lambda _: Media(audio=1)),
    streams=True,
)

TRANSLATIONS: Final = replace(TRANSCRIPTIONS, kind=CallKind.TRANSLATIONS, paths=("/v1/audio/translations",))
