"""kopf wakes the operator while it leads; nothing depends on it, and it leaves nothing behind."""

import asyncio
import threading

import kopf
from operator_run import idle, policy, pool
from waiting import until

SMALL = pool("small", "llama-8b", aliases=("small",))
AUTO = policy("auto", "auto", "small")


def woken_by(process, source: str) -> float:
    return process.metrics.wakes.labels(source)._value.get()


def kopfs() -> int:
    return sum(one.name == "kopf" for one in threading.enumerate())


async def test_kopf_wakes_the_operator_while_it_leads_and_ends_with_the_lease(operators):
    await operators.apply(SMALL, AUTO)
    operators.pick()
    process = operators.start()
    standby = operators.start()
    await operators.says(AUTO, "True True True")
    if not process.election.leading:
        process, standby = standby, process
    await until(lambda: woken_by(process, "kopf") >= 2)
    assert kopfs() == 1
    before = woken_by(process, "kopf")
    changed = policy("auto", "auto-2", "small")
    await operators.apply(changed)
    await until(lambda: woken_by(process, "kopf") > before)
    found = await operators.says(changed, "True True True")
    assert "annotations" not in found["metadata"]
    assert "finalizers" not in found["metadata"]
    await operators.end(process)
    await operators.end(standby)
    await until(lambda: kopfs() == 0, 10)


async def test_tasks_of_this_process_outlive_kopf(operators):
    """kopf ends by cancelling every task of its event loop that began after it."""
    await operators.apply(SMALL, AUTO)
    operators.pick()
    process = operators.start()
    await operators.says(AUTO, "True True True")
    await until(lambda: kopfs() == 1)
    other = asyncio.create_task(asyncio.Event().wait())
    await operators.end(process)
    await until(lambda: kopfs() == 0, 10)
    assert not other.done()
    other.cancel()


async def test_the_operator_works_where_kopf_cannot(operators, monkeypatch):
    async def broken(**_):
        raise RuntimeError("a bug of the framework")

    monkeypatch.setattr(kopf, "operator", broken)
    await operators.apply(SMALL, AUTO)
    operators.pick()
    process = operators.start()
    await operators.says(AUTO, "True True True")
    for number in range(5):
        changed = policy("auto", f"auto-{number}", "small")
        await operators.apply(changed)
        await operators.says(changed, "True True True", seconds=5)
    await until(lambda: process.metrics.kopf_restarts._value.get() >= 1)
    assert woken_by(process, "kopf") == 0


async def test_many_resources_pass_kopf_without_holding_it_up(operators):
    """A worker that stays for its idle time would hold up the rest: 200 objects, 64 places, 5 s each."""
    await asyncio.gather(
        *(operators.apply(policy(f"policy-{number}", f"auto-{number}", "small")) for number in range(200))
    )
    await operators.apply(SMALL)
    operators.pick()
    process = operators.start()
    assert await until(lambda: woken_by(process, "kopf") >= 201, 15) < 15
    await idle(process, 60)
