// Convolutions of which four outputs of a row are made together, as convolutions of such quads.
#pragma once

#include <optional>

#include "winograd.h"

// The taps of a row are cut into parts of 3 to 5, as even as can be, the longer ones first, so that 7
// taps take 7 and 6 products for 28. Products of all parts at one point are summed together. Of the
// pixels that a quad's parts read images [B, H, W, C] are [B, parts, points, H, quads, C], for one
// product to be summed after the other; of few outputs and three taps [B, H, quads, C / ROWS, 6,
// ROWS], for all six together, since a product by itself would be too little.
//
// Of a dilated row the four outputs, and the pixels that they read, lie that far apart.
struct Quads : Shape {
  // For shapes where that takes less time: of many channels the weights do, and rounding grows.
  static std::optional<Quads> Of(const Shape& s) {
    const Axis& a = s.axes[1];
    if (a.stride > 1 || a.holes > 1 || a.taps < LEAST || a.out % (QUAD * a.dilation)) return {};
    if (a.out < 2 * QUAD || s.each() || s.depth() % ROWS || s.depth() > MANY) return {};
    long direct = 0;  // Taps of a row that read pixels.
    for (int i = 0; i < a.out; ++i)
      for (int t = 0; t < a.taps; ++t) direct += a.has(i + t * a.dilation - a.low);
    const Quads quads(s, PaddedFor(s.axes[0]));
    if (10L * a.out / QUAD * quads.products() > 7 * direct) return {};
    return quads;
  }

  // A quad has four times the outputs of a pixel; rows may have zeros around.
  Quads(const Shape& s, const Padded& rows)
      : Shape(s),
        rows(rows),
        together(s.axes[1].taps == LEAST && s.width() <= WIDE),
        kernel(s.axes[1].taps),
        low(s.axes[1].low),
        dilation(s.axes[1].dilation),
        columns(s.axes[1].in) {
    axes[1] = {0, s.axes[1].out / QUAD, (kernel + MOST - 1) / MOST, 1, 0, 1, 1};
    axes[1].dilation = points() * rows.size * quads();  // From one part to the next.
    axes[1].in = parts() * axes[1].dilation;
    outputs *= QUAD;
    if (together) channels *= SIX;
  }

  Padded rows;
  bool together;  // Whether a quad's products are summed at once.

  // From one output of a quad to the next, and where its first is, if quads lay one after the other
  // at `to`. In a dilated row those of its pixels 0, dilation, ... come before those of 1,
  // 1 + dilation, ...
  Offset beside() const { return Offset(dilation) * outputs / QUAD; }
  Offset Written(Offset to) const {
    const Offset quad = to / outputs, row = quad / quads() * quads();
    return row * outputs + Pixel(static_cast<int>(quad - row)) * (outputs / QUAD);
  }

  int parts() const { return axes[1].taps; }
  int begin(int part) const { return part * most() - std::max(0, part - longer()); }
  int size(int part) const { return most() - (part >= longer()); }
  int of(int part) const { return size(part) + QUAD - 1; }  // Products.

  // Of all parts, where each product is of a point; of that point so many parts, the first, have one.
  int points() const { return most() + QUAD - 1; }
  int having(int point) const { return point < points() - 1 ? parts() : longer(); }
  int products() const { return longer() + parts() * (points() - 1); }

  // Which part a product is of, and which point.
  std::array<int, 2> Product(int number) const {
    const int first = longer() * points();
    if (number < first) return {number / points(), number % points()};
    return {longer() + (number - first) / (points() - 1), (number - first) % (points() - 1)};
  }

  // From one product to the next, and from so many channels to the next.
  Offset apart() const { return together ? ROWS : Offset(rows.size) * quads() * channels; }
  Offset block() const { return together ? SIX * ROWS : ROWS; }

  // How far from a quad channel c of a product is.
  Offset At(int number, int c) const {
    const auto [part, point] = Product(number);
    return point * apart() + Offset(part) * axes[1].dilation * channels + c / ROWS * block() +
           c % ROWS;
  }

  // Of the pixels of a row, `pixel` from each other, what its quads read.
  void Row(const float* x, Offset pixel, float* to) const {
    for (int part = 0; part < parts(); ++part, to += Offset(axes[1].dilation) * channels)
      OfTaps(size(part), [&](auto taps) { Part<taps()>(x, pixel, begin(part) * dilation - low, to); });
  }

 private:
  static constexpr int MANY = 256;
  int kernel, low, dilation, columns;

  int quads() const { return axes[1].out; }
  int most() const { return (kernel + parts() - 1) / parts(); }    // Taps of a part.
  int longer() const { return kernel - parts() * (most() - 1); }  // Parts that have as many.

  template <int TAPS>
  void Part(const float* x, Offset pixel, int from, float* to) const {
    static const float ZEROS[MANY] = {};
    const int depth = together ? channels / SIX : channels;
    for (int quad = 0; quad < quads(); ++quad, to += channels) {
      const int first = Pixel(quad) + from;
      const float* d[TAPS + QUAD - 1];
      for (int i = 0; i < TAPS + QUAD - 1; ++i) {
        const int at = first + i * dilation;
        d[i] = 0 <= at && at < columns ? x + at * pixel : ZEROS;
      }
      PixelsOf<TAPS>(d, depth, to, apart(), block());
    }
  }

  // The first of a row's quad.
  int Pixel(int quad) const {
    if (dilation == 1) return quad * QUAD;  // Without divisions, of which others are enough.
    const int each = quads() / dilation;
    return quad % each * QUAD * dilation + quad / each;
  }
};

// A convolution as it is computed.
struct Plan : Shape {
  std::optional<Quads> quads = Quads::Of(*this);

  // An axis of the images as they are read, with zeros around.
  Padded Side(int axis) const {
    if (!quads) return PaddedFor(axes[axis]);
    if (axis) return {0, quads->axes[1].out};
    const int maps = quads->together ? 1 : quads->parts() * quads->points();
    return {quads->rows.before, quads->rows.size * maps};
  }

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
