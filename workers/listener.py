"""Hearing of due work, cancellations and queues that are operated: one listening connection a host, past any pooler."""

import asyncio
from collections.abc import Callable

import psycopg
import structlog

from scheduling.wakeup import CANCEL_CHANNEL, DUE_CHANNEL, QUESTIONS_CHANNEL, QUEUES_CHANNEL
from workers.connection import CONNECT_TIMEOUT
from workers.outage import Outage

logger = structlog.get_logger(__name__)

REFUSED_FOR = 60.0  # seconds until the next try where the server's front does not let us listen


async def listen(address: str, *, hear: Callable[[str, str], None]) -> None:
    """Call `hear(channel, payload)` for each notification, until canceled. Polling goes on beside it in any case, so
    a connection that breaks, or a front that refuses, costs only time."""
    outage = Outage("listen.database_is_away")
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                address, autocommit=True, connect_timeout=CONNECT_TIMEOUT, application_name="ordinaut workers listen"
            ) as connection:
                for channel in (DUE_CHANNEL, CANCEL_CHANNEL, QUEUES_CHANNEL, QUESTIONS_CHANNEL):
                    await connection.execute(f"LISTEN {channel}".encode())
                outage.over()
                async for notification in connection.notifies():
                    hear(notification.channel, notification.payload)
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
            await outage.wait(error)
        except psycopg.Error as error:
            logger.warning("listen.refused", detail=str(error).strip(), hint="Workers poll; set DATABASE_DIRECT_URL.")
            await asyncio.sleep(REFUSED_FOR)
