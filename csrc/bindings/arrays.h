// NumPy arrays -> the engine's views, checked. TypeError: not an array, or the wrong dtype; ValueError: shape, strides,
// alignment, byte order or a read-only output. Every message says what was expected and what came.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>

#include "cpu/kernels.h"

namespace aefast::bindings {

namespace py = pybind11;

inline constexpr int64_t kAny = -1;  // of a dimension: whatever comes
enum class Access { read, write };

// (rows, cols) float32, unit column stride and a row stride of at least cols.
cpu::Matrix rows_matrix(const char* name, py::handle array, int64_t rows, int64_t cols, Access access = Access::read);
// The same, or None as an absent matrix.
cpu::Matrix optional_rows_matrix(const char* name, py::handle array, int64_t rows, int64_t cols,
                                 Access access = Access::read);
// (rows, cols) float32, either stride 1: a weight or its transposed view.
cpu::Matrix weight_matrix(const char* name, py::handle array, int64_t rows, int64_t cols, Access access = Access::read);

// (n,) contiguous; the optional ones take None as null.
float* floats(const char* name, py::handle array, int64_t n, Access access = Access::read);
float* optional_floats(const char* name, py::handle array, int64_t n, Access access = Access::read);
double* doubles(const char* name, py::handle array, int64_t n, Access access = Access::read);
double* optional_doubles(const char* name, py::handle array, int64_t n, Access access = Access::read);
int64_t* integers(const char* name, py::handle array, int64_t n, Access access = Access::read);

// (n, d) of any numeric dtype in native byte order and with any strides; or sparse, an object with arrays `values`,
// `indices` and `indptr` and a `shape`, whose structure has been checked (see aefast/data/sparse.py).
cpu::Source source(const char* name, py::handle array);

// shift and scale (d,) float64, both or neither, and a factor.
cpu::Scaling scaling(py::handle shift, py::handle scale, double factor, int64_t d);

// An aefast.geometry.Geometry, or whatever has its fields; not checked, but for being integers.
cpu::Geometry geometry(const char* name, py::handle object);

int64_t length(const char* name, py::handle array);  // of a 1-D array
int code(const char* name, int value, int count);    // in [0, count), or ValueError

}  // namespace aefast::bindings
