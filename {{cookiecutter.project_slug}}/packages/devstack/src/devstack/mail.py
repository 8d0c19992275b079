"""Catches the mail of the application in development: shows it here and on a page, and sends it nowhere."""

import asyncio
import html
import os
import sys
from collections import deque
from email import message_from_bytes, policy
from email.message import EmailMessage
from urllib.parse import urlsplit

KEPT = 50
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<title>Mail</title><style>body{{font:15px system-ui;max-width:46rem;margin:2rem auto}}
article{{border:1px solid #ccc;padding:1rem;margin:1rem 0}}pre{{white-space:pre-wrap}}</style>
<h1>Caught mail</h1>{mails}</html>"""
MAIL = "<article><b>{subject}</b><br>{sender} → {to}<pre>{text}</pre></article>"

mails: deque[EmailMessage] = deque(maxlen=KEPT)


class Catcher:
    """What aiosmtpd calls with each mail."""

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        """Keep it, and print it with its text indented."""
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


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer any request with all mails, newest first; what they contain is shown, never run."""
    await reader.readline()
    shown = [
        MAIL.format(
            subject=html.escape(str(mail["subject"])),
            sender=html.escape(str(mail["from"])),
            to=html.escape(str(mail["to"])),
            text=html.escape(_text(mail)),
        )
        for mail in mails
    ]
    body = PAGE.format(mails="".join(shown) or "<p>Nothing yet.</p>").encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
    head += "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()


async def _serve(host: str, port: int, page: int) -> None:
    from aiosmtpd.smtp import SMTP

    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: SMTP(Catcher(), enable_SMTPUTF8=True), host, port)
    await asyncio.start_server(_page, host, page)
    await asyncio.Event().wait()


def main() -> None:
    """Serve SMTP where SMTP_URL says and the page at MAIL_PORT; rest if somebody else's server is there."""
    where, page = urlsplit(os.environ["SMTP_URL"]), os.environ.get("MAIL_PORT")
    try:
        if page:
            host = where.hostname or "127.0.0.1"
            sys.stdout.write(f"shown at http://{host}:{page}, and here\n")
            asyncio.run(_serve(host, where.port or 25, int(page)))
        else:
            sys.stdout.write("SMTP_URL is set: mail is really sent, nothing is caught\n")
            asyncio.run(asyncio.Event().wait())
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
