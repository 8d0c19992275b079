"""Every problem of a tree, with the text that its author reads."""

import sys
from pathlib import Path

import pytest

from filerouter import FileRouter, RouteTreeError, scan

GET = "async def get() -> int:\n    return 1\n"


def takes(*names: str, default: str = "") -> str:
    return f"async def get({', '.join(f'{n}: str{default}' for n in names)}) -> int:\n    return 1\n"


REPORTS = {
    "same URL twice": (
        {"(a)/stats.py": GET, "(b)/stats.py": GET},
        "app/api/(b)/stats.py: same URL as app/api/(a)/stats.py (/api/stats). Keep one of the two files.",
    ),
    "index beside file": (
        {"posts.py": GET, "posts/index.py": GET},
        "app/api/posts/index.py: same URL as app/api/posts.py (/api/posts). Keep one of the two files.",
    ),
    "different names, last": (
        {"things/[id].py": takes("id"), "things/[slug].py": takes("slug")},
        "app/api/things/[slug].py: same place as app/api/things/[id].py (/api/things/{…}). "
        "Use one name: rename it to [id].py, or move one file.",
    ),
    "different names, above": (
        {"t/[id].py": takes("id"), "t/[slug]/x.py": takes("slug")},
        "app/api/t/[slug]/x.py: same place as app/api/t/[id].py (/api/t/{…}). "
        "Use one name: rename the folder [slug] to [id], or move one file.",
    ),
    "catch-all not last": (
        {"files/[...path]/x.py": takes("path")},
        "app/api/files/[...path]/x.py: nothing may follow [...path] in /api/files/{path}/x, for it takes all "
        "the rest. Use [path] for one segment, or move the file up.",
    ),
    "both catch-alls": (
        {"d/[...path].py": takes("path"), "d/[[...path]].py": takes("path", default="=''")},
        "app/api/d/[[...path]].py: takes the same URLs as app/api/d/[...path].py (/api/d/…). "
        "Keep one of the two files.",
    ),
    "optional beside index": (
        {"docs/index.py": GET, "docs/[[...path]].py": takes("path", default="=''")},
        "app/api/docs/[[...path]].py: answers /api/docs as app/api/docs/index.py does. "
        "Rename it to [...path].py, or delete the other file.",
    ),
    "repeated parameter": (
        {"x/[id]/y/[id].py": takes("id")},
        "app/api/x/[id]/y/[id].py: the parameter id stands twice in /api/x/{id}/y/{id}. Rename one of them.",
    ),
    "braces": (
        {"{id}.py": takes("id")},
        "app/api/{id}.py: '{id}' is no URL segment. Write [id].",
    ),
    "typed": (
        {"[id:int].py": takes("id")},
        "app/api/[id:int].py: '[id:int]' is no URL segment. "
        "Write [id] and give the type in the handler: id: int.",
    ),
    "double brackets": ({"[[id]].py": GET}, "app/api/[[id]].py: '[[id]]' is no URL segment. Write [id]."),
    "keyword": ({"[class].py": GET}, "app/api/[class].py: '[class]' is no URL segment. Write [class_]."),
    "hyphen": ({"[a-b].py": GET}, "app/api/[a-b].py: '[a-b]' is no URL segment. Write [a_b]."),
    "leading dot": (
        {".well-known/x.py": GET},
        "app/api/.well-known: '.well-known' is no URL segment. Write %2Ewell-known for a leading dot.",
    ),
    "odd text": (
        {"a b.py": GET},
        "app/api/a b.py: 'a b' is no URL segment. Use letters, digits, '-', '_', '.' and '~', "
        "or [name], [...name], [[...name]], (group).",
    ),
    "group file": (
        {"(admin).py": GET},
        "app/api/(admin).py: '(admin)' is a group, and groups are folders. Write (admin)/index.py.",
    ),
    "unportable": ({"aux.py": GET}, "app/api/aux.py: Windows cannot hold the name 'aux'. Choose another."),
    "case only": (
        {"Users/a.py": GET, "users/b.py": GET},
        "app/api/users/b.py: differs from app/api/Users/a.py only by case (/api/Users). "
        "Rename the folder users to Users.",
    ),
    "no handler": (
        {"x.py": "VALUE = 1\n"},
        "app/api/x.py (/api/x): has no handler. "
        "Write async def get(), post, put, patch, delete or websocket.",
    ),
    "a handler that is only imported": (
        {"x.py": "from httpx2 import get\n"},
        "app/api/x.py (/api/x): has no handler. "
        "Write async def get(), post, put, patch, delete or websocket.",
    ),
    "stray: near miss": (
        {"x.py": GET + "def gett() -> None: ...\n"},
        "app/api/x.py (/api/x): gett() is no handler. Did you mean get? Otherwise prefix it with _.",
    ),
    "stray: nothing else": (
        {"x.py": "async def gett() -> None: ...\n"},
        "app/api/x.py (/api/x): gett() is no handler. Did you mean get? Otherwise prefix it with _.",
    ),
    "stray: upper case": (
        {"x.py": "async def GET() -> None: ...\n" + GET},
        "app/api/x.py (/api/x): GET() is no handler. Write get in lower case.",
    ),
    "stray: other": (
        {"x.py": GET + "def compute_totals() -> None: ...\n"},
        "app/api/x.py (/api/x): compute_totals() is no handler. Prefix it with _, or move it to a service.",
    ),
    "a partial for a handler": (
        {"x.py": "import functools\ndef _f(n: int) -> int:\n    return n\nget = functools.partial(_f, 1)\n"},
        "app/api/x.py (/api/x): get is no function but a partial. Write async def get() and call it there, "
        "or rename it to _get.",
    ),
    "a cached handler": (
        {
            "x.py": "import functools\n@functools.cache\ndef get() -> int:\n    return 1\n"
            + GET.replace("get", "post")
        },
        "app/api/x.py (/api/x): get is no function but a _lru_cache_wrapper. "
        "Write async def get() and call it there, "
        "or rename it to _get.",
    ),
    "an object for a handler": (
        {"x.py": "class _Answer:\n    async def __call__(self) -> int:\n        return 1\nget = _Answer()\n"},
        "app/api/x.py (/api/x): get is no function but a _Answer. Write async def get() and call it there, "
        "or rename it to _get.",
    ),
    "an imported name, bound again": (
        {"x.py": "import functools\nfrom json import dumps as get\nget = functools.partial(get, 1)\n"},
        "app/api/x.py (/api/x): get is no function but a partial. Write async def get() and call it there, "
        "or rename it to _get.",
    ),
    "lacks the parameter": (
        {"p/[id].py": GET},
        "app/api/p/[id].py: get() does not take id of /api/p/{id}. Add it: get(id: str).",
    ),
    "other name": (
        {"p/[id].py": takes("ident")},
        "app/api/p/[id].py: get() does not take id of /api/p/{id}. Rename its parameter ident.",
    ),
    "unknown Path()": (
        {
            "p.py": "from typing import Annotated\nfrom fastapi import Path\n"
            "async def get(id: Annotated[int, Path()]) -> int:\n    return id\n"
        },
        "app/api/p.py: get() takes the path parameter id, which /api/p has not. "
        "Rename the file or the parameter.",
    ),
    "optional without default": (
        {"docs/[[...path]].py": takes("path")},
        "app/api/docs/[[...path]].py (/api/docs/{path}): get() needs a default for path: the URL may be "
        "/api/docs.",
    ),
    "duplicate operation id": (
        {"p/[id].py": takes("id"), "p/by_id.py": GET},
        "app/api/p/[id].py (/api/p/{id}): same operation id as app/api/p/by_id.py (/api/p/by_id): "
        "get_p_by_id. "
        'Give one of the handlers another: @operation(operation_id="…").',
    ),
    "sync websocket": (
        {"live.py": "def websocket() -> None: ...\n"},
        "app/api/live.py (/api/live): websocket() must be async def.",
    ),
    "unknown setting of a file": (
        {"x.py": "from filerouter import RouteConfig\nconfig = RouteConfig(tag=['a'])\n" + GET},
        "app/api/x.py (/api/x): RouteConfig has no setting tag. Did you mean tags?",
    ),
    "unknown setting of a handler": (
        {"x.py": "from filerouter import operation\n@operation(status=201)\n" + GET},
        "app/api/x.py (/api/x): operation has no setting status. Did you mean status_code?",
    ),
    "config of another kind": (
        {"x.py": "config = {'public': True}\n" + GET},
        "app/api/x.py (/api/x): config is no RouteConfig. "
        "Write config = RouteConfig(…), or rename it to _config.",
    ),
    "folder without config": (
        {"_folder.py": "conf = 1\n", "x.py": GET},
        "app/api/_folder.py: sets nothing. Write config = RouteConfig(…), or delete it.",
    ),
    "router and handlers": (
        {"x.py": "from fastapi import APIRouter\nrouter = APIRouter()\n" + GET},
        "app/api/x.py (/api/x): has both a router and get(). Move them into the router, or drop it.",
    ),
    "empty router": (
        {"x.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"},
        "app/api/x.py (/api/x): router has no route. Add one, or delete the file.",
    ),
    "router beside a file": (
        {
            "p.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"
            "@router.get('/{slug}')\nasync def compute(slug: str) -> str:\n    return slug\n",
            "p/[id].py": takes("id"),
        },
        "app/api/p/[id].py: same place as app/api/p.py (/api/p/{…}). "
        "Use one name: rename it to [slug].py, or move one file.",
    ),
    "router with a mount": (
        {
            "p.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"
            "router.mount('/static', app=lambda *args: None)\n"
        },
        "app/api/p.py (/api/p): router has a Mount at /static. Give it to the application instead.",
    ),
    "router with a path in the middle": (
        {
            "p.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"
            "@router.get('/{rest:path}/tail')\nasync def read(rest: str) -> str:\n    return rest\n"
        },
        "app/api/p.py: nothing may follow [...rest] in /api/p/{rest}/tail, for it takes all the rest. "
        "Use [rest] for one segment, or move the file up.",
    ),
    "router with a path inside a segment": (
        {
            "p.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"
            "@router.get('/v{rest:path}')\nasync def read(rest: str) -> str:\n    return rest\n"
        },
        "app/api/p.py (/api/p): /v{rest:path} may take a slash inside a segment. Use int, float or uuid.",
    ),
    "refused by FastAPI": (
        {"x.py": "from filerouter import operation\n@operation(status_code=204)\n" + GET},
        "app/api/x.py (/api/x): get() was refused by FastAPI: Status code 204 must not have a response body.",
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_report(name: str, project) -> None:
    files, expected = REPORTS[name]
    assert project.write(files).report() == f"1 problem in the route tree:\n  {expected}"


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RouteTreeError) as caught:
        scan(tmp_path / "nowhere")
    assert str(caught.value) == (
        f"1 problem in the route tree:\n  {tmp_path.as_posix()}/nowhere: is no folder. "
        "Give the folder of the route files."
    )


def test_no_routes(project) -> None:
    assert project.report() == (
        "1 problem in the route tree:\n"
        "  app/api: no route file. A first one: app/api/health.py with async def get()."
    )


def test_link_that_leaves_the_root(project, tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text(GET)
    (tmp_path / "more").mkdir()
    project.write({"x.py": GET})
    (project.root / "stolen.py").symlink_to(tmp_path / "secret.py")
    (project.root / "more").symlink_to(tmp_path / "more")
    lines = project.report().splitlines()
    assert lines[0] == "2 problems in the route tree:"
    assert lines[1:] == [
        f"  app/api/{name}: is a link that leaves the tree or leads to a folder. Copy the file instead."
        for name in ("more", "stolen.py")
    ]


def test_link_within_the_root(project) -> None:
    project.write({"x.py": GET})
    (project.root / "y.py").symlink_to(project.root / "x.py")
    assert project.client().get("/api/y").json() == 1


def test_import_error_shows_the_users_frames_only(project) -> None:
    project.write(
        {"x.py": "def _fail():\n    raise RuntimeError('no luck')\n\n_fail()\n", "y.py": "def get(:\n"}
    )
    report = project.report()
    assert report.startswith(
        "2 problems in the route tree:\n  app/api/x.py (/api/x): could not be imported.\n"
    )
    assert "    RuntimeError: no luck" in report
    assert 'x.py", line 4, in <module>' in report
    assert 'x.py", line 2, in _fail' in report
    assert "app/api/y.py (/api/y): could not be imported." in report
    assert "    SyntaxError: " in report
    assert "importlib" not in report
    assert "filerouter" not in report
    assert "sys.exit" not in report


def test_a_file_that_exits_is_a_problem_too(project) -> None:
    report = project.write({"x.py": "import sys\nsys.exit(0)\n"}).report()
    assert "app/api/x.py (/api/x): could not be imported." in report
    assert "SystemExit: 0" in report


def test_all_problems_in_one_report(project) -> None:
    files = {
        f"{number}/{name}": body
        for number, (files, _) in enumerate(REPORTS.values())
        for name, body in files.items()
    }
    report = project.write(files).report()
    assert report.startswith(f"{len(REPORTS)} problems in the route tree:\n")


def test_the_error_tells_code_and_files(project) -> None:
    project.write({"(a)/s.py": GET, "(b)/s.py": GET})
    with pytest.raises(RouteTreeError) as caught:
        scan(project.root)
    (problem,) = caught.value.problems
    assert problem.code == "duplicate-url"
    assert problem.files == (project.root / "(b)/s.py", project.root / "(a)/s.py")


def test_an_uncaught_error_is_the_report_and_exit_code_1(project) -> None:
    import subprocess

    project.write({"x.py": "VALUE = 1\n"})
    code = (
        f"from fastapi import FastAPI; from filerouter import FileRouter; "
        f"FileRouter({str(project.root)!r}, prefix='/api').mount(FastAPI())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.replace(project.name, "app") == (
        "1 problem in the route tree:\n"
        "  app/api/x.py (/api/x): has no handler. "
        "Write async def get(), post, put, patch, delete or websocket.\n"
    )


def test_skipped_files(project) -> None:
    project.write(
        {
            "x.py": GET,
            "test_x.py": "",
            "x_test.py": "",
            "conftest.py": "",
            "_private.py": "raise RuntimeError",
            "_private/y.py": "raise RuntimeError",
            "notes.txt": "",
            "__init__.py": "",
            "templates and more/x.html": "",
        }
    )
    project.mount()
    assert [file.pattern for file in project.api.files] == ["/x"]


@pytest.mark.parametrize("prefix", ["api", "/api/", "/t/{tenant}"])
def test_prefix(prefix: str, project) -> None:
    with pytest.raises(ValueError, match="write it as '/api'"):
        FileRouter(project.root, prefix=prefix)


def test_two_trees_of_one_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "routes").mkdir(parents=True)
    FileRouter(tmp_path / "one" / "routes")
    with pytest.raises(RouteTreeError, match=r"already is the package routes\. Put an __init__\.py into"):
        FileRouter(tmp_path / "two" / "routes")
