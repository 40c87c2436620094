// Vectors of floats, whole ones and the first floats of one.
#pragma once

#include <cstring>

#if defined(__AVX512VL__)
#include <immintrin.h>
#endif

#include "geometry.h"

template <int L>
struct Lanes {
  typedef float type __attribute__((vector_size(4 * L)));
};

// Vectors lie wherever floats do.
template <int L>
[[gnu::always_inline]] inline typename Lanes<L>::type At(const float* p) {
  typename Lanes<L>::type found;
  __builtin_memcpy(&found, p, sizeof found);
  return found;
}

template <int L>
[[gnu::always_inline]] inline void Put(typename Lanes<L>::type value, float* p) {
  __builtin_memcpy(p, &value, sizeof value);
}

// Of a vector the first `size` floats, with zeros after them.
template <int L>
[[gnu::always_inline]] inline typename Lanes<L>::type Few(const float* p, int size) {
  typename Lanes<L>::type found = {};
#if defined(__AVX512VL__)
  if constexpr (L == 16) return _mm512_maskz_loadu_ps((1u << size) - 1, p);
  if constexpr (L == 8) return _mm256_maskz_loadu_ps((1u << size) - 1, p);
#endif
  std::memcpy(&found, p, sizeof(float) * size);
  return found;
}

template <int L>
[[gnu::always_inline]] inline void PutFew(typename Lanes<L>::type value, float* p, int size) {
#if defined(__AVX512VL__)
  if constexpr (L == 16) return _mm512_mask_storeu_ps(p, (1u << size) - 1, value);
  if constexpr (L == 8) return _mm256_mask_storeu_ps(p, (1u << size) - 1, value);
#endif
  std::memcpy(p, &value, sizeof(float) * size);
}

// So many of `size` floats are in vector n of L.
constexpr int Left(int size, int n, int L) {
  return size < n * L ? 0 : size - n * L < L ? size - n * L : L;
}
