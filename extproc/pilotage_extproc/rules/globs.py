"""Globs over names that clients choose: matched in time linear in the name."""

import re


def glob_pattern(glob: str) -> "re.Pattern[str]":
    """`*` is any run of characters, `?` is one; everything else is itself.

    What stands between two stars is taken where it first fits and never tried elsewhere (an atomic
    group): that finds the same names, and a client's long name cannot make the match try all ways
    to share it among the stars.
    """
    first, *rest = ("".join("." if c == "?" else re.escape(c) for c in run) for run in glob.split("*"))
    if not rest:
        return re.compile(f"(?s:{first})\\Z")
    between = "".join(f"(?>.*?{run})" for run in rest[:-1])
    return re.compile(f"(?s:{first}{between}.*{rest[-1]})\\Z")
