"""Drawing a flow without running its tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def is_drawing() -> bool:
    return False


def draw_task(task: Any, arguments: Any, wait_for: Iterable[Any] | None) -> Any: ...
def draw_map(task: Any, args: Any, kwargs: Any, wait_for: Iterable[Any] | None) -> Any: ...
def draw_subflow(flow: Any, arguments: Any, wait_for: Iterable[Any] | None) -> Any: ...
class Drawing: ...
def draw(flow: Any, args: Any, kwargs: Any) -> Drawing: ...
