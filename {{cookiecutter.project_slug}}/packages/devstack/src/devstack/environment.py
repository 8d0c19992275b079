"""The Python environment of a project. After a move or copy of its folder, scripts still name the old one."""

import re
import sys
from pathlib import Path

CURE = "delete .venv and run `uv sync --all-packages`"
INTERPRETER = re.compile(rb"^(?:#!|'''exec' ')(/[^\n'\"]*)/python", re.MULTILINE)


def interpreter_folder(script: Path) -> Path | None:
    """Return the folder of the Python that the first two lines of a script name, if they name one."""
    try:
        with script.open("rb") as file:
            lines = file.readline(1024) + file.readline(1024)
    except OSError:
        return None
    found = INTERPRETER.search(lines) if lines.startswith(b"#!") else None
    return Path(found[1].decode(errors="replace")) if found else None


def program(found: str) -> list[str]:
    """Return the command for a program. A script of the running environment runs on the running Python."""
    path = Path(found)
    ours = path.parent == Path(sys.executable).parent and interpreter_folder(path)
    return [sys.executable, found] if ours else [found]


def stale_environment(folder: Path) -> str | None:
    """Return a sentence if the project's `.venv` was made for another folder or is not in use, else None."""
    environment = folder / ".venv"
    if not (environment / "pyvenv.cfg").is_file():
        return None
    if not Path(sys.prefix).resolve().is_relative_to(folder.resolve()):
        return f"running on the Python of {sys.prefix}, not on this folder's: {CURE}"
    scripts = environment / "bin"
    for script in sorted(scripts.iterdir()) if scripts.is_dir() else []:
        named = interpreter_folder(script)
        if named and not (named.is_dir() and named.samefile(scripts)):
            return f".venv was made in another folder ({script.name} runs on {named}): {CURE}"
    return None
