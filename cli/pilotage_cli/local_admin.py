"""Pages of the admin address of a gateway that this machine reaches."""

from typing import Any, Final

import aiohttp
from yarl import URL

from pilotage_cli.failure import CommandError

DEFAULT_ADMIN: Final = "127.0.0.1:9003"
_TIMEOUT_SECONDS: Final = 10


async def admin_page(admin: str, path: str, token: str | None) -> dict[str, Any]:
    """The object that a page is. Raises CommandError."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.get(URL(f"http://{admin}{path}", encoded=True)) as answer,
        ):
            body = await answer.json(content_type=None)
            if not isinstance(body, dict):
                raise ValueError
            if answer.status != 200:
                raise CommandError(str(body.get("error", answer.status)), exit_code=1)
            return body
    except ValueError:
        raise CommandError(f"http://{admin} is no gateway's admin address; see --admin") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CommandError(f"no gateway's admin on {admin}: {error or 'no answer'}; see --admin") from None
