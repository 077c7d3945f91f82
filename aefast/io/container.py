"""The one file format: a safetensors file, sealed, so that a changed bit anywhere is found when it is read.

8 bytes length n | n bytes JSON header | tensors, one behind the other

The header's `__metadata__` has one entry, named by the format, and in it as JSON

    {"sha256": digest, "version": number, "tensors": {name: sha256 of its bytes}, "header": what the format says}

The digest is that of the length and the header, with the digest's own 64 digits as "0"; it comes first, so that its place
is known before anything is parsed. Later versions keep this much, or older readers can't tell what they have met. Any
safetensors reader opens the file. Numbers that JSON doesn't know are {"float": "nan"}, {"float": "inf"}, {"float": "-inf"}.

The reader believes nothing: before it allocates, every claim is held against the file's own size.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aefast import checks
from aefast.errors import CorruptFileError
from aefast.io.files import replacing

Array = NDArray[Any]
# Format -> what it holds, and what reads it.
FORMATS = {
    "aefast-model": ("model", "aefast.load"),
    "aefast-checkpoint": ("checkpoint", "aefast.Trainer.load_checkpoint"),
}
DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
}
LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # the safetensors readers' own limit
MAX_DIMENSIONS = 8
MAX_DIGITS = 20  # of an integer: 2^64 has as many
SEAL = rb'"{\"sha256\":\"'  # how the metadata entry begins in the header
BLANK = b"0" * 64
FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def write(
    path: str | os.PathLike[str],
    format: str,  # noqa: A002 (the word for it)
    version: int,
    header: Mapping[str, Any],
    tensors: Mapping[str, Array],
) -> None:
    """Writes header (JSON's types, NumPy scalars, any float) and tensors (of `DTYPES`, not empty), whole or not at all.

    Equal content gives equal bytes. Raises OSError, ValueError or TypeError for what the format can't hold.
    """
    from safetensors.numpy import save as to_bytes

    for name, tensor in tensors.items():
        native = tensor.dtype.newbyteorder("<")
        if native not in DTYPES.values() or tensor.size == 0 or not 1 <= tensor.ndim <= MAX_DIMENSIONS:
            raise ValueError(f"tensor {name!r} is {tensor.dtype} {tensor.shape}, which a file can't hold")
    arrays = {name: np.ascontiguousarray(t, t.dtype.newbyteorder("<")) for name, t in tensors.items()}
    content = {
        "sha256": BLANK.decode(),
        "version": version,
        "tensors": {name: hashlib.sha256(array.data).hexdigest() for name, array in arrays.items()},
        "header": _encoded(header),
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    parse(text, floats=True)  # what couldn't be read back is an error now
    data = to_bytes(arrays, {format: text})
    stop = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    if stop > MAX_HEADER_BYTES:
        raise ValueError(f"a header holds at most {MAX_HEADER_BYTES} bytes, but this one has {stop}")
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(sealed(data[:stop]))
        file.write(memoryview(data)[stop:])


def read(
    path: str | os.PathLike[str],
    format: str,  # noqa: A002
    versions: tuple[int, ...],
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header and the tensors that `write` was given.

    Raises TypeError for what is no path, FileNotFoundError where there is no file, OSError where it can't be read,
    CorruptFileError for one that isn't what `write` wrote, is of another format, or of a version that isn't in `versions`.
    """
    if not checks.file_path("path", path).exists():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    if not Path(path).is_file():
        raise CorruptFileError(path, "isn't a regular file; give the path of a .safetensors file")
    with blaming(path, format), Path(path).open("rb") as file:
        raw, size = _raw_header(file)
        outer = _unsealed(path, raw, format, versions)
        content = parse(outer.pop("__metadata__")[format], floats=True)
        if content["version"] not in versions:
            raise CorruptFileError(path, _version_reason(format, content["version"], versions))
        header = content["header"]
        if not isinstance(header, dict):
            raise TypeError(f"the header must be an object, but is {type(header).__name__}")
        return header, _read_tensors(file, outer, size - len(raw), content["tensors"])


@contextmanager
def blaming(path: str | os.PathLike[str], format: str) -> Iterator[None]:  # noqa: A002
    """Makes a CorruptFileError of what goes wrong in the block for the values that a file holds."""
    try:
        yield
    except CorruptFileError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        reason = f"is not a whole {FORMATS[format][0]}: {what}; take another copy of it, or save it anew"
        raise CorruptFileError(path, reason) from error


def parse(text: str, *, floats: bool = False) -> Any:
    """JSON without its traps: no name twice, no NaN, no number beyond float64 or 64 bits; ValueError or RecursionError.

    `floats` reads the {"float": ...} of the format.
    """

    def unique(pairs: list[tuple[str, Any]]) -> Any:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ValueError(f"a name stands twice among {', '.join(map(repr, list(result)[:5]))}")
        return FLOATS[result["float"]] if floats and list(result) == ["float"] else result

    return json.loads(
        text, object_pairs_hook=unique, parse_int=_integer, parse_float=_float, parse_constant=_constant
    )


def sealed(raw: bytes) -> bytes:
    """Length and header with the digest in its place; ValueError where there is no place for one."""
    start = raw.find(SEAL) + len(SEAL)
    if start < len(SEAL) or start + len(BLANK) > len(raw):
        raise ValueError("the header has no place for a digest")
    stop = start + len(BLANK)
    digest = hashlib.sha256(raw[:start] + BLANK + raw[stop:]).hexdigest()
    return raw[:start] + digest.encode() + raw[stop:]


def _raw_header(file: BinaryIO) -> tuple[bytes, int]:
    """Length and header as they stand in the file, and the file's size."""
    size = os.fstat(file.fileno()).st_size
    length = file.read(LENGTH_BYTES)
    stop = LENGTH_BYTES + int.from_bytes(length, "little")
    if len(length) < LENGTH_BYTES or stop > size or stop > MAX_HEADER_BYTES:
        raise ValueError(f"its {size} bytes are no safetensors file, or not all of one")
    raw = length + file.read(stop - LENGTH_BYTES)
    if len(raw) != stop:
        raise ValueError("the file became shorter while it was read")
    return raw, size


def _unsealed(
    path: str | os.PathLike[str],
    raw: bytes,
    format: str,  # noqa: A002
    versions: tuple[int, ...],
) -> dict[str, Any]:
    """The header, its digest checked, of `format` and whatever version; of a file without a digest, what it is instead."""
    is_sealed = SEAL in raw
    if is_sealed and raw != sealed(raw):
        raise ValueError("the header's checksum is wrong, the file has been changed or damaged")
    outer = parse(raw[LENGTH_BYTES:].decode())
    metadata = _metadata(outer)
    names = {metadata.get("format"), *metadata}
    for other, (held, reader) in FORMATS.items():
        if other in names and other != format:
            raise CorruptFileError(path, f"holds a {held}; read it with {reader}")
    if format not in names:
        raise CorruptFileError(
            path, f"is a safetensors file, but not a {FORMATS[format][0]} that aefast saved"
        )
    if not is_sealed:
        raise CorruptFileError(path, _version_reason(format, 1, versions))
    if list(metadata) != [format]:
        raise ValueError(f"its metadata holds {', '.join(metadata)}, but {format} alone was expected")
    result: dict[str, Any] = outer
    return result


def _metadata(outer: Any) -> dict[str, str]:
    if not isinstance(outer, dict):
        raise TypeError("the header isn't a JSON object")
    metadata = outer.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TypeError("__metadata__ isn't a table of strings")
    return metadata


def _version_reason(format: str, version: object, versions: tuple[int, ...]) -> str:  # noqa: A002
    older = isinstance(version, int) and version < min(versions)
    cure = "save it anew with this one" if older else "upgrade aefast"
    return (
        f"is a {FORMATS[format][0]} of format version {version!r}, written by {'an older' if older else 'a newer'} aefast, "
        f"but this aefast reads version {' or '.join(map(str, versions))}; {cure}"
    )


def _read_tensors(file: BinaryIO, table: dict[str, Any], size: int, checksums: Any) -> dict[str, Array]:
    """The tensors, which must fill the `size` bytes behind the header without gap or overlap."""
    if not isinstance(checksums, dict) or set(checksums) != set(table):
        raise ValueError("the checksums aren't those of its tensors")
    dtypes = {name: _checked_dtype(name, entry) for name, entry in table.items()}
    end = 0
    names = sorted(table, key=lambda name: table[name]["data_offsets"][0])
    for name in names:
        start, stop = table[name]["data_offsets"]
        if start != end:
            raise ValueError(f"tensor {name!r} begins at byte {start}, but the one before ends at {end}")
        end = stop
    if end != size:
        raise ValueError(f"its tensors take {end} bytes, but {size} follow the header")
    tensors = {}
    for name in names:
        array = np.empty(tuple(table[name]["shape"]), dtypes[name])
        view = array.data.cast("B")
        if file.readinto(view) != len(view):  # type: ignore[attr-defined]
            raise ValueError("the file became shorter while it was read")
        if hashlib.sha256(view).hexdigest() != checksums[name]:
            raise ValueError(
                f"the checksum of tensor {name!r} is wrong, the file has been changed or damaged"
            )
        tensors[name] = array
    return tensors


def _checked_dtype(name: str, entry: Any) -> np.dtype[Any]:
    """Of a tensor whose entry holds what it must, its size included."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} needs dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"tensor {name!r} has dtype {dtype!r}; known: {', '.join(DTYPES)}")
    if not (_integers(shape, 1) and 1 <= len(shape) <= MAX_DIMENSIONS):
        raise ValueError(f"the shape of tensor {name!r} isn't 1 to {MAX_DIMENSIONS} integers of at least 1")
    if not (_integers(offsets, 0) and len(offsets) == 2):
        raise ValueError(f"the data_offsets of tensor {name!r} aren't two integers of at least 0")
    kind = DTYPES[dtype]
    if offsets[1] - offsets[0] != math.prod(shape) * kind.itemsize:
        raise ValueError(f"tensor {name!r} has {offsets[1] - offsets[0]} bytes, not those of {dtype} {shape}")
    return kind


def _integers(values: Any, low: int) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= low for value in values)


def _integer(text: str) -> int:
    if len(text.removeprefix("-")) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number beyond float64's range")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _encoded(value: Any) -> Any:
    """The value with lists for tuples, Python's numbers for NumPy's, and floats that JSON doesn't know by name."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        return {name: _encoded(item) for name, item in value.items()}
    return [_encoded(item) for item in value] if isinstance(value, (list, tuple)) else value
