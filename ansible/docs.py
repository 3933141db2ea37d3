"""Write each role's variables into its README, from the role's argument specs.

The tables stand between two marker comments; the rest of a README is written by hand.

Usage: python docs.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent / "roles"
BEGIN = "<!-- variables: written by docs.py from meta/argument_specs.yaml -->\n"
END = "<!-- end of variables -->\n"
HEADER = "| variable | type | default | meaning |\n|---|---|---|---|\n"


def load(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; a file of comments only is an empty one."""
    return yaml.safe_load(path.read_text()) or {}


def entry_points(role: Path) -> dict[str, Any]:
    """Return a role's argument specs by entry point."""
    specs: dict[str, Any] = load(role / "meta" / "argument_specs.yaml")["argument_specs"]
    return specs


def code(value: object) -> str:
    """Write a value as it stands in YAML, fit for a table's cell."""
    if isinstance(value, str):
        text = value
    else:
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
        text = text.strip().removesuffix("\n...")
    return "`" + text.replace("|", "\\|") + "`"


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield one table row per variable; the keys of a mapping follow it, with dots."""
    for name, about in options.items():
        kind = about["type"] + (f" of {about['elements']}" if "elements" in about else "")
        if "choices" in about:
            kind += ": " + ", ".join(f"`{choice}`" for choice in about["choices"])
        default = code(about["default"]) if "default" in about else ""
        given = "required" if about.get("required") else default
        yield f"| `{prefix}{name}` | {kind} | {given} | {about['description'].strip()} |\n"
        yield from rows(about.get("options", {}), f"{prefix}{name}.")


def tables(role: Path) -> str:
    """Return a role's tables: one per entry point, under its name where it is not the only one."""
    specs = entry_points(role)
    parts = []
    for name, spec in specs.items():
        table = HEADER + "".join(rows(spec["options"])) if spec["options"] else "No variables.\n"
        heading = f"`tasks_from: {name}`: {spec['short_description']}\n\n" if len(specs) > 1 else ""
        parts.append(heading + table)
    return "\n".join(parts)


def with_tables(role: Path) -> str:
    """Return a role's README with its tables up to date.

    Raises:
        ValueError: the README lacks the two markers.
    """
    text = (role / "README.md").read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{role / 'README.md'} needs the lines {BEGIN}and {END}once each")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{tables(role)}\n{END}{after}"


def main() -> None:
    """Bring every README up to date."""
    for role in sorted(ROLES.iterdir()):
        (role / "README.md").write_text(with_tables(role))


if __name__ == "__main__":
    main()
