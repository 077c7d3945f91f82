// The function table that every instruction set fills (one translation unit group per set, same sources, other flags).
// Kernels know no Python, no threads and allocate nothing: callers hand out row or tile ranges and scratch.
#pragma once

#include <cstdint>

namespace aefast {
struct Shuffle;
}

namespace aefast::cpu {

// A strided 2-D float32 matrix in the caller's memory; strides in elements. A null `data` means "absent".
struct Matrix {
  float* data = nullptr;
  int64_t rows = 0, cols = 0, row_stride = 0, col_stride = 1;
};

// Where a noise op's random numbers are addressed (see common/philox.h).
struct NoiseAddress {
  uint64_t seed = 0;
  uint32_t epoch = 0;
  int64_t stream = 0;             // stream << 16 | layer; negative: no noise
  const int64_t* rows = nullptr;  // (B,) data row of every batch row; null: the row's own index
};

// Per-feature affine (float64) or one factor (float32); see the op `gather`.
struct Scaling {
  const double* shift = nullptr;
  const double* scale = nullptr;
  double factor = 1.0;
};

// Source rows of any numeric dtype: dense, strides in bytes, or where `indptr` is set sparse (CSR): row i's values
// stand in data[indptr[i]] to data[indptr[i + 1]] (no end included), their columns likewise in indices; every other
// element is 0.
enum class DType : int { f32, f64, f16, u8, i8, u16, i16, u32, i32, u64, i64, boolean };
struct Source {
  const char* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, cols = 0, row_stride = 0, col_stride = 0;
  const void *indices = nullptr, *indptr = nullptr;
  int64_t stored = 0;
  bool wide = false;  // indices and indptr are int64, else int32
};

// What a batch's sparse rows hold, scaled: row b's entries stand at [begin[b], end[b]) of columns and values, their
// columns rising. Every other element of the row is +0.
struct Entries {
  int64_t *begin = nullptr, *end = nullptr;
  int32_t* columns = nullptr;
  float* values = nullptr;
};

struct UpdateRule {
  int rule = 0;
  double weight_decay = 0, h0 = 0, h1 = 0, h2 = 0, ema_decay = 0;
  int64_t n_decay = 0;
};
struct StepScalars {
  double lr = 0, c1 = 1, c2 = 1, beta = 1;
};

// The functions of vmath.h; the last two are sin and cos of 2 pi x.
enum class VectorFunction : int {
  exp,
  exp_nonpositive,
  expm1,
  log,
  log1p,
  tanh,
  exp_minus_half_square,
  normal_cdf,
  sin_turns,
  cos_turns,
};
constexpr int kVectorFunctions = int(VectorFunction::cos_turns) + 1;
// What the products read of their operands: all of a float32, or its nearest bfloat16. Memory is float32 in any case.
enum class Compute : int { float32, bfloat16 };

// How the two sides of a convolution fit together; aefast/geometry.py says what each field means. A batch row holds a
// side flat, channels last; the weight is a row-major matrix (out_channels, kernel_height kernel_width channels /
// groups).
struct Geometry {
  int64_t height, width, channels, out_height, out_width, out_channels;
  int64_t kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left, dilation_y, dilation_x, groups;
};
// Of a product: from the image to the map (conv2d, and the input gradient of its transpose), or back.
enum class Direction : int { forward, transposed };

// Ranges [begin, end) are batch rows for row ops. Every row's result is the same bits whatever the range around it.
struct Kernels {
  const char* name;
  int panel_width;           // columns per weight panel
  int64_t gradient_scratch;  // floats that linear_wgrad packs into

  // Weight panels [ceil(N / panel_width)][K][panel_width], zero padded. pack: `w` (N, K) with either stride 1; panels
  // [begin, end). linear_* take panels of w; linear_dgrad takes panels of w transposed (pack called with the transposed
  // view).
  void (*pack)(Matrix w, float* panels, int64_t begin, int64_t end);

  void (*gather)(Source source, const int64_t* index, Scaling scaling, Matrix out, int64_t begin, int64_t end);
  void (*corrupt)(Matrix x, int kind, double level, double low, double high, NoiseAddress noise, Matrix out,
                  int64_t begin, int64_t end);
  void (*linear_act)(Matrix x, const float* panels, const float* bias, int act, Matrix out, Matrix pre, int64_t begin,
                     int64_t end);
  // delta.data == nullptr: loss only (then batch_scale may be null).
  void (*linear_loss_grad)(Matrix h, const float* panels, const float* bias, int act, int loss, Matrix target,
                           const float* batch_scale, double scale, const float* feature_weight, float* row_loss,
                           Matrix delta, int64_t begin, int64_t end);
  void (*linear_dgrad)(Matrix delta, const float* panels_transposed, int act, Matrix saved, Matrix extra, Matrix out,
                       int64_t begin, int64_t end);
  // Rows [begin, end) of dw (N, M) = delta^T a; db likewise (may be null). Either stride of dw is 1.
  // row_square_norm (N,) gets each row's sum of squares (dw row and its db), float64; null: not wanted. `scratch`:
  // gradient_scratch floats of the calling thread's, or null: then nothing is packed, with the same bits.
  void (*linear_wgrad)(Matrix delta, Matrix a, Matrix dw, float* db, bool accumulate, double* row_square_norm,
                       float* scratch, int64_t begin, int64_t end);
  void (*gaussian_latent)(Matrix moments, NoiseAddress noise, Matrix z, float* kl, int64_t begin, int64_t end);
  void (*gaussian_latent_backward)(Matrix moments, Matrix dz, const float* batch_scale, double beta, double free_bits,
                                   NoiseAddress noise, Matrix out, int64_t begin, int64_t end);
  // Whole batch, one call.
  void (*sparsity_penalty)(Matrix h, const float* batch_scale, int kind, double weight, double target, float* mean,
                           double* value);
  void (*sparsity_penalty_backward)(Matrix h, const float* batch_scale, int kind, double weight, double target,
                                    const float* mean, Matrix out, int64_t begin, int64_t end);
  // Flat elements [begin, end); pointers are to element 0. slots and ema may be null.
  void (*update)(UpdateRule rule, StepScalars scalars, double clip_scale, float* w, const float* g, float* slot0,
                 float* slot1, float* ema, int64_t begin, int64_t end);
  // Places [begin, end) of the permutation.
  void (*shuffle)(const Shuffle& shuffle, int64_t* out, int64_t begin, int64_t end);
  // Element-wise over n floats, for the accuracy tests: activations, and what they are made of.
  void (*activate)(int act, const float* z, float* out, int64_t n);
  void (*vector_math)(VectorFunction function, const float* x, float* out, int64_t n);

  // Sparse rows without the zeros between; the bits are those of the dense ops on the rows spread out.
  // gather_entries: for sources whose zeros stay +0 under the scaling. Row b gets at most the room [begin[b], end[b]),
  // and end[b] comes down to what it holds. `spare`: a row each, overwritten where a row's columns don't rise.
  void (*gather_entries)(Source source, const int64_t* index, Scaling scaling, Matrix spare, Entries out, int64_t begin,
                         int64_t end);
  // x of `depth` columns; finite weights only: a zero would make a NaN of others.
  void (*linear_act_sparse)(Entries x, int64_t depth, const float* panels, const float* bias, int act, Matrix out,
                            Matrix pre, int64_t begin, int64_t end);
  // As linear_wgrad; `entries` are those of the rows of `a`, which is read itself only where delta isn't finite.
  void (*linear_wgrad_sparse)(Matrix delta, Matrix a, Entries entries, Matrix dw, float* db, bool accumulate,
                              double* row_square_norm, float* scratch, int64_t begin, int64_t end);

  // Convolutions. As the linear ops of the same names; `scratch`: conv_scratch floats of the calling thread's. Packed
  // weights: conv_panels floats, filled by conv_pack in conv_pack_units independent pieces.
  int64_t (*conv_panels)(const Geometry& geometry, Direction direction) = nullptr;
  int64_t (*conv_pack_units)(const Geometry& geometry, Direction direction) = nullptr;
  void (*conv_pack)(const Geometry& geometry, Direction direction, const float* w, float* panels, int64_t begin,
                    int64_t end) = nullptr;
  int64_t (*conv_scratch)(const Geometry& geometry) = nullptr;
  void (*conv_act)(const Geometry& geometry, Direction direction, Matrix x, const float* panels, const float* bias,
                   int act, Matrix out, Matrix pre, float* scratch, int64_t begin, int64_t end) = nullptr;
  void (*conv_loss_grad)(const Geometry& geometry, Direction direction, Matrix h, const float* panels,
                         const float* bias, int act, int loss, Matrix target, const float* batch_scale, double scale,
                         const float* feature_weight, float* row_loss, Matrix delta, float* scratch, int64_t begin,
                         int64_t end) = nullptr;
  void (*conv_dgrad)(const Geometry& geometry, Direction direction, Matrix delta, const float* panels, int act,
                     Matrix saved, Matrix extra, Matrix out, float* scratch, int64_t begin, int64_t end) = nullptr;
  // Rows [begin, end) of dw (out_channels, K), from both sides of the batch.
  void (*conv_wgrad)(const Geometry& geometry, Matrix map, Matrix image, Matrix dw, bool accumulate,
                     double* row_square_norm, float* scratch, int64_t begin, int64_t end) = nullptr;
  // db = sums of delta's channels [begin, end) over rows and pixels; square_norm (channels,) or null.
  void (*channel_sums)(Matrix delta, int64_t channels, float* db, double* square_norm, int64_t begin,
                       int64_t end) = nullptr;
  void (*pool)(const Geometry& geometry, Matrix x, int kind, Matrix out, int64_t begin, int64_t end) = nullptr;
  void (*pool_dgrad)(const Geometry& geometry, Matrix delta, Matrix x, int kind, int act, Matrix saved, Matrix extra,
                     Matrix out, int64_t begin, int64_t end) = nullptr;
  void (*upsample)(const Geometry& geometry, Matrix x, Matrix out, int64_t begin, int64_t end) = nullptr;
  void (*upsample_dgrad)(const Geometry& geometry, Matrix delta, int act, Matrix saved, Matrix extra, Matrix out,
                         int64_t begin, int64_t end) = nullptr;
  // Each row, a matrix (n, cols / n), transposed.
  void (*transpose_rows)(Matrix x, int64_t n, Matrix out, int64_t begin, int64_t end) = nullptr;

  int panel_pair = 1;                 // of bfloat16 panels: k that share a 32-bit word, [..][ceil(K / pair)][..]
  const Kernels* bfloat16 = nullptr;  // the same ops with bfloat16 products; null in that table itself
};

// Filled tables; null where this build or target has no such set.
const Kernels* kernels_baseline();
const Kernels* kernels_avx2();
const Kernels* kernels_avx512();
const Kernels* kernels_avx512bf16();
const Kernels* kernels_neon();
// The 512-bit code on 256-bit registers, for tests on machines without AVX-512 (CMake option AEFAST_EMULATE_AVX512).
const Kernels* kernels_avx512_emulated();
// The AVX-512 sources, intrinsic by intrinsic, on AVX2 (CMake option AEFAST_SIMDE).
const Kernels* kernels_avx512_simde();
const Kernels* kernels_avx512bf16_simde();

}  // namespace aefast::cpu
