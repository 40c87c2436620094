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

using Channels = ffi::Result<Row>;

ffi::Error Moment(ffi::ThreadPool pool, Map x, Row scale, Channels mean, Channels variance,
                  Channels rate, Channels factor, float epsilon) {
  const auto size = x.dimensions();
  Moments(pool, x.typed_data(), scale.typed_data(), size[0], static_cast<int>(size[1]), epsilon,
          mean->typed_data(), variance->typed_data(), rate->typed_data(), factor->typed_data());
  return ffi::Error::Success();
}

ffi::Error Slope(ffi::ThreadPool pool, Map g, Map x, Row mean, Row rate, Row factor,
                 Channels scale, Channels bias, Channels slope, Channels shift) {
  const auto size = x.dimensions();
  Slopes(pool, g.typed_data(), x.typed_data(), mean.typed_data(), rate.typed_data(),
         factor.typed_data(), size[0], static_cast<int>(size[1]), scale->typed_data(),
         bias->typed_data(), slope->typed_data(), shift->typed_data());
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
