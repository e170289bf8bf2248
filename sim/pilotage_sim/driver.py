"""Runs an engine in real time: each step sleeps as long as it takes, then hands its tokens out."""

import asyncio
from dataclasses import dataclass, field

from pilotage_sim.engine.core import Emitted, Engine, Sequence
from pilotage_sim.faults import Faults


@dataclass(slots=True)
class Answer:
    """Tokens of one request as they come."""

    sequence: Sequence
    events: "asyncio.Queue[Emitted | None]" = field(default_factory=asyncio.Queue)
    """None means the server died."""

    @property
    def id(self) -> str:
        """The request's id."""
        return self.sequence.id

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return self.sequence.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens found in the cache; known once the request runs."""
        return self.sequence.cached


class EngineDriver:
    """One engine and its clock."""

    def __init__(self, engine: Engine, faults: Faults, time_scale: float) -> None:
        self.engine = engine
        self._faults = faults
        self._time_scale = time_scale
        self._answers: dict[str, Answer] = {}
        self._task: asyncio.Task[None] | None = None

    def submit(
        self, request_id: str, prompt: bytes, max_tokens: int, model: str, adapter: str | None
    ) -> Answer:
        """Queue a request; its tokens come through the answer."""
        sequence = self.engine.add(request_id, prompt, max_tokens, model=model, adapter=adapter)
        answer = self._answers[request_id] = Answer(sequence)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        return answer

    def abort(self, request_id: str) -> None:
        """The client is gone."""
        if self._answers.pop(request_id, None) is not None:
            self.engine.abort(request_id)

    async def _run(self) -> None:
        """Step while there is work; an idle engine has no task and costs nothing."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self.engine.idle:
            result = self.engine.step()
            # sleep to a due time, not for a time: lateness of one step shortens the next
            due = max(due, loop.time() - 0.05) + result.seconds * self._faults.slow * self._time_scale
            await asyncio.sleep(max(0.0, due - loop.time()))
            for emitted in result.emitted:
                answer = self._answers.get(emitted.id)
                if answer is None:
                    continue
                answer.events.put_nowait(emitted)
                if emitted.finished:
                    del self._answers[emitted.id]

    async def stop(self) -> None:
        """Die: every request ends without its answer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for answer in self._answers.values():
            answer.events.put_nowait(None)
        self._answers.clear()
