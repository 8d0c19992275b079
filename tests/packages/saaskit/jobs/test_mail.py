"""E-mail: sent by a job, at least once, over TLS where that is required. The SMTP servers are real."""

import datetime
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from packages.saaskit.jobs.job_system import JobSystem, eventually
from saaskit.mail import SendEmail, compose_message, deliver

HOST = "127.0.0.1"
EMAIL = SendEmail(to="ada@example.com", subject="x", text="x")
MESSAGE = compose_message(EMAIL, UUID(int=1), "app@example.com")


class Inbox:
    """Keeps the e-mails, after refusing the first `refuse`. Records whether each came over TLS."""

    def __init__(self) -> None:
        self.emails: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.passwords: list[bytes] = []
        self.refuse = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refuse:
            self.refuse -= 1
            return "451 Try again later"
        assert isinstance(envelope.content, bytes)
        email = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(email, EmailMessage)
        self.emails.append(email)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any):
        self.passwords.append(data.password)
        return AuthResult(success=True)


@contextmanager
def smtp_server(port: int, **options: Any) -> Iterator[Inbox]:
    """Run a server that accepts any password."""
    inbox = Inbox()
    options |= {"authenticator": inbox.authenticate}
    controller = Controller(inbox, hostname=HOST, port=port, **options)
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()


def certificate(folder: Path) -> ssl.SSLContext:
    """Return a server's TLS context with a self-signed certificate, which is in `folder`/certificate.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "smtp")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(signed.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """A server's TLS context whose certificate is not trusted."""
    return certificate(tmp_path)


@pytest.fixture
def trusted_tls(tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's TLS context whose certificate this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    return tls


class TestDelivery:
    """`deliver` on servers with, without and with broken TLS."""

    @pytest.mark.parametrize("login", ["", "app:se%20cret@"])
    def test_starttls_is_used_if_the_server_offers_it(
        self, unused_tcp_port: int, trusted_tls: ssl.SSLContext, login: str
    ):
        with smtp_server(unused_tcp_port, tls_context=trusted_tls) as inbox:
            deliver(MESSAGE, f"smtp://{login}{HOST}:{unused_tcp_port}")
        assert inbox.encrypted == [True]
        assert inbox.passwords == ([b"se cret"] if login else [])

    def test_smtps_uses_tls_from_the_first_byte(self, unused_tcp_port: int, trusted_tls: ssl.SSLContext):
        options = {"ssl_context": trusted_tls, "auth_require_tls": False}
        with smtp_server(unused_tcp_port, **options) as inbox:
            deliver(MESSAGE, f"smtps://app:secret@{HOST}:{unused_tcp_port}")
        assert (len(inbox.emails), inbox.passwords) == (1, [b"secret"])

    @pytest.mark.parametrize("login", ["", "app:secret@"])
    def test_an_untrusted_certificate_is_an_error(self, unused_tcp_port: int, tls: ssl.SSLContext, login: str):
        """Nothing is sent in the clear instead."""
        untrusted = pytest.raises(ssl.SSLCertVerificationError)
        with smtp_server(unused_tcp_port, tls_context=tls) as inbox, untrusted:
            deliver(MESSAGE, f"smtp://{login}{HOST}:{unused_tcp_port}")
        assert (inbox.emails, inbox.passwords) == ([], [])

    def test_a_server_without_tls_gets_no_password(self, unused_tcp_port: int):
        """An attacker may have removed the offer."""
        refused = pytest.raises(OSError, match="does not offer STARTTLS")
        with smtp_server(unused_tcp_port, auth_require_tls=False) as inbox, refused:
            deliver(MESSAGE, f"smtp://app:secret@{HOST}:{unused_tcp_port}")
        assert (inbox.emails, inbox.passwords) == ([], [])

    def test_a_server_without_tls_gets_mail_if_there_is_no_password(self, unused_tcp_port: int):
        with smtp_server(unused_tcp_port) as inbox:
            deliver(MESSAGE, f"smtp://{HOST}:{unused_tcp_port}")
        assert inbox.encrypted == [False]

    def test_a_missing_url_is_an_error(self):
        with pytest.raises(OSError, match="SMTP_URL is not set"):
            deliver(MESSAGE, "")


@pytest.mark.parametrize("sender", ["app@example.com", '"Acme, Inc." <app@example.com>', "Acme <app@example.com>"])
def test_the_message_id_is_made_of_the_job_id_and_the_senders_domain(sender: str):
    message = compose_message(EMAIL, UUID(int=7), sender)
    assert message["message-id"] == f"<{UUID(int=7)}@example.com>"


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@example.com", "a\nb", ""])
def test_a_subject_is_one_line(subject: str):
    with pytest.raises(ValueError, match="subject"):
        SendEmail(to="ada@example.com", subject=subject, text="x")


def test_a_recipient_is_required():
    with pytest.raises(ValueError, match="to"):
        SendEmail(subject="x", text="x")  # type: ignore[call-arg]


@pytest.fixture
def inbox(idle: JobSystem, unused_tcp_port: int) -> Iterator[Inbox]:
    """A server without TLS, with a relay and a worker that use it."""
    with smtp_server(unused_tcp_port) as inbox:
        idle.relay()
        idle.worker(SMTP_URL=f"smtp://{HOST}:{unused_tcp_port}", MAIL_FROM="app@example.com")
        yield inbox


@pytest.mark.slow
class TestJob:
    """The job `SendEmail`."""

    async def test_an_email_is_delivered_with_the_id_of_its_job(self, idle: JobSystem, inbox: Inbox):
        text, html = "Grüße\n\nfrom <b>Oslo</b>", "<p>Grüße</p>"
        email = SendEmail(to="ada@example.com", subject="Schön, Ω", text=text, html=html, reply_to="eve@example.com")
        job = await idle.enqueue(email)
        await idle.wait_for(job, "succeeded")
        (got,) = inbox.emails
        assert [got[name] for name in ("to", "from", "reply-to", "subject", "message-id")] == [
            "ada@example.com",
            "app@example.com",
            "eve@example.com",
            "Schön, Ω",
            f"<{job}@example.com>",
        ]
        for kind, content in (("plain", text), ("html", html)):
            body = got.get_body((kind,))
            assert body
            assert body.get_content().replace("\r", "").strip() == content

    async def test_a_refused_email_is_sent_again(self, idle: JobSystem, inbox: Inbox):
        inbox.refuse = 1
        job = await idle.enqueue(EMAIL)

        async def failed() -> bool:
            return (await idle.get(job)).error is not None

        await eventually(failed, explain=idle.logs)
        row = await idle.get(job)
        assert (row.state, row.error and row.error["type"]) == ("queued", "SMTPDataError")
        await idle.wait_for(job, "succeeded")
        assert len(inbox.emails) == 1
