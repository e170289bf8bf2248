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
_BEGINS: Final = frozenset(
    b"def cla asy fro imp pub pri pro sta fin exp fun var let con for whi swi cat eli wit try exc els ret rai"
    b" thr yie awa sel ins upd del cre alt tra".split()
) | {word + bytes((byte,)) for word in (b"fn", b"if", b"at") for byte in range(256)}
"""Three bytes that lines begin with where the pattern wants a word first."""
_BEGIN_SIGNS: Final = b'#@$>.})]<"'
_END_SIGNS: Final = b");{"
_EQUALS: Final = ord("=")
_SLASHES: Final = b"//"
_ERROR: Final = b"error:"
_LONGEST_LINE: Final = 300
"""A longer line is prose, or minified."""


def code_share(text: bytes) -> float:
    """Share of the text's non-blank lines, by bytes, that are code: 0 to 1; 0 of an empty text.

    What stands between fences (three backticks) is code.
    """
    text = text.lower()  # the pattern has no case
    lines = [line for line in map(bytes.strip, text.split(b"\n")) if line]
    total = sum(map(len, lines))
    code = 0
    if _FENCE in text:
        lines, code = _without_fenced(lines)
    seldom = tuple(sign for sign in (_SLASHES, _ERROR) if sign in text)
    # most lines of prose are told by these alone, at a quarter of what the rest takes
    perhaps = [
        line
        for line in lines
        if line[:3] in _BEGINS
        or line[-1] in _END_SIGNS
        or line[0] in _BEGIN_SIGNS
        or _EQUALS in line
        or (seldom and any(sign in line for sign in seldom))
    ]
    code += sum(len(line) for line in perhaps if len(line) <= _LONGEST_LINE and _is_code(line))
    return code / total if total else 0.0


def _without_fenced(lines: list[bytes]) -> tuple[list[bytes], int]:
    """The lines outside of fences, and how many bytes the others have."""
    outside, code, fenced = [], 0, False
    for line in lines:
        fence = line.startswith(_FENCE)
        fenced ^= fence
        if fenced or fence:
            code += len(line)
        else:
            outside.append(line)
    return outside, code


def _is_code(line: bytes) -> bool:
    perhaps = (
        len(line.translate(None, _SIGNS)) < len(line)
        or line[-1] in _LAST
        or line.startswith(b'"')
        or (first := line.split(None, 1)[0]) in _FIRST
        or first.endswith(_ERROR)
    )
    return perhaps and _CODE_LINE.match(line) is not None
