"""Set, limit, delete and re-encrypt secrets. Each function is one transaction, audited without any value.

Locks: the agent, so that two that set the same name at once do it one after the other; then the secret.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from pipelines import conf
from pipelines.models import Secret
from pipelines.secrets.definition import NameDefinition, SecretDefinition
from pipelines.secrets.vault import NoKey, Sealed, Vault, VaultError
from pipelines.servers.offers import current_catalog
from scheduling.agents.models import Agent
from scheduling.audit.operations import Actor, record
from scheduling.audit.snapshots import difference, snapshot
from scheduling.definitions.strict import did_you_mean, parse
from scheduling.errors import Conflict, LimitReached, NotValid
from scheduling.instants import database_now

_KEEPS_TO_HOSTS = "http.request"
SECRETS_LIMIT = 200  # of an agent
_NOT_AUDITED = frozenset({"updated_at"})
_BATCH = 200


class NoEncryptionKey(Conflict):
    """This host has no key that secrets are encrypted with."""

    code = "no_encryption_key"

    def __init__(self) -> None:
        super().__init__(
            "Secrets cannot be stored: no key to encrypt them is set.",
            hint="Make one by `manage.py newkey` and set ORDINAUT_ENCRYPTION_KEYS on every host.",
        )


@transaction.atomic
def set_secret(*, actor: Actor, agent: Agent, name: str, given: Mapping[str, Any]) -> tuple[Secret, bool]:
    """Make a secret, or change what is given of one; True where it is new. The value may be left out of a change.

    NotValid with pointers; LimitReached; NoEncryptionKey. A changed value is used from the next call of a tool on.
    """
    parse(NameDefinition, {"name": name})
    owner = Agent.objects.select_for_update(no_key=True).get(pk=agent.pk)
    secret = Secret.objects.filter(agent=owner, name=name).first()
    values = parse(SecretDefinition, given, partial=secret is not None)
    if secret is None:
        return _create(actor, owner, name, values), True
    return _change(actor, secret, values), False


@transaction.atomic
def delete_secret(*, actor: Actor, secret: Secret) -> None:
    """Remove it. Steps that name it fail from their next call on, as `unknown_secret`."""
    held = Secret.objects.select_for_update().get(pk=secret.pk)
    record(actor=actor, action="secret.delete", target=held, before=snapshot(held, leave_out=_NOT_AUDITED))
    held.delete()


def reencrypt(*, actor: Actor) -> tuple[int, list[str]]:
    """Encrypt all secrets by the first key that another one has written. Returns how many, and why others could not be.

    Commits by batches: interrupted, it is run again.
    """
    vault = conf.vault()
    if vault.key_id is None:
        raise NoEncryptionKey
    done, failures = 0, []
    for secret in Secret.objects.exclude(key_id=vault.key_id).order_by("pk").iterator(chunk_size=_BATCH):
        try:
            done += _reencrypt_one(actor, secret.pk, vault)
        except VaultError as error:
            failures.append(f"{secret.name} of agent {secret.agent_id}: {error}")
    return done, failures


@transaction.atomic
def _reencrypt_one(actor: Actor, pk: Any, vault: Vault) -> int:
    secret = Secret.objects.select_for_update().filter(pk=pk).first()
    if secret is None or secret.key_id == vault.key_id:
        return 0
    owner = str(secret.agent_id)
    value = vault.open(Sealed(secret.key_id, bytes(secret.ciphertext)), owner=owner, name=secret.name)
    before = secret.key_id
    _seal(secret, value, vault)
    secret.save(update_fields=["ciphertext", "key_id"])
    record(
        actor=actor,
        action="secret.reencrypt",
        target=secret,
        before={"key_id": before},
        after={"key_id": secret.key_id},
    )
    return 1


def _create(actor: Actor, owner: Agent, name: str, values: Mapping[str, Any]) -> Secret:
    if Secret.objects.filter(agent=owner).count() >= SECRETS_LIMIT:
        raise LimitReached(f"An agent has at most {SECRETS_LIMIT} secrets.")
    now = database_now()
    secret = Secret(agent=owner, name=name, created_at=now, updated_at=now)
    _apply(secret, values)
    secret.save(force_insert=True)
    record(actor=actor, action="secret.create", target=secret, after=snapshot(secret, leave_out=_NOT_AUDITED))
    return secret


def _change(actor: Actor, secret: Secret, values: Mapping[str, Any]) -> Secret:
    before = snapshot(secret, leave_out=_NOT_AUDITED)
    _apply(secret, values)
    old, new = difference(before, snapshot(secret, leave_out=_NOT_AUDITED))
    if not new and "value" not in values:
        return secret
    secret.updated_at = database_now()
    secret.save()
    # Whether a new value is the old one is not told: it could be guessed at by trying.
    replaced = {"value": "replaced"} if "value" in values else {}
    record(actor=actor, action="secret.update", target=secret, before=old, after={**new, **replaced})
    return secret


def _apply(secret: Secret, values: Mapping[str, Any]) -> None:
    secret.tools = values.get("tools", secret.tools)
    secret.hosts = values.get("hosts", secret.hosts)
    _require_tools_take_it(secret)
    _require_hosts_kept(secret)
    if "value" in values:
        _seal(secret, values["value"], conf.vault())


def _require_tools_take_it(secret: Secret) -> None:
    """A tool that this host lacks may be another's; one that shows or stores its input is none for secrets."""
    tools = current_catalog()
    for index, name in enumerate(secret.tools):
        spec = tools.get(name)
        if spec is not None and not spec.takes_secret(secret.name):
            raise NotValid.at(
                f"/tools/{index}", "takes_no_secret", f"{name} shows or stores what it is given, so it takes no secret."
            )
        if spec is None and (hint := did_you_mean(name, tools.names())) is not None:
            raise NotValid.at(f"/tools/{index}", "unknown_tool", f"There is no tool {name!r}.", hint=hint)


def _require_hosts_kept(secret: Secret) -> None:
    others = [tool for tool in secret.tools if tool != _KEEPS_TO_HOSTS]
    if secret.hosts and others:
        detail = f"Hosts bind {_KEEPS_TO_HOSTS} alone, and this secret is for {', '.join(others)} too."
        raise NotValid.at("/hosts", "hosts_not_kept", detail, hint="Make a second secret for the other tools.")


def _seal(secret: Secret, value: str, vault: Vault) -> None:
    try:
        sealed = vault.seal(value, owner=str(secret.agent_id), name=secret.name)
    except NoKey:
        raise NoEncryptionKey from None
    secret.ciphertext, secret.key_id = sealed.ciphertext, sealed.key_id
