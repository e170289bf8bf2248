"""A process that ends another one when this process dies, however it dies."""

import asyncio
import os
from pathlib import Path

# Waits for the end of its input, which is held open here and nowhere else. A shell, because a signal at
# the parent's death (prctl) is Linux only, and a second Python would cost 10 MB.
_SCRIPT = """\
read -r pid
read -r nothing
test -n "$pid" && kill "$pid"
folder=$(pwd) && cd / && rm -rf -- "$folder"
"""


class Guardian:
    """Ends one process and removes its folder once nobody is left to do so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._held = -1

    async def start(self) -> None:
        """Watch over the folder from now on."""
        reading, self._held = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                _SCRIPT,
                stdin=reading,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=self._folder,
                start_new_session=True,  # what ends us by our process group must not end it first
            )
        finally:
            os.close(reading)

    def protect(self, pid: int) -> None:
        """Watch over this process too."""
        os.write(self._held, b"%d\n" % pid)

    async def stop(self) -> None:
        """Watch no more; the process has ended or is somebody else's business."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
            os.close(self._held)
