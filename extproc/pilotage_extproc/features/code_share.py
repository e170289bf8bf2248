"""How much of a text is source code, by the shape of its lines."""

import re
from typing import Final

_FENCE: Final = b"```"
_CODE_LINE: Final = re.compile(
    rb"""\s*(?:
      (?:def|class|async\ def)\s+\w+\s*[(:]                     # Python
    | (?:from\s+[\w.]+\s+)?import\s+[\w.{*'"]                   # imports
    | (?:public|private|protected|static|final|export|pub)\s+\w+
    | (?:function|func|fn)\s+\w*\s*[(<]
    | (?:var|let|const)\s+[\w{\[]+[^=]{0,60}=
    | (?:if|for|while|switch|catch)\s*\(.{0,200}\)\s*\{?$
    | (?:if|elif|for|while|with|try|except|else)\b.{0,200}:$
    | (?:return|raise|throw|yield|await|print|console\.log)\b[\s(].{0,200}[)\];,\w"']$
    | \#\s*include\b | \#!/ | @[\w.]+(?:\(.{0,80}\))?$
    | (?:select|insert\ into|update|delete\ from|create\ table|alter\ table)\s.{0,200}\b(?:from|values|set|\()
    | (?:\$|>>>|\.\.\.)\s\S
    | [\w.\[\]"'*]{1,60}\s(?:=|\+=|-=|:=)\s\S.{0,200}$             # assignments
    | [\w.>:-]{1,80}\(.{0,200}\)\s*[;{]?$                          # calls
    | .{0,200}[;{]\s*(?://|$) | [})\]]+[;,]?$ | </?\w+[^>]{0,80}>
    | "[\w-]+"\s*:\s.{0,200}
    | \w+Error:\s | Traceback\ \( | at\ [\w.$]+\(
    )""",
    re.VERBOSE | re.IGNORECASE,
)
"""Every repetition of any character has a bound, so a line costs at most a few hundred steps."""
_SIGNS: Final = b"({[;=<>#@$"
_LAST: Final = b":,)}]"
_FIRST: Final = frozenset(
    b"import from return raise throw yield await public private protected static final export pub"
    b" select insert update delete create alter traceback ...".split()
)
"""Every line that the pattern above matches has one of these: most prose has none."""
_LONGEST_LINE: Final = 300
"""A longer line is prose, or minified."""


def code_share(text: bytes) -> float:
    """Share of the text's non-blank lines, by bytes, that are code: 0 to 1; 0 of an empty text.

    What stands between fences (three backticks) is code.
    """
    code = total = 0
    fenced = False
    for line in text.split(b"\n"):
        stripped = line.strip()
        if not stripped:
            continue
        total += len(stripped)
        if stripped.startswith(_FENCE):
            fenced = not fenced
            code += len(stripped)
        elif fenced or (len(stripped) <= _LONGEST_LINE and _is_code(stripped)):
            code += len(stripped)
    return code / total if total else 0.0


def _is_code(line: bytes) -> bool:
    perhaps = (
        len(line.translate(None, _SIGNS)) < len(line)
        or line[-1] in _LAST
        or line.startswith(b'"')
        or (first := line.split(None, 1)[0].lower()) in _FIRST
        or first.endswith(b"error:")
    )
    return perhaps and _CODE_LINE.match(line) is not None
