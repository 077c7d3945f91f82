"""fit_many learns the bits of single fits, whatever the threads, the input and the backend, and inside of joblib and forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from fit_many_cases import WEIGHTS, X_VAL, X, learned, mixed, one_by_one
from scipy.sparse import csr_array

import aefast
from aefast import backends
from aefast.data import shared


@pytest.mark.parametrize("piece", [1, 10_000, shared.PIECE_BYTES])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 5])
def test_the_bits_are_those_of_single_fits(
    n_threads: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "PIECE_BYTES", piece)  # a piece of one batch, of some, and the whole epoch
    models = mixed()
    fitted = aefast.fit_many(models, X, n_threads=n_threads)
    assert all(a is b for a, b in zip(fitted, models, strict=True))
    assert [learned(model) for model in fitted] == one_by_one(mixed(), X)
    assert any(model.n_iter_ < 9 for model in fitted[11:13]) and fitted[13].n_iter_ < 4


@pytest.mark.parametrize(
    "options", [{"X_val": X_VAL}, {"sample_weight": WEIGHTS}], ids=lambda o: next(iter(o))
)
def test_with_validation_rows_and_with_weights(options: dict[str, Any]) -> None:
    fitted = aefast.fit_many(mixed(), X, n_threads=2, **options)
    assert [learned(model) for model in fitted] == one_by_one(mixed(), X, **options)


def test_weights_for_each_estimator() -> None:
    models = mixed()
    weights = np.random.default_rng(0).multinomial(len(X), np.full(len(X), 1 / len(X)), size=len(models))
    aefast.fit_many(models, X, sample_weight=weights, n_threads=2)
    single = [learned(m.fit(X, sample_weight=w)) for m, w in zip(mixed(), weights, strict=True)]
    assert [learned(model) for model in models] == single
    with pytest.raises(ValueError, match=r"shape \(n,\) or \(14, n\), .* but has shape \(3, 501\)"):
        aefast.fit_many(mixed(), X, sample_weight=weights[:3])
    weights[2, 4] = -1
    with pytest.raises(ValueError, match="of row 4 is -1") as raised:
        aefast.fit_many(mixed(), X, sample_weight=weights)
    assert raised.value.__notes__ == ["raised by sample_weight[2]"]


@pytest.mark.parametrize("kind", ["float32", "int16", "memmap", "csr", "pandas", "fortran"])
def test_every_kind_of_input(kind: str, tmp_path: Path) -> None:
    data: Any = X
    if kind == "memmap":
        np.save(tmp_path / "x.npy", X)
        data = np.load(tmp_path / "x.npy", mmap_mode="r")
    elif kind == "csr":
        data = csr_array(np.where(X > 0, X, 0))
    elif kind == "pandas":
        data = pytest.importorskip("pandas").DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    elif kind == "fortran":
        data = np.asfortranarray(X)
    else:
        data = (10 * X).astype(kind)
    fitted = aefast.fit_many(mixed(), data, n_threads=3)
    assert [learned(model) for model in fitted] == one_by_one(mixed(), data)
    assert kind != "pandas" or fitted[0].feature_names_in_[10] == "c10"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_the_other_backends(name: str, dtype: str) -> None:
    if not backends.available(name):
        pytest.skip(backends.available(name).reason)
    fitted = aefast.fit_many(mixed(backend=name, dtype=dtype), X, n_threads=2)
    # One thread for BLAS, as in fit_many: its sums may depend on it.
    assert [learned(m) for m in fitted] == one_by_one(mixed(backend=name, dtype=dtype, n_threads=1), X)


@pytest.mark.parametrize("joblib_backend", ["loky", "threading"])
def test_inside_joblib(joblib_backend: str) -> None:
    made = joblib.Parallel(n_jobs=2, backend=joblib_backend)(
        joblib.delayed(aefast.fit_many)(mixed(), X, n_threads=2) for _ in range(2)
    )
    expected = one_by_one(mixed(), X)
    assert [[learned(model) for model in models] for models in made] == [expected] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_afterwards_fits_too() -> None:
    expected = one_by_one(mixed(), X)
    aefast.fit_many(mixed(), X, n_threads=3)
    child = os.fork()
    if child == 0:
        same = [learned(model) for model in aefast.fit_many(mixed(), X, n_threads=3)] == expected
        os._exit(not same)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_it_loads_when_it_is_used() -> None:
    code = "import sys, aefast; assert 'fit_many' in dir(aefast); print('aefast.many' in sys.modules); aefast.fit_many"
    assert subprocess.check_output([sys.executable, "-P", "-c", code], text=True) == "False\n"
