"""A mail catcher for development: it prints each mail and shows it on a web page, and delivers nothing."""

import asyncio
import html
import os
import sys
from collections import deque
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from urllib.parse import urlsplit

MAX_MAILS = 50
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<title>Mail</title><style>body{{font:15px system-ui;max-width:46rem;margin:2rem auto}}
article{{border:1px solid #ccc;padding:1rem;margin:1rem 0}}pre{{white-space:pre-wrap}}</style>
<h1>Caught mail</h1>{mails}</html>"""
MAIL = "<article><b>{}</b><br>{} → {}<pre>{}</pre></article>"

mails: deque[EmailMessage] = deque(maxlen=MAX_MAILS)


class MailHandler:
    """The handler that aiosmtpd calls for each mail."""

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        """Keep the mail and print it with its text indented."""
        mail = message_from_bytes(envelope.content, policy=policy.default)  # type: ignore[attr-defined]
        assert isinstance(mail, EmailMessage)
        mails.appendleft(mail)
        lines = "".join(f"    {line}\n" for line in _text(mail).splitlines())
        sys.stdout.write(f"{mail['from']} → {mail['to']}: {mail['subject']}\n{lines}")
        sys.stdout.flush()
        return "250 OK"


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain", "html"))
    return str(body.get_content()) if body else ""


async def _serve_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Respond to any request with all mails, newest first. Their content is escaped."""
    await reader.readline()
    shown = []
    for mail in mails:
        parts = (str(mail["subject"]), str(mail["from"]), str(mail["to"]), _text(mail))
        shown.append(MAIL.format(*map(html.escape, parts)))
    body = PAGE.format(mails="".join(shown) or "<p>No mail yet.</p>").encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
    head += "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()


async def _serve(host: str, smtp_port: int, page_port: int) -> None:
    from aiosmtpd.smtp import SMTP

    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: SMTP(MailHandler(), enable_SMTPUTF8=True), host, smtp_port)
    await asyncio.start_server(_serve_page, host, page_port)
    await asyncio.Event().wait()


def main() -> None:
    """Serve SMTP at SMTP_URL and the page at MAIL_PORT. Without MAIL_PORT, SMTP_URL is a real server."""
    url, page_port = urlsplit(os.environ["SMTP_URL"]), os.environ.get("MAIL_PORT")
    if page_port:
        host = url.hostname or "127.0.0.1"
        sys.stdout.write(f"mail is shown here and at http://{host}:{page_port}\n")
        asyncio.run(_serve(host, url.port or 25, int(page_port)))
    else:
        sys.stdout.write("SMTP_URL is set; mail is sent to that server and not caught\n")
        asyncio.run(asyncio.Event().wait())


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
