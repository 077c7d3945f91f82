"""Damaged and hostile files made of a good one: changed bits, and headers that lie although their digest is right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from aefast.io.container import LENGTH_BYTES, sealed

Rng = np.random.Generator
# Texts that no dump of Python's values gives, by the string that stands for them until the dump is done.
RAW = {
    "@deep": "[" * 100_000 + "]" * 100_000,
    "@nan": "NaN",
    "@infinity": "-Infinity",
    "@huge": "1e999",
    "@digits": "9" * 5000,
}
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 3, 2**31, 2**63, 2**64 - 1, -(2**63), 10**19, 1e308, -1e308, 5e-324, 0.5),
    *(
        "",
        "x",
        "relu",
        "cuda",
        "float64",
        "encoder.0",
        "\ud800",
        "A" * 100_000,
        [],
        {},
        [[]],
        [None],
        [1e9],
        {"a": 1},
    ),
    *({"float": "nan"}, {"float": "inf"}, {"float": "x"}, {"float": []}, {"tuple": 3}, {"tuple": [[1]]}),
    *(
        {"optimizer": "adam"},
        {"optimizer": []},
        {"optimizer": "sgd", "eps": 1},
        {"optimizer": "adam", "beta1": []},
    ),
    *RAW,
)


class Forged(NamedTuple):
    """A file's bytes, what was done to them, and whether only a refusal is right."""

    what: str
    data: bytes
    refused: bool


def parts(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The header, the content of its metadata entry, and the tensors' bytes."""
    stop = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    outer = json.loads(data[LENGTH_BYTES:stop])
    (text,) = outer["__metadata__"].values()
    return outer, json.loads(text), data[stop:]


def joined(outer: dict[str, Any], content: Any, body: bytes, *, text: str | None = None) -> bytes:
    """The file of these parts with its digest right; `text` instead of the content's own JSON."""
    (name,) = [name for name in outer["__metadata__"] if name.startswith("aefast-")]
    inner = _dumped(content) if text is None else text
    head = _dumped({"__metadata__": outer["__metadata__"] | {name: inner}, **_tensors(outer)}).encode()
    return sealed_file(head, body)


def sealed_file(head: bytes, body: bytes) -> bytes:
    """The file with that header, padded and with its digest right."""
    head += b" " * (-len(head) % 8)
    return sealed(len(head).to_bytes(LENGTH_BYTES, "little") + head) + body


def forge(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The file with its header's content changed in place, and the digest right again."""
    outer, content, body = parts(data)
    change(content["header"])
    return joined(outer, content, body)


def flips(data: bytes, n: int, rng: Rng) -> Iterator[Forged]:
    """n files, each with one bit changed, half of them in the header."""
    stop = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    for i in range(n):
        bit = int(rng.integers(8 * (stop if i % 2 else len(data))))
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield Forged(f"bit {bit % 8} of byte {bit // 8}", bytes(changed), True)


def fuzz(data: bytes, n: int, rng: Rng) -> Iterator[Forged]:
    """n files: torn ones, tensor tables that lie, and content with a wrong value, each kind in its turn."""
    makers = (_torn, _table, _value, _value, _twice)
    for i in range(n):
        yield makers[i % len(makers)](data, rng)


def _torn(data: bytes, rng: Rng) -> Forged:
    """Cut, lengthened, or with a stretch of it overwritten; without a right digest."""
    a, b = sorted(int(i) for i in rng.integers(0, len(data), 2))
    junk = rng.bytes(max(1, min(b - a, 64)))
    choices = {
        "cut off": data[:b],
        "cut out": data[:a] + data[max(b, a + 1) :],
        "lengthened": data + junk,
        "inserted": data[:a] + junk + data[a:],
        "overwritten": data[:a] + bytes(byte ^ 0x5A for byte in data[a : a + 9]) + data[a + 9 :],
        "length": rng.integers(0, 2**63, dtype=np.uint64).tobytes() + data[LENGTH_BYTES:],
        "length 2^64 - 1": b"\xff" * LENGTH_BYTES + data[LENGTH_BYTES:],
        "length 0": bytes(LENGTH_BYTES) + data[LENGTH_BYTES:],
        "zeros": bytes(len(data)),
        "empty": b"",
    }
    what = str(rng.choice(list(choices)))
    return Forged(f"torn: {what}", choices[what], True)


def _table(data: bytes, rng: Rng) -> Forged:
    """The tensors' entries: offsets, shapes, dtypes and names that aren't true."""
    outer, content, body = parts(data)
    names = list(_tensors(outer))
    name, other = (names[int(i)] for i in rng.integers(0, len(names), 2))
    entry = outer[name]
    start, stop = entry["data_offsets"]
    size = stop - start
    changes: dict[str, dict[str, Any]] = {
        "gap": {"data_offsets": [start + 4, stop + 4]},
        "overlap": {"data_offsets": [max(start - 4, 0), stop - min(start, 4) - (start == 0)]},
        "outside": {"data_offsets": [len(body), len(body) + size]},
        "backwards": {"data_offsets": [stop, start]},
        "negative": {"data_offsets": [-size, 0]},
        "far": {"data_offsets": [2**63, 2**63 + size]},
        "three offsets": {"data_offsets": [start, stop, stop]},
        "float offsets": {"data_offsets": [float(start), float(stop)]},
        "zero-size": {"shape": [2**40, 0], "data_offsets": [start, start]},
        "huge shape": {"shape": [2**32, 2**32, *entry["shape"]]},
        "many dimensions": {"shape": [1] * 65 + entry["shape"]},
        "no dimensions": {"shape": []},
        "bool shape": {"shape": [True, *entry["shape"]]},
        "negative shape": {"shape": [-1, *(-side for side in entry["shape"])]},
        "dtype": {"dtype": str(rng.choice(["F8", "BF16", "C64", "O", "", "U64", "f4"]))},
        "integers": {"dtype": "I64" if entry["dtype"] == "F64" else "I32"},
        "more": {"more": 1},
        "hostile": {str(rng.choice(["dtype", "shape", "data_offsets"])): _hostile(rng)},
    }
    what = str(rng.choice([*changes, "dropped", "renamed", "added", "swapped", "checksum", "metadata"]))
    if what in changes:
        outer[name] = entry | changes[what]
    elif what == "dropped":
        del outer[name]
    elif what == "renamed":
        outer["x" + name] = outer.pop(name)
        content["tensors"]["x" + name] = content["tensors"].pop(name)
    elif what == "added":
        outer["more"] = {"dtype": "F32", "shape": [1], "data_offsets": [len(body), len(body) + 4]}
        body += bytes(4)
    elif what == "swapped":
        outer[name], outer[other] = outer[other], {**entry, "shape": [*entry["shape"], 1]}
    elif what == "checksum":
        content["tensors"][name] = content["tensors"][name].upper().replace("0", "1")
    else:
        outer["__metadata__"]["more"] = "x"
    return Forged(f"table: {what} of {name}", joined(outer, content, body), True)


def _value(data: bytes, rng: Rng) -> Forged:
    """One value of the content replaced, dropped or joined by another: refused, or harmless."""
    outer, content, body = parts(data)
    places = list(_places(content["header"])) + [(content, name) for name in content if name != "sha256"]
    holder, key = places[int(rng.integers(len(places)))]
    what = str(rng.choice(["replaced", "replaced", "replaced", "dropped", "joined"]))
    if what == "replaced":
        holder[key] = _hostile(rng)
    elif what == "dropped":
        del holder[key]
    elif isinstance(holder, dict):
        holder["unknown"] = _hostile(rng)
    else:
        holder.append(_hostile(rng))
    value = holder[key] if what == "replaced" else ""
    return Forged(f"{what} {key!r}: {str(value)[:40]}", joined(outer, content, body), False)


def _twice(data: bytes, rng: Rng) -> Forged:
    """A name that stands twice in one object, in the content or in the header around it."""
    outer, content, body = parts(data)
    inner = _dumped(content)
    head = _dumped({"__metadata__": outer["__metadata__"], **_tensors(outer)})
    text = inner if (inside := bool(rng.integers(2))) else head
    found = list(re.finditer(r'(?<=[{,])"[^"\\]+":', text))[1:]
    match = found[int(rng.integers(len(found)))]
    text = f"{text[: match.start()]}{match.group()}null,{text[match.start() :]}"
    made = joined(outer, content, body, text=text) if inside else sealed_file(text.encode(), body)
    return Forged(f"twice: {match.group()}", made, True)


def _tensors(outer: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in outer.items() if name != "__metadata__"}


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) below."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def _hostile(rng: Rng) -> Any:
    return json.loads(json.dumps(HOSTILE[int(rng.integers(len(HOSTILE)))]))


def _dumped(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"))
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text
