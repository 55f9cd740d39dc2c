"""Secrets for the calls of tools: read and decrypted at each call, so that a changed or deleted one counts at once, and
kept nowhere."""

from collections.abc import Collection, Mapping
from uuid import UUID

from pipelines.engine.ports import OpenedSecret
from pipelines.errors import ErrorClass, PipelineError
from pipelines.secrets.vault import NoKey, Sealed, Vault, VaultError
from workers.columns import Texts
from workers.connection import Database, DatabaseUnavailable
from workers.statements import SECRETS


class SecretReader:
    """The secrets of all agents, for one worker process."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def of_agent(self, agent_id: UUID | None) -> "AgentSecrets":
        return AgentSecrets(self, agent_id)

    async def read(self, agent_id: UUID | None, names: Collection[str], *, tool: str) -> Mapping[str, OpenedSecret]:
        """Raises PipelineError, which names the secret and never its value."""
        try:
            rows = await self._database.fetch(SECRETS, {"agent_id": agent_id, "names": Texts(sorted(names))})
        except DatabaseUnavailable as error:
            detail = "the secrets of this step cannot be read now"
            raise PipelineError("secrets_unavailable", ErrorClass.TRANSIENT, detail) from error
        found = {
            name: (Sealed(key_id, bytes(ciphertext)), tools, hosts) for name, key_id, ciphertext, tools, hosts in rows
        }
        opened = {}
        for name in sorted(names):
            if name not in found:
                raise _refused(
                    "unknown_secret", f"there is no secret {name!r}; its value is set in the console or by API"
                )
            sealed, tools, hosts = found[name]
            if tool not in tools:
                raise _refused("secret_not_for_tool", f"the secret {name!r} is not for {tool}")
            opened[name] = OpenedSecret(self._open(sealed, agent_id, name), frozenset(hosts) if hosts else None)
        return opened

    def _open(self, sealed: Sealed, agent_id: UUID | None, name: str) -> str:
        try:
            return self._vault.open(sealed, owner=str(agent_id), name=name)
        except NoKey as error:
            # Another host may have it, or this one after the operator has seen to it.
            detail = f"the secret {name!r} cannot be decrypted on this host: {error}; see ORDINAUT_ENCRYPTION_KEYS"
            raise PipelineError("secret_key_missing", ErrorClass.TRANSIENT, detail) from error
        except VaultError as error:
            raise _refused("secret_damaged", f"the secret {name!r}: {error}") from error


class AgentSecrets:
    """Those of one agent: a `SecretStore` of the engine."""

    def __init__(self, reader: SecretReader, agent_id: UUID | None) -> None:
        self._reader = reader
        self._agent_id = agent_id

    async def read(self, names: Collection[str], *, tool: str) -> Mapping[str, OpenedSecret]:
        return await self._reader.read(self._agent_id, names, tool=tool)


def _refused(code: str, detail: str) -> PipelineError:
    return PipelineError(code, ErrorClass.PERMANENT, detail)
