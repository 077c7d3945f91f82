#include "cpu/arguments.h"

#include <stdexcept>

namespace aefast::cpu {

void Arguments::fail(const std::string& what) const {
  throw std::invalid_argument("plan, op " + call_.op + ": " + what);
}

void Arguments::expect_no_others() const {
  for (const auto& [name, ref] : call_.args)
    if (!taken_.count(name)) fail("takes no argument " + name);
  for (const auto& [name, value] : call_.attrs)
    if (!taken_.count(name)) fail("takes no attribute " + name);
}

const Ref* Arguments::find(const char* name, bool optional) {
  taken_.insert(name);
  const auto found = call_.args.find(name);
  if (found != call_.args.end()) return &found->second;
  if (!optional) fail(std::string("misses the argument ") + name);
  return nullptr;
}

float* Arguments::resolve(const char* name, const Ref& ref) const {
  float* base = nullptr;
  int64_t size = spaces_.flat.n_flat;
  if (ref.space == "arena") base = spaces_.arena, size = spaces_.arena_size;
  else if (ref.space == "params") base = spaces_.flat.params;
  else if (ref.space == "grads") base = spaces_.flat.grads;
  else if (ref.space == "slot0") base = spaces_.flat.slot0;
  else if (ref.space == "slot1") base = spaces_.flat.slot1;
  else if (ref.space == "ema") base = spaces_.flat.ema;
  if (base == nullptr) fail(std::string(name) + " lies in '" + ref.space + "', which isn't there");
  inside(name, ref, size);
  return base + ref.offset;
}

void Arguments::inside(const char* name, const Ref& ref, int64_t size) const {
  const int64_t last = ref.offset + (ref.rows - 1) * ref.row_stride + (ref.cols - 1) * ref.col_stride;
  if (ref.rows < 1 || ref.cols < 1 || ref.offset < 0 || ref.row_stride < 0 || ref.col_stride < 0 || last >= size) {
    fail(std::string(name) + " reaches beyond '" + ref.space + "'");
  }
}

Matrix Arguments::matrix(const char* name, int64_t n_rows, int64_t n_cols, bool optional) {
  const Ref* ref = find(name, optional);
  if (ref == nullptr) return {};
  if (ref->rows != n_rows || (n_cols >= 0 && ref->cols != n_cols)) {
    fail(std::string(name) + " is " + std::to_string(ref->rows) + " x " + std::to_string(ref->cols) + ", but must be " +
         std::to_string(n_rows) + " x " + (n_cols >= 0 ? std::to_string(n_cols) : "any"));
  }
  return {resolve(name, *ref), ref->rows, ref->cols, ref->row_stride, ref->col_stride};
}

Matrix Arguments::rows(const char* name, int64_t cols, bool optional) {
  const Matrix m = matrix(name, spaces_.batch, cols, optional);
  if (m.data != nullptr && m.col_stride != 1) fail(std::string(name) + " must have unit column stride");
  return m;
}

float* Arguments::vector(const char* name, int64_t n, bool optional) {
  const Matrix m = matrix(name, 1, n, optional);
  if (m.data != nullptr && m.col_stride != 1) fail(std::string(name) + " must be contiguous");
  return m.data;
}

double* Arguments::stats(const char* name, int64_t n, bool optional) {
  const Ref* ref = find(name, optional);
  if (ref == nullptr) return nullptr;
  if (ref->space != "stats" || ref->rows != 1 || ref->cols != n) fail(std::string(name) + " must lie in stats");
  inside(name, *ref, spaces_.stats_size);
  return spaces_.stats + ref->offset;
}

int64_t Arguments::length(const char* name) { return find(name, false)->cols; }

int64_t Arguments::offset_in_params(const char* name) {
  const Ref* ref = find(name, false);
  if (ref->space != "params") fail(std::string(name) + " must lie in params");
  return ref->offset;
}

double Arguments::attr(const char* name) {
  taken_.insert(name);
  const auto found = call_.attrs.find(name);
  if (found == call_.attrs.end()) fail(std::string("misses the attribute ") + name);
  return found->second;
}

int64_t Arguments::integer(const char* name) {
  const double value = attr(name);
  if (!(value >= -9e15 && value <= 9e15) || double(int64_t(value)) != value)
    fail(std::string(name) + " must be an integer");
  return int64_t(value);
}

int Arguments::code(const char* name, int count) {
  const int64_t value = integer(name);
  if (value < 0 || value >= count) fail(std::string(name) + " has no row " + std::to_string(value));
  return int(value);
}

Geometry Arguments::geometry() {
  auto field = [this](const char* name) { return integer(name); };
  return {field("height"),       field("width"),         field("channels"),     field("out_height"), field("out_width"),
          field("out_channels"), field("kernel_height"), field("kernel_width"), field("stride_y"),   field("stride_x"),
          field("pad_top"),      field("pad_left"),      field("dilation_y"),   field("dilation_x"), field("groups")};
}

}  // namespace aefast::cpu
