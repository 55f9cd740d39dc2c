"""Encryption of secrets at rest: AES-256-GCM, a random nonce each, bound to the secret's owner and name.

A row that is copied to another agent or name, or changed by a bit, cannot be opened (authenticated data, NIST SP
800-38D). Keys come from outside the database (`ORDINAUT_ENCRYPTION_KEYS`); each row says by which it was written.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12


class VaultError(Exception):
    """A secret cannot be encrypted or decrypted; the text says why and never what."""


class NoKey(VaultError):
    """There is no key to encrypt with, or not the one that a secret was encrypted with."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted value, and which key opens it."""

    key_id: str
    ciphertext: bytes = field(repr=False)


def read_key(text: str) -> bytes:
    """The bytes of a key, written in base64. Raises ValueError, which does not cite it."""
    try:
        key = base64.b64decode(text.strip(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("an encryption key is written in base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"an encryption key has {KEY_BYTES} bytes, this one {len(key)}")
    return key


def new_key() -> str:
    """A key of good randomness, as `read_key` takes it."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


class Vault:
    """The first key encrypts, every key decrypts. Immutable; safe in any thread."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_id_of(key): AESGCM(key) for key in keys}

    @property
    def key_id(self) -> str | None:
        """Of the key that encrypts; None where there is none."""
        return next(iter(self._keys), None)

    @property
    def key_ids(self) -> frozenset[str]:
        return frozenset(self._keys)

    def seal(self, value: str, *, owner: str, name: str) -> Sealed:
        """Raises NoKey."""
        key_id = self.key_id
        if key_id is None:
            raise NoKey("there is no key to encrypt with")
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._keys[key_id].encrypt(nonce, value.encode(), _bound_to(owner, name, key_id))
        return Sealed(key_id, nonce + sealed)

    def open(self, sealed: Sealed, *, owner: str, name: str) -> str:
        """Raises NoKey where its key is not here, VaultError where it was tampered with."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise NoKey(f"the key {sealed.key_id} is not on this host")
        nonce, ciphertext = sealed.ciphertext[:_NONCE_BYTES], sealed.ciphertext[_NONCE_BYTES:]
        try:
            return key.decrypt(nonce, ciphertext, _bound_to(owner, name, sealed.key_id)).decode()
        except (InvalidTag, ValueError):
            raise VaultError("the stored secret is damaged, or belongs to another agent or name") from None


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"ordinaut key id\0" + key).hexdigest()[:16]


def _bound_to(owner: str, name: str, key_id: str) -> bytes:
    return "\0".join((owner, name, key_id)).encode()
