// What batch norm makes of sums over the places of a map, channel by channel.
#pragma once

#include <algorithm>
#include <cmath>

// What batch norm makes of a map's channels: mean, variance, one over the deviation, and that times
// scale; [channels] each.
struct Moments {
  float *mean, *variance, *rate, *factor;

  // Of the sums of so many outputs and of their squares.
  void Of(const float* sums, const float* scale, float epsilon, long places, int channels) const {
    for (int c = 0; c < channels; ++c) {
      mean[c] = sums[c] / places;
      variance[c] = std::max(sums[channels + c] / places - mean[c] * mean[c], 0.0f);
      rate[c] = 1 / std::sqrt(variance[c] + epsilon);
      factor[c] = rate[c] * scale[c];
    }
  }
};

// Of gradients of what such a map became: those by scale and by bias, and what that by the map has
// beside factor * gradient, slope * (map - mean) + shift.
struct Slopes {
  float *scale, *bias, *slope, *shift;

  // Of the sums of the gradients and of them times (map - mean).
  void Of(const float* sums, const float* rate, const float* factor, long places,
          int channels) const {
    for (int c = 0; c < channels; ++c) {
      const float total = sums[c], along = sums[channels + c];
      scale[c] = along * rate[c];
      bias[c] = total;
      slope[c] = -factor[c] * rate[c] * rate[c] * (along / places);
      shift[c] = -factor[c] * (total / places);
    }
  }
};
