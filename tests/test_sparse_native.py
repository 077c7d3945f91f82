"""First layers that work on the stored entries of sparse rows: every bit is the dense product's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from estimator_cases import every_kind, quick
from scipy import sparse

from aefast import Topology, Trainer, backends, ops
from aefast.data.scaling import Scaling
from aefast.data.sparse import SparseRows
from aefast.errors import NonFiniteError
from aefast.testing.require import skip_or_fail

if not backends.available("cpu"):
    skip_or_fail("cpu", backends.available("cpu").reason)

from aefast import _cpu

F = np.float32
ISAS = _cpu.available_isas()
THREADS = (1, 2, 3, 5)
DTYPES = (np.float32, np.float64, np.int8, np.uint8, np.bool_)


@pytest.fixture(autouse=True)
def every_share_and_all_threads() -> Iterator[None]:
    """However many are stored, entries are used; small steps too run on all threads."""
    isa = _cpu.isa()
    _cpu.set_flops_per_thread(0)
    _cpu.set_most_stored(1)
    yield
    _cpu.set_flops_per_thread(1.5e6)
    _cpu.set_most_stored(0.15)
    _cpu.set_isa(isa)


def matrix(n: int, d: int, share: float = 0.05, dtype: Any = F, seed: int = 0) -> Any:
    """CSR with empty rows and columns, a full row, a full column and stored zeros."""
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((n, d)) < share, rng.normal(0, 40, (n, d)), 0)
    dense[:, d // 3 : d // 3 + d // 5] = 0
    dense[n // 2], dense[:, d // 2] = rng.normal(0, 40, d), rng.normal(0, 40, n)
    dense[3] = dense[n - 1] = 0
    m = sparse.csr_array(dense)
    m.data[::7] = 0
    return m.astype(dtype)


def dense_of(m: Any) -> Any:
    return m.toarray().astype(np.uint8 if m.dtype == np.bool_ else m.dtype)


def outcome(rows: Any, n_threads: int = 1, **settings: Any) -> list[Any]:
    """Everything that a training gives, as bytes."""
    d = rows.shape[1]
    widths = settings.pop("widths", [d, 33, 5, 33, d])
    topology = Topology.mlp(widths, tied_weights=settings.pop("tied_weights", False))
    weight, held_out = settings.pop("sample_weight", None), settings.pop("X_val", None)
    made = Trainer(topology, backend="cpu", n_threads=n_threads, **{"batch_size": 110, **settings})
    history = made.fit(rows, epochs=1, sample_weight=weight, X_val=held_out)
    gradients = made.gradients(rows[:40])[1]
    arrays = {**made.flat_buffers, **gradients, "code": made.encode(rows), "r": made.reconstruct(rows)}
    arrays["loss"] = made.sample_losses(rows)
    return [history.loss, history.validation_loss, *(array.tobytes() for array in arrays.values())]


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tied": {"tied_weights": True},
    "tied, clipped, two blocks of the batch": {"tied_weights": True, "clip_norm": 0.05, "batch_size": 320},
    "clipped": {"clip_norm": 0.05},
    "two blocks of the batch": {"batch_size": 330},
    "factor": {"scaling": Scaling(factor=1 / 255)},
    "skip": {"nonfinite": "skip"},
    "propagate": {"nonfinite": "propagate"},
    "one layer": {"widths": [301, 17, 301]},
    "ordered": {"shuffle": False},
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", SETTINGS)
def test_training_gives_the_bits_of_dense_rows(isa: str, name: str) -> None:
    _cpu.set_isa(isa)
    m = matrix(330, 301)
    expected = outcome(m.toarray(), **SETTINGS[name])
    for n_threads in THREADS:
        assert outcome(m, n_threads, **SETTINGS[name]) == expected, n_threads


@pytest.mark.parametrize("width", [1, 15, 17, 64, 65, 130])
@pytest.mark.parametrize("d", [1, 129, 256, 777])
def test_every_width_gives_the_bits_of_dense_rows(d: int, width: int) -> None:
    m = matrix(90, d, 0.1, seed=d)
    widths = [d, width, d]
    assert outcome(m, widths=widths) == outcome(m.toarray(), widths=widths)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("integers", [np.int32, np.int64])
def test_every_dtype_gives_the_bits_of_dense_rows(dtype: Any, integers: Any) -> None:
    m = matrix(200, 64, 0.2, dtype)
    m.indices, m.indptr = m.indices.astype(integers), m.indptr.astype(integers)
    settings = {"scaling": Scaling(factor=0.01)}
    assert outcome(m, **settings) == outcome(dense_of(m), **settings)


def test_weights_of_rows_and_held_out_rows() -> None:
    m, held_out = matrix(200, 64), matrix(70, 64, seed=3)
    weight = np.random.default_rng(0).random(200) * (np.arange(200) % 5 > 0)
    a = outcome(m.toarray(), sample_weight=weight, X_val=held_out.toarray())
    assert outcome(m, 3, sample_weight=weight, X_val=held_out) == a


def test_features_that_are_scaled_but_not_shifted() -> None:
    m = matrix(200, 64)
    scaling = Scaling(shift=np.zeros(64), scale=np.linspace(0.01, 0.1, 64))
    assert outcome(m, 2, scaling=scaling) == outcome(m.toarray(), scaling=scaling)


@pytest.mark.parametrize("where", ["shift", "scale"])
def test_a_scaling_that_moves_one_zero_is_left_to_dense_rows(where: str) -> None:
    m = matrix(200, 64)
    scaling = Scaling(shift=np.zeros(64), scale=np.full(64, 0.05))
    getattr(scaling, where)[13] = -3.0
    assert outcome(m, 2, scaling=scaling) == outcome(m.toarray(), scaling=scaling)


@every_kind
@pytest.mark.parametrize("scaling", [None, "pixel", "minmax", "standard"])
def test_every_kind_of_estimator(kind: Any, scaling: str | None) -> None:
    m = abs(matrix(300, 64, 0.1))
    same = {"backend": "cpu", "scaling": scaling, "early_stopping": True, "loss": "mse", "epochs": 2}
    a, b = (quick(kind, **same).fit(rows) for rows in (m.toarray(), m))
    assert a.loss_curve_ == b.loss_curve_ and a.validation_loss_curve_ == b.validation_loss_curve_
    for method in ("transform", "reconstruct", "score_samples"):
        x, y = getattr(a, method)(m.toarray()), getattr(b, method)(m)
        assert x.tobytes() == y.tobytes(), method


def test_rows_out_of_order_or_with_a_column_twice_are_what_the_gather_makes_of_them() -> None:
    m = matrix(60, 40, 0.3)
    rows = SparseRows(m.data.copy(), m.indices.copy(), m.indptr.copy(), m.shape)
    rng = np.random.default_rng(5)
    for start, stop in zip(rows.indptr[10:30], rows.indptr[11:31], strict=True):
        rows.indices[start:stop] = rng.integers(0, 40, stop - start)
    dense = ops.gather(rows, np.arange(60), backend="cpu")
    settings = {"batch_size": 20}
    assert outcome(rows, 2, **settings) == outcome(dense, **settings)


@pytest.mark.parametrize(
    ("part", "value"), [("indices", 10**6), ("indices", -7), ("indptr", 10**6), ("indptr", -9)]
)
def test_a_structure_that_breaks_later_touches_no_foreign_memory(part: str, value: int) -> None:
    m = matrix(60, 40, 0.3)
    rows = SparseRows(m.data.copy(), m.indices.copy(), m.indptr.copy(), m.shape)
    getattr(rows, part)[20] = value
    made = Trainer(Topology.mlp([40, 8, 40]), batch_size=20, backend="cpu")
    made.fit(rows, epochs=1)
    assert np.isfinite(made.encode(rows)).all()


# Products too small for a float32 leave sums of -0, whose sign the zeros between decide.


def tiny(n: int, d: int, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((n, d)) < 0.1, -1e-30, 0).astype(F)
    w = np.full((37, d), -1e-20, F)
    late = slice(min(d, 200) - 8, None, 200)  # in each block of columns
    x[::2, late] = -1e-30
    x[7] = 0  # +0 times any of these weights, and a bias of -0
    w[:, late] = np.where(rng.random((37, 1)) < 0.7, 1e-20, -1e-20)
    w[::3, -3:] = 1e-20
    return sparse.csr_array(x), w, np.full(37, -0.0, F)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("d", [40, 600])
def test_signs_of_zero_sums_are_those_of_the_dense_product(isa: str, d: int) -> None:
    _cpu.set_isa(isa)
    m, w, b = tiny(50, d)
    expected = ops.linear_act(m.toarray(), w, b, backend="cpu")
    if isa != "baseline":  # there -0 doesn't arise: the product is rounded by itself
        assert len(np.unique(np.signbit(expected))) == 2
    assert ops.linear_act(m, w, b, backend="cpu").tobytes() == expected.tobytes()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("batch", [50, 600])
@pytest.mark.parametrize("tied", [False, True])
def test_signs_of_zero_gradients_are_those_of_the_dense_product(isa: str, batch: int, tied: bool) -> None:
    _cpu.set_isa(isa)
    m = sparse.csr_array(np.where(np.random.default_rng(1).random((600, 45)) < 0.1, -1e-25, 0).astype(F))
    found = []
    for rows in (m.toarray(), m):
        made = Trainer(Topology.mlp([45, 9, 45], tied_weights=tied), backend="cpu", batch_size=batch)
        made.load_parameters({name: value * F(1e-5) for name, value in made.parameters.items()})
        gradients = made.gradients(rows[:batch])[1]
        found.append({name: value.tobytes() for name, value in gradients.items()})
        zeros = gradients["encoder.0.weight"][gradients["encoder.0.weight"] == 0]
        assert tied or isa == "baseline" or len(np.unique(np.signbit(zeros))) == 2
    assert found[0] == found[1]


# Nothing that isn't finite stays unseen.


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_no_entry_meets_and_is_not_finite_shows_as_it_does_in_dense_rows(bad: float) -> None:
    m = matrix(200, 64)
    column = 64 // 3 + 1  # nothing is stored there but in the full row
    m = sparse.csr_array(np.where(np.arange(200)[:, None] == 100, 0, m.toarray()))
    assert m[:, [column]].nnz == 0
    codes = []
    for rows in (m.toarray(), m):
        made = Trainer(Topology.mlp([64, 8, 64]), backend="cpu", batch_size=50)
        parameters = made.parameters
        made.encode(rows)
        parameters["encoder.0.weight"][2, column] = bad
        made.load_parameters(parameters)
        codes.append(made.encode(rows))
        with pytest.raises(NonFiniteError):
            made.fit(rows, epochs=1)
        parameters["encoder.0.weight"][2, column] = 0
        made.load_parameters(parameters)
        codes.append(made.encode(rows))
    np.testing.assert_array_equal(codes[0], codes[2])
    assert np.isnan(codes[2]).any() and codes[1].tobytes() == codes[3].tobytes()
    w, b = np.ones((3, 64), F), np.zeros(3, F)
    w[1, column] = bad
    np.testing.assert_array_equal(ops.linear_act(m, w, b), ops.linear_act(m.toarray(), w, b))


def test_a_gradient_that_is_not_finite_is_the_dense_one() -> None:
    m = matrix(50, 64)
    found = []
    for rows in (m.toarray(), m):
        made = Trainer(Topology.mlp([64, 8, 64]), backend="cpu", batch_size=50)
        parameters = made.parameters
        parameters["decoder.0.weight"][:] = 3e38
        made.load_parameters(parameters)
        found.append(made.gradients(rows)[1]["encoder.0.weight"])
    assert not np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[0], found[1])


# The functional front.


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("activation", ["identity", "relu", "gelu"])
@pytest.mark.parametrize("backend", ["cpu", "numpy"])  # which spreads them out, as numba does
def test_linear_act_takes_sparse_rows(activation: str, share: float, backend: str) -> None:
    _cpu.set_most_stored(share)
    rng = np.random.default_rng(0)
    m, w, b = matrix(70, 300), rng.normal(size=(21, 300)).astype(F), rng.normal(size=21).astype(F)
    pres = np.empty((2, 70, 21), F)
    x, y = (
        ops.linear_act(rows, w, b, activation, pre=pre, backend=backend)
        for rows, pre in zip((m.toarray(), m), pres, strict=True)
    )
    assert x.tobytes() == y.tobytes() and pres[0].tobytes() == pres[1].tobytes()


def test_linear_act_refuses_sparse_rows_that_do_not_fit() -> None:
    w, b = np.ones((3, 64), F), np.zeros(3, F)
    with pytest.raises(TypeError, match="w must have dtype float64"):
        ops.linear_act(matrix(20, 64, dtype=np.float64), w, b, backend="numpy")
    with pytest.raises(ValueError, match="x has 40 features, but 64 were expected"):
        ops.linear_act(matrix(20, 40), w, b)
    rows = SparseRows(np.ones(1, F), np.zeros(1, np.int32), np.array([0, 1], np.int32), (1, 40))
    with pytest.raises(ValueError, match="64 columns"):
        _cpu.linear_act(rows, w, b, 0, np.empty((1, 3), F))


def test_the_share_is_checked() -> None:
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="share"):
            _cpu.set_most_stored(share)
