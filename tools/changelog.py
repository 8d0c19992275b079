"""Print the section of CHANGELOG.md about one version, for its release: `python -m tools.changelog 2026-11-23`."""

import re
import sys
from pathlib import Path


def notes(changelog: str, version: str) -> str:
    """Return the text below the version's heading; exits if it is missing or empty."""
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        if heading.strip() == version and text.strip():
            return text.strip()
    sys.exit(f"CHANGELOG.md has no text below `## {version}`. Rename `## Unreleased`, and tag that commit.")


if __name__ == "__main__":
    print(notes(Path("CHANGELOG.md").read_text(encoding="utf-8"), sys.argv[1]))
