// Which outputs are computed together, and what they read. Taps that read nothing but zeros around
// the input are left out: of 7×7 on a map of 8×8 they are 38 %.
#pragma once

#include "quads.h"

// So many places from the first one on, with so many taps.
struct Tile {
  std::size_t place, tap;
  int taps;          // Column by column.
  int fresh, count;  // Its first place that no tile before it has; what follows so many repeats.
};

// The outputs phase, phase + holes, ... of both axes in some images.
struct Phase {
  std::vector<Offset> places, to;        // Where an output reads, and where it is written.
  std::vector<Offset> taps, weights;     // How far from its place each tap reads; its number.
  std::vector<std::vector<Tile>> bands;  // The tiles of each of those who share them.
  Offset step;                           // From one place of a row to the next.
  bool lines;                            // Places are in runs along a row.
};

// Outputs of one axis, by number within their phase, that meet the same taps within the input.
struct Class {
  std::vector<int> outputs;
  std::vector<bool> met;  // By meeting.

  void Join(const Class& other) {
    outputs.insert(outputs.end(), other.outputs.begin(), other.outputs.end());
    met.resize(other.met.size());
    for (std::size_t k = 0; k < met.size(); ++k) met[k] = met[k] || other.met[k];
  }
};

inline std::vector<Class> Classes(const Axis& a, const std::vector<Meeting>& meetings, int phase) {
  std::vector<Class> found;
  for (int i = phase, m = 0; i < a.out; i += a.holes, ++m) {
    Class one{{m}, {}};
    for (const Meeting& meeting : meetings) one.met.push_back(a.has(meeting.off + m * a.step()));
    const auto alike = std::find_if(found.begin(), found.end(),
                                    [&](const Class& known) { return known.met == one.met; });
    if (alike == found.end())
      found.push_back(std::move(one));
    else
      alike->Join(one);
  }
  return found;
}

// How the outputs of so many images are cut into tiles of `size` places, or of `lines` in runs of
// RUN, if that is above 0, rows are whole runs and every band has a tile of them.
struct Tiling {
  const Shape& shape;
  const Padded (&padded)[2];
  bool flipped;
  int images, bands, size, lines;

  std::vector<Phase> Phases() const {
    std::vector<Phase> found;
    for (int p = 0; p < shape.axes[0].phases(); ++p)
      for (int q = 0; q < shape.axes[1].phases(); ++q) found.push_back(Of(p, q));
    return found;
  }

 private:
  struct Block {
    long first;  // Of its places.
    const Class *down, *across;
  };

  Phase Of(int p, int q) const {
    const Axis &down = shape.axes[0], &across = shape.axes[1];
    const std::vector<Meeting> rows = Meetings(down, p), columns = Meetings(across, q);
    const std::vector<Class> downs = Classes(down, rows, p);
    std::vector<Class> acrosses = Classes(across, columns, q);
    Class row;
    for (const Class& one : acrosses) row.Join(one);
    const long width = row.outputs.size(), height = (down.out - p + down.holes - 1) / down.holes;
    Phase phase;
    phase.step = Offset(across.step()) * shape.channels;
    phase.lines =
        lines && width % RUN == 0 && height * width * images / RUN / bands * RUN >= lines;
    if (phase.lines) {
      std::sort(row.outputs.begin(), row.outputs.end());
      acrosses = {row};
    }
    phase.places.reserve(height * width * images + size);
    phase.to.reserve(height * width * images + size);
    std::vector<Block> blocks;
    for (std::size_t i = 0; i < downs.size(); ++i)
      for (std::size_t j = 0; j < acrosses.size(); ++j) {
        // There and back, since neighbours share most taps.
        const Class& beside = acrosses[i % 2 ? acrosses.size() - 1 - j : j];
        blocks.push_back({static_cast<long>(phase.places.size()), &downs[i], &beside});
        Place(downs[i], beside, p, q, phase);
      }
    Cut(blocks, rows, columns, phase);
    return phase;
  }

  Offset Line() const { return Offset(padded[1].size) * shape.channels; }

  void Place(const Class& rows, const Class& columns, int p, int q, Phase& phase) const {
    const Axis &down = shape.axes[0], &across = shape.axes[1];
    for (int b = 0; b < images; ++b)
      for (int m : rows.outputs) {
        const Offset from = (Offset(b) * padded[0].size + m * down.step()) * Line();
        const Offset to = Offset(b) * shape.pixels() + (p + m * down.holes) * across.out + q;
        for (int n : columns.outputs) {
          phase.places.push_back(from + n * phase.step);
          phase.to.push_back((to + n * across.holes) * shape.outputs);
        }
      }
  }

  void Cut(const std::vector<Block>& blocks, const std::vector<Meeting>& rows,
           const std::vector<Meeting>& columns, Phase& phase) const {
    const long places = phase.places.size(), runs = (places + RUN - 1) / RUN;
    const long each = phase.lines ? lines : size;
    const auto edge = [&](int band) { return std::min(places, runs * band / bands * RUN); };
    std::size_t block = 0, listed = blocks.size();  // The one that the last taps are of alone.
    Tile tile{};
    for (int band = 0; band < bands; ++band) {
      const long first = edge(band), last = edge(band + 1);
      std::vector<Tile>& tiles = phase.bands.emplace_back();
      for (long at = first; at < last; at += each) {
        // The last tile computes again what the one before it did, or its last place many times.
        const long begin = std::max(first, std::min(at, last - each));
        const long end = std::min(begin + each, last);
        while (block + 1 < blocks.size() && blocks[block + 1].first <= begin) ++block;
        const bool alone = block + 1 == blocks.size() || blocks[block + 1].first >= end;
        if (!alone || listed != block) {
          tile.tap = phase.taps.size();
          List(blocks, block, end, rows, columns, phase);
          tile.taps = static_cast<int>(phase.taps.size() - tile.tap);
        }
        listed = alone ? block : blocks.size();
        tile.place = begin;
        tile.fresh = static_cast<int>(at - begin);
        tile.count = static_cast<int>(end - begin);
        if (end - begin < each) {
          tile.place = phase.places.size();
          for (long t = begin; t < begin + each; ++t) {
            phase.places.push_back(phase.places[std::min(t, end - 1)]);
            phase.to.push_back(phase.to[std::min(t, end - 1)]);
          }
        }
        tiles.push_back(tile);
      }
    }
  }

  // The taps that any place before `end` meets, from a block on.
  void List(const std::vector<Block>& blocks, std::size_t block, long end,
            const std::vector<Meeting>& rows, const std::vector<Meeting>& columns,
            Phase& phase) const {
    std::vector<bool> met(rows.size() * columns.size());
    for (; block < blocks.size() && blocks[block].first < end; ++block)
      for (std::size_t i = 0; i < rows.size(); ++i)
        for (std::size_t j = 0; j < columns.size(); ++j)
          if (blocks[block].down->met[i] && blocks[block].across->met[j])
            met[i * columns.size() + j] = true;
    for (std::size_t j = 0; j < columns.size(); ++j)
      for (std::size_t i = 0; i < rows.size(); ++i)
        if (met[i * columns.size() + j]) {
          const int tap = rows[i].tap * shape.axes[1].taps + columns[j].tap;
          phase.taps.push_back((rows[i].off + padded[0].before) * Line() +
                               Offset(columns[j].off + padded[1].before) * shape.channels);
          phase.weights.push_back(flipped ? shape.taps() - 1 - tap : tap);
        }
  }
};
