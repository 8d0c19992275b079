"""The command `saaskit`: take parts over, check `packages/`, update from the template."""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

from saaskit import takeover, updates

__all__ = ["main"]


def main(argv: list[str] | None = None) -> None:
    """Run the command in the project's folder."""
    parser = argparse.ArgumentParser(prog="saaskit", description="Maintain the packages below a product.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("take-over", help="copy parts of saaskit into app/, and change the imports")
    add.add_argument("parts", nargs="+", metavar="PART[=NAME]", help="for example cache, or jobs=background")
    add.set_defaults(run=_take_over)
    add = commands.add_parser("check-packages", help="list the files in packages/ that were edited")
    add.set_defaults(run=_check_packages)
    add = commands.add_parser("update", help="update from the template, and show changelogs")
    add.add_argument("--overwrite", action="store_true", help="discard edits of files in packages/")
    add.set_defaults(run=_update)
    arguments = parser.parse_args(argv)
    project = Path.cwd()
    if not (project / "pyproject.toml").is_file() or not (project / "app").is_dir():
        sys.exit("Run this in the folder of the project, which has pyproject.toml and app/.")
    try:
        arguments.run(project, arguments)
    except (takeover.TakeOverError, updates.UpdateError) as error:
        sys.exit(str(error))


def _take_over(project: Path, options: argparse.Namespace) -> None:
    parts = {part: name or part for part, _, name in (each.partition("=") for each in options.parts)}
    taken = takeover.take_over(project, parts)
    code = [str(path) for path in taken.copied + taken.changed if path.suffix == ".py"]
    if importlib.util.find_spec("ruff"):
        for arguments in (("check", "--fix", "--select", "I"), ("format",)):
            command = [sys.executable, "-m", "ruff", *arguments, "--quiet", *code]
            subprocess.run(command, cwd=project, check=False)  # noqa: S603 (files of the project)
    for title, paths in (("Copied:", taken.copied), ("Imports changed:", taken.changed)):
        print(title, *(f"  {path.relative_to(project).as_posix()}" for path in paths), sep="\n")
    if missing := takeover.missing_requirements(project, taken.copied):
        print("The copied code needs these packages. Declare them:")
        print(f"  uv add {' '.join(repr(requirement) for requirement in missing)}")
    print("Then run `make check` and the tests.")


def _check_packages(project: Path, _: argparse.Namespace) -> None:
    packages = project / "packages"
    if not packages.is_dir():
        print("There is no folder packages/: the packages are installed as wheels.")
    elif edits := updates.find_edits(packages):
        for name, kind in edits.items():
            print(f"{kind:8} packages/{name}")
        sys.exit(1)
    else:
        versions = [" ".join(each) for each in updates.read_versions(packages).items()]
        print(f"No file in packages/ was edited: {', '.join(versions)}.")


def _update(project: Path, arguments: argparse.Namespace) -> None:
    print(updates.update(project, overwrite=arguments.overwrite))
    print("Next: uv lock, make check, uv run pytest")
