// How XLA calls what is computed here: with float32 arrays, maps NHWC and weights HWIO.

#include "kernels.h"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;

template <int RANK>
using Array = ffi::Buffer<ffi::F32, RANK>;
using Map = Array<4>;
using Pair = ffi::Span<const int64_t>;

// What a custom call is given and what it is told, each by its number or name.
class Call {
 public:
  Call(ffi::ThreadPool& pool, ffi::RemainingArgs ins, ffi::RemainingRets outs,
       ffi::Dictionary told)
      : pool{int(std::max<int64_t>(1, pool.num_threads())),
             [&pool](std::function<void()> work) { pool.Schedule(std::move(work)); }},
        ins_(ins), outs_(outs), told_(told) {}

  const Pool pool;

  // Of so many dimensions.
  template <int RANK>
  Array<RANK> In(int i) const {
    return Got(ins_.get<Array<RANK>>(i));
  }
  template <int RANK>
  Array<RANK> Out(int i) const {
    return *Got(outs_.get<Array<RANK>>(i));
  }

  const float* MapIn(int i) const { return In<4>(i).typed_data(); }
  const float* RowIn(int i) const { return In<1>(i).typed_data(); }
  float* RowOut(int i) const { return Out<1>(i).typed_data(); }
  // A map that is there or not.
  const float* Beside(int i) const { return std::size_t(i) < ins_.size() ? MapIn(i) : nullptr; }

  template <typename T>
  T Told(const char* name) const {
    return Got(told_.get<T>(name));
  }

  // From a map to one of other rows and columns, by something of so many taps.
  Shape Moves(const Map& from, const Map& to, Pair taps, Pair holes = Pair(ONES, 2)) const {
    const Pair stride = Told<Pair>("stride"), low = Told<Pair>("low");
    const Pair dilation = Told<Pair>("dilation");
    const auto in = from.dimensions(), out = to.dimensions();
    const auto axis = [&](int i) {
      return Axis{int(in[1 + i]), int(out[1 + i]),  int(taps[i]), int(stride[i]),
                  int(low[i]),    int(dilation[i]), int(holes[i])};
    };
    const int groups = told_.contains("groups") ? int(Told<int64_t>("groups")) : 1;
    return {{axis(0), axis(1)}, int(in[0]), int(in[3]), int(out[3]), groups};
  }

 private:
  static constexpr int64_t ONES[2] = {1, 1};

  // Raises what `Handled` returns, if there is no such thing.
  template <typename T>
  static T Got(ffi::ErrorOr<T> found) {
    if (!found) throw found.error();
    return *found;
  }

  ffi::RemainingArgs ins_;
  ffi::RemainingRets outs_;
  ffi::Dictionary told_;
};

// A convolution of the first input by the second, to the first output.
struct Convolving {
  const Map x, w, y;
  const Shape shape;
  const bool flipped;

  explicit Convolving(const Call& call)
      : x(call.In<4>(0)), w(call.In<4>(1)), y(call.Out<4>(0)),
        shape(call.Moves(x, y, w.dimensions().first(2), call.Told<Pair>("holes"))),
        flipped(call.Told<bool>("flipped")) {}

  long places() const { return long(shape.batch) * shape.pixels(); }

  void Do(const Call& call, const End& end = {}, const After* after = nullptr,
          float* sums = nullptr) const {
    Convolve(call.pool, shape, flipped, x.typed_data(), w.typed_data(), y.typed_data(), end, after,
             sums);
  }
};

void Plain(const Call& call) { Convolving(call).Do(call); }

// The same and what follows it.
void Finish(const Call& call) {
  const auto longer = [&](int i) {
    const auto row = call.In<1>(i);
    std::vector<float> copy(row.element_count() + 2 * WIDE);
    std::copy_n(row.typed_data(), row.element_count(), copy.data());
    return copy;
  };
  const std::vector<float> scale = longer(2), shift = longer(3);
  Convolving(call).Do(call, {scale.data(), shift.data(), call.Beside(4),
                             call.Told<float>("least"), call.Told<float>("most")});
}

// The moments of what a convolution is, for it to be normalised.
void Measure(const Call& call) {
  const Convolving convolving(call);
  const After after;
  std::vector<float> sums(2 * convolving.shape.outputs);
  convolving.Do(call, {}, &after, sums.data());
  Moments{call.RowOut(1), call.RowOut(2), call.RowOut(3), call.RowOut(4)}.Of(
      sums.data(), call.RowIn(2), call.Told<float>("epsilon"), convolving.places(),
      convolving.shape.outputs);
}

// The gradients of a map that was normalised, maybe added to, and cut off by ReLU to what passed:
// those that the convolution is, and what lies beside them, where anything passed; and their slopes.
void Return(const Call& call) {
  const Convolving convolving(call);
  const After after{call.MapIn(2), call.Beside(7),           call.MapIn(3),
                    call.RowIn(4), call.Told<float>("least"), call.Told<float>("most")};
  std::vector<float> sums(2 * convolving.shape.outputs);
  convolving.Do(call, {}, &after, sums.data());
  Slopes{call.RowOut(1), call.RowOut(2), call.RowOut(3), call.RowOut(4)}.Of(
      sums.data(), call.RowIn(5), call.RowIn(6), convolving.places(), convolving.shape.outputs);
}

// A convolution's gradient by its weights.
void Weigh(const Call& call) {
  const Map x = call.In<4>(0), g = call.In<4>(1), w = call.Out<4>(0);
  Correlate(call.pool, call.Moves(x, g, w.dimensions().first(2)), x.typed_data(), g.typed_data(),
            w.typed_data());
}

void PickEach(const Call& call) {
  const Map x = call.In<4>(0), y = call.Out<4>(0);
  Pick(call.pool, call.Moves(x, y, call.Told<Pair>("window")), x.typed_data(), call.MapIn(1),
       y.typed_data());
}

void PlaceEach(const Call& call) {
  const Map x = call.In<4>(0), g = call.In<4>(1);
  Place(call.pool, call.Moves(x, g, call.Told<Pair>("window")), x.typed_data(), g.typed_data(),
        call.Out<4>(0).typed_data());
}

// Sums by channel of rows [places, channels], and what batch norm makes of them.

void SumEach(const Call& call) {
  const auto g = call.In<2>(0), x = call.In<2>(1);
  Sums(call.pool, g.typed_data(), x.typed_data(), call.RowIn(2), x.dimensions()[0],
       int(x.dimensions()[1]), call.Out<2>(0).typed_data());
}

void MomentsOf(const Call& call) {
  const auto x = call.In<2>(0);
  const long places = x.dimensions()[0];
  const int channels = int(x.dimensions()[1]);
  std::vector<float> center(channels), sums(2 * channels);
  Sums(call.pool, x.typed_data(), x.typed_data(), center.data(), places, channels, sums.data());
  Moments{call.RowOut(0), call.RowOut(1), call.RowOut(2), call.RowOut(3)}.Of(
      sums.data(), call.RowIn(1), call.Told<float>("epsilon"), places, channels);
}

void SlopesOf(const Call& call) {
  const auto g = call.In<2>(0), x = call.In<2>(1);
  const long places = x.dimensions()[0];
  const int channels = int(x.dimensions()[1]);
  std::vector<float> sums(2 * channels);
  Sums(call.pool, g.typed_data(), x.typed_data(), call.RowIn(2), places, channels, sums.data());
  Slopes{call.RowOut(0), call.RowOut(1), call.RowOut(2), call.RowOut(3)}.Of(
      sums.data(), call.RowIn(3), call.RowIn(4), places, channels);
}

// One type for all calls, since each takes the compiler a second.
template <void (*WORK)(const Call&)>
ffi::Error Handled(ffi::ThreadPool pool, ffi::RemainingArgs ins, ffi::RemainingRets outs,
                   ffi::Dictionary told) {
  try {
    WORK(Call(pool, ins, outs, told));
  } catch (const ffi::Error& error) {
    return error;
  }
  return ffi::Error::Success();
}

}  // namespace

#define CNNJAX_CALL(name, work)                                                               \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                                              \
      name, Handled<work>,                                                                    \
      ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets().Attrs())

CNNJAX_CALL(cnnjax_convolve, Plain);
CNNJAX_CALL(cnnjax_finish, Finish);
CNNJAX_CALL(cnnjax_measure, Measure);
CNNJAX_CALL(cnnjax_return, Return);
CNNJAX_CALL(cnnjax_correlate, Weigh);
CNNJAX_CALL(cnnjax_pick, PickEach);
CNNJAX_CALL(cnnjax_place, PlaceEach);
CNNJAX_CALL(cnnjax_sums, SumEach);
CNNJAX_CALL(cnnjax_moments, MomentsOf);
CNNJAX_CALL(cnnjax_slopes, SlopesOf);
