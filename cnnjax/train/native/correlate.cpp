// The gradient of a convolution by its weights: what [B, H, W, C] and the gradients
// [B, H', W', O] of what came out say together of each tap, [kh, kw, C / groups, O].

#include "kernels.h"
#include "pieces.h"

namespace {

struct Correlation : Gradients {
  void Run(const Pool& pool, const float* x, const float* g, float* w) const {
    const Plan read = Read();
    const Padded padded[2] = {Around(read, 0), Around(read, 1)};
    // Of few weights every thread has its own sums over its own images; many are shared out.
    const int threads = pool.threads, parts = std::min(threads, std::max(1, batch));
    const Offset image = Offset(padded[0].size) * padded[1].size * laid().channels;
    const int enough = (256 + pixels() - 1) / std::max(1, pixels());
    const int fits = static_cast<int>((shared() ? CACHED : 0) / std::max<Offset>(1, image));
    const int chunk =
        std::max(1, std::min(std::max(enough, fits), shared() ? batch : (batch + parts - 1) / parts));
    const Reading reading = ReadingOf(read, padded, chunk);
    const int slots = shared() ? 1 : parts, blocks = (rows() + block() - 1) / block();
    // Sums are made in the result, where they lie as it does.
    const bool there = slots == 1 && !quads && (each() || (groups == 1 && row() == width()));
    std::vector<float> own_sums(there ? 0 : size() * slots);
    float* sums = there ? w : own_sums.data();
    if (there) std::memset(w, 0, sizeof(float) * size());
    const auto chunks = [&](Images& images, int first, int last, const auto& all, const auto& add) {
      std::vector<float> own;
      for (int at = first; at < last; at += chunk) {
        const int count = std::min(chunk, last - at), places = count * pixels();
        const float* from = x + std::size_t(at) * axes[0].in * axes[1].in * channels;
        const float* xs = vectors() ? ByVectors(images, from, count, chunk, read, padded, all)
                                    : read.Laid(images, from, count, padded);
        add(xs, Pieces(g + std::size_t(at) * pixels() * outputs, places, own, all), count);
      }
    };
    if (shared()) {
      const auto all = [&](int count, const auto& work) { Share(pool, count, work); };
      const auto add = [&](const float* xs, const std::vector<Piece>& pieces, int count) {
        Share(pool, blocks, [&](int block) { Add(reading, xs, pieces, count, block, sums); });
      };
      chunks(Images::Call(), 0, batch, all, add);
    } else {
      const auto all = [](int count, const auto& work) {
        for (int i = 0; i < count; ++i) work(i);
      };
      Share(pool, parts, [&](int part) {
        const auto add = [&](const float* xs, const std::vector<Piece>& pieces, int count) {
          for (int block = 0; block < blocks; ++block)
            Add(reading, xs, pieces, count, block, sums + part * size());
        };
        chunks(Images::Item(), long(batch) * part / parts, long(batch) * (part + 1) / parts, all,
               add);
      });
    }
    if (!there) Gather(sums, slots, w);
  }

 private:
  static constexpr Offset CACHED = 1 << 19;  // Floats of images, for tiles to have enough of.

  Padded Around(const Plan& read, int axis) const {
    return whole() && !quads ? Padded{0, axes[axis].in} : read.Side(axis);
  }

  int block() const { return whole() ? 160 : 168; }  // Rows of whole tiles.

  // Outputs first to last - 1 of an axis.
  struct Span {
    int first, last;
  };

  // Which outputs have a tap read the input, not the zeros around it.
  static Span SpanOf(const Axis& a, int tap) {
    const int at = tap * a.dilation - a.low;
    const int first = at < 0 ? (-at + a.stride - 1) / a.stride : 0;
    const int last = at < a.in ? std::min(a.out, (a.in - 1 - at) / a.stride + 1) : 0;
    return {first, std::max(first, last)};
  }

  struct Reading {
    std::vector<Offset> rows;        // How far from its place each row reads: tap by tap.
    std::vector<Span> down, across;  // By tap of an axis.
    Offset image, line, step;        // From one to the next.
  };

  // The same without rows of zeros, and of ROWS channels where each vector of them has images of its
  // own.
  Plan Read() const {
    Shape shape = *this;
    if (vectors()) shape.channels = ROWS;
    if (!quads) return {shape, {}};
    return {shape, Quads(shape, {0, axes[0].in})};
  }

  // [C / ROWS, chunk] images of ROWS channels.
  template <typename All>
  const float* ByVectors(Images& images, const float* x, int count, int chunk, const Plan& read,
                         const Padded (&padded)[2], const All& all) const {
    float* to = images.Room(channels / ROWS * chunk, read.laid(), padded);
    all(channels / ROWS * count, [&](int item) {
      const int vector = item / count, image = item % count, columns = axes[1].in;
      const auto make = [&](int, int r, float* row) {
        const float* from = x + (Offset(image) * axes[0].in + r) * columns * channels + vector * ROWS;
        if (quads) return read.quads->Row(from, channels, row);
        for (int i = 0; i < columns; ++i) Put<ROWS>(At<ROWS>(from + i * channels), row + i * ROWS);
      };
      images.Rows(vector * chunk + image, read.laid(), padded, to, make);
    });
    return to;
  }

  Reading ReadingOf(const Plan& read, const Padded (&padded)[2], int chunk) const {
    const Axis &down = axes[0], &across = axes[1];
    const Shape& laid = read.laid();
    const Offset line = Offset(padded[1].size) * laid.channels;
    Reading found{{}, {}, {}, padded[0].size * line, down.stride * line,
                  Offset(laid.axes[1].stride) * laid.channels};
    for (int i = 0; i < down.taps; ++i) found.down.push_back(SpanOf(down, i));
    for (int j = 0; j < this->across(); ++j)
      found.across.push_back(quads ? Span{0, quads->axes[1].out} : SpanOf(across, j));
    for (int i = 0; i < down.taps; ++i)
      for (int j = 0; j < this->across(); ++j)
        for (int c = 0; c < depth(); ++c) {
          const int first = vectors() ? c / ROWS * ROWS : 0;
          const Offset images = Offset(first / ROWS) * chunk * found.image;
          const Offset at = (i * down.dilation - down.low + padded[0].before) * line;
          const Offset beside = j * across.dilation - across.low + padded[1].before;
          const Offset channel =
              quads ? read.quads->At(j, c - first) : beside * laid.channels + c - first;
          found.rows.push_back(images + at + channel);
        }
    return found;
  }

  // What so many images say, added to a block of the rows of every group.
  void Add(const Reading& reading, const float* x, const std::vector<Piece>& pieces, int images,
           int number, float* sums) const {
    const int first = number * block(), last = std::min(rows(), first + block());
    float spare[2 * WIDE] = {};  // For sums that nobody wants.
    for (const Piece& piece : pieces) {
      const float* from = x + channel(piece.group) + (each() ? piece.first : 0);
      float* to = sums + std::size_t(piece.group) * rows() * row() + piece.first;
      const auto tiles = [&](auto add) {
        (this->*add)(reading, from, piece, images, first, last, to, spare);
      };
      if (each() && piece.lanes == WIDE)
        tiles(&Correlation::Tiles<WIDE, SINGLE, 1, Reads::VECTORS>);
      else if (each())
        tiles(&Correlation::Tiles<HALF, SINGLE, 1, Reads::VECTORS>);
      else if (whole() && piece.lanes == 2 * WIDE)
        tiles(&Correlation::Tiles<WIDE, ROWS / 2, 2, Reads::NEXT>);
      else if (whole() && piece.lanes == WIDE)
        tiles(&Correlation::Tiles<WIDE, ROWS, 1, Reads::NEXT>);
      else if (whole())
        tiles(&Correlation::Tiles<HALF, ROWS, 1, Reads::NEXT>);
      else if (piece.lanes == 2 * WIDE)
        tiles(&Correlation::Tiles<WIDE, PAIR, 2, Reads::FLOATS>);
      else if (piece.lanes == WIDE)
        tiles(&Correlation::Tiles<WIDE, SINGLE, 1, Reads::FLOATS>);
      else if (depth() % RUN == 0)
        tiles(&Correlation::Tiles<HALF, RUNS, 1, Reads::LINES>);
      else
        tiles(&Correlation::Tiles<HALF, SINGLE, 1, Reads::FLOATS>);
    }
  }

  template <int L, int T, int N, Reads HOW>
  void Tiles(const Reading& reading, const float* x, const Piece& piece, int images, int first,
             int last, float* sums, float* spare) const {
    for (int number = first; number < last; number += T) {
      const int at = vectors() ? Turned(number, T) : number;
      Offset rows[T];
      float* to[T];
      for (int t = 0; t < T; ++t) {
        const bool there = number + t < last;
        rows[t] = reading.rows[there ? at + t : last - (HOW == Reads::LINES ? RUN - t % RUN : 1)];
        to[t] = there ? sums + (at + t) * row() : spare;
      }
      const int end = at + std::min(T, last - number);
      const auto [down, across] = Spans(reading, at / depth(), (end - 1) / depth());
      const int width = laid().axes[1].out;
      const Walk walk{images,         down.last - down.first,  across.last - across.first,
                      reading.image,  reading.line,            reading.step,
                      laid().pixels() * piece.step, width * piece.step, piece.step};
      const float* from = x + down.first * reading.line + across.first * reading.step;
      const float* by = piece.gradients + (down.first * width + across.first) * piece.step +
                        (quads ? quads->Product(at / depth() % this->across())[1] * piece.product : 0);
      if constexpr (HOW == Reads::NEXT) {
        if (walk.columns % 4 == 0) {
          Correlated<L, T, N, HOW, 4>(from, rows, by, walk, to);
          continue;
        }
        if (walk.columns % 2 == 0) {
          Correlated<L, T, N, HOW, 2>(from, rows, by, walk, to);
          continue;
        }
      }
      Correlated<L, T, N, HOW, 1>(from, rows, by, walk, to);
    }
  }

  // The row where a tile of T rows begins, if taps of a column follow each other: what they read is
  // the same, and the cache still has it.
  int Turned(int number, int T) const {
    const int tile = number / T, column = tile / axes[0].taps;
    const int tap = tile % axes[0].taps * across() + column % across();
    return tap * depth() + column / across() * T;
  }

  // The outputs for which any of some taps reads the input, in a rectangle.
  std::array<Span, 2> Spans(const Reading& reading, int first, int last) const {
    std::array<Span, 2> all{};
    for (int tap = first; tap <= last; ++tap) {
      const Span spans[2] = {reading.down[tap / across()], reading.across[tap % across()]};
      if (spans[0].first == spans[0].last || spans[1].first == spans[1].last) continue;
      const bool none = all[0].first == all[0].last;
      for (int i = 0; i < 2; ++i)
        all[i] = none ? spans[i] : Span{std::min(all[i].first, spans[i].first),
                                        std::max(all[i].last, spans[i].last)};
    }
    return all;
  }
};

}  // namespace

void Correlate(const Pool& pool, const Shape& shape, const float* x, const float* g, float* w) {
  Correlation{{{shape}}}.Run(pool, x, g, w);
}
