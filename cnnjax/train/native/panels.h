// The weights of a convolution as its tiles read them.
#pragma once

#include <memory>

#include "threads.h"
#include "quads.h"

// What a tile computes of each place: outputs first to first + size - 1 of a group. Weights lie in
// rows of outputs, from one input channel to the next and one tap to the next.
struct Panel {
  int group, first, size, lanes;  // It is `lanes` wide: zeros follow what is less.
  const float* weights;
  Offset row, tap, product;  // The last from one point's products to the next.
};

struct Weights : Plan {
  bool flipped;  // They are [kh, kw, outputs / groups, channels], to be turned.

  // Where rows are long, places in runs win over two vectors for each.
  bool runs() const { return axes[1].out % RUN == 0 && axes[1].out >= 2 * RUN; }

  // Weights as they are, where their rows are whole vectors and lie close together, or panel by
  // panel.
  std::vector<Panel> Panels(const Pool& pool, const float* w,
                            std::unique_ptr<float[]>& own) const {
    std::vector<Panel> panels;
    if (each()) {
      for (int c = 0; c < channels; c += panels.back().lanes) {
        const int lanes = channels - c >= WIDE ? WIDE : HALF;
        panels.push_back({0, c, lanes, lanes, w + c, outputs, outputs, 0});
      }
      return panels;
    }
    const bool direct = !quads && !flipped && width() % HALF == 0 && width() <= 2 * WIDE;
    const Offset padded = (width() + HALF - 1) / HALF * HALF;
    const Offset rows = Offset(laid().taps()) * depth(), matrix = quads ? quads->points() * rows : rows;
    if (!direct) own.reset(new float[matrix * padded * groups]);
    for (int group = 0; group < groups; ++group)
      for (int o = 0; o < width(); o += panels.back().lanes) {
        const int left = width() - o;
        const bool two = left > WIDE + HALF && (quads || !runs());
        const int lanes = two ? 2 * WIDE : left > HALF ? WIDE : HALF;
        const int size = std::min(left, lanes);
        if (direct) {
          const float* from = w + group * width() + o;
          panels.push_back({group, o, size, lanes, from, outputs, Offset(depth()) * outputs, 0});
        } else {
          const float* to = own.get() + matrix * (group * padded + o);
          const bool six = quads && quads->together;  // Products of a row lie together.
          panels.push_back({group, o, size, lanes, to, (six ? SIX : 1) * lanes,
                            (six ? SIX : 1) * Offset(depth()) * lanes, six ? lanes : rows * lanes});
        }
      }
    if (quads)
      Share(pool, static_cast<int>(panels.size()) * axes[0].taps, [&](int item) {
        const Panel& panel = panels[item / axes[0].taps];
        Parts(panel, w, item % axes[0].taps, own.get() + (panel.weights - own.get()));
      });
    else if (!direct)
      Share(pool, static_cast<int>(panels.size()) * taps(), [&](int item) {
        const Panel& panel = panels[item / taps()];
        const int tap = item % taps();
        Matrix(panel, w, tap, own.get() + (panel.weights - own.get()) + tap * panel.tap);
      });
    return panels;
  }

 private:
  // A row of taps part by part; of flipped weights that which comes in its place.
  void Parts(const Panel& panel, const float* w, int row, float* to) const {
    const int columns = axes[1].taps, size = depth() * panel.lanes;
    std::vector<float> taps(std::size_t(columns) * size);
    for (int j = 0; j < columns; ++j) {
      const int at = row * columns + j;
      Matrix(panel, w, flipped ? this->taps() - 1 - at : at, taps.data() + Offset(j) * size);
    }
    for (int part = 0; part < quads->parts(); ++part) {
      const float* of[MOST];
      for (int i = 0; i < quads->size(part); ++i)
        of[i] = taps.data() + Offset(quads->begin(part) + i) * size;
      OfTaps(quads->size(part), [&](auto taps) {
        TapsOf<taps()>(of, depth(), panel.lanes, to + (row * quads->parts() + part) * panel.tap,
                       panel.row, panel.product);
      });
    }
  }

  // Of a tap to [depth, lanes].
  void Matrix(const Panel& panel, const float* w, int tap, float* to) const {
    if (flipped)
      Turn(panel, w + Offset(tap) * width() * channels, to);
    else
      Copy(panel, w + Offset(tap) * depth() * outputs, to);
  }

  // [depth, outputs] → [depth, lanes].
  void Copy(const Panel& panel, const float* from, float* to) const {
    from += panel.group * width() + panel.first;
    for (int c = 0; c < depth(); ++c, from += outputs, to += panel.lanes) {
      std::memcpy(to, from, sizeof(float) * panel.size);
      std::fill(to + panel.size, to + panel.lanes, 0.0f);
    }
  }

  // [width, channels] → [depth, lanes], in blocks that the cache holds.
  void Turn(const Panel& panel, const float* from, float* to) const {
    constexpr int BLOCK = 16;
    from += Offset(panel.first) * channels + panel.group * depth();
    for (int c0 = 0; c0 < depth(); c0 += BLOCK) {
      const int last = std::min(depth(), c0 + BLOCK);
      for (int o = 0; o < panel.size; ++o)
        for (int c = c0; c < last; ++c)
          to[Offset(c) * panel.lanes + o] = from[Offset(o) * channels + c];
      for (int c = c0; c < last; ++c) {
        float* row = to + Offset(c) * panel.lanes;
        std::fill(row + panel.size, row + panel.lanes, 0.0f);
      }
    }
  }
};
