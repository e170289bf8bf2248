"""Whether a text stands in a fenced block of Markdown that clients render: HTML, SVG, scripts, diagrams."""

import re
from typing import Final

_FENCE: Final = re.compile(r"((?:[\s>]|[-*+](?=\s)|[0-9]{1,9}[.)](?=\s))*+)(`{3,}|~{3,})(.*)", re.DOTALL)
"""In quotes and lists too."""
_IN_QUOTE: Final = re.compile(r"[\s>]*")
_RENDERED: Final = re.compile(
    r"(?<![a-z0-9])(?:x?html?|svg|xml|mathml|css|s[ac]ss|less|js|jsx|mjs|ts|tsx|javascript|typescript|react|vue"
    r"|svelte|astro|mermaid|dot|graphviz|plantuml|vega|vega-lite|echarts|geojson|latex|tex|katex|math|mdx"
    r"|markdown|md|artifact|canvas)(?![a-z0-9])",
    re.IGNORECASE,
)
_LONGEST_LINE: Final = 512


class CodeFence:
    """Follows one text, line by line."""

    def __init__(self) -> None:
        self._line = ""
        self._fence = ""
        self._indent = 0
        self._is_rendered = False

    @property
    def is_rendered(self) -> bool:
        """Whether what stands here is not shown as it is written, or says which language follows."""
        if self._fence:
            return self._is_rendered
        return _FENCE.fullmatch(self._line) is not None

    def saw(self, text: str) -> None:
        """The text goes on."""
        *lines, rest = text.split("\n")
        for line in lines:
            self._ended((self._line + line)[:_LONGEST_LINE])
            self._line = ""
        self._line = (self._line + rest)[:_LONGEST_LINE]

    def _ended(self, line: str) -> None:
        found = _FENCE.fullmatch(line)
        if found is None:
            return
        before, marks, info = found.groups()
        if not self._fence:
            self._fence, self._indent = marks, len(before)
            self._is_rendered = _RENDERED.search(info) is not None
        elif (
            marks.startswith(self._fence)
            and not info.strip()
            and _IN_QUOTE.fullmatch(before) is not None
            and len(before) <= self._indent + 3
        ):
            self._fence = ""
