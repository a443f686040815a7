"""Finding the flow that ``path/to/file.py:flow`` or ``package.module:flow`` names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from penstock import errors
from penstock.core.suggestions import did_you_mean, nearest
from penstock.sdk import loading
from penstock.sdk.flows import Flow
from penstock.sdk.tasks import Task

AnyFlow = Flow[..., Any]


@contextmanager
def loaded(entrypoint: str, *, known_as: str = "", root: str = "") -> Generator[AnyFlow]:
    """The flow, in a ``with`` block in which its folder is on the import path, as for ``python file.py``.

    ``known_as`` is the module's name of old, when the file was renamed: tasks are known by it.
    ``root`` is the folder of the project, which is then on the import path as well.

    Raises `FlowFileError` when there is no such file or flow, when the file does not import, and
    when no flow is named but there are several.
    """
    where, name = _parted(entrypoint)
    if root and not Path(where).exists() and Path(root, where).exists():
        where = str(Path(root, where))  # started elsewhere
    path, main = list(sys.path), sys.modules["__main__"]
    if root:
        sys.path.insert(0, root)
    try:
        module = _imported(where, known_as)
        # What an attempt by `python file.py` has pickled says that its classes are those of __main__.
        sys.modules["__main__"] = module
        yield _named(module, name, where) if name else _only(module, where)
    finally:
        sys.path[:] = path
        sys.modules["__main__"] = main


def _parted(entrypoint: str) -> tuple[str, str]:
    where, colon, name = entrypoint.rpartition(":")
    # `C:\flows\etl.py` has a colon, and names no flow.
    return (where, name) if colon and "/" not in name and "\\" not in name else (entrypoint, "")


def _imported(where: str, known_as: str) -> ModuleType:
    path = Path(where)
    is_file = path.suffix == ".py" or path.exists()
    if is_file and not path.is_file():
        known = [str(each) for each in path.parent.glob("*.py")] if path.parent.is_dir() else []
        hint = did_you_mean(where, [*known, *(name.removeprefix("./") for name in known)])
        raise errors.FlowFileError(f"There is no file of flows: `{where}`", hint=hint)
    try:
        with loading.under_way():
            return _of_file(path.resolve(), known_as or path.stem) if is_file else _of_module(where)
    except errors.PenstockError:
        raise
    except SystemExit:
        raise errors.FlowFileError(
            f"It ends the process when it is imported: `{where}`",
            hint='call what it does in `if __name__ == "__main__":`',
        ) from None
    except Exception as error:
        if not is_file and isinstance(error, ModuleNotFoundError) and where.startswith(error.name or "-"):
            raise errors.FlowFileError(f"There is no file or module of flows: `{where}`") from None
        # The command line shows the traceback of the cause above the message.
        raise errors.FlowFileError(f"It does not import: `{where}`") from error


def _of_file(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise errors.FlowFileError(f"Not a Python file: `{path}`", hint="its name should end in `.py`")
    sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    # By its own name, so that what its flows return can be pickled, and be read back by other processes.
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module


def _of_module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module(name)


def _flows(module: ModuleType) -> dict[str, AnyFlow]:
    """The flows of a module, by the names that they have there; those it imports only if it has no others."""
    every: dict[str, AnyFlow] = {name: each for name, each in vars(module).items() if isinstance(each, Flow)}
    own = {name: each for name, each in every.items() if each.spec.fn.__module__ == module.__name__}
    return own or every


def _only(module: ModuleType, where: str) -> AnyFlow:
    found = _flows(module)
    if not found:
        raise errors.FlowFileError(f"It holds no flow: `{where}`", hint="put `@flow` above a function")
    if len(found) > 1:
        names = "`, `".join(f"{where}:{name}" for name in found)
        raise errors.FlowFileError(f"It holds several flows: `{where}`", hint=f"say which: `{names}`")
    return next(iter(found.values()))


def _named(module: ModuleType, name: str, where: str) -> AnyFlow:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Task):  # it was called outside of any flow
        return Flow.of_spec(found.alone())
    flows = _flows(module)
    if not isinstance(found, Flow):
        found = next((each for each in flows.values() if each.name == name), None)
    if found is None:
        near = nearest(name, [*flows, *(each.name for each in flows.values())], likeness=0.5)
        names = f"its flows are: `{'`, `'.join(flows)}`" if flows else "it holds none"
        hint = f"did you mean `{where}:{near}`?" if near else names
        raise errors.FlowFileError(f"`{where}` holds no flow `{name}`", hint=hint)
    return found
