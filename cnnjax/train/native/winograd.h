// Fewer products: four neighbours of a row together, by F(4, 3) of Winograd 1980 (Lavin & Gray 2016,
// "Fast algorithms for convolutional neural networks", §4.2), along rows alone, where results are two
// to five times as far off as the sum itself. Four outputs of three taps are made of 6 products for
// 12, each of something of the six pixels d that they read and something of the taps w.
//
// Of a dilated row the four, and the six that they read, lie that far apart.
//
// Two further taps are three whose first is 0, two pixels on: 5 products more, since one is of the
// first tap alone. Of 7 taps so 16 are left of 28.
#pragma once

#include <optional>

#include "products.h"

constexpr int QUAD = 4, SIX = 6;          // Outputs, and the products that they are made of.
constexpr int QUADS = WIDE == 8 ? 2 : 4;  // Of a tile that sums all six products together.

// Of six pixels of so many channels: each product's are `apart` from those of the one before, and
// `block` from one vector of channels to the next.
inline void SixOf(const float* const (&d)[SIX], int channels, float* to, Offset apart,
                  Offset block) {
  using V = typename Lanes<ROWS>::type;
  for (int c = 0; c < channels; c += ROWS, to += block) {
    V v[SIX];
#pragma GCC unroll 6
    for (int i = 0; i < SIX; ++i) v[i] = At<ROWS>(d[i] + c);
    const V even = v[4] - 4 * v[2], odd = v[3] - 4 * v[1];
    const V evens = v[4] - v[2], odds = 2 * (v[3] - v[1]);
    Put<ROWS>(4 * v[0] - 5 * v[2] + v[4], to);
    Put<ROWS>(even + odd, to + apart);
    Put<ROWS>(even - odd, to + 2 * apart);
    Put<ROWS>(evens + odds, to + 3 * apart);
    Put<ROWS>(evens - odds, to + 4 * apart);
    Put<ROWS>(4 * v[1] - 5 * v[3] + v[5], to + 5 * apart);
  }
}

// Of three taps [3][rows, lanes], from one row to the next and from one product to the next.
inline void SixOfTaps(const float* const (&w)[3], int rows, int lanes, float* __restrict to,
                      Offset row, Offset product) {
  for (int r = 0; r < rows; ++r, to += row)
    for (int i = 0; i < lanes; ++i) {
      const int at = r * lanes + i;
      const float w0 = w[0][at], w1 = w[1][at], w2 = w[2][at];
      to[i] = w0 / 4;
      to[product + i] = (w0 + w1 + w2) / -6;
      to[2 * product + i] = (w0 - w1 + w2) / -6;
      to[3 * product + i] = (w0 + 2 * w1 + 4 * w2) / 24;
      to[4 * product + i] = (w0 - 2 * w1 + 4 * w2) / 24;
      to[5 * product + i] = w2;
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

// What becomes of the sums of a quad's products, as `Written`, of four outputs `apart` in y.
template <int L, int N>
[[gnu::always_inline]] inline void FourWritten(
    const std::array<const typename Lanes<L>::type*, N>& products, const End& end, float* y,
    Offset to, Offset apart, int width) {
  using V = typename Lanes<L>::type;
  V four[QUAD][N];
  for (int n = 0; n < N; ++n) {
    const V* m = products[n];
    const V sum = m[1] + m[2], difference = m[1] - m[2];
    const V sums = m[3] + m[4], differences = m[3] - m[4];
    four[0][n] = m[0] + sum + sums;
    four[1][n] = difference + 2 * differences;
    four[2][n] = sum + 4 * sums;
    four[3][n] = difference + 8 * differences + m[5];
  }
  const Offset places[QUAD] = {to, to + apart, to + 2 * apart, to + 3 * apart};
  Written<L, QUAD, N>(four, end, y, places, width);
}

// The same of T quads, each product's [T][N * L], from where they were summed.
template <int L, int T, int N>
void FoursWritten(const float* sums, const End& end, float* y, const Offset* to, Offset apart,
                  int width) {
  for (int t = 0; t < T; ++t, sums += N * L) {
    typename Lanes<L>::type m[N][SIX];
    std::array<const typename Lanes<L>::type*, N> products;
    for (int n = 0; n < N; ++n) {
      for (int k = 0; k < SIX; ++k) m[n][k] = At<L>(sums + k * T * N * L + n * L);
      products[n] = m[n];
    }
    FourWritten<L, N>(products, end, y, to[t], apart, width);
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
  for (int q = 0; q < Q; ++q) FourWritten<L, 1>({sum[q]}, end, y, to[q], apart, width);
}

// A convolution by such products as one of quads: its taps are threes, each a start after the one
// before, and from each start on six pixels [B, H, W, C] are [B, H, 6, starts, C], for one product to
// be summed after the other. Of few outputs and three taps they are [B, H, starts, C / ROWS, 6, ROWS],
// for all six together, since a product by itself would be too little.
struct Quads : Shape {
  // For shapes where that takes less time: of many channels the weights do, and rounding grows.
  static std::optional<Quads> Of(const Shape& s) {
    const Axis& a = s.axes[1];
    const bool plain = a.stride == 1 && a.holes == 1 && a.taps % 2;
    if (!plain || a.taps < 3 || a.out % (QUAD * a.dilation) || s.each()) return {};
    if (a.dilation > 1 && a.taps > 3) return {};  // Threes of one row would be those of others.
    if (s.depth() % ROWS || s.depth() > MANY) return {};
    long direct = 0;  // Taps of a row that read pixels.
    for (int i = 0; i < a.out; ++i)
      for (int t = 0; t < a.taps; ++t) direct += a.has(i + t * a.dilation - a.low);
    const int quads = a.out / QUAD, threes = a.taps / 2;
    if (quads < (threes > 1 ? 4 : 2)) return {};  // What they read is up to three times the images.
    if (10 * quads * Products(threes) > 7 * direct) return {};
    return Quads(s);
  }

  // A quad has four times the outputs of a pixel.
  explicit Quads(const Shape& s)
      : Shape(s),
        together(s.axes[1].taps == 3 && s.width() <= WIDE),
        low(s.axes[1].low),
        dilation(s.axes[1].dilation),
        columns(s.axes[1].in) {
    const int threes = s.axes[1].taps / 2, quads = s.axes[1].out / QUAD, hop = threes > 1 ? 2 : 1;
    starts = (quads - 1) * hop + threes;
    axes[1] = {starts, quads, threes, hop, 0, 1, 1};
    outputs *= QUAD;
    (together ? channels : axes[1].in) *= SIX;
  }

  bool together;  // Whether a quad's products are summed at once.

  // From one output of a quad to the next, and where its first is, if quads lay one after the other
  // at `to`. In a dilated row those of its pixels 0, dilation, ... come before those of 1,
  // 1 + dilation, ...
  Offset beside() const { return Offset(dilation) * outputs / QUAD; }
  Offset Written(Offset to) const {
    const Offset quad = to / outputs, row = quad / starts * starts;
    return row * outputs + Pixel(static_cast<int>(quad - row)) * (outputs / QUAD);
  }

  // From one product to the next, and from so many channels to the next.
  Offset apart() const { return together ? ROWS : Offset(starts) * channels; }
  Offset block() const { return together ? SIX * ROWS : ROWS; }
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
    return k * apart() + Offset(three) * channels + c / ROWS * block() + c % ROWS;
  }

  // Of the pixels of a row, `pixel` from each other, what its starts are.
  void Row(const float* x, Offset pixel, float* to) const {
    static const float ZEROS[MANY] = {};
    const int hop = QUAD / axes[1].stride, depth = together ? channels / SIX : channels;
    const Offset apart = this->apart(), block = this->block();
    for (int start = 0; start < starts; ++start, to += channels) {
      const int first = dilation > 1 ? Pixel(start) : start * hop;
      const float* d[SIX];
      for (int i = 0; i < SIX; ++i) {
        const int at = first - low + i * dilation;
        d[i] = 0 <= at && at < columns ? x + at * pixel : ZEROS;
      }
      SixOf(d, depth, to, apart, block);
    }
  }

 private:
  static constexpr int MANY = 256;
  int low, dilation, columns, starts;

  // The first of a row's quad.
  int Pixel(int quad) const {
    const int each = starts / dilation;
    return quad % each * QUAD * dilation + quad / each;
  }

  static int Products(int threes) { return 1 + (SIX - 1) * threes; }
};

// A convolution as it is computed.
struct Plan : Shape {
  std::optional<Quads> quads = Quads::Of(*this);

  const Shape& laid() const { return quads ? static_cast<const Shape&>(*quads) : *this; }
  // Where a group's channels begin.
  Offset channel(int group) const {
    return quads ? Offset(group) * depth() / ROWS * quads->block() : Offset(group) * depth();
  }

  // Images as they are read, with zeros around.
  const float* Laid(Images& images, const float* x, int count, const Padded (&padded)[2]) const {
    if (!quads) return images.Around(x, count, *this, padded);
    return images.Made(count, *quads, padded, [&](int image, int r, float* to) {
      quads->Row(x + (Offset(image) * axes[0].in + r) * axes[1].in * channels, channels, to);
    });
  }
};
