// Thinning a series for figures (store/store.h): spikes stay, because a bucket keeps its least and its greatest value.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "store/store.h"

namespace batchscope {
namespace {

constexpr std::int64_t most_decoded = 1 << 20;  // values: some 20 ms

void add(SeriesBucket& bucket, const SeriesBucket& more) {
  if (bucket.count == 0) bucket.begin = more.begin;
  bucket.end = more.end;
  bucket.count += more.count;
  if (more.sum) bucket.sum = bucket.sum.value_or(0) + *more.sum;
  if (more.min) bucket.min = std::min(bucket.min.value_or(*more.min), *more.min);
  if (more.max) bucket.max = std::max(bucket.max.value_or(*more.max), *more.max);
  if (!bucket.first) bucket.first = more.first;
  if (more.last) bucket.last = more.last;
}

SeriesBucket bucket_of(const SampleSeries& samples, std::size_t i) {
  SeriesBucket bucket{.begin = samples.before[i], .end = samples.before[i], .count = 1};
  if (const double value = samples.value(i); !std::isnan(value))
    bucket.sum = bucket.min = bucket.max = bucket.first = bucket.last = value;
  return bucket;
}

// Joined where they begin in the same one of `most` equal shares of the time; empty shares leave no bucket.
std::vector<SeriesBucket> joined(const std::vector<SeriesBucket>& parts, std::size_t most) {
  if (parts.size() <= most) return parts;
  const Nanoseconds begin = parts.front().begin, length = parts.back().begin - begin + Nanoseconds(1);
  std::vector<SeriesBucket> out;
  std::size_t current = most;  // no share yet
  for (const SeriesBucket& part : parts) {
    const double at = to_seconds(part.begin - begin) / to_seconds(length) * static_cast<double>(most);
    const std::size_t share = std::min(static_cast<std::size_t>(std::max(at, 0.0)), most - 1);
    if (out.empty() || share != current) out.emplace_back();
    add(out.back(), part);
    current = share;
  }
  return out;
}

}  // namespace

std::vector<SeriesBucket> StoreReader::buckets(const SeriesRecord& series, std::size_t most,
                                               std::optional<Nanoseconds> from, std::optional<Nanoseconds> to) const {
  CHECK_THAT(most > 0, "series {} cannot be thinned to nothing", series.name);
  std::vector<SeriesBucket> parts = chunks(series.id, from, to);
  std::int64_t values = 0;
  for (const SeriesBucket& chunk : parts) values += std::clamp<std::int64_t>(chunk.count, 0, most_decoded);
  std::erase_if(parts, [](const SeriesBucket& chunk) { return chunk.count <= 0; });
  if (values > most_decoded) return joined(parts, most);
  const SampleSeries samples = this->samples(series, from, to);
  parts.clear();
  for (std::size_t i = 0; i < samples.size(); ++i) parts.push_back(bucket_of(samples, i));
  return joined(parts, most);
}

}  // namespace batchscope
