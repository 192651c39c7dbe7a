#pragma once
// Arithmetic on series of points: thinning, smoothing, medians. Values that are not finite are passed over.

#include <cstdint>
#include <span>
#include <vector>

namespace everlong::report {

/// Chooses which points of a long series to draw: the first, the last, and the least and greatest of each of `buckets` equal stretches.
/// No peak is lost, whatever its width.
/// Shapes   returns increasing indices into `values`, at most 2 * buckets + 2; all finite points if they are no more than that
[[nodiscard]] std::vector<size_t> thin(std::span<const double> values, size_t buckets);

/// Exponential moving average without the bias of its start.
/// Math     m_t = d m_{t-1} + (1 - d) x_t, y_t = m_t / (1 - d^t), d = (w - 1) / (w + 1) for a window of w points
/// Shapes   as `values`; NaN where the value is not finite
[[nodiscard]] std::vector<double> smooth(std::span<const double> values, double window);

/// The middle value; NaN if there is none.
[[nodiscard]] double median(std::vector<double> values);

/// The greatest value; NaN if there is none.
[[nodiscard]] double greatest(std::span<const double> values);

/// The mean of the last `count` finite values; NaN if there is none.
[[nodiscard]] double mean_of_last(std::span<const double> values, size_t count);

}  // namespace everlong::report
