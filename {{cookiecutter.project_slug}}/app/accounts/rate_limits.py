"""Rate limits of accounts. They count by network (of IPv6 the /64), by account, or by both."""

from saaskit.ratelimit import Limit

from app.accounts.context import AccountContext

MINUTE, HOUR, DAY = 60, 3600, 86400

NETWORK = Limit("client", max_requests=60, seconds=5 * MINUTE)
"""Sign-ins, sign-ups, resets and uses of links from one network."""
NETWORK_ACCOUNT = Limit("client-account", max_requests=10, seconds=15 * MINUTE)
ACCOUNT = Limit("account", max_requests=20, seconds=15 * MINUTE)
"""Wrong passwords for one account, from anywhere."""
ACCOUNT_LONG = Limit("account-long", max_requests=100, seconds=30 * DAY)
"""NIST SP 800-63B-4 §3.2.2: at most 100 consecutive failures. After that only a password reset helps."""
DEVICE = Limit("device", max_requests=10, seconds=15 * MINUTE)
"""Replaces the account's limits on a known device, so that attackers cannot lock the user out."""
DEVICE_LONG = Limit("device-long", max_requests=100, seconds=30 * DAY)
MAILS = Limit("mails", max_requests=5, seconds=HOUR)
"""E-mails to one address that anonymous requests can cause."""
OAUTH_STARTS = Limit("provider", max_requests=30, seconds=5 * MINUTE)
"""OAuth sign-ins that one network starts."""


async def check_network(account: AccountContext, event: str) -> None:
    """Count a request from the client's network; raises TooManyRequests."""
    await account.rate_limiter.check([(NETWORK, account.client.network)], event)


async def check_oauth_start(account: AccountContext) -> None:
    """Count an OAuth sign-in that the client's network starts; raises TooManyRequests."""
    await account.rate_limiter.check([(OAUTH_STARTS, account.client.network)], "identity.throttled")


async def check_password_attempt(account: AccountContext, email: str, device: str | None) -> None:
    """Count an attempt before the password is verified; raises TooManyRequests.

    `device` is the key of a device that the user is known on.
    """
    if device:
        limits = [(limit, f"{device}:{email}") for limit in (DEVICE, DEVICE_LONG)]
    else:
        limits = [
            (NETWORK_ACCOUNT, f"{account.client.network}:{email}"),
            (ACCOUNT, email),
            (ACCOUNT_LONG, email),
        ]
    await account.rate_limiter.check(limits, "session.throttled")


async def reset_after_success(account: AccountContext, email: str, device: str | None) -> None:
    """Reset the account's counts after a correct password. The network's other attempts still count."""
    if device:
        await account.rate_limiter.reset(DEVICE, f"{device}:{email}")
        await account.rate_limiter.reset(DEVICE_LONG, f"{device}:{email}")
    else:
        await account.rate_limiter.reset(NETWORK_ACCOUNT, f"{account.client.network}:{email}")
    await unlock(account, email)


async def unlock(account: AccountContext, email: str) -> None:
    """Reset the account's failed attempts from anywhere."""
    await account.rate_limiter.reset(ACCOUNT, email)
    await account.rate_limiter.reset(ACCOUNT_LONG, email)


async def allow_mail(account: AccountContext, email: str) -> bool:
    """Count an e-mail to this address. Beyond the limit none is sent, and the response does not change."""
    return await account.rate_limiter.allow(MAILS, email)
