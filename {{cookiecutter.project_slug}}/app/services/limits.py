"""How often who may try what. Counts are by client (of IPv6 the /64), by account, and by both."""

from app.core.throttle import Limit
from app.core.work import Work
from app.services.sessions import SignedIn

MINUTE, HOUR, DAY = 60, 3600, 86400

CLIENT = Limit("client", 60, 5 * MINUTE)
"""Sign-ins, sign-ups, resets and used links from one network."""
CLIENT_ACCOUNT = Limit("client-account", 10, 15 * MINUTE)
ACCOUNT = Limit("account", 20, 15 * MINUTE)
"""Wrong passwords for one account, from anywhere."""
ACCOUNT_LONG = Limit("account-long", 100, 30 * DAY)
"""NIST SP 800-63B-4 §3.2.2: at most 100 failures in a row; then only a reset by mail helps."""
DEVICE = Limit("device", 10, 15 * MINUTE)
"""On a device that its owner signed in with before, instead of the account's: nobody can lock them out."""
MAILS = Limit("mails", 5, HOUR)
"""Mails to one address that strangers can cause."""
COSTLY = Limit("costly", 60, MINUTE)
"""What costs us calls of foreign APIs, by user."""
LOOKUPS = Limit("lookups", 60, MINUTE)
"""The same by strangers, from one network."""
FORMS = Limit("forms", 20, HOUR)
"""Forms that strangers fill in and that make us send mail, from one network."""
START = Limit("provider", 30, 5 * MINUTE)
"""Sign-ins that one network starts at providers."""


async def sign_in(work: Work, email: str, device: str | None) -> None:
    """Count a try before the password is looked at; TooManyRequests."""
    network = work.client.network
    if device:
        keys = [(DEVICE, f"{device}:{email}")]
    else:
        keys = [(CLIENT_ACCOUNT, f"{network}:{email}"), (ACCOUNT, email), (ACCOUNT_LONG, email)]
    await work.throttle.hit(keys, "session.throttled")


async def forgive(work: Work, email: str, device: str | None) -> None:
    """The password was right: its account's failures are forgotten, the client's other tries are not."""
    if device:
        await work.throttle.clear(DEVICE, f"{device}:{email}")
    else:
        await work.throttle.clear(CLIENT_ACCOUNT, f"{work.client.network}:{email}")
    await unlock(work, email)


async def unlock(work: Work, email: str) -> None:
    """Whoever reads the mailbox, or knew the password, opens the account again."""
    await work.throttle.clear(ACCOUNT, email)
    await work.throttle.clear(ACCOUNT_LONG, email)


async def client(work: Work, event: str) -> None:
    """Count a request of this network; TooManyRequests."""
    await work.throttle.hit([(CLIENT, work.client.network)], event)


async def form(work: Work) -> None:
    """Count a stranger's form; TooManyRequests."""
    await work.throttle.hit([(FORMS, work.client.network)], "form.throttled")


async def costly(work: Work, user: SignedIn) -> None:
    """Count a request that has foreign APIs asked at our expense; TooManyRequests."""
    await work.throttle.hit([(COSTLY, str(user.id))], "costly.throttled")


async def lookup(work: Work) -> None:
    """Count a stranger's request that may have foreign APIs asked at our expense; TooManyRequests."""
    await work.throttle.hit([(LOOKUPS, work.client.network)], "lookup.throttled")


async def may_mail(work: Work, email: str) -> bool:
    """Count a mail to this address; beyond the limit none goes out, and nobody is told."""
    return await work.throttle.allows(MAILS, email)
