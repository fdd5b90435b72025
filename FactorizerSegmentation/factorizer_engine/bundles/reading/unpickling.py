"""Reads the pickle inside a torch checkpoint without importing or calling anything it names.

A pickle is a program: it may import any module and call anything in it. Here every name that it
mentions becomes an inert `Record` that only remembers its arguments, apart from the few that build
tensors and plain containers, for which this module has its own constructors.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from factorizer_engine.protocol.errors import BadModelError

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_RUNS_PROGRAMS = frozenset(
    "os posix nt subprocess sys shutil socket runpy importlib ctypes pty webbrowser".split()
)
_RUNS_CODE = frozenset("eval exec execfile compile open __import__ breakpoint input".split())
# The two lists above are for the user's sake: no name in a pickle could do anything here, but a
# checkpoint that mentions one of these is an attack, and that should be said.
_MAX_PICKLE_BYTES = 64_000_000


class Record:
    """What a pickle wanted to build: the name of a class or function, and what it was given.

    Attributes:
        qualified_name: Such as "package.module.Class".
        args: Positional arguments.
        state: What the object's attributes would have been, or None.
        items: List or dictionary items that would have been added.
    """

    qualified_name = ""
    args: tuple[Any, ...]
    state: Any
    items: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Nothing here may depend on the arguments: they come from the file.
        pass

    def __new__(cls, *args: Any, **kwargs: Any) -> Record:
        record = super().__new__(cls)
        record.args = args
        record.state = None
        record.items = []
        return record

    def __call__(self, *args: Any, **kwargs: Any) -> Record:
        return Record(self, *args)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def append(self, value: Any) -> None:
        self.items.append(value)

    def extend(self, values: Any) -> None:
        self.items.extend(values)

    def add(self, value: Any) -> None:
        self.items.append(value)

    def __repr__(self) -> str:
        return f"<record of {self.qualified_name}>"


def record_name(value: Any) -> str | None:
    """The qualified name that a record, or the stand-in for a class, has; None for other values."""
    is_stand_in = isinstance(value, Record) or (
        isinstance(value, type) and issubclass(value, Record)
    )
    return value.qualified_name if is_stand_in else None


def read_pickled_checkpoint(path: Path) -> Any:
    """The content of a torch checkpoint: containers, tensors and records.

    Raises:
        BadModelError: If the file is not a torch checkpoint, is damaged, or names a function that
            runs programs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _ArchiveUnpickler(archive, path.name).read()
    except BadModelError:
        raise
    except zipfile.BadZipFile as error:
        raise BadModelError(
            f"The weights {path.name} are damaged or not a torch checkpoint; download them again.",
            details=str(error),
        ) from error
    except Exception as error:  # A hostile pickle can provoke any error, none of them ours.
        raise BadModelError(
            f"The weights {path.name} cannot be read safely and were refused.", details=repr(error)
        ) from error


class _Constructor:
    """A callable without attributes, so that a pickle can call it but not change it."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("constructors cannot be changed")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("constructors cannot be changed")


class _ArchiveUnpickler(pickle._Unpickler):
    """Unpickles `data.pkl` of a checkpoint written by `torch.save`.

    Built on the pure Python unpickler, whose memo is a dictionary: the one in C allocates a memo as
    long as the largest index in the file, which a hostile file chooses.
    """

    def __init__(self, archive: zipfile.ZipFile, source: str) -> None:
        self._archive = archive
        self._source = source
        entry = next(
            (i for i in archive.infolist() if i.filename.rpartition("/")[2] == "data.pkl"), None
        )
        if entry is None:
            raise BadModelError(f"The weights {source} are not a torch checkpoint.")
        if entry.file_size > _MAX_PICKLE_BYTES:
            raise BadModelError(f"The weights {source} are not a checkpoint of a network.")
        self._root = entry.filename.rpartition("/")[0]
        self._storages: dict[str, torch.Tensor] = {}
        self._records: dict[tuple[str, str], type[Record]] = {}
        self._file = archive.open(entry)
        super().__init__(self._file)

    def read(self) -> Any:
        with self._file:
            return self.load()

    def find_class(self, module: str, name: str) -> Any:
        top = module.partition(".")[0]
        if top in _RUNS_PROGRAMS or (top in ("builtins", "__builtin__") and name in _RUNS_CODE):
            raise BadModelError(
                f"The weights {self._source} try to run {module}.{name} when opened and were "
                "refused; do not trust their source."
            )
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _Constructor(_rebuild_tensor)
        if module == "torch._utils" and name == "_rebuild_parameter":
            return _Constructor(lambda tensor, *_: tensor)
        if (module, name) == ("collections", "OrderedDict"):
            return _Constructor(lambda *args: OrderedDict(*args))
        if (module, name) == ("torch", "Size"):
            return _Constructor(lambda *args: tuple(*args))
        return self._record_class(module, name)

    def persistent_load(self, reference: Any) -> torch.Tensor:
        kind, storage_class, key, _location, count = reference
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown persistent object {kind!r}")
        if key not in self._storages:
            type_name = (record_name(storage_class) or "").rpartition(".")[2]
            self._storages[key] = self._read_storage(str(key), _DTYPES[type_name], int(count))
        return self._storages[key]

    def _read_storage(self, key: str, dtype: torch.dtype, count: int) -> torch.Tensor:
        entry = self._archive.getinfo(f"{self._root}/data/{key}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != count * dtype.itemsize:
            raise pickle.UnpicklingError(f"storage {key} is not of the size that it claims")
        if count == 0:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(bytearray(self._archive.read(entry)), dtype=dtype)

    def _record_class(self, module: str, name: str) -> type[Record]:
        key = (module, name)
        if key not in self._records:
            attributes = {"qualified_name": f"{module}.{name}", "__module__": __name__}
            self._records[key] = type("NamedRecord", (Record,), attributes)
        return self._records[key]


def _rebuild_tensor(
    storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> torch.Tensor:
    # as_strided checks that the view lies within the storage.
    return torch.as_strided(storage, tuple(size), tuple(stride), int(offset))
