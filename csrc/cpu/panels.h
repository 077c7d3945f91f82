// The weights' packed copies that the matmul kernels read, kept in step with the parameters by the update pass.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "cpu/kernels.h"

namespace aefast::cpu {

struct FreeAligned {
  void operator()(float* p) const { std::free(p); }
};
using AlignedFloats = std::unique_ptr<float[], FreeAligned>;

// n zeroed floats on a 64-byte line; throws std::bad_alloc.
AlignedFloats aligned_floats(int64_t n);

// Floats (words) of a packed (n, k) matrix.
int64_t panel_size(const Kernels& kernels, int64_t n, int64_t k);

// One weight (n, m), row-major at flat offset `offset`, with the packed copies that some call wants.
struct PackedWeight {
  int64_t offset, n, m;
  AlignedFloats by_row;  // panels of w
  AlignedFloats by_col;  // panels of w transposed
};

// A piece of the flat buffer that is updated, and then packed, by one thread.
struct UpdateTile {
  int64_t begin, end;                    // flat elements
  const PackedWeight* weight = nullptr;  // null: nothing to pack
  int64_t row_begin = 0, row_end = 0;
};

// A convolution's weight at flat offset `offset`, packed for one product.
struct PackedConvolution {
  int64_t offset;
  Geometry geometry;
  Direction direction;
  AlignedFloats panels;
};

class Panels {
 public:
  // Panels of the matrix `w` at flat `offset` (of its transpose with `transposed`), shared by all that ask for the same
  // ones. Throws std::invalid_argument where w is no whole dense matrix or overlaps another.
  const float* want(const Kernels& kernels, Matrix w, int64_t offset, bool transposed);

  // The same of a convolution's weight, a row-major matrix at `offset`, for products of that geometry and direction.
  const float* want(const Kernels& kernels, const Geometry& geometry, Direction direction, int64_t offset);

  // After the last want: cuts [0, n_flat) into tiles.
  void plan_tiles(const Kernels& kernels, int64_t n_flat);

  const std::vector<UpdateTile>& tiles() const { return tiles_; }
  // Tiles [begin, end) of thread `thread` of `size`, balanced by elements.
  void share(int thread, int size, size_t* begin, size_t* end) const;

  void pack(const Kernels& kernels, const float* params, const UpdateTile& tile) const;

  bool convolutions() const { return !convolutions_.empty(); }
  // A thread's share of the convolutions' weights; all of `params` must stand.
  void pack_convolutions(const Kernels& kernels, const float* params, int thread, int size) const;

 private:
  // Throws where [offset, offset + n) overlaps a weight at another offset, or of another size at that one.
  void expect_apart(int64_t offset, int64_t n) const;

  std::vector<std::unique_ptr<PackedWeight>> weights_;
  std::vector<std::unique_ptr<PackedConvolution>> convolutions_;
  std::vector<UpdateTile> tiles_;
  std::vector<int64_t> work_;  // elements before each tile, and in all
};

}  // namespace aefast::cpu
