"""Updates of `packages/`: which files were edited, which versions changed, and what the changelogs say."""

import hashlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

__all__ = ["UpdateError", "describe_changes", "find_edits", "read_versions", "update"]

CHECKSUMS = "SHA256SUMS"
"""Written when the project is generated, in the format of `sha256sum`."""
UPSTREAM = ("upstream", "example")
"""Remote and branch of a project that was cloned. how-to/use-as-a-team-starting-point.md adds it."""


class UpdateError(Exception):
    """The update was not made."""


def update(project: Path, *, overwrite: bool = False) -> str:
    """Update the project from its template, and return the new versions with their changelogs.

    Raises UpdateError if package files were edited, unless `overwrite` is set: then their originals are
    restored in a commit of their own, so that git keeps the edits.
    """
    packages = project / "packages"
    edits, before = find_edits(packages), read_versions(packages)
    if edits and not overwrite:
        raise UpdateError(
            f"These package files are not as the template made them:\n{_list(edits)}\n"
            "Nothing was updated. Move the changes into app/, for example with `saaskit take-over`,\n"
            "or discard them with `saaskit update --overwrite`."
        )
    if edits:
        _restore(project, edits)
    command = _update_command(project)
    if subprocess.run(command, cwd=project, check=False).returncode:  # noqa: S603 (no input)
        raise UpdateError(f"`{' '.join(command)}` failed.")
    return describe_changes(before, packages)


def find_edits(packages: Path) -> dict[str, str]:
    """Return the package files that differ from the template's: path to "edited", "deleted" or "added"."""
    expected = _read_checksums(packages)
    present = {
        path.relative_to(packages).as_posix(): path
        for path in packages.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != CHECKSUMS
    }
    edits = dict.fromkeys(expected.keys() - present.keys(), "deleted")
    edits |= dict.fromkeys(present.keys() - expected.keys(), "added")
    for name in expected.keys() & present.keys():
        if _digest(present[name].read_bytes()) != expected[name]:
            edits[name] = "edited"
    return dict(sorted(edits.items()))


def read_versions(packages: Path) -> dict[str, str]:
    """Return the version of each package."""
    versions = {}
    for path in sorted(packages.glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        versions[project["name"]] = project["version"]
    return versions


def describe_changes(before: Mapping[str, str], packages: Path) -> str:
    """Return a line for each package with its old and new version, and the changelog between them."""
    parts = []
    for name, new in read_versions(packages).items():
        old = before.get(name)
        if old == new:
            parts.append(f"{name} {new} (unchanged)")
            continue
        changelog = (packages / name / "CHANGELOG.md").read_text(encoding="utf-8")
        parts.append(f"{name} {old or 'new'} -> {new}\n\n{_sections_since(changelog, old)}")
    return "\n".join(parts)


def _sections_since(changelog: str, version: str | None) -> str:
    """Return the sections above that of a version; all of them if it has none."""
    sections = re.split(r"^(?=## )", changelog, flags=re.MULTILINE)[1:]
    headings = [section.partition("\n")[0].removeprefix("## ").split()[0] for section in sections]
    end = headings.index(version) if version in headings else len(sections)
    return "".join(sections[:end]).strip() + "\n"


def _read_checksums(packages: Path) -> dict[str, str]:
    path = packages / CHECKSUMS
    if not path.is_file():
        raise UpdateError(f"packages/{CHECKSUMS} is missing. It is written when a project is generated.")
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _list(edits: Mapping[str, str]) -> str:
    return "\n".join(f"  {kind:8} packages/{name}" for name, kind in edits.items())


def _update_command(project: Path) -> list[str]:
    if (project / ".cruft.json").is_file():
        cruft = ["cruft"] if shutil.which("cruft") else ["uvx", "cruft"]
        return [*cruft, "update", "--skip-apply-ask"]
    if UPSTREAM[0] in _git(project, "remote").decode().split():
        return ["git", "pull", "--no-rebase", *UPSTREAM]
    raise UpdateError(
        "This project has no .cruft.json and no remote called upstream, so its template is not known.\n"
        "docs/how-to/upgrade.md of the template explains how to link them."
    )


def _restore(project: Path, edits: Mapping[str, str]) -> None:
    """Write the originals of edited and deleted files, remove added ones, and commit that."""
    expected = _read_checksums(project / "packages")
    originals = {name: _find_original(project, f"packages/{name}", expected.get(name)) for name in edits}
    for name, content in originals.items():
        path = project / "packages" / name
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    _git(project, "add", "--", "packages")
    _git(project, "commit", "--quiet", "--message", "Restore the template's package files", "--", "packages")


def _find_original(project: Path, name: str, digest: str | None) -> bytes | None:
    """Return the version of a file in git's history that has this digest; None for an added file."""
    if digest is None:
        return None
    for commit in _git(project, "rev-list", "HEAD", "--", f":(literal){name}").decode().split():
        try:
            content = _git(project, "cat-file", "blob", f"{commit}:{name}")
        except subprocess.CalledProcessError:
            continue  # this commit deleted it
        if _digest(content) == digest:
            return content
    raise UpdateError(f"git's history has no original of {name}. Nothing was updated.")


def _git(project: Path, *arguments: str) -> bytes:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=project, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603
