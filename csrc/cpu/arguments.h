// One call's arguments and attributes, looked up by name and checked against the memory that they lie in.
#pragma once

#include <set>
#include <string>

#include "cpu/program.h"

namespace aefast::cpu {

// The memory of a plan.
struct Spaces {
  float* arena;
  int64_t arena_size;
  double* stats;
  int64_t stats_size, batch;
  FlatBuffers flat;
};

// Complains, with std::invalid_argument, about what is missing, doesn't fit its space, or that nobody asked for.
class Arguments {
 public:
  Arguments(const Spaces& spaces, const CallDescription& call) : spaces_(spaces), call_(call) {}

  [[noreturn]] void fail(const std::string& what) const;
  void expect_no_others() const;  // than those that have been asked for

  // n_cols -1: any. A missing optional one has null data.
  Matrix matrix(const char* name, int64_t n_rows, int64_t n_cols, bool optional = false);
  Matrix rows(const char* name, int64_t cols = -1, bool optional = false);  // (batch, cols), unit column stride
  float* vector(const char* name, int64_t n, bool optional = false);        // (n,) contiguous
  float* per_row(const char* name, bool optional = false) { return vector(name, spaces_.batch, optional); }
  double* stats(const char* name, int64_t n, bool optional = false);
  // The elements of a vector.
  int64_t length(const char* name);
  // Where a parameter lies in the flat buffer.
  int64_t offset_in_params(const char* name);

  double attr(const char* name);
  int64_t integer(const char* name);
  int code(const char* name, int count);
  Geometry geometry();

 private:
  const Ref* find(const char* name, bool optional);
  float* resolve(const char* name, const Ref& ref) const;  // the first float of a ref that lies inside its space
  void inside(const char* name, const Ref& ref, int64_t size) const;

  const Spaces& spaces_;
  const CallDescription& call_;
  std::set<std::string> taken_;
};

}  // namespace aefast::cpu
