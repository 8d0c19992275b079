"""Passwords, random tokens, signing and encryption."""

import asyncio
import hmac
import sys
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from itsdangerous import BadSignature, SignatureExpired
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr
from saaskit import security
from saaskit.errors import ServiceUnavailable, Unprocessable
from saaskit.security import (
    check_new_password,
    cipher,
    digest,
    hash_password,
    key_id,
    new_token,
    password_weakness,
    signer,
    verify_password,
)

PASSWORD = "four random words here"  # noqa: S105
PARAMETERS = "$argon2id$v=19$m=47104,t=1,p=1"


async def test_a_password_is_hashed_with_salt_and_parameters():
    first, second = await hash_password(PASSWORD), await hash_password(PASSWORD)
    assert first != second
    assert first.startswith(f"{PARAMETERS}$")
    assert PASSWORD not in first


@pytest.mark.requirement("SIGNUP-8")
@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "x" * 3 + "kq9Zw7 " * 9 + "!",
        "kq9Zw7!pLm" * 7 + "ab",
        "kq9Zw7!pLm" * 7 + "abc",
        "kq9Zw7!pLm" * 12 + "12345678",
        "  blanks at both ends, kept  ",
        "emoji 🦜🪼🧭 and lamp orbit",
        "nul \x00 orbit velvet cactus",
    ],
    ids=ascii,
)
async def test_a_long_or_unusual_password_counts_to_its_last_character(password: str):
    stored = await hash_password(password)
    assert await verify_password(password, stored) == (True, None)
    assert await verify_password(password[:-1] + "#", stored) == (False, None)
    assert await verify_password(password + " ", stored) == (False, None)
    await check_new_password(password, user_words=[])


@pytest.mark.requirement("SIGNUP-8")
async def test_composed_and_decomposed_letters_are_one_password():
    stored = await hash_password("caf\u00e9 orbit velvet cactus")
    assert await verify_password("cafe\u0301 orbit velvet cactus", stored) == (True, None)


@pytest.mark.requirement("LOGIN-10")
async def test_a_hash_with_outdated_parameters_is_renewed_by_the_right_password_only():
    old = Argon2Hasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    assert await verify_password("wrong wrong wrong", old) == (False, None)
    correct, renewed = await verify_password(PASSWORD, old)
    assert correct and renewed and renewed.startswith(PARAMETERS)
    assert await verify_password(PASSWORD, renewed) == (True, None)


@pytest.mark.requirement("LOGIN-2")
async def test_an_account_without_a_password_costs_one_verification_too(monkeypatch: pytest.MonkeyPatch):
    hasher, verified = security.hasher(), []
    verify = hasher.verify_and_update

    def note(password: str, stored: str) -> Any:
        verified.append(stored)
        return verify(password, stored)

    monkeypatch.setattr(hasher, "verify_and_update", note)
    assert await verify_password(PASSWORD, None) == (False, None)
    assert await verify_password(PASSWORD, await hash_password("another")) == (False, None)
    assert [stored.rpartition("$")[0].rpartition("$")[0] for stored in verified] == [PARAMETERS, PARAMETERS]


@pytest.mark.requirement("LOGIN-7")
async def test_a_flood_of_hashes_is_bounded():
    """Calls beyond the pool and its queue are refused; the event loop goes on."""
    count = security.MAX_RUNNING + security.MAX_WAITING + 10
    flood = [asyncio.create_task(verify_password("x" * 256, None)) for _ in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert sum(task.done() for task in flood) == 10
    results = await asyncio.gather(*flood, return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert [type(error) for error in refused] == [ServiceUnavailable] * 10
    assert str(refused[0]) == "The server is busy. Try again in a few seconds."
    # The places are free again.
    assert await verify_password("x", None) == (False, None)


@pytest.mark.requirement("LOGIN-7")
async def test_at_most_one_hash_per_core_is_computed_at_once(monkeypatch: pytest.MonkeyPatch):
    hasher, lock, running, highest = security.hasher(), threading.Lock(), 0, 0
    compute = hasher.hash

    def count(password: str) -> str:
        nonlocal running, highest
        with lock:
            running += 1
            highest = max(highest, running)
        try:
            return compute(password)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(hasher, "hash", count)
    await asyncio.gather(*(hash_password(PASSWORD) for _ in range(security.MAX_RUNNING + security.MAX_WAITING)))
    assert 1 <= highest <= security.MAX_RUNNING


@pytest.mark.requirement("SIGNUP-7")
@pytest.mark.parametrize(
    "password",
    [
        *("", "fourteen chars", "password12345678", "aaaaaaaaaaaaaaaa", "qwertyuiopasdfgh", "123456789012345"),
        *("ada.lovelace@acme.example", "companyname2026!", "Companyname2026!"),
        *("!@#$%^&*()_+QWER", "P@ssw0rdP4$$word", "1234567890123456"),
    ],
)
async def test_weak_passwords_are_422_with_a_reason(password: str):
    words = ["ada.lovelace@acme.example", "https://companyname.example"]
    with pytest.raises(Unprocessable) as raised:
        await check_new_password(password, user_words=words, field="new")
    (error,) = raised.value.errors
    assert (error["location"], error["field"], error["type"]) == ("body", "new", "weak_password")
    assert error["message"]
    assert not password or password not in str(raised.value.errors)


@pytest.mark.requirement("SIGNUP-7")
async def test_a_word_of_the_user_makes_a_password_weak_for_that_user_only():
    await check_new_password("lamp orbit cactus velvet", user_words=[])
    with pytest.raises(Unprocessable):
        await check_new_password("companyname2026!", user_words=["Company", "companyname"])


@pytest.mark.requirement("SIGNUP-7")
def test_concurrent_checks_do_not_mix_up_their_words():
    """zxcvbn keeps the words of a user in a global."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        pairs = [(f"companyname{number}", f"companyname{number}2026!") for number in range(8)] * 20
        with ThreadPoolExecutor(8) as threads:
            reasons = list(threads.map(lambda pair: password_weakness(pair[1], [pair[0]]), pairs))
    finally:
        sys.setswitchinterval(interval)
    assert all(reasons)


SIGNS = "4@8({[<369!1|70$5+%2" * 4


@pytest.mark.requirement("INPUT-4")
@pytest.mark.parametrize(
    "password",
    [SIGNS[:24], SIGNS[:72], SIGNS * 3, "".join(map(chr, range(33, 105))), "4@1|" * 18, ("ab" * 9 + "a") * 4],
    ids=["24 signs", "72 signs", "240 signs", "all signs", "few signs", "repeats"],
)
@pytest.mark.parametrize("name", ["Ada", " ".join("abcdefghij4@8({[<369!1|70$5+%2" * 3)], ids=["name", "letters"])
async def test_a_password_is_rated_at_a_bounded_cost(password: str, name: str):
    """It takes 0.2 s of CPU time at most. zxcvbn alone needs 6 s for the 72 signs."""
    await check_new_password(PASSWORD, user_words=[])  # the word lists are loaded at the first use
    started = time.process_time()
    with suppress(Unprocessable):
        await check_new_password(password, user_words=[name, "ada@example.com", "https://test"])
    assert time.process_time() - started < 2


def test_tokens_are_random_and_safe_in_urls():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 43 and token.replace("-", "").replace("_", "").isalnum() for token in tokens)


@pytest.mark.parametrize("token", ["", "x", "\ud800", "ä" * 1000])
def test_every_text_has_a_digest(token: str):
    assert len(digest(token)) == 32
    assert digest(token) == digest(token) != digest(token + "x")


OLD, NEW = SecretStr("an-old-key-of-32-characters-or-more"), SecretStr("a-new-key-of-32-characters-or-more!")


@pytest.mark.requirement("OPS-4")
def test_the_first_key_signs_and_all_verify():
    signed = signer([OLD], "device").dumps({"user": 7})
    assert signer([NEW, OLD], "device").loads(signed) == {"user": 7}
    renewed = signer([NEW, OLD], "device").dumps({"user": 7})
    assert signer([NEW], "device").loads(renewed) == {"user": 7}
    with pytest.raises(BadSignature):
        signer([OLD], "device").loads(renewed)


def test_a_signature_is_for_one_purpose_and_a_limited_time():
    signed = signer([OLD], "device").dumps("x")
    with pytest.raises(BadSignature):
        signer([OLD], "flow").loads(signed)
    with pytest.raises(SignatureExpired):
        signer([OLD], "device").loads(signed, max_age=-1)
    for tampered in (f"{signed}x", signed.upper(), ""):
        with pytest.raises(BadSignature):
            signer([OLD], "device").loads(tampered)


def test_signatures_and_their_keys_use_sha_256():
    """The default of itsdangerous is SHA-1."""
    value, _, signature = signer([NEW], "device").dumps([7]).encode().rpartition(b".")
    derived_key = hmac.digest(NEW.get_secret_value().encode(), b"device", "sha256")
    assert urlsafe_b64decode(signature + b"=") == hmac.digest(derived_key, value, "sha256")


def test_the_first_key_encrypts_and_all_decrypt():
    old, new = SecretStr(Fernet.generate_key().decode()), SecretStr(Fernet.generate_key().decode())
    encrypted = cipher([old]).encrypt(b"token")
    assert cipher([new, old]).decrypt(encrypted) == b"token"
    renewed = cipher([new, old]).rotate(encrypted)
    assert cipher([new]).decrypt(renewed) == b"token"
    with pytest.raises(InvalidToken):
        cipher([old]).decrypt(renewed)


@pytest.mark.requirement("OIDC-17")
def test_tampered_ciphertext_is_not_decrypted():
    """Each byte: version, time, initialization vector, ciphertext and signature."""
    keys = [SecretStr(Fernet.generate_key().decode())]
    encrypted = urlsafe_b64decode(cipher(keys).encrypt(b"token"))
    for index in range(len(encrypted)):
        tampered = bytearray(encrypted)
        tampered[index] ^= 1
        with pytest.raises(InvalidToken):
            cipher(keys).decrypt(urlsafe_b64encode(tampered))


def test_a_key_id_does_not_reveal_the_key():
    assert len(key_id(OLD)) == 16
    assert key_id(OLD) == key_id(OLD) != key_id(NEW)
    assert key_id(OLD) not in OLD.get_secret_value()
