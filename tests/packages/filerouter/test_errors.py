"""Every problem of a route tree, with its code and message."""

import re
import subprocess
import sys
from pathlib import Path

import filerouter
import pytest
from filerouter import FileRouter, RouteTreeError, scan

README = Path(filerouter.__file__).parents[2] / "README.md"
GET = "async def get() -> int:\n    return 1\n"


def takes(*names: str, default: str = "") -> str:
    return f"async def get({', '.join(f'{n}: str{default}' for n in names)}) -> int:\n    return 1\n"


REPORTS = {
    "same URL twice": (
        "duplicate-url",
        {"(a)/stats.py": GET, "(b)/stats.py": GET},
        "app/api/(b)/stats.py (/api/stats): has the same URL as app/api/(a)/stats.py. Keep one of the two files.",
    ),
    "index beside file": (
        "duplicate-url",
        {"posts.py": GET, "posts/index.py": GET},
        "app/api/posts/index.py (/api/posts): has the same URL as app/api/posts.py. Keep one of the two files.",
    ),
    "different names, last": (
        "parameter-name",
        {"things/[id].py": takes("id"), "things/[slug].py": takes("slug")},
        "app/api/things/[slug].py (/api/things/{slug}): [slug] is at the same position as [id] in "
        "app/api/things/[id].py. Use one name: rename it to [id].py, or move one file.",
    ),
    "different names, above": (
        "parameter-name",
        {"t/[id].py": takes("id"), "t/[slug]/x.py": takes("slug")},
        "app/api/t/[slug]/x.py (/api/t/{slug}/x): [slug] is at the same position as [id] in "
        "app/api/t/[id].py. Use one name: rename the folder [slug] to [id], or move one file.",
    ),
    "catch-all not last": (
        "catch-all-not-last",
        {"files/[...path]/x.py": takes("path")},
        "app/api/files/[...path]/x.py (/api/files/{path}/x): nothing can follow [...path], because it "
        "matches the rest of the path. Use [path] for one segment, or move the file up.",
    ),
    "both catch-alls": (
        "catch-all-beside-optional",
        {"d/[...path].py": takes("path"), "d/[[...path]].py": takes("path", default="=''")},
        "app/api/d/[[...path]].py (/api/d/{path}): [[...path]] matches the same URLs as [...path] in "
        "app/api/d/[...path].py. Keep one of the two files.",
    ),
    "two catch-alls": (
        "catch-all-twice",
        {"d/[...a].py": takes("a"), "d/[...b].py": takes("b")},
        "app/api/d/[...b].py (/api/d/{b}): [...b] is at the same position as [...a] in app/api/d/[...a].py. "
        "Use one name: rename it to [...a].py, or move one file.",
    ),
    "optional beside index": (
        "optional-beside-index",
        {"docs/index.py": GET, "docs/[[...path]].py": takes("path", default="=''")},
        "app/api/docs/[[...path]].py (/api/docs/{path}): also matches /api/docs, the URL of "
        "app/api/docs/index.py. Rename it to [...path].py, or delete the other file.",
    ),
    "repeated parameter": (
        "repeated-parameter",
        {"x/[id]/y/[id].py": takes("id")},
        "app/api/x/[id]/y/[id].py (/api/x/{id}/y/{id}): the parameter id is used twice. Rename one of them.",
    ),
    "braces": (
        "bad-segment",
        {"{id}.py": takes("id")},
        "app/api/{id}.py: '{id}' is not a valid URL segment. Write [id].",
    ),
    "typed": (
        "bad-segment",
        {"[id:int].py": takes("id")},
        "app/api/[id:int].py: '[id:int]' is not a valid URL segment. Write [id] and declare the type in "
        "the handler: id: int.",
    ),
    "double brackets": (
        "bad-segment",
        {"[[id]].py": GET},
        "app/api/[[id]].py: '[[id]]' is not a valid URL segment. Write [id].",
    ),
    "keyword": (
        "bad-segment",
        {"[class].py": GET},
        "app/api/[class].py: '[class]' is not a valid URL segment. Write [class_].",
    ),
    "hyphen": (
        "bad-segment",
        {"[a-b].py": GET},
        "app/api/[a-b].py: '[a-b]' is not a valid URL segment. Write [a_b].",
    ),
    "leading dot": (
        "bad-segment",
        {".well-known/x.py": GET},
        "app/api/.well-known: '.well-known' is not a valid URL segment. Write %2Ewell-known for a leading dot.",
    ),
    "odd text": (
        "bad-segment",
        {"a b.py": GET},
        "app/api/a b.py: 'a b' is not a valid URL segment. Use letters, digits, '-', '_', '.' and '~', "
        "or [name], [...name], [[...name]], (group).",
    ),
    "group file": (
        "bad-segment",
        {"(admin).py": GET},
        "app/api/(admin).py: '(admin)' is a group, and only folders can be groups. Write (admin)/index.py.",
    ),
    "unportable": (
        "bad-segment",
        {"aux.py": GET},
        "app/api/aux.py: 'aux' is not a valid file name on Windows. Choose another name.",
    ),
    "case only": (
        "case-only",
        {"Users/a.py": GET, "users/b.py": GET},
        "app/api/users/b.py (/api/users/b): users differs from Users in app/api/Users/a.py only by case. "
        "Rename the folder users to Users.",
    ),
    "no handler": (
        "no-handler",
        {"x.py": "VALUE = 1\n"},
        "app/api/x.py (/api/x): has no handler. Define get(), post(), put(), patch(), delete() or websocket().",
    ),
    "a handler that is only imported": (
        "no-handler",
        {"x.py": "from httpx2 import get\n"},
        "app/api/x.py (/api/x): has no handler. Define get(), post(), put(), patch(), delete() or websocket().",
    ),
    "stray: near miss": (
        "stray-function",
        {"x.py": GET + "def gett() -> None: ...\n"},
        "app/api/x.py (/api/x): gett() is not a handler. Did you mean get? Otherwise, prefix its name with _.",
    ),
    "stray: nothing else": (
        "stray-function",
        {"x.py": "async def gett() -> None: ...\n"},
        "app/api/x.py (/api/x): gett() is not a handler. Did you mean get? Otherwise, prefix its name with _.",
    ),
    "stray: upper case": (
        "stray-function",
        {"x.py": "async def GET() -> None: ...\n" + GET},
        "app/api/x.py (/api/x): GET() is not a handler. Rename it to get.",
    ),
    "stray: other": (
        "stray-function",
        {"x.py": GET + "def compute_totals() -> None: ...\n"},
        "app/api/x.py (/api/x): compute_totals() is not a handler. Prefix its name with _, or move it to a service.",
    ),
    "a partial for a handler": (
        "stray-function",
        {"x.py": "import functools\ndef _f(n: int) -> int:\n    return n\nget = functools.partial(_f, 1)\n"},
        "app/api/x.py (/api/x): get is of type partial, not a function. Define async def get() and call "
        "it there, or rename it to _get.",
    ),
    "a cached handler": (
        "stray-function",
        {"x.py": "import functools\n@functools.cache\ndef get() -> int:\n    return 1\n" + GET.replace("get", "post")},
        "app/api/x.py (/api/x): get is of type _lru_cache_wrapper, not a function. Define async def "
        "get() and call it there, or rename it to _get.",
    ),
    "an object for a handler": (
        "stray-function",
        {"x.py": "class _Answer:\n    async def __call__(self) -> int:\n        return 1\nget = _Answer()\n"},
        "app/api/x.py (/api/x): get is of type _Answer, not a function. Define async def get() and call "
        "it there, or rename it to _get.",
    ),
    "an imported name, bound again": (
        "stray-function",
        {"x.py": "import functools\nfrom json import dumps as get\nget = functools.partial(get, 1)\n"},
        "app/api/x.py (/api/x): get is of type partial, not a function. Define async def get() and call "
        "it there, or rename it to _get.",
    ),
    "lacks the parameter": (
        "missing-parameter",
        {"p/[id].py": GET},
        "app/api/p/[id].py (/api/p/{id}): get() has no parameter id. Add it: get(id: str).",
    ),
    "other name": (
        "missing-parameter",
        {"p/[id].py": takes("ident")},
        "app/api/p/[id].py (/api/p/{id}): get() has no parameter id. Rename its parameter ident to id.",
    ),
    "unknown Path()": (
        "unknown-parameter",
        {
            "p.py": "from typing import Annotated\nfrom fastapi import Path\n"
            "async def get(id: Annotated[int, Path()]) -> int:\n    return id\n"
        },
        "app/api/p.py (/api/p): get() has a path parameter id, which is not in the URL. Rename the file "
        "or the parameter.",
    ),
    "optional without default": (
        "no-default",
        {"docs/[[...path]].py": takes("path")},
        "app/api/docs/[[...path]].py (/api/docs): get() needs a default for path, which this URL does not contain.",
    ),
    "duplicate operation id": (
        "duplicate-operation-id",
        {"p/[id].py": takes("id"), "p/by_id.py": GET},
        "app/api/p/[id].py (/api/p/{id}): get_p_by_id is also the operation id of app/api/p/by_id.py "
        '(/api/p/by_id). Set another one: @operation(operation_id="…").',
    ),
    "sync websocket": (
        "sync-websocket",
        {"live.py": "def websocket() -> None: ...\n"},
        "app/api/live.py (/api/live): websocket() must be async def.",
    ),
    "unknown setting of a file": (
        "unknown-setting",
        {"x.py": "from filerouter import RouteConfig\nconfig = RouteConfig(tag=['a'])\n" + GET},
        "app/api/x.py (/api/x): RouteConfig has no setting tag. Did you mean tags?",
    ),
    "unknown setting of a handler": (
        "unknown-setting",
        {"x.py": "from filerouter import operation\n@operation(status=201)\n" + GET},
        "app/api/x.py (/api/x): operation has no setting status. Did you mean status_code?",
    ),
    "config of another kind": (
        "unknown-setting",
        {"x.py": "config = {'public': True}\n" + GET},
        "app/api/x.py (/api/x): config is not a RouteConfig. Write config = RouteConfig(…), or rename it to _config.",
    ),
    "folder without config": (
        "unknown-setting",
        {"_folder.py": "conf = 1\n", "x.py": GET},
        "app/api/_folder.py: has no config. Write config = RouteConfig(…), or delete the file.",
    ),
    "router and handlers": (
        "router-and-handlers",
        {"x.py": "from fastapi import APIRouter\nrouter = APIRouter()\n" + GET},
        "app/api/x.py (/api/x): has both a router and handlers (get). Keep one of the two.",
    ),
    "empty router": (
        "no-handler",
        {"x.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"},
        "app/api/x.py (/api/x): router has no routes. Add one, or delete the file.",
    ),
    "router beside a file": (
        "parameter-name",
        {
            "p.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"
            "@router.get('/{slug}')\nasync def compute(slug: str) -> str:\n    return slug\n",
            "p/[id].py": takes("id"),
        },
        "app/api/p/[id].py (/api/p/{id}): [id] is at the same position as [slug] in app/api/p.py. Use "
        "one name: rename it to [slug].py, or move one file.",
    ),
    "router with a mount": (
        "router-route",
        {
            "p.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"
            "router.mount('/static', app=lambda *args: None)\n"
        },
        "app/api/p.py (/api/p): router has a Mount at /static. Add it to the application.",
    ),
    "router with a path in the middle": (
        "catch-all-not-last",
        {
            "p.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"
            "@router.get('/{rest:path}/tail')\nasync def read(rest: str) -> str:\n    return rest\n"
        },
        "app/api/p.py (/api/p/{rest}/tail): nothing can follow [...rest], because it matches the rest of "
        "the path. Use [rest] for one segment, or move the file up.",
    ),
    "router with a path inside a segment": (
        "bad-segment",
        {
            "p.py": "from fastapi import APIRouter\nrouter = APIRouter()\n"
            "@router.get('/v{rest:path}')\nasync def read(rest: str) -> str:\n    return rest\n"
        },
        "app/api/p.py (/api/p): /v{rest:path} can match a slash within a segment. Use int, float or uuid.",
    ),
    "refused by FastAPI": (
        "bad-handler",
        {"x.py": "from filerouter import operation\n@operation(status_code=204)\n" + GET},
        "app/api/x.py (/api/x): FastAPI rejected get(): Status code 204 must not have a response body.",
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_the_report_has_code_and_message(name: str, project) -> None:
    code, files, message = REPORTS[name]
    assert project.write(files).report() == f"1 problem in the route tree:\n  {message}"
    assert project.codes == [code]


def test_the_readme_lists_exactly_the_codes_that_exist() -> None:
    table = README.read_text(encoding="utf-8").partition("| Code |")[2].partition("\n## ")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    listed = re.findall(r"`([a-z-]+)`", "".join(cells))
    others = {"import-failed", "link", "no-root", "no-routes", "package-taken"}  # tested below
    assert sorted(listed) == sorted({code for code, _, _ in REPORTS.values()} | others)


def test_a_root_that_is_not_a_folder_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(RouteTreeError) as caught:
        scan(tmp_path / "nowhere")
    assert str(caught.value) == (
        f"1 problem in the route tree:\n  {tmp_path.as_posix()}/nowhere: is not a folder. "
        "Pass the folder of the route files."
    )
    assert [problem.code for problem in caught.value.problems] == ["no-root"]


def test_a_tree_without_route_files_is_a_problem(project) -> None:
    assert project.report() == (
        "1 problem in the route tree:\n"
        "  app/api: has no route files. Create one, for example app/api/health.py with async def get()."
    )
    assert project.codes == ["no-routes"]


def test_links_to_folders_and_out_of_the_tree_are_problems(project, tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text(GET)
    (tmp_path / "more").mkdir()
    project.write({"x.py": GET})
    (project.root / "outside.py").symlink_to(tmp_path / "secret.py")
    (project.root / "more").symlink_to(tmp_path / "more")
    lines = project.report().splitlines()
    assert lines[0] == "2 problems in the route tree:"
    assert lines[1:] == [
        f"  app/api/{name}: symbolic links to folders, or to files outside the tree, are not followed. "
        "Copy the file instead."
        for name in ("more", "outside.py")
    ]
    assert project.codes == ["link", "link"]


def test_a_link_to_a_file_of_the_tree_is_a_route(project) -> None:
    project.write({"x.py": GET})
    (project.root / "y.py").symlink_to(project.root / "x.py")
    assert project.client().get("/api/y").json() == 1


def test_an_import_error_shows_only_the_frames_of_the_user(project) -> None:
    project.write({"x.py": "def _fail():\n    raise RuntimeError('no luck')\n\n_fail()\n", "y.py": "def get(:\n"})
    report = project.report()
    assert report.startswith("2 problems in the route tree:\n  app/api/x.py (/api/x): import failed.\n")
    assert "    RuntimeError: no luck" in report
    assert 'x.py", line 4, in <module>' in report
    assert 'x.py", line 2, in _fail' in report
    assert "app/api/y.py (/api/y): import failed." in report
    assert "    SyntaxError: " in report
    assert "importlib" not in report
    assert "filerouter" not in report
    assert "sys.exit" not in report
    assert project.codes == ["import-failed", "import-failed"]


def test_a_file_that_exits_is_a_problem(project) -> None:
    report = project.write({"x.py": "import sys\nsys.exit(0)\n"}).report()
    assert "app/api/x.py (/api/x): import failed." in report
    assert "SystemExit: 0" in report


def test_all_problems_are_in_one_report(project) -> None:
    files = {
        f"{number}/{name}": body
        for number, (_, files, _) in enumerate(REPORTS.values())
        for name, body in files.items()
    }
    report = project.write(files).report()
    assert report.startswith(f"{len(REPORTS)} problems in the route tree:\n")


def test_a_problem_lists_the_file_to_change_first(project) -> None:
    project.write({"(a)/s.py": GET, "(b)/s.py": GET})
    with pytest.raises(RouteTreeError) as caught:
        scan(project.root)
    (problem,) = caught.value.problems
    assert problem.files == (project.root / "(b)/s.py", project.root / "(a)/s.py")


def test_an_uncaught_error_prints_the_report_and_exits_with_1(project) -> None:
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
        "Define get(), post(), put(), patch(), delete() or websocket().\n"
    )


def test_private_files_and_tests_are_not_routes(project) -> None:
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
def test_an_invalid_prefix_is_an_error(prefix: str, project) -> None:
    with pytest.raises(ValueError, match="must have the form '/api'"):
        FileRouter(project.root, prefix=prefix)


def test_two_roots_with_the_same_package_name_are_an_error(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "routes").mkdir(parents=True)
    FileRouter(tmp_path / "one" / "routes")
    with pytest.raises(RouteTreeError, match=r"is already imported as routes\. Add an __init__\.py") as caught:
        FileRouter(tmp_path / "two" / "routes")
    assert [problem.code for problem in caught.value.problems] == ["package-taken"]
