import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipelines.errors import ErrorClass, PipelineError
from pipelines.tools import guard
from pipelines.tools.http_client import tls_context
from pipelines.tools.http_request import http_request
from tests.integration.tools.web import Web, json_reply


def certificate_of(name: str, folder: Path) -> Path:
    """A file with a new key and a self-signed certificate for `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def asked_names() -> list[str | None]:
    """The server names that clients asked for in their TLS greeting."""
    return []


@pytest.fixture
def secure_web(tmp_path, monkeypatch, asked_names, settings):
    """A TLS server with a trusted certificate for `weather.example`, on loopback; every name resolves to it."""
    path = certificate_of("weather.example", tmp_path)
    web = Web()
    server = web.start()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    context.sni_callback = lambda _socket, name, _context: asked_names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    settings.ORDINAUT_HTTP_ALLOW = [f"weather.example:{web.port}", f"other.example:{web.port}"]

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(guard, "resolve", resolve)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    tls_context.cache_clear()
    yield web
    tls_context.cache_clear()
    server.shutdown()
    server.server_close()


def test_tls_greets_and_verifies_the_name_although_the_address_is_connected_to(secure_web, asked_names, call):
    secure_web.answers["/"] = json_reply(b"1")

    result = call(http_request, url=f"https://weather.example:{secure_web.port}/")

    assert result["body"] == 1
    assert asked_names == ["weather.example"]


def test_a_certificate_for_another_name_is_refused(secure_web, call):
    with pytest.raises(PipelineError) as caught:
        call(http_request, url=f"https://other.example:{secure_web.port}/")

    assert (caught.value.code, caught.value.error_class) == ("certificate_refused", ErrorClass.PERMANENT)
    assert secure_web.received == []
