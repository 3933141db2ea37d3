"""The roles' argument specs, defaults and READMEs say the same."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ANSIBLE = Path(__file__).resolve().parents[1]
DOCS = runpy.run_path(str(ANSIBLE / "docs.py"))
ROLES = sorted((ANSIBLE / "roles").iterdir())

role_by_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def options(role: Path) -> dict[str, dict[str, Any]]:
    """Return the variables of all entry points of a role; none is described twice."""
    described = [
        item for spec in DOCS["entry_points"](role).values() for item in spec["options"].items()
    ]
    assert len(dict(described)) == len(described)
    return dict(described)


@role_by_role
def test_readme_is_up_to_date(role: Path) -> None:
    stale = "run: .venv/bin/python ansible/docs.py"
    assert (role / "README.md").read_text() == DOCS["with_tables"](role), stale


@role_by_role
def test_specs_and_defaults_agree(role: Path) -> None:
    described = {name: o["default"] for name, o in options(role).items() if "default" in o}
    assert described == DOCS["load"](role / "defaults" / "main.yaml")


@role_by_role
def test_a_required_variable_has_no_default(role: Path) -> None:
    assert not [n for n, o in options(role).items() if o.get("required") and "default" in o]


@role_by_role
def test_each_entry_point_is_a_task_file(role: Path) -> None:
    for name in DOCS["entry_points"](role):
        assert (role / "tasks" / f"{name}.yaml").is_file()


@role_by_role
def test_variables_carry_the_name_of_their_role(role: Path) -> None:
    assert {n for n in options(role) if not n.startswith(f"{role.name}_")} <= {"platform"}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("1s", "`1s`"),
        (600, "`600`"),
        (False, "`false`"),
        (["a", "b"], "`[a, b]`"),
        ("{{ a | b }}", "`{{ a \\| b }}`"),
    ],
)
def test_values_fit_a_table(value: object, written: str) -> None:
    assert DOCS["code"](value) == written


def test_the_table_of_components_has_the_pinned_versions() -> None:
    pinned = DOCS["load"](ANSIBLE / "configs" / "versions.yaml")
    readme = (ANSIBLE / "README.md").read_text()
    rows = [line.split(" | ") for line in readme.splitlines() if line.count(" | ") == 4]
    versions = " ".join(row[2] for row in rows)
    for about in (*pinned["versions"].values(), *pinned["charts"].values()):
        assert about["version"] in versions
    for about in pinned["images"].values():
        assert about["tag"] in versions
    named = " ".join(row[1] for row in rows)
    assert [name for name in pinned["charts"] if f"`{name}`" not in named] == []
