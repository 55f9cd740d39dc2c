"""What tool servers offer, as a worker process sees it: looked at each second, read where it has changed.

See Note [Version of the servers]. Beside the claims, so that no run waits for it.
"""

import asyncio

import structlog

from pipelines.servers.offers import LOOKS_EVERY, TOOLS, VERSIONS, HostCatalog
from workers.connection import Database, DatabaseUnavailable

logger = structlog.get_logger(__name__)


class OfferWatch:
    """Keeps the catalog of this process up to date."""

    def __init__(self, database: Database, catalog: HostCatalog) -> None:
        self._database = database
        self._catalog = catalog

    async def run(self) -> None:
        """Look each second, until canceled."""
        while True:
            await asyncio.sleep(LOOKS_EVERY)
            await self.look()

    async def look(self) -> bool:
        """Read the tools where servers have changed; True where they have. A database that is away changes nothing."""
        try:
            versions = await self._database.fetch(VERSIONS.encode())
            if self._catalog.is_of(versions):
                return False
            tools = await self._database.fetch(TOOLS.encode())
        except DatabaseUnavailable:  # told by the claims, which go by the same connection
            return False
        self._catalog.take(versions, tools)
        logger.info("offers.read", tools=len(tools))
        return True
