// XLA's custom calls for convolutions on the CPU: float32, NHWC by HWIO.

#include "convolve.h"
#include "correlate.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

using Array = ffi::Buffer<ffi::F32, 4>;
using Pair = ffi::Span<const int64_t>;

ffi::Error Convolve(ffi::ThreadPool pool, Array x, Array w, ffi::Result<Array> y, Pair stride,
                    Pair low, Pair dilation, Pair holes, int64_t groups, bool flipped) {
  const auto from = x.dimensions(), kernel = w.dimensions(), to = y->dimensions();
  const auto axis = [&](int i) {
    return Axis{int(from[1 + i]), int(to[1 + i]),   int(kernel[i]), int(stride[i]),
                int(low[i]),      int(dilation[i]), int(holes[i])};
  };
  const Convolution work{
      {{axis(0), axis(1)}, int(from[0]), int(from[3]), int(to[3]), int(groups)}, flipped};
  work.Run(pool, x.typed_data(), w.typed_data(), y->typed_data());
  return ffi::Error::Success();
}

ffi::Error Correlate(ffi::ThreadPool pool, Array x, Array g, ffi::Result<Array> w, Pair stride,
                     Pair low, Pair dilation, int64_t groups) {
  const auto from = x.dimensions(), out = g.dimensions(), kernel = w->dimensions();
  const auto axis = [&](int i) {
    return Axis{int(from[1 + i]), int(out[1 + i]),  int(kernel[i]), int(stride[i]),
                int(low[i]),      int(dilation[i]), 1};
  };
  const Correlation work{
      {{axis(0), axis(1)}, int(from[0]), int(from[3]), int(out[3]), int(groups)}};
  work.Run(pool, x.typed_data(), g.typed_data(), w->typed_data());
  return ffi::Error::Success();
}

}  // namespace

// What both take: two arrays to one, and how the kernel moves.
#define CNNJAX_PRODUCT                                                                       \
  ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Ret<Array>()             \
      .Attr<Pair>("stride").Attr<Pair>("low").Attr<Pair>("dilation")

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_convolve, Convolve,
    CNNJAX_PRODUCT.Attr<Pair>("holes").Attr<int64_t>("groups").Attr<bool>("flipped"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_correlate, Correlate,
                              CNNJAX_PRODUCT.Attr<int64_t>("groups"));
