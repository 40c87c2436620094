// [B, H, W, C] convolved by [kh, kw, C / groups, O], and the gradient by its input, which is such a
// convolution too: by the flipped weights, with holes where the stride skipped.

#include <memory>

#include "kernels.h"
#include "panels.h"

namespace {

struct Convolution : Weights {
  End end;
  const After* after;  // Or none.

  // To y, and the sums of what is done after to `sums`; how places fall to threads may round those
  // another way.
  void Run(const Pool& pool, const float* x, const float* w, float* y, float* sums) const {
    const Padded padded[2] = {Side(0), Side(1)};
    std::unique_ptr<float[]> own;
    const std::vector<Panel> panels = Panels(pool, w, own);
    // A chunk gives tiles enough places alike, and every thread a chunk; where there are fewer, for
    // want of images or since each thread had better read some of the weights alone, threads share
    // the panels of a chunk, or its places.
    const int threads = pool.threads;
    const bool many = Offset(taps()) * depth() * outputs > WEIGHTS && panels.size() % threads == 0;
    const int most = many ? batch : (batch + threads - 1) / threads;
    const int enough = (PLACES + pixels() - 1) / std::max(1, pixels());
    const Offset large = Offset(padded[0].size) * padded[1].size * laid().channels;
    const int fits = quads ? static_cast<int>(FITS / large) : enough;
    const int chunk = std::max(1, std::min({enough, fits, most}));
    const int chunks = (batch + chunk - 1) / chunk;
    const int sharers = chunks < threads ? (threads + chunks - 1) / chunks : 1;
    const int bands = panels.size() % sharers == 0 ? 1 : sharers;
    const Work whole = WorkOf(panels, padded, chunk, bands);
    const Work rest =
        batch % chunk ? WorkOf(panels, padded, batch % chunk, bands) : Work{};
    const std::size_t image = std::size_t(axes[0].in) * axes[1].in * channels;
    const int tile = together() ? QUAD * QUADS : quads ? QUAD * RUNS : RUNS;
    const long tiles = long(chunk) * pixels() / tile * panels.size() / sharers;
    std::vector<float> parts(after ? Offset(chunks) * sharers * 2 * outputs : 0);
    Share(pool, chunks * sharers, [&](int item) {
      const int first = item / sharers * chunk, part = item % sharers;
      const int count = std::min(chunk, batch - first);
      // Threads take turns.
      const long next = std::min(chunks, (item + threads) / sharers) * long(chunk);
      Ahead ahead(x + std::min<long>(batch, next) * image,
                  x + std::min<long>(batch, next + chunk) * image, tiles);
      const float* from = Laid(Images::Item(), x + first * image, count, padded);
      const Offset place = Offset(first) * pixels() * outputs;
      After own = after ? *after : After{};
      own.sums = parts.data() + Offset(item) * 2 * outputs;
      own.outputs = outputs;
      const int band = part % bands, each = static_cast<int>(panels.size()) * bands / sharers;
      for (int k = part / bands * each; k < (part / bands + 1) * each; ++k)
        for (const Phase& phase : (count < chunk ? rest : whole)[KindOf(panels[k])])
          Part(phase, panels[k], phase.bands[band], from, place, y, own, ahead);
    });
    if (after) std::fill(sums, sums + 2 * outputs, 0.0f);
    for (std::size_t i = 0; i < parts.size(); ++i) sums[i % (2 * outputs)] += parts[i];
  }

 private:
  static constexpr int PLACES = 1024;         // Of a chunk.
  static constexpr Offset FITS = 1 << 18;     // Floats of a chunk's images as quads read them.
  static constexpr Offset WEIGHTS = 1 << 18;  // As many as a core's cache holds.

  bool together() const { return quads && quads->together; }
  Offset beside() const { return quads ? quads->beside() : 0; }

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
      const bool lines = kind == HALVES || (kind == SINGLES && (quads || runs()) && !each());
      const int size = together() ? QUADS : kind == PAIRS ? PAIR : SINGLE;
      const int run = lines && !together() ? RUNS : 0;
      if (!work[kind].empty()) continue;
      // Weights of quads are turned as they are made.
      work[kind] = Tiling{laid(), padded, flipped && !quads, images, bands, size, run}.Phases();
      if (quads)
        for (Phase& phase : work[kind])
          for (Offset& to : phase.to) to = quads->Written(to);
    }
    return work;
  }

  // Tiles of a chunk whose outputs begin at `place`.
  void Part(const Phase& phase, const Panel& panel, const std::vector<Tile>& tiles, const float* x,
            Offset place, float* y, const After& whole, Ahead& ahead) const {
    const Offset output = panel.group * width() + panel.first;
    const End end = this->end.From(output, place + output);
    const After then = whole.From(output, place + output);
    x += channel(panel.group) + (each() ? panel.first : 0);
    y += place + output;
    if (together() && panel.lanes == WIDE)
      QuadTiles<WIDE>(phase, panel, tiles, x, end, y, then, ahead);
    else if (together())
      QuadTiles<HALF>(phase, panel, tiles, x, end, y, then, ahead);
    else if (each() && panel.lanes == WIDE)
      Tiles<WIDE, SINGLE, 1, Reads::VECTORS>(phase, panel, tiles, x, end, y, then, ahead);
    else if (each())
      Tiles<HALF, SINGLE, 1, Reads::VECTORS>(phase, panel, tiles, x, end, y, then, ahead);
    else if (panel.lanes == 2 * WIDE)
      Tiles<WIDE, PAIR, 2, Reads::FLOATS>(phase, panel, tiles, x, end, y, then, ahead);
    else if (panel.lanes == WIDE && phase.lines)
      Tiles<WIDE, RUNS, 1, Reads::LINES>(phase, panel, tiles, x, end, y, then, ahead);
    else if (panel.lanes == WIDE)
      Tiles<WIDE, SINGLE, 1, Reads::FLOATS>(phase, panel, tiles, x, end, y, then, ahead);
    else if (phase.lines)
      Tiles<HALF, RUNS, 1, Reads::LINES>(phase, panel, tiles, x, end, y, then, ahead);
    else
      Tiles<HALF, SINGLE, 1, Reads::FLOATS>(phase, panel, tiles, x, end, y, then, ahead);
  }

  template <int L, int T, int N, Reads HOW>
  void Tiles(const Phase& phase, const Panel& panel, const std::vector<Tile>& tiles, const float* x,
             const End& end, float* y, const After& then, Ahead& ahead) const {
    for (const Tile& tile : tiles) {
      ahead.Part();
      if (&tile != &tiles.back()) Fetch<T, L * N>(phase.to.data() + (&tile + 1)->place, y);
      const Offset* to = phase.to.data() + tile.place;
      if (after) then.Fetch(tile, to, quads ? QUAD : 1, beside(), panel.size);
      const Reach reach{phase.places.data() + tile.place, phase.taps.data() + tile.tap,
                        phase.weights.data() + tile.tap, phase.step, panel.tap, panel.row, depth()};
      if (HOW == Reads::VECTORS || !quads) {
        Convolved<L, T, N, HOW>(reach, x, panel.weights, tile.taps, end, y, to, panel.size);
        if (after) then.Do<L, N>(tile, y, to, 1, 0, panel.size);
        continue;
      }
      float sums[EIGHT * T * N * L];
      for (int k = 0; k < quads->points(); ++k)
        Summed<L, T, N, HOW>(reach, x + k * quads->apart(), panel.weights + k * panel.product,
                             tile.taps / quads->parts() * quads->having(k), sums + k * T * N * L);
      OfTaps(quads->size(0), [&](auto taps) {
        FoursWritten<L, T, N, taps() + QUAD - 1>(sums, end, y, to, beside(), panel.size);
      });
      if (after) then.Do<L, N>(tile, y, to, QUAD, beside(), panel.size);
    }
  }

  template <int L>
  void QuadTiles(const Phase& phase, const Panel& panel, const std::vector<Tile>& tiles,
                 const float* x, const End& end, float* y, const After& then, Ahead& ahead) const {
    for (const Tile& tile : tiles) {
      ahead.Part();
      if (&tile != &tiles.back()) Fetch<QUADS, L>(phase.to.data() + (&tile + 1)->place, y);
      const Offset* to = phase.to.data() + tile.place;
      if (after) then.Fetch(tile, to, QUAD, beside(), panel.size);
      ConvolvedQuads<L, QUADS>(x, phase.places.data() + tile.place, phase.taps.data() + tile.tap,
                               phase.weights.data() + tile.tap, panel.tap, tile.taps, depth(),
                               panel.weights, end, y, to, beside(), panel.size);
      if (after) then.Do<L, 1>(tile, y, to, QUAD, beside(), panel.size);
    }
  }

  // Where the next tile is written must be in the cache as well.
  template <int T, int FLOATS>
  void Fetch(const Offset* to, const float* y) const {
    for (int t = 0; t < T; ++t)
      for (int i = 0; i < (quads ? QUAD : 1); ++i)
        for (int n = 0; n < FLOATS; n += Ahead::LINE)
          __builtin_prefetch(y + to[t] + i * beside() + n, 1, 2);
  }
};

}  // namespace

void Convolve(const Pool& pool, const Shape& shape, bool flipped, const float* x, const float* w,
              float* y, const End& end, const After* after, float* sums) {
  Convolution{{{shape}, flipped}, end, after}.Run(pool, x, w, y, sums);
}
