// Custom calls: pools and sums.

#include "calls.h"
#include "pool.h"
#include "sums.h"

namespace {

ffi::Error Pick(ffi::ThreadPool pool, Array x, Array v, ffi::Result<Array> y, Pair stride, Pair low,
                Pair dilation, Pair window) {
  const Moves moves{window, stride, low, dilation, Pair(ONES, 2)};
  Pooling{moves.Of(x, *y, 1)}.Pick(pool, x.typed_data(), v.typed_data(), y->typed_data());
  return ffi::Error::Success();
}

ffi::Error Place(ffi::ThreadPool pool, Array x, Array g, ffi::Result<Array> d, Pair stride,
                 Pair low, Pair dilation, Pair window) {
  const Moves moves{window, stride, low, dilation, Pair(ONES, 2)};
  Pooling{moves.Of(x, g, 1)}.Place(pool, x.typed_data(), g.typed_data(), d->typed_data());
  return ffi::Error::Success();
}

ffi::Error Sum(ffi::ThreadPool pool, Map g, Map x, Row center, ffi::Result<Map> to) {
  const auto size = x.dimensions();
  Sums(pool, g.typed_data(), x.typed_data(), center.typed_data(), size[0],
       static_cast<int>(size[1]), to->typed_data());
  return ffi::Error::Success();
}

ffi::Error Moment(ffi::ThreadPool pool, Map x, Row scale, Channels mean, Channels variance,
                  Channels rate, Channels factor, float epsilon) {
  const long places = x.dimensions()[0];
  const int channels = static_cast<int>(x.dimensions()[1]);
  std::vector<float> center(channels), sums(2 * channels);
  Sums(pool, x.typed_data(), x.typed_data(), center.data(), places, channels, sums.data());
  Moments{mean->typed_data(), variance->typed_data(), rate->typed_data(), factor->typed_data()}.Of(
      sums.data(), scale.typed_data(), epsilon, places, channels);
  return ffi::Error::Success();
}

ffi::Error Slope(ffi::ThreadPool pool, Map g, Map x, Row mean, Row rate, Row factor,
                 Channels scale, Channels bias, Channels slope, Channels shift) {
  const long places = x.dimensions()[0];
  const int channels = static_cast<int>(x.dimensions()[1]);
  std::vector<float> sums(2 * channels);
  Sums(pool, g.typed_data(), x.typed_data(), mean.typed_data(), places, channels, sums.data());
  Slopes{scale->typed_data(), bias->typed_data(), slope->typed_data(), shift->typed_data()}.Of(
      sums.data(), rate.typed_data(), factor.typed_data(), places, channels);
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_pick, Pick, CNNJAX_MOVING.Attr<Pair>("window"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_place, Place, CNNJAX_MOVING.Attr<Pair>("window"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_sums, Sum,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Map>().Arg<Map>().Arg<Row>().Ret<Map>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_moments, Moment,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Map>().Arg<Row>()
        .Ret<Row>().Ret<Row>().Ret<Row>().Ret<Row>().Attr<float>("epsilon"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_slopes, Slope,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Map>().Arg<Map>().Arg<Row>().Arg<Row>().Arg<Row>()
        .Ret<Row>().Ret<Row>().Ret<Row>().Ret<Row>());
