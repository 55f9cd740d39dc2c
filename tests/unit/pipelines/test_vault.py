"""Secrets at rest: encrypted for one owner and name, under keys that can be changed."""

import pytest
from django.core.management import call_command

from pipelines.secrets.vault import NoKey, Sealed, Vault, VaultError, new_key, read_key

VALUE = 's3cr3t/Wert+ä "quoted" <tag> 0123'
NAME = "weather"


def vault(*keys: str) -> Vault:
    return Vault([read_key(key) for key in keys])


def test_what_is_sealed_is_opened_for_the_same_owner_and_name_alone():
    made = vault(new_key())
    sealed = made.seal(VALUE, owner="agent", name=NAME)

    assert VALUE.encode() not in sealed.ciphertext
    assert made.open(sealed, owner="agent", name=NAME) == VALUE
    for owner, name in (("other", NAME), ("agent", "other")):
        with pytest.raises(VaultError):
            made.open(sealed, owner=owner, name=name)


def test_a_changed_bit_anywhere_is_noticed():
    made = vault(new_key())
    sealed = made.seal(VALUE, owner="agent", name=NAME)
    for place in range(len(sealed.ciphertext)):
        bent = bytearray(sealed.ciphertext)
        bent[place] ^= 1
        with pytest.raises(VaultError):
            made.open(Sealed(sealed.key_id, bytes(bent)), owner="agent", name=NAME)


def test_the_first_key_encrypts_and_every_key_decrypts():
    old, new = new_key(), new_key()
    sealed = vault(old).seal(VALUE, owner="agent", name=NAME)
    both = vault(new, old)

    assert both.open(sealed, owner="agent", name=NAME) == VALUE
    assert both.seal(VALUE, owner="agent", name=NAME).key_id == vault(new).key_id
    with pytest.raises(NoKey):
        vault(new).open(sealed, owner="agent", name=NAME)
    with pytest.raises(NoKey):
        vault().seal(VALUE, owner="agent", name=NAME)


def test_the_command_prints_a_key_that_can_be_used_and_never_the_same_twice(capsys: pytest.CaptureFixture[str]):
    call_command("newkey")
    call_command("newkey")

    first, second = capsys.readouterr().out.split()
    assert first != second
    assert vault(first).seal(VALUE, owner="agent", name=NAME).ciphertext


@pytest.mark.parametrize("text", ["", "short", "ä" * 43 + "=", "A" * 40, "A" * 60])
def test_what_is_no_key_is_refused_without_being_cited(text: str):
    with pytest.raises(ValueError, match="encryption key") as caught:
        read_key(text)

    assert not text or text not in str(caught.value)
