#include "bindings/arrays.h"

#include <algorithm>
#include <string>

namespace aefast::bindings {
namespace {

std::string shape_text(const py::array& a) {
  std::string text = "(";
  for (py::ssize_t i = 0; i < a.ndim(); ++i) text += (i != 0 ? ", " : "") + std::to_string(a.shape(i));
  return text + (a.ndim() == 1 ? ",)" : ")");
}

std::string wanted_text(int64_t rows, int64_t cols) {
  auto text = [](int64_t n) { return n == kAny ? std::string("any") : std::to_string(n); };
  return "(" + text(rows) + ", " + text(cols) + ")";
}

[[noreturn]] void wrong(const char* name, const std::string& what) {
  throw py::value_error(std::string(name) + " " + what);
}

// An array of T, aligned, in native byte order and writeable where it must be.
template <class T>
py::array checked(const char* name, py::handle object, const char* type, Access access) {
  if (!py::isinstance<py::array>(object)) {
    throw py::type_error(std::string(name) + " must be a NumPy array of " + type + ", but is " +
                         std::string(py::str(py::type::handle_of(object).attr("__name__"))));
  }
  py::array a = py::reinterpret_borrow<py::array>(object);
  if (!a.dtype().is(py::dtype::of<T>()) && !py::isinstance<py::array_t<T>>(object)) {
    throw py::type_error(std::string(name) + " must be an array of " + type + ", but is of " +
                         std::string(py::str(a.dtype())));
  }
  if (reinterpret_cast<uintptr_t>(a.data()) % alignof(T) != 0) wrong(name, "must be aligned in memory; copy it first");
  if (access == Access::write && !a.writeable()) wrong(name, "is read-only, but the result goes into it");
  return a;
}

cpu::Matrix matrix(const char* name, py::handle object, int64_t rows, int64_t cols, Access access) {
  const py::array a = checked<float>(name, object, "float32", access);
  if (a.ndim() != 2 || (rows != kAny && a.shape(0) != rows) || (cols != kAny && a.shape(1) != cols)) {
    wrong(name, "must have shape " + wanted_text(rows, cols) + ", but has " + shape_text(a));
  }
  if (a.strides(0) % 4 != 0 || a.strides(1) % 4 != 0) wrong(name, "must have strides of whole elements; copy it first");
  cpu::Matrix m{static_cast<float*>(const_cast<void*>(a.data())), a.shape(0), a.shape(1), a.strides(0) / 4,
                a.strides(1) / 4};
  // The stride of a dimension of one element says nothing.
  if (m.cols <= 1) m.col_stride = 1;
  if (m.rows <= 1) m.row_stride = m.col_stride == 1 ? m.cols : 1;
  return m;
}

template <class T>
T* vector(const char* name, py::handle object, const char* type, int64_t n, Access access) {
  const py::array a = checked<T>(name, object, type, access);
  if (a.ndim() != 1 || (n != kAny && a.shape(0) != n)) {
    wrong(name,
          "must have shape (" + (n == kAny ? std::string("any") : std::to_string(n)) + ",), but has " + shape_text(a));
  }
  if (a.shape(0) > 1 && a.strides(0) != py::ssize_t(sizeof(T))) wrong(name, "must be contiguous; copy it first");
  return static_cast<T*>(const_cast<void*>(a.data()));
}

// Mostly '=' stands for the machine's own order and '|' for none; asking for `isnative` costs more than this look.
bool native_order(const py::dtype& dtype) {
  return dtype.byteorder() == '=' || dtype.byteorder() == '|' || dtype.attr("isnative").cast<bool>();
}

cpu::DType dtype_code(const char* name, const py::dtype& dtype) {
  using cpu::DType;
  switch (dtype.kind()) {
    case 'b':
      return DType::boolean;
    case 'f':
      if (dtype.itemsize() == 2) return DType::f16;
      if (dtype.itemsize() == 4) return DType::f32;
      if (dtype.itemsize() == 8) return DType::f64;
      break;
    case 'u':
    case 'i': {
      const bool is_signed = dtype.kind() == 'i';
      if (dtype.itemsize() == 1) return is_signed ? DType::i8 : DType::u8;
      if (dtype.itemsize() == 2) return is_signed ? DType::i16 : DType::u16;
      if (dtype.itemsize() == 4) return is_signed ? DType::i32 : DType::u32;
      if (dtype.itemsize() == 8) return is_signed ? DType::i64 : DType::u64;
      break;
    }
    default:
      break;
  }
  throw py::type_error(std::string(name) +
                       " must be of bool, an integer type, float16, float32 or float64, but is of " +
                       std::string(py::str(dtype)));
}

}  // namespace

cpu::Matrix rows_matrix(const char* name, py::handle array, int64_t rows, int64_t cols, Access access) {
  const cpu::Matrix m = matrix(name, array, rows, cols, access);
  if (m.col_stride != 1 || (m.rows > 1 && m.row_stride < m.cols)) {
    wrong(name, "must be row-major with contiguous rows; use np.ascontiguousarray");
  }
  return m;
}

cpu::Matrix optional_rows_matrix(const char* name, py::handle array, int64_t rows, int64_t cols, Access access) {
  return array.is_none() ? cpu::Matrix{} : rows_matrix(name, array, rows, cols, access);
}

cpu::Matrix weight_matrix(const char* name, py::handle array, int64_t rows, int64_t cols, Access access) {
  const cpu::Matrix m = matrix(name, array, rows, cols, access);
  const bool row_major = m.col_stride == 1 && m.row_stride >= m.cols;
  const bool col_major = m.row_stride == 1 && m.col_stride >= m.rows;
  if (!row_major && !col_major) wrong(name, "must be contiguous along one dimension; use np.ascontiguousarray");
  return m;
}

float* floats(const char* name, py::handle array, int64_t n, Access access) {
  return vector<float>(name, array, "float32", n, access);
}
float* optional_floats(const char* name, py::handle array, int64_t n, Access access) {
  return array.is_none() ? nullptr : floats(name, array, n, access);
}
double* doubles(const char* name, py::handle array, int64_t n, Access access) {
  return vector<double>(name, array, "float64", n, access);
}
double* optional_doubles(const char* name, py::handle array, int64_t n, Access access) {
  return array.is_none() ? nullptr : doubles(name, array, n, access);
}
int64_t* integers(const char* name, py::handle array, int64_t n, Access access) {
  return vector<int64_t>(name, array, "int64", n, access);
}

namespace {

// One of the three arrays of a sparse matrix: contiguous, aligned, of native byte order.
py::array sparse_part(const char* name, py::handle object, const char* part) {
  const py::object value = object.attr(part);
  if (!py::isinstance<py::array>(value)) wrong(name, std::string("must hold a NumPy array as ") + part);
  const py::array a = py::reinterpret_borrow<py::array>(value);
  const bool aligned = reinterpret_cast<uintptr_t>(a.data()) % size_t(a.itemsize()) == 0;
  if (a.ndim() != 1 || (a.flags() & py::array::c_style) == 0 || !aligned || !native_order(a.dtype())) {
    wrong(name, std::string("must hold contiguous, aligned ") + part + " in native byte order");
  }
  return a;
}

cpu::Source sparse_source(const char* name, py::handle object) {
  const auto [rows, cols] = object.attr("shape").cast<std::pair<int64_t, int64_t>>();
  const py::array values = sparse_part(name, object, "values"), indices = sparse_part(name, object, "indices"),
                  indptr = sparse_part(name, object, "indptr");
  const bool wide = indptr.itemsize() == 8;
  auto index_type = [wide](const py::array& a) { return a.dtype().kind() == 'i' && a.itemsize() == (wide ? 8 : 4); };
  if (!index_type(indices) || !index_type(indptr)) {
    wrong(name, "must hold indices and indptr both of int32 or both of int64");
  }
  if (rows < 0 || cols < 0 || indptr.shape(0) != rows + 1) wrong(name, "has an indptr that does not fit its shape");
  cpu::Source result{static_cast<const char*>(values.data()), dtype_code(name, values.dtype()), rows, cols, 0, 0};
  result.indices = indices.data();
  result.indptr = indptr.data();
  result.stored = std::min(values.shape(0), indices.shape(0));
  result.wide = wide;
  return result;
}

}  // namespace

cpu::Source source(const char* name, py::handle object) {
  if (!py::isinstance<py::array>(object)) {
    if (py::hasattr(object, "indptr")) return sparse_source(name, object);
    throw py::type_error(std::string(name) + " must be a NumPy array, but is " +
                         std::string(py::str(py::type::handle_of(object).attr("__name__"))));
  }
  const py::array a = py::reinterpret_borrow<py::array>(object);
  const py::dtype dtype = a.dtype();
  const cpu::DType type = dtype_code(name, dtype);
  if (!native_order(dtype)) wrong(name, "must be in native byte order; use a.astype(a.dtype.newbyteorder('='))");
  if (a.ndim() != 2) wrong(name, "must have shape (n, d), but has " + shape_text(a));
  return {static_cast<const char*>(a.data()), type, a.shape(0), a.shape(1), a.strides(0), a.strides(1)};
}

cpu::Scaling scaling(py::handle shift, py::handle scale, double factor, int64_t d) {
  if (shift.is_none() != scale.is_none()) throw py::value_error("shift and scale must come together, or both be None");
  return {optional_doubles("shift", shift, d), optional_doubles("scale", scale, d), factor};
}

cpu::Geometry geometry(const char* name, py::handle object) {
  auto field = [&](const char* part) {
    const py::object value = py::getattr(object, part, py::none());
    if (!py::isinstance<py::int_>(value)) {
      throw py::type_error(std::string(name) + " must be an aefast.geometry.Geometry, but " +
                           std::string(py::str(py::type::handle_of(object).attr("__name__"))) + " has no integer " +
                           part);
    }
    return value.cast<int64_t>();
  };
  return {field("height"),       field("width"),         field("channels"),     field("out_height"), field("out_width"),
          field("out_channels"), field("kernel_height"), field("kernel_width"), field("stride_y"),   field("stride_x"),
          field("pad_top"),      field("pad_left"),      field("dilation_y"),   field("dilation_x"), field("groups")};
}

int64_t length(const char* name, py::handle array) {
  if (!py::isinstance<py::array>(array)) {
    throw py::type_error(std::string(name) + " must be a NumPy array, but is " +
                         std::string(py::str(py::type::handle_of(array).attr("__name__"))));
  }
  const py::array a = py::reinterpret_borrow<py::array>(array);
  if (a.ndim() != 1) wrong(name, "must have one dimension, but has shape " + shape_text(a));
  return a.shape(0);
}

int code(const char* name, int value, int count) {
  if (value < 0 || value >= count) {
    wrong(name, "must be a code in [0, " + std::to_string(count) + "), but is " + std::to_string(value));
  }
  return value;
}

}  // namespace aefast::bindings
