"""Count what a team owns and what the platform has: lines, files, median module, size of the contract.

    python benchmarks/readability/sizes.py

Lines are all lines of tracked Python files. "Without the example" counts a project that was generated with
`example=no`, from tests/template/trees/minimal.txt.
"""

import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"


def tracked(folder: Path) -> list[Path]:
    """Files that git tracks below the folder."""
    command = ["git", "-C", str(folder), "ls-files", "-z"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return [folder / name for name in names if name]


def lines(path: Path) -> int:
    """Number of lines."""
    return len(path.read_text(encoding="utf-8").splitlines())


def main() -> None:
    """Print one line for each figure."""
    minimal = set((ROOT / "tests/template/trees/minimal.txt").read_text(encoding="utf-8").splitlines())
    for name, goals in (("app", (3200, 4500)), ("tests", (3500, 5500))):
        files = [path for path in tracked(PROJECT / name) if path.suffix == ".py"]
        kept = [path for path in files if path.relative_to(PROJECT).as_posix() in minimal]
        print(f"{name:9} {sum(map(lines, kept)):6} lines without the example (goal {goals[0]})")
        print(f"{name:9} {sum(map(lines, files)):6} lines with the example (goal {goals[1]})")
    modules = [path for path in tracked(PROJECT / "app") if path.suffix == ".py"]
    print(f"app       {len(modules):6} Python files (goal 110)")
    sizes = []
    for package in ("filerouter", "devstack", "saaskit"):
        own = [lines(path) for path in tracked(PROJECT / "packages" / package) if path.suffix == ".py"]
        own = [size for size in own if size > 1]
        sizes += own
        print(
            f"{package:10} {sum(own):5} lines, {len(own)} modules, "
            f"median {statistics.median(own):g}, longest {max(own)}"
        )
    print(f"packages   {sum(sizes):5} lines (goal 8000), median {statistics.median(sizes):g} (goal 100-200)")
    for name in ("openapi.json", "openapi.minimal.json"):
        print(f"{name}: {(PROJECT / name).stat().st_size / 1024:.0f} KB (goal 130)")


if __name__ == "__main__":
    main()
