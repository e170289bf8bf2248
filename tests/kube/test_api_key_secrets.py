"""API keys as Secrets of a real API server: made by the command, followed, revoked."""

import asyncio
import hashlib
import time
from contextlib import asynccontextmanager

from waiting import until

from pilotage_cli.commands.keys import PREFIX
from pilotage_cli.key_places import key_place
from pilotage_extproc.sources.api_key_records import KeyRecord
from pilotage_extproc.sources.api_key_secrets import KeySecretWatch
from pilotage_extproc.state.api_keys import KeyBook
from pilotage_kube.resource import SECRETS

LABELS = {"pilotage.dev/api-key": "true"}


@asynccontextmanager
async def following(client, namespace):
    book = KeyBook()
    watch = KeySecretWatch(client, book.follow, namespace=namespace, labels=LABELS)
    task = asyncio.create_task(watch.run())
    try:
        await until(lambda: book.known)
        yield book
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def record(text: str, key_id: str, **more) -> KeyRecord:
    return KeyRecord(key_id, hashlib.sha256(text.encode()).hexdigest(), "acme", **more)


async def test_keys_of_secrets_are_followed_and_revoked_in_time(client, namespace, control_plane):
    place = key_place(None, namespace, "pilotage.dev/api-key=true", control_plane.kubeconfig, None)
    one = PREFIX + "one"
    async with following(client, namespace) as book:
        assert book.find(one, 0.0) is None
        await asyncio.to_thread(
            place.add, record(one, "key-1", team="search", created="2026-01-01T00:00:00Z")
        )
        await until(lambda: book.find(one, 0.0) is not None)
        found = book.find(one, 0.0)
        assert (found.id, found.tenant, found.team) == ("key-1", "acme", "search")
        listed = await asyncio.to_thread(place.records)
        assert [(each.id, each.team, each.created) for each in listed] == [
            ("key-1", "search", "2026-01-01T00:00:00Z")
        ]
        revoked_at = time.monotonic()
        assert await asyncio.to_thread(place.remove, "key-1")
        await until(lambda: book.find(one, 0.0) is None)
        assert time.monotonic() - revoked_at < 5
        assert not await asyncio.to_thread(place.remove, "key-1")


async def test_other_secrets_are_no_keys_and_one_that_is_wrong_spoils_no_other(client, namespace):
    good, wrong = record("good", "good"), record("wrong", "wrong")
    for name, labels, data in (
        ("good", LABELS, {"sha256": good.sha256, "tenant": "acme"}),
        ("unlabelled", {}, {"sha256": wrong.sha256, "tenant": "acme"}),
        ("short", LABELS, {"sha256": "00", "tenant": "acme"}),
        ("nobody", LABELS, {"sha256": wrong.sha256}),
    ):
        body = SECRETS.object(name, namespace, metadata={"labels": labels}, stringData=data)
        await client.create(SECRETS, body, namespace)
    async with following(client, namespace) as book:
        assert book.find("good", 0.0).tenant == "acme"
        assert book.find("wrong", 0.0) is None
