// Fewer products: four neighbours of a row together, by F(4, taps) of Winograd 1980 (Lavin & Gray
// 2016, "Fast algorithms for convolutional neural networks", §4.1), along rows alone. The pixels that
// they read are taken for a polynomial, so are the taps, and both are multiplied at as many points as
// there are pixels: 6, 7 or 8 products for the 12, 16 or 20 of 3, 4 or 5 taps.
//
// What comes out is two to seven times as far off as the sum itself; by ten points, of 7 taps at once,
// it would be ten to twenty times.
#pragma once

#include <array>
#include <type_traits>

#include "products.h"

constexpr int QUAD = 4;   // Outputs that are made together.
constexpr int LEAST = 3;  // Taps that are multiplied at once, and
constexpr int MOST = 5;
constexpr int SIX = LEAST + QUAD - 1;     // their products,
constexpr int EIGHT = MOST + QUAD - 1;    // of which the first are those of fewer taps.
constexpr int QUADS = WIDE == 8 ? 2 : 4;  // Of a tile that sums all six products together.

constexpr int INFINITE = 5;  // Which of the points is infinity: what the highest powers make.
constexpr float POINTS[EIGHT] = {0, 1, -1, 2, -2, 0, 0.5f, -0.5f};

constexpr float Power(int point, int power) {
  float found = 1;
  for (int i = 0; i < power; ++i) found *= POINTS[point];
  return found;
}

// What the products of so many taps are of.
template <int TAPS>
struct Winograd {
  static constexpr int SIZE = TAPS + QUAD - 1;

  double pixels[SIZE][SIZE] = {};  // By product: the coefficients of the pixels,
  double taps[SIZE][TAPS] = {};    // and of the taps.

  constexpr Winograd() {
    for (int k = 0; k < SIZE; ++k) {
      double others[SIZE] = {1}, scale = 1;  // The polynomial that is 0 at all others.
      for (int i = 0, degree = 0; i < SIZE; ++i) {
        if (i == k || i == INFINITE) continue;
        ++degree;
        for (int j = degree; j >= 0; --j)
          others[j] = (j ? others[j - 1] : 0) - POINTS[i] * (j < degree ? others[j] : 0);
        if (k != INFINITE) scale *= POINTS[k] - POINTS[i];
      }
      for (int j = 0; j < SIZE; ++j) pixels[k][j] = others[j];
      for (int t = 0; t < TAPS; ++t)
        taps[k][t] = k == INFINITE ? t == TAPS - 1 : Power(k, t) / scale;
    }
  }

  // Whether the product after k is of the opposite point, and so of the same sums: those of pixels
  // with even numbers less those with odd ones.
  constexpr bool Opposite(int k) const {
    if (k < 0 || k + 1 >= SIZE) return false;
    for (int j = 0; j < SIZE; ++j)
      if (pixels[k + 1][j] != (j % 2 ? -pixels[k][j] : pixels[k][j])) return false;
    return true;
  }
};

// work(std::integral_constant<int, n>) where n is one of the numbers of taps.
template <typename Work>
void OfTaps(int taps, const Work& work) {
  if (taps == LEAST) return work(std::integral_constant<int, LEAST>());
  if (taps == MOST) return work(std::integral_constant<int, MOST>());
  work(std::integral_constant<int, LEAST + 1>());
}

// Of the pixels d that four outputs read, of so many channels: each product's are `apart` from those
// of the one before, and `block` from one vector of channels to the next.
template <int TAPS>
[[gnu::always_inline]] inline void PixelsOf(const float* const* d, int channels, float* to,
                                            Offset apart, Offset block) {
  using V = typename Lanes<ROWS>::type;
  static constexpr Winograd<TAPS> by;
  constexpr int SIZE = by.SIZE;
  for (int c = 0; c < channels; c += ROWS, to += block) {
    V v[SIZE];
#pragma GCC unroll 8
    for (int i = 0; i < SIZE; ++i) v[i] = At<ROWS>(d[i] + c);
#pragma GCC unroll 8
    for (int k = 0; k < SIZE; ++k) {
      if (by.Opposite(k - 1)) continue;
      V even = {}, odd = {};
#pragma GCC unroll 8
      for (int j = 0; j < SIZE; ++j)
        if (by.pixels[k][j]) (j % 2 ? odd : even) += static_cast<float>(by.pixels[k][j]) * v[j];
      Put<ROWS>(even + odd, to + k * apart);
      if (by.Opposite(k)) Put<ROWS>(even - odd, to + (k + 1) * apart);
    }
  }
}

// Of taps [TAPS][rows, lanes], from one row to the next and from one product to the next.
template <int TAPS>
void TapsOf(const float* const* w, int rows, int lanes, float* __restrict to, Offset row,
            Offset product) {
  static constexpr Winograd<TAPS> by;
  for (int r = 0; r < rows; ++r, to += row)
    for (int k = 0; k < by.SIZE; ++k)
      for (int i = 0; i < lanes; ++i) {
        float sum = 0;
        for (int t = 0; t < TAPS; ++t)
          sum += static_cast<float>(by.taps[k][t]) * w[t][r * lanes + i];
        to[k * product + i] = sum;
      }
}

// The gradients of taps from those of their products.
template <int TAPS>
void TapsFrom(const float* const* m, int size, float* const* w) {
  static constexpr Winograd<TAPS> by;
  for (int t = 0; t < TAPS; ++t)
    for (int i = 0; i < size; ++i) {
      float sum = 0;
      for (int k = 0; k < by.SIZE; ++k) sum += static_cast<float>(by.taps[k][t]) * m[k][i];
      w[t][i] = sum;
    }
}

// The gradients of four outputs, `apart` from each other, to those of their products, each `product`
// from the one before: SIZE of them, or `size`.
template <int TAPS, int SIZE>
void GradientsOf(const float* g, Offset apart, int size, Offset product, float* __restrict to) {
  constexpr int COUNT = TAPS + QUAD - 1;
  for (int i = 0; i < (SIZE ? SIZE : size); ++i) {
    const float g0 = g[i], g1 = g[apart + i], g2 = g[2 * apart + i], g3 = g[3 * apart + i];
#pragma GCC unroll 8
    for (int k = 0; k < COUNT; ++k) {
      const float p = POINTS[k];
      to[k * product + i] = k == INFINITE ? g3 : (g0 + p * p * g2) + p * (g1 + p * p * g3);
    }
  }
}

// What becomes of the sums m of a quad's products, as `Written`, of four outputs `apart` in y.
template <int L, int N, int COUNT>
[[gnu::always_inline]] inline void FourWritten(
    const std::array<const typename Lanes<L>::type*, N>& products, const End& end, float* y,
    Offset to, Offset apart, int width) {
  using V = typename Lanes<L>::type;
  V four[QUAD][N];
  for (int n = 0; n < N; ++n) {
    const V* m = products[n];
    four[0][n] = m[0];
    four[1][n] = four[2][n] = V{};
    four[3][n] = m[INFINITE];
#pragma GCC unroll 8
    for (int k = 1; k < COUNT; ++k) {
      const bool opposite = k + 1 < COUNT && POINTS[k] == -POINTS[k + 1];
      if (k == INFINITE || POINTS[k] == -POINTS[k - 1]) continue;
      const V sum = opposite ? m[k] + m[k + 1] : m[k], rest = opposite ? m[k] - m[k + 1] : m[k];
#pragma GCC unroll 4
      for (int i = 0; i < QUAD; ++i) four[i][n] += Power(k, i) * (i % 2 ? rest : sum);
    }
  }
  const Offset places[QUAD] = {to, to + apart, to + 2 * apart, to + 3 * apart};
  Written<L, QUAD, N>(four, end, y, places, width);
}

// The same of T quads, each product's [T][N * L], from where they were summed.
template <int L, int T, int N, int COUNT>
void FoursWritten(const float* sums, const End& end, float* y, const Offset* to, Offset apart,
                  int width) {
  for (int t = 0; t < T; ++t, sums += N * L) {
    typename Lanes<L>::type m[N][COUNT];
    std::array<const typename Lanes<L>::type*, N> products;
    for (int n = 0; n < N; ++n) {
      for (int k = 0; k < COUNT; ++k) m[n][k] = At<L>(sums + k * T * N * L + n * L);
      products[n] = m[n];
    }
    FourWritten<L, N, COUNT>(products, end, y, to[t], apart, width);
  }
}

// As `Convolved`, of Q quads of L outputs, whose six products are summed together: those of ROWS
// channels and their weights lie one after the other. Outputs are `apart` in y.
template <int L, int Q>
void ConvolvedQuads(const float* x, const Offset* places, const Offset* taps, const Offset* weights,
                    Offset tap, int count, int depth, const float* w, const End& end, float* y,
                    const Offset* to, Offset apart, int width) {
  typename Lanes<L>::type sum[Q][SIX] = {};
  for (int k = 0; k < count; ++k) {
    const float *from = x + taps[k], *by = w + weights[k] * tap, *at[Q];
#pragma GCC unroll 32
    for (int q = 0; q < Q; ++q) at[q] = from + places[q];
    for (int block = 0; block < depth; block += ROWS) {
      for (int c = 0; c < ROWS; ++c, by += SIX * L) {
#pragma GCC unroll 6
        for (int i = 0; i < SIX; ++i) {
          const auto b = At<L>(by + i * L);
#pragma GCC unroll 32
          for (int q = 0; q < Q; ++q) sum[q][i] += at[q][i * ROWS] * b;
        }
#pragma GCC unroll 32
        for (int q = 0; q < Q; ++q) ++at[q];
      }
#pragma GCC unroll 32
      for (int q = 0; q < Q; ++q) at[q] += (SIX - 1) * ROWS;
    }
  }
#pragma GCC unroll 32
  for (int q = 0; q < Q; ++q) FourWritten<L, 1, SIX>({sum[q]}, end, y, to[q], apart, width);
}
