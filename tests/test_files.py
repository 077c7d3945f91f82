"""What stands in a file: every changed bit is found, and a header that lies is refused by name before it does harm."""

from __future__ import annotations

import json
import pickle
import tracemalloc
import zlib

import numpy as np
import pytest

import aefast
from aefast.io import container, headers
from aefast.testing import files, forgery, resumes

KINDS = ("model", "tied", "checkpoint")
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return files.samples(tmp_path_factory.mktemp("files"))


def read(kind, path):
    return aefast.Trainer.load_checkpoint(path) if kind == "checkpoint" else aefast.load(path)


def refusal(kind, path, data):
    path.write_bytes(data)
    with pytest.raises(aefast.CorruptFileError) as caught:
        read(kind, path)
    assert caught.value.path == str(path) and str(caught.value) == f"{path} {caught.value.reason}"
    return caught.value.reason


@every_kind
def test_any_reader_of_safetensors_opens_the_file(kind, good, tmp_path):
    from safetensors import safe_open

    path = tmp_path / "m.safetensors"
    path.write_bytes(good[kind])
    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        assert any(name.endswith("encoder.0.weight") for name in names)
        assert set(file.metadata()) <= set(container.FORMATS)
    read(kind, path)


@every_kind
def test_what_was_read_is_written_with_the_same_bytes(kind, good, tmp_path):
    path, again = tmp_path / "a", tmp_path / "b"
    path.write_bytes(good[kind])
    loaded = read(kind, path)
    (loaded.save_checkpoint if kind == "checkpoint" else loaded.save)(again)
    assert again.read_bytes() == good[kind]
    path.write_bytes(forgery.forge(good[kind], lambda header: None))
    assert path.read_bytes() == good[kind]  # so that a forged file is refused for what it says


@every_kind
def test_every_changed_bit_is_found(kind, good, tmp_path):
    rng = np.random.default_rng(0)
    counts, failures = files.try_files(kind, forgery.flips(good[kind], 300, rng), tmp_path / "m")
    assert not failures and counts == {"refused": 300}


def test_every_bit_around_the_digest_is_found(good, tmp_path):
    start = good["model"].index(container.SEAL) - 30
    for bit in range(8 * start, 8 * (start + 120)):
        changed = bytearray(good["model"])
        changed[bit // 8] ^= 1 << bit % 8
        refusal("model", tmp_path / "m", bytes(changed))


@every_kind
def test_forged_files_are_refused_or_harmless(kind, good, tmp_path):
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    counts, failures = files.try_files(kind, forgery.fuzz(good[kind], 250, rng), tmp_path / "m")
    assert not failures
    assert counts["refused"] > 200 and counts["loaded"] > 0


def entry(**changes):
    def change(outer, content):
        name = next(name for name in outer if name != "__metadata__")
        outer[name].update(changes)

    return change


def shifted(by):
    """The last tensor moved, with its bytes present."""

    def change(outer, content):
        name = max((n for n in outer if n != "__metadata__"), key=lambda n: outer[n]["data_offsets"][1])
        outer[name]["data_offsets"] = [offset + by for offset in outer[name]["data_offsets"]]

    return change


def field(value, *names):
    def change(outer, content):
        place = content["header"]
        for name in names[:-1]:
            place = place[name]
        place[names[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (entry(dtype="F8"), "has dtype 'F8'; known: F64"),
        (entry(shape=[2**62, 0], data_offsets=[0, 0]), "isn't 1 to 8 integers of at least 1"),
        (entry(shape=[2**60]), "has .* bytes, not those of"),
        (entry(data_offsets=[-8, 0]), "aren't two integers of at least 0"),
        (entry(data_offsets=[2**62, 2**62 + 4]), "has .* bytes, not those of|begins at byte"),
        (entry(more=0), "and nothing else"),
        (shifted(-4), "begins at byte .*, but the one before ends at"),
        (shifted(4), "begins at byte .*, but the one before ends at"),
        (field("many", "batch_size"), "batch_size must be int, but is str"),
        (field(True, "epoch"), "epoch must be int, but is bool"),
        (field(-1, "epoch"), r"epoch must be in \[0, 2\^63\)"),
        (field([0.5, "x"], "learned", "loss_curve_"), r"loss_curve_\[1\] must be float, but is str"),
        (field(1, "learned", "more"), "learned has unknown fields: 'more'"),
        (field(4, "learned", "n_components_"), "aren't those of its topology"),
        (field(10**9, "params", "n_threads"), "n_threads must be an integer in"),
        (field("x", "params", "epochs"), "epochs must be an integer of at least 1"),
        (field(1, "params", "epoch"), "unknown parameter of .* 'epoch'"),
        (
            field({"optimizer": "adam", "beta1": "x"}, "params", "optimizer"),
            "beta1 must be float, but is str",
        ),
        (
            field({"optimizer": "adam", "beta1": 2.0}, "params", "optimizer"),
            r"beta1 must be a number in \[0, 1\)",
        ),
        (field("f0", "feature_names"), "feature_names must be list"),
        (field(["f0"], "feature_names"), "there are 1 feature_names, but 16 features"),
        (field({"float": "nan"}, "factor"), "factor must be finite"),
        (field(10**9, "topology", "layers", 0, "n_out"), "widths must chain"),
        (field("wavelet", "topology", "layers", 0, "activation"), "unknown activation 'wavelet'"),
        (field("encoder.9", "topology", "layers", 2, "tied_to"), "which stores no weight"),
        (field("encoder.0", "topology", "layers", 2, "tied_to"), "isn't its transpose"),
        (field("encoder.0", "topology", "layers", 2, "name"), "every layer needs a name of its own"),
    ],
)
def test_a_header_that_lies_is_refused_for_what_it_says(change, message, good, tmp_path):
    outer, content, body = forgery.parts(good["model"])
    change(outer, content)
    body += bytes(4)  # room for a tensor that was moved
    with_room = any(part in message for part in ("the one before",))
    data = forgery.joined(outer, content, body if with_room else body[:-4])
    path = tmp_path / "m"
    path.write_bytes(data)
    with pytest.raises(aefast.CorruptFileError, match=message):
        aefast.load(path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, "recursion"),
        ("1e999", "beyond float64's range"),
        ("NaN", "NaN is no JSON"),
        ("9" * 5000, "an integer of 5000 digits"),
        ('{"a":1,"a":2}', "stands twice"),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_json_s_traps_are_refused(raw, message, inside, good, tmp_path):
    outer, content, body = forgery.parts(good["model"])
    if inside:
        content["header"]["factor"] = "@"
        text = json.dumps(content, separators=(",", ":")).replace('"@"', raw)
        data = forgery.joined(outer, content, body, text=text)
    else:
        name = next(name for name in outer if name != "__metadata__")
        outer[name]["dtype"] = "@"
        data = forgery.sealed_file(
            json.dumps(outer, separators=(",", ":")).replace('"@"', raw).encode(), body
        )
    path = tmp_path / "m"
    path.write_bytes(data)
    with pytest.raises(aefast.CorruptFileError, match=message):
        aefast.load(path)


def test_other_files_are_told_apart(good, tmp_path):
    from safetensors.numpy import save

    zero = {"a": np.zeros(2)}
    path = tmp_path / "m"
    assert "not a model that aefast saved" in refusal("model", path, save(zero, {"format": "pt"}))
    assert "not a checkpoint that aefast saved" in refusal("checkpoint", path, save(zero, {"format": "pt"}))
    assert "holds a checkpoint; read it with aefast.Trainer" in refusal("model", path, good["checkpoint"])
    assert "holds a model; read it with aefast.load" in refusal("checkpoint", path, good["model"])
    old = save(zero, {"aefast-model": json.dumps({"version": 1, "class": "Autoencoder"})})
    assert "format version 1, written by an older aefast" in refusal("model", path, old)
    old = save(zero, {"format": "aefast-checkpoint", "version": "1", "trainer": "{}"})
    assert "format version 1, written by an older aefast" in refusal("checkpoint", path, old)
    outer, content, body = forgery.parts(good["model"])
    newer = forgery.joined(outer, content | {"version": 4, "header": None, "tensors": 5}, body)
    assert "version 4, written by a newer aefast" in (reason := refusal("model", path, newer))
    assert reason.endswith("reads version 2 or 3; upgrade aefast")
    with pytest.raises(aefast.CorruptFileError, match="regular file"):
        aefast.load(tmp_path)


def test_nothing_is_allocated_for_what_a_header_claims(good, tmp_path):
    outer, content, body = forgery.parts(good["tied"])
    for name in (name for name in outer if name != "__metadata__"):
        outer[name]["shape"] = [2**31, *outer[name]["shape"]]
    content["header"]["topology"]["layers"][0]["n_in"] = 2**40
    content["header"]["topology"]["layers"][-1]["n_out"] = 2**40
    liars = [
        forgery.joined(outer, content, body),
        forgery.forge(good["tied"], lambda header: header.update(batch_size=2**62)),
        (10**9).to_bytes(8, "little") + good["tied"][8:],
    ]
    for data in liars:
        (tmp_path / "m").write_bytes(data)
        tracemalloc.start()
        files.outcome("tied", tmp_path / "m")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 << 20


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(aefast.CorruptFileError("a/b", "is empty")))
    assert (error.path, error.reason, str(error)) == ("a/b", "is empty", "a/b is empty")
    assert isinstance(error, ValueError)


def test_any_float_and_numpy_scalar_survives(tmp_path):
    header = {
        "a": [np.inf, -np.inf, 0.1, 5e-324, np.float32(0.1)],
        "b": {"c": np.int64(3), "d": (True, None, "é\ud800")},
    }
    tensors = {"x": np.arange(6, dtype=">f8").reshape(2, 3).T, "y": np.array([np.nan], np.float32)}
    container.write(tmp_path / "m", "aefast-model", 5, header, tensors)
    read_header, read_tensors = container.read(tmp_path / "m", "aefast-model", (4, 5))
    assert read_header == {
        "a": [np.inf, -np.inf, 0.1, 5e-324, float(np.float32(0.1))],
        "b": {"c": 3, "d": [True, None, "é\ud800"]},
    }
    for name, value in tensors.items():
        np.testing.assert_array_equal(read_tensors[name], value)


@pytest.mark.parametrize("tensor", [np.zeros(0), np.zeros(2, complex), np.array(["x"]), np.float64(1)])
def test_what_a_file_can_t_hold_isn_t_written(tensor, tmp_path):
    with pytest.raises((ValueError, TypeError)):
        container.write(tmp_path / "m", "aefast-model", 1, {}, {"x": np.asarray(tensor)})
    with pytest.raises(ValueError, match="digits"):
        container.write(tmp_path / "m", "aefast-model", 1, {"n": 10**30}, {"x": np.zeros(1)})
    assert not list(tmp_path.iterdir())


def test_tensors_must_be_those_of_the_topology(tmp_path):
    trainer = resumes.run_of("numpy")
    shapes = headers.parameter_shapes(trainer.topology)
    assert shapes["encoder.0.weight"] == (16, 24) and "decoder.0.weight" not in shapes
    expected = {name: (shape, ("float32",)) for name, shape in shapes.items()}
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    headers.check_tensors(tensors, expected)
    for changed, message in (
        (tensors | {"more": np.zeros(1)}, "'more' is none of"),
        ({n: t for n, t in tensors.items() if n != "encoder.1.bias"}, "no tensor 'encoder.1.bias'"),
        (tensors | {"encoder.1.bias": np.zeros(5)}, "must be float32"),
        (tensors | {"encoder.1.bias": np.zeros(6, np.float32)}, r"must be float32 \(5,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            headers.check_tensors(changed, expected)
