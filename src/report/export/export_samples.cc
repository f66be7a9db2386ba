// Portions of a series (report/export/export_samples.h): windows of time, shorter where values are dense.
#include "report/export/export_samples.h"

#include <algorithm>

namespace batchscope {
namespace {

constexpr std::int64_t wanted = 1 << 17;  // values a portion: some times a large chunk, so that few are read twice

// How far `end` is from `begin`; hostile files have instants whose difference is no Nanoseconds.
double distance(Nanoseconds begin, Nanoseconds end) {
  return static_cast<double>(end.count()) - static_cast<double>(begin.count());
}

Nanoseconds later(Nanoseconds from, double by, Nanoseconds last) {
  return by < distance(from, last) ? from + Nanoseconds(static_cast<std::int64_t>(by)) : last;
}

}  // namespace

void each_portion(const StoreReader& reader, const SeriesRecord& series,
                  const std::function<void(const SampleSeries&)>& take) {
  const SeriesSummary summary = reader.summary(series.id);
  if (!summary.begin || !summary.end) return;
  const Nanoseconds last = *summary.end;
  const auto ticks = static_cast<double>(std::max<std::int64_t>(summary.count + summary.absent, 1));
  double span = std::max(distance(*summary.begin, last) / ticks * wanted, 1.0);  // ns
  for (Nanoseconds from = *summary.begin; from <= last;) {
    const Nanoseconds to = later(from, span, last);
    const SampleSeries samples = reader.samples(series, from, to);
    if (samples.size() > 0) take(samples);
    if (to == last) break;
    if (samples.size() > 2 * wanted) span = std::max(span / 2, 1.0);
    if (samples.size() < wanted / 2) span *= 2;
    from = to + Nanoseconds(1);
  }
}

}  // namespace batchscope
