"""Render the defaults to the branch `example`, for teams that clone a project instead of generating one.

    uv run --group bake python -m tools.example [COMMIT]

Each change of the rendered project is one commit on top of the last one. The branch is linear, begins with an orphan
and is never rewritten, so `git pull` brings all changes and deletions.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.bake import bake

BRANCH = "example"


def git(*arguments: str, **environment: str) -> str:
    """Return the output of a git command in the current repository."""
    done = subprocess.run(["git", *arguments], env=os.environ | environment, check=True, capture_output=True)
    return done.stdout.decode().strip()


def render(commit: str, folder: Path) -> Path:
    """Return the default project as generated at this commit; the work tree does not matter."""
    index = {"GIT_INDEX_FILE": str(folder / "template.index")}
    git("read-tree", commit, **index)
    git("checkout-index", "--all", f"--prefix={folder}/template/", **index)
    done = bake(folder / "template", folder / "output")
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return next((folder / "output").iterdir())


def tree_of(project: Path, folder: Path) -> str:
    """Add the project to this repository as a tree, with a separate index. Returns the id of the tree."""
    index = {"GIT_INDEX_FILE": str(folder / "example.index")}
    git("--work-tree", str(project), "add", "--all", "--force", ".", **index)
    return git("write-tree", **index)


def tip() -> str:
    """Return the commit of the branch, here or at the origin; an empty string if there is none."""
    for ref in (f"refs/heads/{BRANCH}", f"refs/remotes/origin/{BRANCH}"):
        if found := git("for-each-ref", "--format=%(objectname)", ref):
            return found
    return ""


def main() -> None:
    os.chdir(git("rev-parse", "--show-toplevel"))
    commit = git("rev-parse", *(sys.argv[1:] or ["HEAD"]))
    parent = tip()
    with TemporaryDirectory() as folder:
        tree = tree_of(render(commit, Path(folder)), Path(folder))
    if parent and git("rev-parse", f"{parent}^{{tree}}") == tree:
        print(f"{BRANCH}: {commit[:7]} renders the same project; nothing to commit")
        return
    message = f"Render {git('log', '-1', '--format=%h: %s', commit)}"
    made = git("commit-tree", tree, *(["-p", parent] if parent else []), "-m", message)
    git("update-ref", f"refs/heads/{BRANCH}", made)
    print(f"{BRANCH}: {message}")


if __name__ == "__main__":
    main()
