"""Recall and precision of each detector, CPU by size and by chunk of an answer, and how long others wait:
python -m bench.content.

The corpus is committed (`make_corpus.py` wrote it). `--prompts FILE` adds prompts of your own, one JSON
string or object with `text` or `prompt` a line, of which the share that is flagged is shown. `--answers`
measures answers alone, and keeps the other results. Times are CPU seconds of the thread, so a busy machine
changes them little.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.content.answers import measure
from bench.content.make_corpus import CORPUS, KINDS
from pilotage_api.guards_snapshot import Action, ContentRuleSnapshot
from pilotage_extproc.content.guard import ContentGuard, Kept, Toolbox
from pilotage_extproc.content.placeholders import Placeholders
from pilotage_extproc.content.scan import TooMuchToCheckError
from pilotage_extproc.server.garbage import tune_garbage_collection
from pilotage_extproc.stages.turns import in_turns

RESULTS = Path(__file__).parents[1] / "results" / "content.json"
_TYPICAL = (
    "The quick brown fox jumps over 12 lazy dogs; it costs 3.50 dollars since 2026-11-28, at 10:30.\n"
    "def total(items): return sum(one.price for one in items)  # see https://docs.example.org/a/b?c=1\n"
)
_MAIL = "and what else people write in a mail, with nothing to find in this line;\n"
_HOSTILE = {
    "digits in groups": "4 1 1 1 ",
    "cards with a wrong check digit": "4111 1111 1111 1112, ",
    "phone numbers that are none": "+1 202 055 0199 ",
    "addresses without an end": "a@b ",
    "long local parts": "a" * 63 + "@ ",
    "tokens in base64": "QUJDREVGR0hJSktMTU5PUFFSU1Q ",
    "Chinese": "价格是多少钱呢，",
    "letters of other scripts": "а@е ",
    "addresses, more than are checked": "a@b.example ",
    "addresses, as many as are checked": "somebody@mail.example, " + _MAIL * 2,
    "addresses beyond ASCII": "x@mail.exampl\u00e9.example, \u00fcber alles, " + _MAIL * 2,
    "look-alikes of placeholders": "[EMAIL_aaaaaaaaaa] " + _MAIL * 2,
    "escapes": '\\"\\n',
}
_MANY = {
    "empty strings": {"a": [""] * 250_000},
    "strings of one character": {"a": ["x"] * 200_000},
    "parts of one character": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "4"}] * 30_000}]
    },
    "keys": {f"k{number}": 1 for number in range(90_000)},
    "JSON in a string": {"a": json.dumps([{'t"': "x\n"}] * 30_000)},
}
"""As many as a body may have."""


def guard(action: Action) -> ContentGuard:
    """All built-in detectors."""
    return ContentGuard((ContentRuleSnapshot(detectors=KINDS, action=action),), (), Toolbox())


def chat(text: str) -> bytes:
    """A chat with one message."""
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": text}]}, ensure_ascii=False
    ).encode()


def kinds_in(text: str, by: ContentGuard) -> set[str]:
    """What is found in a text."""
    kept = Kept(chat(text))
    for _ in by.steps(kept, Placeholders(b"k", b"", b"")):
        pass
    return {one.kind for one in kept.seen}


def quality(by: ContentGuard) -> dict[str, Any]:
    """Recall and precision by detector, over lines of the corpus; the share of benign lines flagged."""
    lines = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    found: Counter[str] = Counter()
    false: Counter[str] = Counter()
    total: Counter[str] = Counter()
    flagged = benign = 0
    for line in lines:
        kinds = kinds_in(line["text"], by)
        benign += line["kind"] is None
        flagged += line["kind"] is None and bool(kinds)
        total[line["kind"]] += 1
        for kind in kinds:
            (found if kind == line["kind"] else false)[kind] += 1
    shown = {
        kind: {
            "lines": total[kind],
            "recall": round(found[kind] / total[kind], 4),
            "precision": round(found[kind] / (found[kind] + false[kind]), 4) if found[kind] else None,
        }
        for kind in KINDS
    }
    return {"detectors": shown, "benignLines": benign, "benignFlagged": round(flagged / benign, 4)}


def own_prompts(path: Path, by: ContentGuard) -> dict[str, Any]:
    """Of prompts of your own: how many are flagged, and by what."""
    kinds: Counter[str] = Counter()
    flagged = count = 0
    for line in path.read_text().splitlines():
        said = json.loads(line)
        text = said if isinstance(said, str) else said.get("text", said.get("prompt", ""))
        found = kinds_in(str(text), by)
        count += 1
        flagged += bool(found)
        kinds.update(found)
    return {"prompts": count, "flagged": round(flagged / max(1, count), 4), "kinds": dict(kinds)}


def cpu(text: str, size: int, by: ContentGuard, repeat: int) -> float:
    """Milliseconds of CPU for a body of about so many bytes: the least of some tries."""
    body = chat((text * (size // len(text.encode()) + 1))[:size])
    times = []
    for _ in range(repeat):
        began = time.thread_time()
        for _ in by.steps(Kept(body), Placeholders(b"k", b"", b"")):
            pass
        times.append(time.thread_time() - began)
    return round(min(times) * 1000, 3)


def filled(text: str, size: int) -> bytes:
    """A chat whose message says a text again and again, in so many bytes."""
    return chat((text * (size // len(text.encode()) + 1))[: size // len(text.encode()) * len(text)])


async def stall(body: bytes, by: ContentGuard) -> dict[str, Any]:
    """What another task waits at most while such a body is looked at, in milliseconds of CPU."""
    longest, done = 0.0, False

    async def other() -> None:
        nonlocal longest
        last = time.thread_time()
        while not done:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest = max(longest, now - last)
            last = now

    waiting = asyncio.create_task(other())
    await asyncio.sleep(0)
    began, end = time.thread_time(), "looked at"
    try:
        work = in_turns(by.steps(Kept(body), Placeholders(b"k", b"", b"")), lambda: None)
        if work is not None:
            await work
    except TooMuchToCheckError:
        end = "given up"
    spent = time.thread_time() - began
    await asyncio.sleep(0)
    done = True
    await waiting
    return {"longestMs": round(longest * 1000, 2), "cpuMs": round(spent * 1000, 1), "end": end}


def main() -> None:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=Path, help="prompts of your own, JSON lines")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--answers", action="store_true", help="answers alone")
    options = parser.parse_args()
    if options.answers:
        write({**json.loads(options.out.read_text()), "answers": measure()}, options.out)
        return
    flags, redacts = guard("flag"), guard("redact")
    tune_garbage_collection()  # as in a picker
    results: dict[str, Any] = {"quality": quality(flags)}
    if options.prompts is not None:
        results["ownPrompts"] = own_prompts(options.prompts, flags)
    sizes = {"2 KB": 2048, "220 KB": 220 * 1024, "1 MB": 1 << 20}
    results["cpuMs"] = {
        "nothing in it": {name: cpu(_TYPICAL, size, flags, 5) for name, size in sizes.items()},
        "an address every 2 KB, replaced": {
            name: cpu(_TYPICAL * 10 + "anna@mail.example\n", size, redacts, 3) for name, size in sizes.items()
        },
    }
    results["stalls"] = {
        name: asyncio.run(stall(body, redacts))
        for name, body in {
            **{name: filled(text, 1 << 20) for name, text in {"typical": _TYPICAL, **_HOSTILE}.items()},
            **{name: json.dumps(value).encode() for name, value in _MANY.items()},
        }.items()
    }
    results["answers"] = measure()
    write(results, options.out)


def write(results: dict[str, Any], out: Path) -> None:
    """Print, and write down."""
    text = json.dumps(results, indent=2, ensure_ascii=False)
    print(text)
    out.write_text(text + "\n")


if __name__ == "__main__":
    main()
