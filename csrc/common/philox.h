// Philox4x32-10 (Salmon et al., SC 2011), Box-Muller normals, and the keyed permutation of the shuffle.
// Numbers are addressed: key = seed, counter = (element / 4, data row, epoch, stream << 16 | layer), word = element
// % 4.
#pragma once

#include "common/scalar.h"

namespace aefast {

template <class U>
struct PhiloxBlock {
  U word[4];
};

// U: uint32_t or a vector of them (one counter per lane).
template <class U>
AEFAST_FORMULA PhiloxBlock<U> philox4x32(uint64_t seed, U c0, U c1, U c2, U c3) {
  uint32_t key0 = uint32_t(seed), key1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    U high0, low0, high1, low1;
    multiply_wide(0xD2511F53u, c0, high0, low0);
    multiply_wide(0xCD9E8D57u, c2, high1, low1);
    c0 = high1 ^ c1 ^ U(key0);
    c1 = low1;
    c2 = high0 ^ c3 ^ U(key1);
    c3 = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Two standard normals from two uniforms, u1 in (0, 1], u2 in [0, 1). The roundings of the square root and of the
// products are carried along: without that 1 normal in 2e7 (FMA) or 2 in 1e6 (none) were 3 units off.
template <class V>
AEFAST_FORMULA void box_muller(V u1, V u2, V& n0, V& n1) {
  V square = V(-2.0) * log(u1);
  V radius = sqrt(square), product = radius * radius;
  V lost = V(0.5) * ((square - product) - product_error(radius, radius, product)) / max(V(1e-30), radius);
  V sine, cosine;
  sincos_turns(u2, sine, cosine);
  V p0 = radius * cosine, p1 = radius * sine;
  n0 = p0 + (product_error(radius, cosine, p0) + lost * cosine);
  n1 = p1 + (product_error(radius, sine, p1) + lost * sine);
}

// A bijection of [0, n) per (seed, epoch): a six-round Feistel network on the next power of two (at least 4), of which
// numbers beyond n go through again until they land inside.
struct Shuffle {
  uint64_t n;
  int low_bits;
  uint32_t low_mask, high_mask, keys[6];
};

AEFAST_HD inline Shuffle make_shuffle(uint64_t n, uint64_t seed, uint32_t epoch) {
  int bits = 2;
  while (bits < 64 && (n - 1) >> bits != 0) ++bits;
  const int low_bits = bits / 2;
  Shuffle s{n, low_bits, uint32_t((uint64_t(1) << low_bits) - 1), uint32_t((uint64_t(1) << (bits - low_bits)) - 1), {}};
  PhiloxBlock<uint32_t> first = philox4x32<uint32_t>(seed, 0, 0, epoch, 1u << 16);
  PhiloxBlock<uint32_t> second = philox4x32<uint32_t>(seed, 1, 0, epoch, 1u << 16);
  for (int i = 0; i < 6; ++i) s.keys[i] = i < 4 ? first.word[i] : second.word[i - 4];
  return s;
}

template <class U>
AEFAST_FORMULA U shuffle_mix(U h) {
  U high, low;
  h = h ^ shift_right<16>(h);
  multiply_wide(0x7feb352du, h, high, low);
  h = low ^ shift_right<15>(low);
  multiply_wide(0x846ca68bu, h, high, low);
  return low ^ shift_right<16>(low);
}

// Once through the network; a number is high << low_bits | low. U: uint32_t or a vector of them.
template <class U>
AEFAST_FORMULA void shuffle_pass(const Shuffle& s, U& high, U& low) {
  for (int i = 0; i < 6; i += 2) {
    high = high ^ (shuffle_mix(low + U(s.keys[i])) & U(s.high_mask));
    low = low ^ (shuffle_mix(high + U(s.keys[i + 1])) & U(s.low_mask));
  }
}

}  // namespace aefast
