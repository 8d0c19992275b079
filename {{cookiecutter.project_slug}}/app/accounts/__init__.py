"""Accounts: sign-up, sign-in, sessions, passwords, e-mail addresses, OAuth identities, audit log."""
