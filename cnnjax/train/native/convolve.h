// [B, H, W, C] convolved by [kh, kw, C / groups, O], and the gradient by its input, which is such a
// convolution too: by the flipped weights, with holes where the stride skipped.
#pragma once

#include <memory>

#include "threads.h"
#include "tiles.h"

// What a tile computes of each place: outputs first to first + size - 1 of a group. Weights lie in
// rows of outputs, from one input channel to the next and one tap to the next.
struct Panel {
  int group, first, size, lanes;  // It is `lanes` wide: zeros follow what is less.
  const float* weights;
  Offset row, tap;
};

struct Convolution : Shape {
  bool flipped;  // Weights are [kh, kw, outputs / groups, channels], to be turned.
  End end;
  std::optional<Quads> quads = Quads::Of(*this);

  void Run(xla::ffi::ThreadPool& pool, const float* x, const float* w, float* y) const {
    const Padded padded[2] = {PaddedFor(laid().axes[0]), PaddedFor(laid().axes[1])};
    std::unique_ptr<float[]> own;
    const std::vector<Panel> panels = Panels(pool, w, own);
    // A chunk gives tiles enough places alike, and every thread a chunk; where there are fewer, for
    // want of images or since each thread had better read some of the weights alone, threads share
    // the panels of a chunk, or its places.
    const int threads = Threads(pool);
    const bool many = Offset(taps()) * depth() * outputs > WEIGHTS && panels.size() % threads == 0;
    const int most = many ? batch : (batch + threads - 1) / threads;
    const int enough = (PLACES + pixels() - 1) / std::max(1, pixels());
    const int chunk = std::max(1, std::min(enough, most));
    const int chunks = (batch + chunk - 1) / chunk;
    const int sharers = chunks < threads ? (threads + chunks - 1) / chunks : 1;
    const int bands = panels.size() % sharers == 0 ? 1 : sharers;
    const Work whole = WorkOf(panels, padded, chunk, bands);
    const Work rest =
        batch % chunk ? WorkOf(panels, padded, batch % chunk, bands) : Work{};
    const std::size_t image = std::size_t(axes[0].in) * axes[1].in * channels;
    const long tiles = long(chunk) * pixels() / RUNS * panels.size() / sharers;
    Share(pool, chunks * sharers, [&](int item) {
      const int first = item / sharers * chunk, part = item % sharers;
      const int count = std::min(chunk, batch - first);
      // Threads take turns.
      const long next = std::min(chunks, (item + threads) / sharers) * long(chunk);
      Ahead ahead(x + std::min<long>(batch, next) * image,
                  x + std::min<long>(batch, next + chunk) * image, tiles);
      const float* from = Laid(x + first * image, count, padded);
      const Offset place = Offset(first) * pixels() * outputs;
      const int band = part % bands, each = static_cast<int>(panels.size()) * bands / sharers;
      for (int k = part / bands * each; k < (part / bands + 1) * each; ++k)
        for (const Phase& phase : (count < chunk ? rest : whole)[KindOf(panels[k])])
          Part(phase, panels[k], phase.bands[band], from, place, y, ahead);
    });
  }

 private:
  static constexpr int PLACES = 1024;         // Of a chunk.
  static constexpr Offset WEIGHTS = 1 << 18;  // As many as a core's cache holds.

  const Shape& laid() const { return quads ? static_cast<const Shape&>(*quads) : *this; }

  // Where rows are long, places in runs win over two vectors for each.
  bool runs() const { return axes[1].out % RUN == 0 && axes[1].out >= 2 * RUN; }

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
    const bool direct = !quads && !flipped && width() % HALF == 0 && width() <= 2 * WIDE;
    const Offset padded = (width() + HALF - 1) / HALF * HALF;
    const Offset rows = quads ? SIX * depth() : depth();  // Of a tap, or of three of them.
    const Offset matrix = laid().taps() * rows;
    if (!direct) own.reset(new float[matrix * padded * groups]);
    for (int group = 0; group < groups; ++group)
      for (int o = 0; o < width(); o += panels.back().lanes) {
        const int left = width() - o;
        const bool two = left > WIDE + HALF && !quads && !runs();
        const int lanes = two ? 2 * WIDE : left > HALF ? WIDE : HALF;
        const int size = std::min(left, lanes);
        if (direct) {
          const float* from = w + group * width() + o;
          panels.push_back({group, o, size, lanes, from, outputs, Offset(depth()) * outputs});
        } else {
          const float* to = own.get() + matrix * (group * padded + o);
          panels.push_back({group, o, size, lanes, to, lanes, rows * lanes});
        }
      }
    if (quads)
      Share(pool, static_cast<int>(panels.size()) * axes[0].taps, [&](int item) {
        const Panel& panel = panels[item / axes[0].taps];
        Threes(panel, w, item % axes[0].taps, own.get() + (panel.weights - own.get()));
      });
    else if (!direct)
      Share(pool, static_cast<int>(panels.size()) * taps(), [&](int item) {
        const Panel& panel = panels[item / taps()];
        const int tap = item % taps();
        Matrix(panel, w, tap, own.get() + (panel.weights - own.get()) + tap * panel.tap);
      });
    return panels;
  }

  // A row of taps, three by three; of flipped weights that which comes in its place.
  void Threes(const Panel& panel, const float* w, int row, float* to) const {
    const int columns = axes[1].taps, size = depth() * panel.lanes;
    std::vector<float> taps(std::size_t(columns + 1) * size);  // The last is zeros.
    for (int j = 0; j < columns; ++j) {
      const int at = row * columns + j;
      Matrix(panel, w, flipped ? this->taps() - 1 - at : at, taps.data() + Offset(j) * size);
    }
    for (int t = 0; t < columns / 2; ++t) {
      const float* three[3];
      for (int i = 0; i < 3; ++i)
        three[i] = taps.data() + Offset(t && !i ? columns : 2 * t + i) * size;
      SixOfTaps(three, depth(), panel.lanes, to + (row * (columns / 2) + t) * panel.tap);
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

  // Images as tiles read them.
  const float* Laid(const float* x, int count, const Padded (&padded)[2]) const {
    if (!quads) return Images::Item().Around(x, count, *this, padded);
    return Images::Item().Made(count, *quads, padded, quads->Rows(x));
  }

  // Panels of two vectors, one, or half of one have tiles of their own.
  enum Kind { PAIRS, SINGLES, HALVES, KINDS };
  using Work = std::array<std::vector<Phase>, KINDS>;

  Kind KindOf(const Panel& panel) const {
    if (panel.lanes == HALF && !each()) return HALVES;
    return panel.lanes == 2 * WIDE ? PAIRS : SINGLES;
  }

  Work WorkOf(const std::vector<Panel>& panels, const Padded (&padded)[2], int images,
              int bands) const {
    Work work;
    for (const Panel& panel : panels) {
      const Kind kind = KindOf(panel);
      const bool lines = kind == HALVES || (kind == SINGLES && runs() && !each());
      const int size = quads ? QUADS : kind == PAIRS ? PAIR : SINGLE;
      const int runs = lines && !quads ? RUNS : 0;
      if (work[kind].empty())  // Weights of quads are turned as they are made.
        work[kind] =
            Tiling{laid(), padded, flipped && !quads, images, bands, size, runs}.Phases();
    }
    return work;
  }

  // Tiles of a chunk whose outputs begin at `place`.
  void Part(const Phase& phase, const Panel& panel, const std::vector<Tile>& tiles, const float* x,
            Offset place, float* y, Ahead& ahead) const {
    const Offset output = panel.group * width() + panel.first;
    const End end = this->end.From(output, place + output);
    x += (quads ? SIX : 1) * panel.group * depth() + (each() ? panel.first : 0);
    y += place + output;
    if (quads && panel.lanes == WIDE)
      QuadTiles<WIDE, QUADS>(phase, panel, tiles, x, end, y, ahead);
    else if (quads)
      QuadTiles<HALF, QUADS>(phase, panel, tiles, x, end, y, ahead);
    else if (each() && panel.lanes == WIDE)
      Tiles<WIDE, SINGLE, 1, Reads::VECTORS>(phase, panel, tiles, x, end, y, ahead);
    else if (each())
      Tiles<HALF, SINGLE, 1, Reads::VECTORS>(phase, panel, tiles, x, end, y, ahead);
    else if (panel.lanes == 2 * WIDE)
      Tiles<WIDE, PAIR, 2, Reads::FLOATS>(phase, panel, tiles, x, end, y, ahead);
    else if (panel.lanes == WIDE && phase.lines)
      Tiles<WIDE, RUNS, 1, Reads::LINES>(phase, panel, tiles, x, end, y, ahead);
    else if (panel.lanes == WIDE)
      Tiles<WIDE, SINGLE, 1, Reads::FLOATS>(phase, panel, tiles, x, end, y, ahead);
    else if (phase.lines)
      Tiles<HALF, RUNS, 1, Reads::LINES>(phase, panel, tiles, x, end, y, ahead);
    else
      Tiles<HALF, SINGLE, 1, Reads::FLOATS>(phase, panel, tiles, x, end, y, ahead);
  }

  template <int L, int T, int N, Reads HOW>
  void Tiles(const Phase& phase, const Panel& panel, const std::vector<Tile>& tiles, const float* x,
             const End& end, float* y, Ahead& ahead) const {
    for (const Tile& tile : tiles) {
      ahead.Part();
      // Where the next tile is written must be in the cache as well.
      if (&tile != &tiles.back())
        for (int t = 0; t < T; ++t)
          for (int n = 0; n < N; ++n)
            __builtin_prefetch(y + phase.to[(&tile + 1)->place + t] + L * n, 1, 2);
      Convolved<L, T, N, HOW>(x, phase.places.data() + tile.place, phase.step,
                              phase.taps.data() + tile.tap, phase.weights.data() + tile.tap,
                              panel.tap, tile.taps, depth(), panel.weights, panel.row, end, y,
                              phase.to.data() + tile.place, panel.size);
    }
  }

  template <int L, int Q>
  void QuadTiles(const Phase& phase, const Panel& panel, const std::vector<Tile>& tiles,
                 const float* x, const End& end, float* y, Ahead& ahead) const {
    for (const Tile& tile : tiles) {
      ahead.Part();
      if (&tile != &tiles.back())
        for (int q = 0; q < Q; ++q)
          for (int i = 0; i < QUAD; ++i)
            __builtin_prefetch(y + phase.to[(&tile + 1)->place + q] + i * outputs, 1, 2);
      ConvolvedQuads<L, Q>(x, phase.places.data() + tile.place, phase.taps.data() + tile.tap,
                           phase.weights.data() + tile.tap, quads->threes(), panel.tap, tile.taps,
                           depth(), panel.weights, end, y, phase.to.data() + tile.place, outputs,
                           panel.size);
    }
  }
};
