// gather: rows by index, any numeric dtype to float32, scaled per feature (in float64) or by one factor (in float32);
// sparse rows are spread into dense ones.
// NumPy: out = ((data[index].astype(f64) - shift) * scale).astype(f32), or data[index].astype(f32) * f32(factor)
#include "cpu/linear.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int64_t kAheadRows = 8, kAheadBytes = 2048;

struct Half {
  uint16_t bits;
};

AEFAST_INLINE float bits_to_float(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

AEFAST_INLINE float half_to_float(Half h) {
  uint32_t magnitude = uint32_t(h.bits & 0x7FFFu) << 13;
  // The exponent is re-biased by a product, which makes subnormals normal; infinity and NaN by their bits.
  float value = magnitude >= 0x0F800000u ? bits_to_float(magnitude | 0x7F800000u) : bits_to_float(magnitude) * 0x1p112f;
  return h.bits & 0x8000u ? -value : value;
}

template <class T>
AEFAST_INLINE float to_f32(T x) {
  return float(x);
}
AEFAST_INLINE float to_f32(Half x) { return half_to_float(x); }
template <class T>
AEFAST_INLINE double to_f64(T x) {
  return double(x);
}
AEFAST_INLINE double to_f64(Half x) { return half_to_float(x); }

template <class T>
AEFAST_INLINE T read(const char* p) {  // data may be unaligned, in a packed record for example
  T x;
  __builtin_memcpy(&x, p, sizeof(T));
  return x;
}

// W contiguous elements; every element type that has no vector path goes through the scalar conversions.
template <class T>
AEFAST_INLINE F load_f32(const char* p) {
  float lanes[W];
  for (int l = 0; l < W; ++l) lanes[l] = to_f32(read<T>(p + l * sizeof(T)));
  return load(lanes);
}
template <>
AEFAST_INLINE F load_f32<float>(const char* p) {
  return load(reinterpret_cast<const float*>(p));
}
template <>
AEFAST_INLINE F load_f32<uint8_t>(const char* p) {
  return load_u8(reinterpret_cast<const uint8_t*>(p));
}
template <>
AEFAST_INLINE F load_f32<double>(const char* p) {
  const double* q = reinterpret_cast<const double*>(p);
  return narrow(load(q), load(q + W / 2));
}

template <class T>
AEFAST_INLINE void load_f64(const char* p, D& low, D& high) {
  double lanes[W];
  for (int l = 0; l < W; ++l) lanes[l] = to_f64(read<T>(p + l * sizeof(T)));
  low = load(lanes);
  high = load(lanes + W / 2);
}
template <>
AEFAST_INLINE void load_f64<float>(const char* p, D& low, D& high) {
  F x = load(reinterpret_cast<const float*>(p));
  low = widen_low(x);
  high = widen_high(x);
}
template <>
AEFAST_INLINE void load_f64<uint8_t>(const char* p, D& low, D& high) {
  F x = load_u8(reinterpret_cast<const uint8_t*>(p));
  low = widen_low(x);
  high = widen_high(x);
}
template <>
AEFAST_INLINE void load_f64<double>(const char* p, D& low, D& high) {
  const double* q = reinterpret_cast<const double*>(p);
  low = load(q);
  high = load(q + W / 2);
}

template <class T>
AEFAST_INLINE float scaled(T x, int64_t j, const Scaling& scaling) {
  if (scaling.shift) return float((to_f64(x) - scaling.shift[j]) * scaling.scale[j]);
  return scaling.factor != 1.0 ? to_f32(x) * float(scaling.factor) : to_f32(x);
}

// `next` is the row to come: shuffled rows lie where the hardware can't guess, so each vector fetches its share of it.
template <class T>
void gather_row(const char* row, const char* next, int64_t stride, int64_t n, const Scaling& scaling, float* out) {
  const float factor = float(scaling.factor);
  if (stride == int64_t(sizeof(T)) && n >= W) {
    for (int64_t j = 0;;) {
      const char* p = row + j * sizeof(T);
      __builtin_prefetch(next + j * sizeof(T));
      if (scaling.shift) {
        D low, high;
        load_f64<T>(p, low, high);
        low = (low - load(scaling.shift + j)) * load(scaling.scale + j);
        high = (high - load(scaling.shift + j + W / 2)) * load(scaling.scale + j + W / 2);
        store(out + j, narrow(low, high));
      } else {
        F x = load_f32<T>(p);
        store(out + j, scaling.factor != 1.0 ? x * F(double(factor)) : x);
      }
      if (j + W == n) return;
      j = smaller(j + W, n - W);  // the last vector reaches back over what is done
    }
  }
  for (int64_t j = 0; j < n; ++j) out[j] = scaled(read<T>(row + j * stride), j, scaling);
}

// What a row of zeros becomes.
AEFAST_INLINE void gather_zeros(int64_t n, const Scaling& scaling, float* out) {
  int64_t j = 0;
  for (; j + W <= n; j += W) {
    if (scaling.shift) {
      const D zero = D(0.0);
      store(out + j, narrow((zero - load(scaling.shift + j)) * load(scaling.scale + j),
                            (zero - load(scaling.shift + j + W / 2)) * load(scaling.scale + j + W / 2)));
    } else {
      store(out + j, F(0.0));
    }
  }
  for (; j < n; ++j) out[j] = scaling.shift ? float((0.0 - scaling.shift[j]) * scaling.scale[j]) : 0.0f;
}

template <class T, class I>
void spread_row(const Source& source, int64_t row, const Scaling& scaling, float* out) {
  const I *columns = static_cast<const I*>(source.indices), *starts = static_cast<const I*>(source.indptr);
  gather_zeros(source.cols, scaling, out);
  // The structure was checked once, but the arrays are the caller's: whatever they hold now, no foreign memory is
  // touched.
  const int64_t end = smaller(starts[row + 1], source.stored);
  for (int64_t k = larger(starts[row], 0); k < end; ++k) {
    const int64_t j = columns[k];
    if (uint64_t(j) < uint64_t(source.cols)) {
      out[j] = scaled(read<T>(source.data + k * int64_t(sizeof(T))), j, scaling);
    }
  }
}

template <class T>
void gather_rows(const Source& source, const int64_t* index, const Scaling& scaling, const Matrix& out, int64_t begin,
                 int64_t end) {
  if (source.indptr != nullptr) {
    for (int64_t b = begin; b < end; ++b) {
      float* to = out.data + b * out.row_stride;
      if (source.wide) spread_row<T, int64_t>(source, index[b], scaling, to);
      else spread_row<T, int32_t>(source, index[b], scaling, to);
    }
    return;
  }
  // Short rows take less time than a fetch from memory: it starts several rows before.
  const int64_t ahead = larger(1, smaller(kAheadRows, kAheadBytes / larger(1, out.cols * int64_t(sizeof(T)))));
  for (int64_t b = begin; b < end; ++b) {
    const char* next = source.data + index[smaller(b + ahead, end - 1)] * source.row_stride;
    gather_row<T>(source.data + index[b] * source.row_stride, next, source.col_stride, out.cols, scaling,
                  out.data + b * out.row_stride);
  }
}

// A row's entries in the order of their columns. Where they don't rise, the spread row says what counts: the last of
// those that share a column.
template <class T, class I>
void entries_of_row(const Source& source, int64_t row, const Scaling& scaling, float* spare, Entries& out, int64_t b) {
  const I *columns = static_cast<const I*>(source.indices), *starts = static_cast<const I*>(source.indptr);
  const int64_t begin = out.begin[b], room = out.end[b] - begin;
  const int64_t first = larger(starts[row], 0), last = smaller(smaller(starts[row + 1], source.stored), first + room);
  int64_t n = begin, previous = -1;
  for (int64_t k = first; k < last; ++k) {
    const int64_t j = columns[k];
    if (uint64_t(j) >= uint64_t(source.cols)) continue;  // see spread_row
    if (j <= previous) {
      spread_row<T, I>(source, row, scaling, spare);
      n = begin;
      for (int64_t c = 0; c < source.cols && n < begin + room; ++c) {
        if (spare[c] == 0.0f && !__builtin_signbit(spare[c])) continue;
        out.columns[n] = int32_t(c);
        out.values[n++] = spare[c];
      }
      break;
    }
    previous = j;
    out.columns[n] = int32_t(j);
    out.values[n++] = scaled(read<T>(source.data + k * int64_t(sizeof(T))), j, scaling);
  }
  out.end[b] = n;
}

// Calls body(T{}) with the source's element type.
template <class Body>
AEFAST_INLINE void with_type(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::f32:
      return body(float{});
    case DType::f64:
      return body(double{});
    case DType::f16:
      return body(Half{});
    case DType::u8:
      return body(uint8_t{});
    case DType::i8:
      return body(int8_t{});
    case DType::u16:
      return body(uint16_t{});
    case DType::i16:
      return body(int16_t{});
    case DType::u32:
      return body(uint32_t{});
    case DType::i32:
      return body(int32_t{});
    case DType::u64:
      return body(uint64_t{});
    case DType::i64:
      return body(int64_t{});
    case DType::boolean:
      return body(uint8_t{});  // NumPy stores 0 and 1
  }
}

}  // namespace

void gather(Source source, const int64_t* index, Scaling scaling, Matrix out, int64_t begin, int64_t end) {
  with_type(source.dtype, [&](auto type) __attribute__((always_inline)) {
    gather_rows<decltype(type)>(source, index, scaling, out, begin, end);
  });
}

void gather_entries(Source source, const int64_t* index, Scaling scaling, Matrix spare, Entries out, int64_t begin,
                    int64_t end) {
  with_type(source.dtype, [&](auto type) __attribute__((always_inline)) {
    using T = decltype(type);
    for (int64_t b = begin; b < end; ++b) {
      float* row = spare.data + b * spare.row_stride;
      if (source.wide) entries_of_row<T, int64_t>(source, index[b], scaling, row, out, b);
      else entries_of_row<T, int32_t>(source, index[b], scaling, row, out, b);
    }
  });
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
