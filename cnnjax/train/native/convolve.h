// [B, H, W, C] convolved by [kh, kw, C / groups, O], and the gradient by its input, which is such a
// convolution too: by the flipped weights, with holes where the stride skipped.
#pragma once

#include <memory>

#include "products.h"
#include "threads.h"

// What a tile computes of each place: outputs first to first + size - 1 of a group. Weights lie in
// rows of outputs, from one input channel to the next and one tap to the next.
struct Panel {
  int group, first, size, lanes;  // It is `lanes` wide: zeros follow what is less.
  const float* weights;
  Offset row, tap;
};

// Outputs that meet the same taps, in one chunk of images, image by image.
struct Phase {
  std::vector<Offset> places, to, taps, weights;  // Weights by the number of their tap.
  int each;     // Outputs of one image.
  Offset step;  // From one place of a row to the next.
  bool lines;   // Rows are whole runs of places.
};

struct Convolution : Shape {
  bool flipped;  // Weights are [kh, kw, outputs / groups, channels], to be turned.

  void Run(xla::ffi::ThreadPool& pool, const float* x, const float* w, float* y) const {
    const Padded padded[2] = {PaddedFor(axes[0]), PaddedFor(axes[1])};
    std::unique_ptr<float[]> own;
    const std::vector<Panel> panels = Panels(pool, w, own);
    // A chunk gives every tile enough places, and every thread a chunk; where images are fewer than
    // threads, they share the places of each.
    const int threads = Threads(pool);
    const int enough = (256 + pixels() - 1) / std::max(1, pixels());
    const int chunk = std::max(1, std::min(enough, (batch + threads - 1) / threads));
    const int chunks = (batch + chunk - 1) / chunk;
    const int bands = chunks < threads ? (threads + chunks - 1) / chunks : 1;
    const std::vector<Phase> phases = Phases(padded, chunk);
    const std::size_t image = std::size_t(axes[0].in) * axes[1].in * channels;
    Share(pool, chunks * bands, [&](int item) {
      const int first = item / bands * chunk, band = item % bands;
      const int count = std::min(chunk, batch - first);
      const float* from = Images::Item().Around(x + first * image, count, *this, padded);
      for (const Phase& phase : phases) {
        const long runs = (long(phase.each) * count + RUN - 1) / RUN;
        const auto edge = [&](int i) {
          return std::min(long(phase.each) * count, runs * i / bands * RUN);
        };
        float* to = y + std::size_t(first) * pixels() * outputs;
        for (const Panel& panel : panels)
          Part(phase, panel, edge(band), edge(band + 1), from, to);
      }
    });
  }

 private:
  // Weights as they are, where their rows are whole vectors and lie close together, or panel by
  // panel.
  std::vector<Panel> Panels(xla::ffi::ThreadPool& pool, const float* w,
                            std::unique_ptr<float[]>& own) const {
    std::vector<Panel> panels;
    if (each()) {
      for (int c = 0; c < channels; c += panels.back().lanes) {
        const int lanes = channels - c >= WIDE ? WIDE : HALF;
        panels.push_back({0, c, lanes, lanes, w + c, outputs, outputs});
      }
      return panels;
    }
    const bool direct = !flipped && width() % HALF == 0 && width() <= 2 * WIDE;
    const Offset padded = (width() + HALF - 1) / HALF * HALF, matrix = Offset(taps()) * depth();
    if (!direct) own.reset(new float[matrix * padded * groups]);
    for (int group = 0; group < groups; ++group)
      for (int o = 0; o < width(); o += panels.back().lanes) {
        const int left = width() - o;
        const int lanes = left > WIDE + HALF ? 2 * WIDE : left > HALF ? WIDE : HALF;
        const int size = std::min(left, lanes);
        if (direct) {
          const float* from = w + group * width() + o;
          panels.push_back({group, o, size, lanes, from, outputs, Offset(depth()) * outputs});
        } else {
          const float* to = own.get() + matrix * (group * padded + o);
          panels.push_back({group, o, size, lanes, to, lanes, Offset(depth()) * lanes});
        }
      }
    if (!direct)
      Share(pool, static_cast<int>(panels.size()) * taps(), [&](int item) {
        const Panel& panel = panels[item / taps()];
        const int tap = item % taps();
        float* to = own.get() + (panel.weights - own.get()) + tap * panel.tap;
        if (flipped)
          Turn(panel, w + Offset(tap) * width() * channels, to);
        else
          Copy(panel, w + Offset(tap) * depth() * outputs, to);
      });
    return panels;
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

  std::vector<Phase> Phases(const Padded (&padded)[2], int chunk) const {
    const auto& [down, across] = axes;
    const Offset line = Offset(padded[1].size) * channels;
    std::vector<Phase> found;
    for (int p = 0; p < down.phases(); ++p)
      for (int q = 0; q < across.phases(); ++q) {
        Phase phase;
        for (const Meeting& i : Meetings(down, p))
          for (const Meeting& j : Meetings(across, q)) {
            const int tap = i.tap * across.taps + j.tap;
            phase.taps.push_back((i.off + padded[0].before) * line +
                                 Offset(j.off + padded[1].before) * channels);
            phase.weights.push_back(flipped ? taps() - 1 - tap : tap);
          }
        for (int b = 0; b < chunk; ++b)
          for (int r = p, m = 0; r < down.out; r += down.holes, ++m)
            for (int s = q, n = 0; s < across.out; s += across.holes, ++n) {
              phase.places.push_back((Offset(b) * padded[0].size + m * down.step()) * line +
                                     Offset(n) * across.step() * channels);
              phase.to.push_back((Offset(b) * pixels() + r * across.out + s) * outputs);
            }
        phase.each = static_cast<int>(phase.places.size()) / chunk;
        phase.step = Offset(across.step()) * channels;
        phase.lines = (across.out - q + across.holes - 1) / across.holes % RUN == 0;
        found.push_back(std::move(phase));
      }
    return found;
  }

  // Places first to last - 1 of a phase.
  void Part(const Phase& phase, const Panel& panel, long first, long last, const float* x,
            float* y) const {
    x += panel.group * depth() + (each() ? panel.first : 0);
    y += panel.group * width() + panel.first;
    const bool lines = phase.lines && last - first >= RUNS;
    if (each() && panel.lanes == WIDE)
      Tiles<WIDE, SINGLE, 1, Reads::VECTORS>(phase, panel, first, last, x, y);
    else if (each())
      Tiles<HALF, SINGLE, 1, Reads::VECTORS>(phase, panel, first, last, x, y);
    else if (panel.lanes == 2 * WIDE)
      Tiles<WIDE, PAIR, 2, Reads::FLOATS>(phase, panel, first, last, x, y);
    else if (panel.lanes == WIDE)
      Tiles<WIDE, SINGLE, 1, Reads::FLOATS>(phase, panel, first, last, x, y);
    else if (lines)
      Tiles<HALF, RUNS, 1, Reads::LINES>(phase, panel, first, last, x, y);
    else
      Tiles<HALF, SINGLE, 1, Reads::FLOATS>(phase, panel, first, last, x, y);
  }

  template <int L, int T, int N, Reads HOW>
  void Tiles(const Phase& phase, const Panel& panel, long first, long last, const float* x,
             float* y) const {
    const auto tile = [&](const Offset* places, const Offset* to) {
      Convolved<L, T, N, HOW>(x, places, phase.step, phase.taps.data(), phase.weights.data(),
                              panel.tap, static_cast<int>(phase.taps.size()), depth(),
                              panel.weights, panel.row, y, to, panel.size);
    };
    if (last - first >= T) {  // The last tile may compute again what the one before it did.
      for (long at = first; at < last; at += T) {
        const long begin = std::min(at, last - T);
        tile(phase.places.data() + begin, phase.to.data() + begin);
      }
    } else if (first < last) {
      Offset places[T], to[T];
      for (long t = 0; t < T; ++t) {
        const long begin = std::min(first + t, last - 1);
        places[t] = phase.places[begin], to[t] = phase.to[begin];
      }
      tile(places, to);
    }
  }
};
