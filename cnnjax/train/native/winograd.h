// Fewer products: four neighbours of a row together, by F(4, 3) of Winograd 1980 (Lavin & Gray 2016,
// "Fast algorithms for convolutional neural networks", §4.2), along rows alone, where results are two
// to five times as far off as the sum itself. Four outputs of three taps are made of 6 products for
// 12, each of something of the six pixels d that they read and something of the taps w.
//
// Two further taps are three whose first is 0, two pixels on: 5 products more, since one is of the
// first tap alone. Of 7 taps so 16 are left of 28.
#pragma once

#include <optional>

#include "products.h"

constexpr int QUAD = 4, SIX = 6;          // Outputs, and the products that they are made of.
constexpr int QUADS = WIDE == 8 ? 2 : 4;  // Of a tile: each has six sums.
constexpr int LANE = ROWS;                // Channels whose products of one kind lie together.

inline void SixOf(const float* const (&d)[SIX], float* __restrict to) {
  for (int i = 0; i < LANE; ++i) {
    const float d1 = d[1][i], d2 = d[2][i], d3 = d[3][i], d4 = d[4][i];
    const float even = d4 - 4 * d2, odd = d3 - 4 * d1, evens = d4 - d2, odds = 2 * (d3 - d1);
    to[i] = 4 * d[0][i] - 5 * d2 + d4;
    to[LANE + i] = even + odd;
    to[2 * LANE + i] = even - odd;
    to[3 * LANE + i] = evens + odds;
    to[4 * LANE + i] = evens - odds;
    to[5 * LANE + i] = 4 * d1 - 5 * d3 + d[5][i];
  }
}

// Of three taps [3][rows, lanes] to [rows, 6, lanes].
inline void SixOfTaps(const float* const (&w)[3], int rows, int lanes, float* __restrict to) {
  for (int r = 0; r < rows; ++r, to += SIX * lanes)
    for (int i = 0; i < lanes; ++i) {
      const int at = r * lanes + i;
      const float w0 = w[0][at], w1 = w[1][at], w2 = w[2][at];
      to[i] = w0 / 4;
      to[lanes + i] = (w0 + w1 + w2) / -6;
      to[2 * lanes + i] = (w0 - w1 + w2) / -6;
      to[3 * lanes + i] = (w0 + 2 * w1 + 4 * w2) / 24;
      to[4 * lanes + i] = (w0 - 2 * w1 + 4 * w2) / 24;
      to[5 * lanes + i] = w2;
    }
}

// The gradients of four outputs, `apart` from each other, to those of their products: the first SIZE
// of `lanes` each, or `size`.
template <int SIZE>
void SixOfGradients(const float* g, Offset apart, int size, int lanes, float* __restrict to) {
  for (int i = 0; i < (SIZE ? SIZE : size); ++i) {
    const float g0 = g[i], g1 = g[apart + i], g2 = g[2 * apart + i], g3 = g[3 * apart + i];
    const float even = g0 + g2, odd = g1 + g3, evens = g0 + 4 * g2, odds = 2 * g1 + 8 * g3;
    to[i] = g0;
    to[lanes + i] = even + odd;
    to[2 * lanes + i] = even - odd;
    to[3 * lanes + i] = evens + odds;
    to[4 * lanes + i] = evens - odds;
    to[5 * lanes + i] = g3;
  }
}

// The gradients of three taps from those of their products, of which the last two alone where there
// is no first tap.
inline void ThreeOf(const float* const (&m)[SIX], int size, bool first, float* const (&w)[3]) {
  for (int i = 0; i < size; ++i) {
    const float sum = (m[1][i] + m[2][i]) / -6, sums = (m[3][i] + m[4][i]) / 24;
    w[1][i] = (m[2][i] - m[1][i]) / 6 + (m[3][i] - m[4][i]) / 12;
    w[2][i] = sum + 4 * sums + m[5][i];
    if (first) w[0][i] = m[0][i] / 4 + sum + sums;
  }
}

// Four outputs of the sums of their products.
template <typename V>
[[gnu::always_inline]] inline void FourOf(const V (&m)[SIX], V (&y)[QUAD]) {
  const V sum = m[1] + m[2], difference = m[1] - m[2], sums = m[3] + m[4], differences = m[3] - m[4];
  y[0] = m[0] + sum + sums;
  y[1] = difference + 2 * differences;
  y[2] = sum + 4 * sums;
  y[3] = difference + 8 * differences + m[5];
}

// Adds to Q quads of L outputs what three taps say, from their product FIRST on.
template <int L, int Q, int FIRST>
[[gnu::always_inline]] inline void AccumulateQuads(typename Lanes<L>::type (&sum)[Q][SIX],
                                                   const float* from, const Offset* places,
                                                   int depth, const float* by) {
  const float* at[Q];
#pragma GCC unroll 32
  for (int q = 0; q < Q; ++q) at[q] = from + places[q];
  for (int block = 0; block < depth; block += LANE) {
    for (int c = 0; c < LANE; ++c, by += SIX * L) {
#pragma GCC unroll 6
      for (int k = FIRST; k < SIX; ++k) {
        const typename Lanes<L>::type b = At<L>(by + k * L);
#pragma GCC unroll 32
        for (int q = 0; q < Q; ++q) sum[q][k] += at[q][k * LANE] * b;
      }
#pragma GCC unroll 32
      for (int q = 0; q < Q; ++q) ++at[q];
    }
#pragma GCC unroll 32
    for (int q = 0; q < Q; ++q) at[q] += (SIX - 1) * LANE;
  }
}

// As `Convolved`, of Q quads: three taps read depth times six floats and as many rows of weights. The
// first three have all of the products, others no first. Outputs are `apart` in y.
template <int L, int Q>
void ConvolvedQuads(const float* x, const Offset* places, const Offset* taps, const Offset* weights,
                    int threes, Offset tap, int count, int depth, const float* w, const End& end,
                    float* y, const Offset* to, Offset apart, int width) {
  using V = typename Lanes<L>::type;
  V sum[Q][SIX] = {};
  for (int k = 0; k < count; ++k) {
    const float *from = x + taps[k], *by = w + weights[k] * tap;
    if (weights[k] % threes)
      AccumulateQuads<L, Q, 1>(sum, from, places, depth, by);
    else
      AccumulateQuads<L, Q, 0>(sum, from, places, depth, by);
  }
  V four[QUAD * Q][1];
  Offset each[QUAD * Q];
#pragma GCC unroll 32
  for (int q = 0; q < Q; ++q) {
    V found[QUAD];
    FourOf(sum[q], found);
#pragma GCC unroll 4
    for (int i = 0; i < QUAD; ++i) {
      four[QUAD * q + i][0] = found[i];
      each[QUAD * q + i] = to[q] + i * apart;
    }
  }
  Written<L, QUAD * Q, 1>(four, end, y, each, width);
}

// A convolution by such products as one of quads: [B, H, W, C] becomes [B, H, starts, C / LANE, 6,
// LANE], from each start on six pixels; its taps are threes, each a start after the one before.
struct Quads : Shape {
  // For shapes where that takes less time: of many channels the weights do, and rounding grows.
  static std::optional<Quads> Of(const Shape& s) {
    const Axis& a = s.axes[1];
    const bool plain = a.stride == 1 && a.dilation == 1 && a.holes == 1 && a.taps % 2;
    if (!plain || a.taps < 3 || a.out % QUAD || s.each()) return {};
    if (s.depth() % LANE || s.depth() > MANY) return {};
    long direct = 0;  // Taps of a row that read pixels.
    for (int i = 0; i < a.out; ++i)
      for (int t = 0; t < a.taps; ++t) direct += a.has(i + t - a.low);
    const int quads = a.out / QUAD, threes = a.taps / 2;
    if (threes > 1 && quads < 4) return {};  // What they read is three times the images.
    if (10 * quads * Products(threes) > 7 * direct) return {};
    return Quads(s);
  }

  // A quad has four times the outputs, and a start six times the channels, of a pixel.
  explicit Quads(const Shape& s) : Shape(s), low(s.axes[1].low), columns(s.axes[1].in) {
    const int threes = s.axes[1].taps / 2, quads = s.axes[1].out / QUAD, hop = threes > 1 ? 2 : 1;
    axes[1] = {(quads - 1) * hop + threes, quads, threes, hop, 0, 1, 1};
    channels *= SIX;
    outputs *= QUAD;
  }

  int threes() const { return axes[1].taps; }
  int products() const { return Products(threes()); }

  // Which three a product is of, and which of its six it is.
  static std::array<int, 2> Product(int number) {
    if (number < SIX) return {0, number};
    return {(number - 1) / (SIX - 1), (number - 1) % (SIX - 1) + 1};
  }

  // How far from a start channel c of a product is.
  Offset At(int number, int c) const {
    const auto [three, k] = Product(number);
    return Offset(three) * channels + c / LANE * SIX * LANE + k * LANE + c % LANE;
  }

  // What makes rows of such images, of images x [count, H, W, C]: (image, row, to).
  auto Rows(const float* x) const {
    const int depth = channels / SIX;
    return [=, zeros = std::vector<float>(depth), *this](int image, int r, float* to) {
      Row(x + (Offset(image) * axes[0].in + r) * columns * depth, zeros.data(), to);
    };
  }

 private:
  static constexpr int MANY = 128;
  int low, columns;

  static int Products(int threes) { return 1 + (SIX - 1) * threes; }

  // Of the pixels of a row what its starts are.
  void Row(const float* x, const float* zeros, float* to) const {
    const int depth = channels / SIX, apart = QUAD / axes[1].stride;
    for (int start = 0; start < axes[1].in; ++start) {
      const float* d[SIX];
      for (int i = 0; i < SIX; ++i) {
        const int at = start * apart - low + i;
        d[i] = 0 <= at && at < columns ? x + Offset(at) * depth : zeros;
      }
      for (int c = 0; c < depth; c += LANE, to += SIX * LANE) {
        SixOf(d, to);
        for (int i = 0; i < SIX; ++i) d[i] += LANE;
      }
    }
  }
};

// A convolution as it is computed.
struct Plan : Shape {
  std::optional<Quads> quads = Quads::Of(*this);

  const Shape& laid() const { return quads ? static_cast<const Shape&>(*quads) : *this; }
};
