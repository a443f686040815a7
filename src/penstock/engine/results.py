"""Keeping results, so that a finished task stays finished.

A value is serialized; small ones lie in the journal's record, larger ones in a file named by the
BLAKE2b-256 digest of its bytes: ``<first two digits>/<digest>``. The file is complete and on the
disk before a record names it.
"""

from __future__ import annotations

import contextlib
import io
import operator
import os
import pickle
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from penstock import errors
from penstock.core.previews import preview
from penstock.core.result_records import ResultRecord
from penstock.files.local import folder_of, write_whole

_NONE = ResultRecord("None", pickle.dumps(None, 5), None, 4)


class Serializer(Protocol):
    """Makes bytes of a value and a value of the bytes."""

    def dumps(self, value: Any) -> bytes: ...

    def loads(self, data: bytes) -> Any: ...


class PickleSerializer:
    """pickle, and for what it cannot take (lambdas, classes of ``__main__``) cloudpickle."""

    name = "pickle"

    def dumps(self, value: Any) -> bytes:
        try:
            return pickle.dumps(value, 5)
        except Exception:  # noqa: BLE001  pickling runs the user's code
            return _cloudpickle(value)

    def loads(self, data: bytes) -> Any:
        try:
            return pickle.loads(data)  # noqa: S301  the user's own results, on the user's side only
        except AttributeError:
            if not main_modules:
                raise
            return _MainUnpickler(io.BytesIO(data)).load()


main_modules: list[Any] = []
"""Modules loaded from a flow's file, which may have been ``__main__`` when results were pickled."""


class _MainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except AttributeError:
            for loaded in main_modules if module == "__main__" else ():
                with contextlib.suppress(AttributeError):
                    return operator.attrgetter(name)(loaded)
            raise


class JsonSerializer:
    """JSON; for values that are JSON already, or that msgspec can write as such."""

    name = "json"

    def dumps(self, value: Any) -> bytes:
        import msgspec  # noqa: PLC0415  only for those who ask for JSON

        return msgspec.json.encode(value)

    def loads(self, data: bytes) -> Any:
        import json  # noqa: PLC0415  as above

        return json.loads(data)


class CompressedSerializer:
    """Another serializer's bytes, compressed by zlib."""

    def __init__(self, inner: Serializer, name: str) -> None:
        self._inner = inner
        self.name = name

    def dumps(self, value: Any) -> bytes:
        import zlib  # noqa: PLC0415  only for those who ask for it

        return zlib.compress(self._inner.dumps(value))

    def loads(self, data: bytes) -> Any:
        import zlib  # noqa: PLC0415  as above

        return self._inner.loads(zlib.decompress(data))


_PICKLE = PickleSerializer()
_JSON = JsonSerializer()
SERIALIZERS: dict[str, Serializer] = {
    "pickle": _PICKLE,
    "json": _JSON,
    "compressed/pickle": CompressedSerializer(_PICKLE, "compressed/pickle"),
    "compressed/json": CompressedSerializer(_JSON, "compressed/json"),
}


def serializer_of(given: Any) -> tuple[str, Serializer]:
    """The name and the serializer that an option ``result_serializer`` stands for."""
    if given is None:
        return "pickle", _PICKLE
    if isinstance(given, str):
        if given not in SERIALIZERS:
            raise errors.UnknownOption(
                f"No result serializer is named: `{given}`", hint=f"known ones: {', '.join(SERIALIZERS)}"
            )
        return given, SERIALIZERS[given]
    if hasattr(given, "dumps") and hasattr(given, "loads"):
        return getattr(given, "name", type(given).__qualname__), given
    raise errors.UnknownOption(f"Not a result serializer (it needs dumps and loads): `{given!r}`")


class ResultStore:
    """Keeps and loads results below one folder."""

    def __init__(self, root: Path, *, inline_max_bytes: int, persist: bool) -> None:
        self.root = root
        self._inline_max_bytes = inline_max_bytes
        self._persist = persist

    def keep(self, value: Any, options: Any, complain: Callable[[str], None]) -> ResultRecord:
        """Keep the value as ``options`` (a task's or flow's spec) ask; what cannot be kept is said once.

        Raises `StorageFull` when a file for it could not be written.
        """
        if value is None:
            return _NONE
        persist = options.persist_result
        if persist is None:
            persist = self._persist
        if not persist:
            return ResultRecord(preview(value), kept=False)
        name, serializer = serializer_of(options.result_serializer)
        try:
            data = serializer.dumps(value)
        except Exception as error:  # noqa: BLE001  the user's objects decide what can go wrong
            complain(f"its result cannot be kept ({type(error).__name__}: {error}); a resume runs it again")
            return ResultRecord(preview(value), kept=False, serializer=name)
        if len(data) <= self._inline_max_bytes and options.result_storage is None:
            return ResultRecord(preview(value), data, None, len(data), name)
        storage = "" if options.result_storage is None else str(folder_of(options.result_storage))
        location = self._write(Path(storage) if storage else self.root, data)
        return ResultRecord(preview(value), None, location, len(data), name, storage=storage)

    def load(self, record: ResultRecord, options: Any = None) -> Any:
        """The value again. Raises `MissingResult` if it was not kept, or cannot be read back."""
        if not record.kept:
            raise errors.MissingResult(f"This result was not kept: {record.preview}")
        given = None if options is None else options.result_serializer
        serializer = SERIALIZERS.get(record.serializer) or serializer_of(given)[1]
        try:
            data = record.inline if record.inline is not None else self._read(record)
            return serializer.loads(data)
        except errors.MissingResult:
            raise
        except Exception as error:
            raise errors.MissingResult(
                f"A kept result cannot be read back ({type(error).__name__}: {error}): {record.preview}"
            ) from error

    def _read(self, record: ResultRecord) -> bytes:
        path = (Path(record.storage) if record.storage else self.root) / (record.location or "")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise errors.MissingResult(f"The file of a result cannot be read ({error.strerror}): `{path}`") from None
        if blake2b(data, digest_size=32).hexdigest() != path.name:
            raise errors.MissingResult(f"The file of a result is damaged: `{path}`")
        return data

    def _write(self, root: Path, data: bytes) -> str:
        digest = blake2b(data, digest_size=32).hexdigest()
        location = f"{digest[:2]}/{digest}"
        path = root / location
        if _holds(path, data):
            os.utime(path)  # retention goes by age
        else:
            write_whole(path, data)
        return location


def _holds(path: Path, data: bytes) -> bool:
    """Whether the file is there, and undamaged."""
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _cloudpickle(value: Any) -> bytes:
    import cloudpickle  # noqa: PLC0415  only for what pickle cannot take

    return cloudpickle.dumps(value, 5)


def footprint(record: ResultRecord, value: Any) -> int:
    """About how many bytes a value takes in memory."""
    return record.size or sys.getsizeof(value)
