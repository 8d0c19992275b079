"""Answers: valid ones arrive unchanged, invalid ones are all reported at once, and no file is left behind."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.template.conftest import Bake
from tools.bake import ROOT


def pyproject(output: Path, slug: str) -> dict:
    return tomllib.loads((output / slug / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def remains(output: Path) -> list[Path]:
    """Return the files that a refusal left beside and below the output folder."""
    return [path for path in output.parent.rglob("*") if path != output]


def test_there_are_six_questions_each_with_a_prompt():
    asked = json.loads((ROOT / "cookiecutter.json").read_text())
    questions = {key for key in asked if not key.startswith("_")}
    assert questions == {"project_name", "project_slug", "description", "author", "license", "example"}
    assert set(asked["__prompts__"]) == questions


def test_the_defaults_are_valid(generate: Bake, output: Path):
    done = generate(stdin="\n" * 6)
    assert done.returncode == 0, done.stderr
    assert "[6/6]" in done.stdout
    assert "[7/" not in done.stdout
    assert [path.name for path in output.iterdir()] == ["acme"]


def test_the_product_name_determines_the_other_defaults(generate: Bake, output: Path):
    assert generate(project_name="Night Owl").returncode == 0
    project = pyproject(output, "night-owl")
    assert project["name"] == "night-owl"
    assert project["description"] == "The backend of Night Owl"
    assert project["authors"] == [{"name": "The Night Owl team"}]
    assert "Copyright (c) The Night Owl team." in (output / "night-owl" / "LICENSE").read_text()


def test_the_output_names_the_next_three_commands(generate: Bake):
    lines = generate().stdout.strip().splitlines()
    assert lines[0] == "acme is ready. Next:"
    assert [line.split("#")[0].split() for line in lines[1:]] == [
        ["cd", "acme"],
        ["uv", "run", "dev"],
        ["uv", "run", "pytest"],
    ]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("O'Connor & Sons", "o-connor-sons"),
        ("日本 太郎", "ri-ben-tai-lang"),
        ("3D Printing", "3d-printing"),
        ("!!!", "my-saas"),
        ("a'''b; {x} ${y} $(z) `w` #", "a-b-x-y-z-w"),
        ("<b>Çaglar</b> 🦉", "b-caglar-b"),
        ("Taumatawhakatangihangakoauauotamatea tea", "taumatawhakatangihangakoauauotamatea-tea"),
    ],
)
def test_unusual_names_arrive_unchanged(generate: Bake, output: Path, name: str, slug: str):
    done = generate(project_name=name, description=f"{name}.", author=name)
    assert done.returncode == 0, done.stderr
    project = pyproject(output, slug)
    assert project["name"] == slug
    assert project["description"] == f"{name}."
    assert project["authors"] == [{"name": name}]


@pytest.mark.parametrize("slug", ["app", "test", "migrations", "007"])
def test_slugs_that_only_look_reserved_are_accepted(generate: Bake, output: Path, slug: str):
    assert generate(project_slug=slug).returncode == 0
    assert pyproject(output, slug)["name"] == slug


@pytest.mark.parametrize(
    ("answers", "complaints"),
    [
        ({"project_slug": "---"}, ["project_slug"]),
        ({"project_slug": "a/b"}, ["project_slug"]),
        ({"project_slug": "../x/y"}, ["project_slug"]),
        ({"project_slug": "a b; rm -rf ."}, ["project_slug"]),
        ({"project_slug": "con"}, ["project_slug", "con-app"]),
        ({"project_slug": "fastapi"}, ["project_slug", "fastapi-app"]),
        ({"author": 'The "Rock"'}, ["author"]),
        ({"author": "back\\"}, ["author"]),
        ({"author": "two\nlines"}, ["author"]),
        ({"description": '"""; import os'}, ["description"]),
        ({"project_name": "", "project_slug": "", "description": "", "author": ""}, []),
        (
            {"project_name": " ", "project_slug": "-", "description": "\x1b[31m", "author": '"'},
            ["project_name", "project_slug", "description", "author"],
        ),
    ],
    ids=str,
)
def test_invalid_answers_are_all_explained_at_once(
    generate: Bake, output: Path, answers: dict[str, str], complaints: list[str]
):
    done = generate(**answers)
    assert done.returncode != 0
    for complaint in complaints:
        assert complaint in done.stderr
    assert not remains(output)


def test_template_syntax_in_an_answer_is_refused(generate: Bake, output: Path):
    """At a prompt it is harmless, but `cruft update` would pass it as an option, and cookiecutter would render it."""
    done = generate(stdin="{% raw %}\nacme\n{{ 7*7 }}\n{# no #}\n\n\n")
    assert [line.split()[0] for line in done.stderr.splitlines() if line.startswith("  ")][:3] == [
        "project_name",
        "description",
        "author",
    ]
    assert not remains(output)


def test_an_answer_is_never_code(generate: Bake, output: Path):
    generate(author="'''); open('owned', 'w') #", description="\"\"\"; open('owned', 'w') #")
    assert not remains(output)


def test_unknown_licenses_and_booleans_are_refused(generate: Bake, output: Path):
    assert generate(license="GPL").returncode != 0
    assert generate(example="perhaps").returncode != 0
    assert not remains(output)


def test_refused_answers_leave_an_existing_folder_alone(generate: Bake, output: Path):
    existing = output / "acme" / "existing.txt"
    existing.parent.mkdir(parents=True)
    existing.write_text("precious")
    assert generate("--overwrite-if-exists", author='"').returncode != 0
    assert existing.read_text() == "precious"


@pytest.mark.parametrize("example", ["yes", "no"])
@pytest.mark.parametrize("license", ["Proprietary", "MIT", "Apache-2.0"])
def test_every_combination(generate: Bake, output: Path, license: str, example: str):  # noqa: A002
    done = generate(license=license, example=example, author="Zoë's Ltd <{zoe}@example.com>")
    assert done.returncode == 0, done.stderr
    text = (output / "acme" / "LICENSE").read_text(encoding="utf-8")
    heading = {"Proprietary": "All rights reserved", "MIT": "MIT License", "Apache-2.0": "Apache License"}
    assert heading[license] in text
    assert ("Zoë's Ltd <{zoe}@example.com>" in text) == (license != "Apache-2.0")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
