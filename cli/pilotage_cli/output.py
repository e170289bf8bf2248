"""Where a command that runs on prints to."""

import errno
import os
import sys
from pathlib import Path
from typing import Never

from rich.console import Console


class Output(Console):
    """A console whose reader may leave: then BrokenPipeError ends the command in order.

    The library's own way is SystemExit, which in a task ends the event loop before anything is stopped.
    """

    def __init__(self, *, stderr: bool = False, columns: int | None = None) -> None:
        """`columns` of what is printed; those of the terminal when omitted."""
        super().__init__(stderr=stderr, soft_wrap=True, width=columns)

    def on_broken_pipe(self) -> Never:
        """Print nowhere from now on, and say so to the caller. Raises BrokenPipeError."""
        self.quiet = True
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), (sys.stderr if self.stderr else sys.stdout).fileno())
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output any more")
