"""Which backend "auto" takes, and what is said of the others."""

import warnings

import pytest

import aefast
from aefast import backends
from aefast.backends import Support
from aefast.errors import BackendUnavailableError, FallbackWarning

TOPOLOGY = aefast.Topology.mlp([4, 2, 4])


@pytest.fixture
def native_says(monkeypatch):
    """Replaces what the cpu backend says of itself."""

    def install(support):
        monkeypatch.setattr(backends, "_fallback_told", False)
        monkeypatch.setattr("aefast.backends.cpu.available", lambda: support)

    return install


def test_every_backend_says_whether_it_runs_here():
    said = aefast.backends()
    assert list(said) == list(backends.NAMES)
    assert said["numpy"] == "available"
    assert all(said.values())


def test_a_missing_native_module_is_told_once(native_says):
    native_says(Support(False, "no compiler was found."))
    with pytest.warns(FallbackWarning, match="no compiler was found"):
        trainer = aefast.Trainer(TOPOLOGY)
    assert trainer.backend_name != "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aefast.Trainer(TOPOLOGY)


def test_nothing_is_told_where_it_was_wanted_so(native_says):
    native_says(Support(False, "AEFAST_CPU=off", intended=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert aefast.Trainer(TOPOLOGY).backend_name != "cpu"


def test_a_backend_asked_for_by_name_never_falls_back(native_says):
    native_says(Support(False, "no compiler was found."))
    with pytest.raises(BackendUnavailableError, match="'cpu' can't run here: no compiler was found"):
        aefast.Trainer(TOPOLOGY, backend="cpu")
    with pytest.raises(ValueError, match="Did you mean 'numpy'"):
        aefast.Trainer(TOPOLOGY, backend="numpi")
    with pytest.raises(BackendUnavailableError, match="bfloat16"):
        aefast.Trainer(TOPOLOGY, backend="numba", dtype="bfloat16")


def test_auto_goes_on_where_a_backend_fails_to_start(native_says, monkeypatch):
    native_says(Support(False, "off", intended=True))

    def broken():
        raise BackendUnavailableError("backend 'numba' can't run here: importing it failed")

    monkeypatch.setattr("aefast.backends.numba.backend", broken)
    assert aefast.Trainer(TOPOLOGY).backend_name == "numpy"


def test_float64_goes_to_a_backend_that_has_it():
    trainer = aefast.Trainer(TOPOLOGY, dtype="float64")
    assert trainer.backend_name in ("numba", "numpy")
