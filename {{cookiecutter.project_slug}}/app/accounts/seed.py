"""Example users, all with the same password."""

import re

from saaskit.security import hash_password
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import Password, User

AFTER: list[str] = []
PASSWORD = "correct horse battery staple"  # noqa: S105 (example data)
SIGN_IN = f"sign in as ada-lindqvist@example.com with the password: {PASSWORD}"
NAMES = """Ada Lindqvist, Bruno Okafor, Chiara Romano, Diego Fuentes, Elif Yilmaz, Farid Haddad,
Greta Sommer, Hana Kimura, Ivan Petrov, Julia Novak, Kofi Mensah, Lena Fischer, Mateo Silva,
Nadia Rahman, Oskar Berg, Priya Nair, Quentin Moreau, Rosa Jimenez, Sven Dahl, Tara O'Neill"""


async def seed(db: AsyncSession) -> None:
    """Create twenty users."""
    names = [" ".join(name.split()) for name in NAMES.split(",")]
    users = [{"name": name, "email": f"{re.sub('[^a-z]+', '-', name.lower())}@example.com"} for name in names]
    ids = await db.scalars(insert(User).returning(User.id), users)
    hashed = await hash_password(PASSWORD)
    await db.execute(insert(Password), [{"user_id": user_id, "hash": hashed} for user_id in ids])
