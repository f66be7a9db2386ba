// Forming batches in the three packings.
#include "engine/batch.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace batchscope {
namespace {

std::int64_t input_length(const ScoreRequest& request) { return static_cast<std::int64_t>(request.tokens.size()) - 1; }

// Requests that must stay together: one each, or whole groups under `prefix`.
std::vector<RequestIndices> units_of(std::span<const ScoreRequest> requests, const RequestIndices& which,
                                     Packing packing) {
  std::vector<RequestIndices> units;
  for (const std::size_t index : which) {
    const bool together =
        packing == Packing::prefix && !units.empty() && requests[units.back().front()].group == requests[index].group;
    if (together)
      units.back().push_back(index);
    else
      units.push_back({index});
  }
  return units;
}

std::int64_t longest_input(std::span<const ScoreRequest> requests, const RequestIndices& which) {
  std::int64_t longest = 0;
  for (const std::size_t index : which) longest = std::max(longest, input_length(requests[index]));
  return longest;
}

// Tokens that all requests of a group begin with, none of them behind the token before a scored one.
std::int64_t shared_length(std::span<const ScoreRequest> requests, const RequestIndices& group) {
  if (group.size() < 2) return 0;
  const auto& first = requests[group.front()].tokens;
  auto shared = static_cast<std::int64_t>(first.size());
  for (const std::size_t index : group) {
    const auto& tokens = requests[index].tokens;
    shared = std::min(shared, static_cast<std::int64_t>(tokens.size()) - requests[index].scored);
    const auto differ =
        std::mismatch(first.begin(), first.begin() + std::min<std::ptrdiff_t>(shared, std::ssize(first)),
                      tokens.begin(), tokens.end());
    shared = std::min(shared, static_cast<std::int64_t>(differ.first - first.begin()));
  }
  return shared;
}

// Tokens that a unit adds to a batch whose rows, when padded, are `width` long.
std::int64_t computed_tokens(std::span<const ScoreRequest> requests, const RequestIndices& unit, Packing packing,
                             std::int64_t width) {
  if (packing == Packing::padded) return width * std::ssize(unit);
  const std::int64_t shared = packing == Packing::prefix ? shared_length(requests, unit) : 0;
  std::int64_t tokens = shared;
  for (const std::size_t index : unit) tokens += input_length(requests[index]) - shared;
  return tokens;
}

// Appends input tokens [begin, end) of a request; returns the row of the first.
std::int64_t append_tokens(Batch& batch, const ScoreRequest& request, std::int64_t begin, std::int64_t end) {
  const std::int64_t row = batch.rows();
  for (std::int64_t i = begin; i < end; ++i) {
    batch.tokens.push_back(request.tokens[static_cast<std::size_t>(i)]);
    batch.positions.push_back(static_cast<std::int32_t>(i));
  }
  return row;
}

void append_segment(Batch& batch, std::int64_t row, std::int64_t count, KeySpan shared) {
  if (count > 0)
    batch.segments.push_back({.query_begin = row, .query_count = count, .shared = shared, .own = {row, count}});
}

void add_padded(Batch& batch, const ScoreRequest& request, std::size_t index, std::int64_t width) {
  const std::int64_t length = input_length(request);
  const std::int64_t row = append_tokens(batch, request, 0, length);
  batch.tokens.resize(static_cast<std::size_t>(row + width), 0);
  for (std::int64_t i = length; i < width; ++i) batch.positions.push_back(static_cast<std::int32_t>(i));
  append_segment(batch, row, width, {});
  batch.targets.resize(static_cast<std::size_t>(row + width), -1);
  const std::int64_t first = length - request.scored;
  for (std::int64_t i = first; i < length; ++i)
    batch.targets[static_cast<std::size_t>(row + i)] = request.tokens[static_cast<std::size_t>(i + 1)];
  batch.scored.push_back({index, row + first, request.scored});
  batch.padding += width - length;
}

// A request whose first `shared` tokens stand at rows shared_row and on.
void add_packed(Batch& batch, const ScoreRequest& request, std::size_t index, KeySpan shared) {
  const std::int64_t length = input_length(request);
  const std::int64_t row = append_tokens(batch, request, shared.count, length);
  append_segment(batch, row, length - shared.count, shared);
  batch.scored.push_back({index, batch.logits(), request.scored});
  for (std::int64_t i = length - request.scored; i < length; ++i) {
    const std::int64_t at = i < shared.count ? shared.begin + i : row + i - shared.count;
    batch.logit_rows.push_back(static_cast<std::int32_t>(at));
    batch.targets.push_back(request.tokens[static_cast<std::size_t>(i + 1)]);
  }
}

void add_group(Batch& batch, std::span<const ScoreRequest> requests, const RequestIndices& group) {
  const std::int64_t shared = shared_length(requests, group);
  const std::int64_t row = append_tokens(batch, requests[group.front()], 0, shared);
  append_segment(batch, row, shared, {});
  for (const std::size_t index : group) add_packed(batch, requests[index], index, {row, shared});
}

}  // namespace

std::vector<std::int64_t> Batch::shape() const {
  std::vector<std::int64_t> shape{rows(), logits(), static_cast<std::int64_t>(logit_rows.size())};
  for (const auto& segment : segments) {
    shape.push_back(segment.query_count);
    shape.push_back(segment.own.count);
    shape.push_back(segment.shared.count);
  }
  return shape;
}

std::vector<std::int64_t> Batch::launch_shape(std::span<const BatchTurn> turns) const {
  std::vector<std::int64_t> shape{rows(), logits(), static_cast<std::int64_t>(logit_rows.size())};
  for (const BatchTurn& turn : turns) {
    const AttentionExtent extent = extent_of(turn.segments);
    shape.insert(shape.end(), {turn.rows, extent.segments, extent.queries, extent.keys});
  }
  return shape;
}

std::vector<BatchTurn> one_turn(const Batch& batch) { return {{0, batch.rows(), batch.segments}}; }

std::vector<BatchTurn> turns_of(const Batch& batch, std::int64_t least_rows) {
  const auto& segments = batch.segments;
  std::size_t cut = 0;  // the second turn's first segment; 0: there is none
  std::int64_t cut_row = 0, least_row = batch.rows();
  for (std::size_t i = segments.size(); i-- > 1;) {
    const AttentionSegment& segment = segments[i];
    least_row = std::min({least_row, segment.query_begin, segment.own.begin});
    if (segment.shared.count > 0) least_row = std::min(least_row, segment.shared.begin);
    const std::int64_t row = segment.query_begin;
    const bool is_possible = least_row == row && row >= least_rows && batch.rows() - row >= least_rows;
    if (!is_possible || (cut > 0 && std::abs(2 * row - batch.rows()) > std::abs(2 * cut_row - batch.rows()))) continue;
    cut = i;
    cut_row = row;
  }
  if (cut == 0) return one_turn(batch);
  const auto middle = segments.begin() + static_cast<std::ptrdiff_t>(cut);
  std::vector<BatchTurn> turns{{0, cut_row, {segments.begin(), middle}},
                               {cut_row, batch.rows() - cut_row, {middle, segments.end()}}};
  for (AttentionSegment& segment : turns.back().segments)
    for (std::int64_t* row : {&segment.query_begin, &segment.own.begin, &segment.shared.begin}) *row -= cut_row;
  return turns;
}

std::vector<RequestIndices> form_batches(std::span<const ScoreRequest> requests, std::int64_t batch, Packing packing,
                                         std::optional<std::int64_t> tokens) {
  CHECK_THAT(batch > 0, "a batch holds sequences, this one {}", batch);
  RequestIndices all(requests.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  auto units = units_of(requests, all, packing);
  std::stable_sort(units.begin(), units.end(), [&](const auto& a, const auto& b) {
    return longest_input(requests, a) > longest_input(requests, b);
  });
  std::vector<RequestIndices> batches;
  std::int64_t width = 0, computed = 0;  // of the last batch: its longest input, and its tokens
  for (const auto& unit : units) {
    const bool full = batches.empty() || static_cast<std::int64_t>(batches.back().size() + unit.size()) > batch ||
                      (tokens && computed + computed_tokens(requests, unit, packing, width) > *tokens);
    if (full) {
      batches.emplace_back();
      width = longest_input(requests, unit);
      computed = 0;
    }
    computed += computed_tokens(requests, unit, packing, width);
    batches.back().insert(batches.back().end(), unit.begin(), unit.end());
  }
  return batches;
}

std::vector<RequestIndices> split_batch(std::span<const ScoreRequest> requests, const RequestIndices& batch,
                                        std::int64_t parts, Packing packing) {
  const auto units = units_of(requests, batch, packing);
  const auto count = std::min(parts, static_cast<std::int64_t>(units.size()));
  std::vector<RequestIndices> micro_batches(static_cast<std::size_t>(count));
  for (std::int64_t part = 0; part < count; ++part) {
    const Range share = even_share(static_cast<std::int64_t>(units.size()), count, part);
    auto& micro_batch = micro_batches[static_cast<std::size_t>(part)];
    for (std::int64_t i = share.begin; i < share.end; ++i) {
      const auto& unit = units[static_cast<std::size_t>(i)];
      micro_batch.insert(micro_batch.end(), unit.begin(), unit.end());
    }
  }
  return micro_batches;
}

Batch make_batch(std::span<const ScoreRequest> requests, const RequestIndices& which, Packing packing) {
  Batch batch;
  const std::int64_t width = longest_input(requests, which);
  if (packing == Packing::prefix) {
    for (const auto& group : units_of(requests, which, packing)) add_group(batch, requests, group);
    return batch;
  }
  for (const std::size_t index : which) {
    if (packing == Packing::padded)
      add_padded(batch, requests[index], index, width);
    else
      add_packed(batch, requests[index], index, {});
  }
  return batch;
}

}  // namespace batchscope
