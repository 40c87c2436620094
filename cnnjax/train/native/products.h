// The two products that convolutions are made of, in registers: T places times N vectors of outputs.
#pragma once

#include <cstring>

#include "geometry.h"

#if defined(__AVX512F__)
constexpr int WIDE = 16;  // Floats of a vector.
#elif defined(__AVX__)
constexpr int WIDE = 8;
#else
constexpr int WIDE = 4;
#endif
constexpr int HALF = WIDE / 2;
// Of 32 registers (16 with AVX alone) all but a few hold sums.
constexpr int PAIR = WIDE == 8 ? 6 : 14;    // Places where each has two vectors.
constexpr int SINGLE = WIDE == 8 ? 12 : 24;  // Places where each has one.

template <int L>
struct Lanes {
  typedef float type __attribute__((vector_size(4 * L), aligned(4), may_alias));
};

template <int L>
typename Lanes<L>::type& At(float* p) {
  return *reinterpret_cast<typename Lanes<L>::type*>(p);
}

template <int L>
const typename Lanes<L>::type& At(const float* p) {
  return *reinterpret_cast<const typename Lanes<L>::type*>(p);
}

// What the taps that places share add to them: tap k reads depth floats at x + places[t] + taps[k]
// and depth rows of weights, row floats apart, at w + weights[k]. The first `width` sums of place t
// are written to y + to[t]. EACH: a vector of x by one of weights, channel by channel.
template <int L, int T, int N, bool EACH>
void Convolved(const float* x, const Offset* places, const Offset* taps, const Offset* weights,
               int count, int depth, const float* w, Offset row, float* y, const Offset* to,
               int width) {
  using V = typename Lanes<L>::type;
  V sum[T][N] = {};
  for (int k = 0; k < count; ++k) {
    const float* from = x + taps[k];
    const float* by = w + weights[k];
    for (int c = 0; c < depth; ++c, ++from, by += row) {
      V b[N];
      for (int n = 0; n < N; ++n) b[n] = At<L>(by + L * n);
#pragma GCC unroll 32
      for (int t = 0; t < T; ++t) {
        if constexpr (EACH) {
          sum[t][0] += At<L>(from + places[t]) * b[0];
        } else {
          const float a = from[places[t]];
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) sum[t][n] += a * b[n];
        }
      }
    }
  }
  for (int t = 0; t < T; ++t) {
    if (width == L * N) {
      for (int n = 0; n < N; ++n) At<L>(y + to[t] + L * n) = sum[t][n];
    } else {
      std::memcpy(y + to[t], &sum[t][0], sizeof(float) * width);
    }
  }
}

// Adds to T rows of weights, at total + to[t], what `count` places say: place p reads x at
// places[p] + rows[t], and its gradients are N vectors at g + p * step.
template <int L, int T, int N, bool EACH>
void Correlated(const float* x, const Offset* rows, const Offset* places, int count, const float* g,
                Offset step, float* total, const Offset* to) {
  using V = typename Lanes<L>::type;
  V sum[T][N];
  for (int t = 0; t < T; ++t)
    for (int n = 0; n < N; ++n) sum[t][n] = At<L>(total + to[t] + L * n);
  for (int p = 0; p < count; ++p, g += step) {
    const float* from = x + places[p];
    V b[N];
    for (int n = 0; n < N; ++n) b[n] = At<L>(g + L * n);
#pragma GCC unroll 32
    for (int t = 0; t < T; ++t) {
      if constexpr (EACH) {
        sum[t][0] += At<L>(from + rows[t]) * b[0];
      } else {
        const float a = from[rows[t]];
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) sum[t][n] += a * b[n];
      }
    }
  }
  for (int t = 0; t < T; ++t)
    for (int n = 0; n < N; ++n) At<L>(total + to[t] + L * n) = sum[t][n];
}
