"""The script with one request of each call, run against a gateway on the example pools."""

import asyncio
import shutil
from pathlib import Path

import pytest
from examples_rig import EXAMPLES, ExamplesRig

from pilotage_extproc.dialects.table import CALLS

SCRIPT = EXAMPLES / "calls" / "calls.sh"
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the script needs curl")


async def run(*arguments: str) -> tuple[int, str]:
    """Its exit code and what it showed."""
    process = await asyncio.create_subprocess_exec(
        str(SCRIPT), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    shown, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, shown.decode()


async def test_every_path_of_every_call_is_asked_and_answered(tmp_path: Path):
    rig = ExamplesRig(tmp_path / "quickstart", name="quickstart")
    await rig.start()
    try:
        code, shown = await run(rig.url, "small")
        assert code == 0, shown
        paths = {path for call in CALLS for path in call.paths}
        assert {one["request"]["path"] for one in rig.decisions()} == paths
        assert {one["request"]["kind"] for one in rig.decisions()} == {call.kind.value for call in CALLS}
        await rig.until(lambda: all(one["outcome"] is not None for one in rig.decisions()))
        assert {one["outcome"]["status"] for one in rig.decisions()} == {200}
        assert shown.count("\nGET /v1/models") == 4
        code, shown = await run(rig.url, "none")
        assert code != 0
        assert "model_not_found" in shown
    finally:
        await rig.stop()
