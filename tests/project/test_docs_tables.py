"""Documentation says everything: each command, setting, error, state, record and public name has its place."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import penstock
from penstock import errors, settings
from penstock.core import records, states, transitions
from penstock.core.specs import FlowOptions, TaskOptions
from penstock.core.states import State, StateType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def docs_pages() -> Any:
    """The script that makes the tables."""
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "scripts" / "docs_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (DOCS / name).read_text()


def headings(name: str) -> set[str]:
    return set(re.findall(r"^#+ (.+)$", page(name), re.MULTILINE))


MADE = docs_pages()


@pytest.mark.parametrize("name", MADE.PAGES)
def test_the_tables_of_the_page_are_those_that_follow_from_the_code(name: str):
    text = page(name)

    assert MADE.current(name, text) == text, "run `python scripts/docs_pages.py`"


def test_each_setting_has_a_heading():
    assert {f"`PENSTOCK_{name.upper()}`" for name in settings.NAMES} <= headings("reference/settings.md")


def test_each_error_has_a_line():
    kinds = {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.PenstockError)
    }

    assert [name for name in sorted(kinds) if f"`{name}` |" not in page("reference/errors.md")] == []


def test_each_record_has_a_heading():
    said = headings("reference/journal-format.md")

    for kind in get_args(records.AnyRecord):
        assert f"`{kind.__name__}`, tag `{kind.__struct_config__.tag}`" in said


def test_each_state_and_each_arrow_has_a_line():
    text = page("concepts/lifecycle.md")
    arrows = {
        f"| {f'`{before}`' if before else '(new)'} | `{after}` |"
        for before, followers in transitions.FOLLOWS.items()
        for after in followers
    }

    assert [state for state in StateType if f"| `{state}` |" not in text] == []
    assert [arrow for arrow in sorted(arrows) if arrow not in text] == []


def test_each_name_of_a_state_has_a_line():
    makers = [made for name, made in vars(states).items() if name[0].isupper() and inspect.isfunction(made)]
    named = {(state.name, state.type) for state in (make() for make in makers) if isinstance(state, State)}
    text = page("concepts/lifecycle.md")

    assert len(named) >= 13
    assert named - {(kind.capitalize(), kind) for kind in StateType} <= {
        (name, kind) for name, kinds in states.NAMES.items() for kind in kinds
    }, "`--state` takes them"
    assert [name for name, kind in sorted(named) if f"| `{name}` | `{kind}` |" not in text] == []


@pytest.mark.parametrize("options", [FlowOptions, TaskOptions])
def test_each_option_of_a_decorator_has_a_line(options: type):
    text = (
        page("reference/api.md").partition(f"## Options of `@{options.__name__[:4].lower()}`")[2].partition("\n## ")[0]
    )

    assert [name for name in options.__annotations__ if f"| `{name}` |" not in text] == []


def test_each_public_name_has_its_place_in_the_reference():
    text = page("reference/api.md")

    assert [name for name in penstock.__all__ if f"::: penstock.{name}\n" not in text and name != "__version__"] == []


def test_each_command_has_a_heading():
    from penstock.cli import describe, tree

    said = headings("reference/cli.md")

    for command in describe.describe_all(tree.build()):
        assert f"`penstock {' '.join(command.chain)}`" in said


LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize(
    "path",
    sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))]),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_each_link_leads_somewhere(path: Path):
    missing: list[str] = []
    for target in LINK.findall(path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = path if not name else (path.parent / name).resolve()
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            missing.append(target)

    assert missing == []


def _anchors(path: Path) -> set[str]:
    """The anchors that a page's headings get, and those that it sets itself."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = set(re.findall(r"<a id='([^']+)'>", text))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"[^\w\s-]", "", heading).strip().lower()
        found.add(re.sub(r"[\s-]+", "-", words))
    return found


def test_each_page_is_in_the_navigation():
    said = (ROOT / "mkdocs.yml").read_text()
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}

    assert [name for name in sorted(pages) if not re.search(rf"\b{re.escape(name)}\b", said)] == []
