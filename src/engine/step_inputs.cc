// Packing a step's inputs (engine/step_inputs.h).
#include "engine/step_inputs.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "model/rope_frequencies.h"

namespace batchscope {
namespace {

template <class T>
void copy_values(std::span<const T> values, std::byte* to) {
  if (!values.empty()) std::memcpy(to, values.data(), values.size_bytes());
}

// Under dynamic scaling the frequencies follow from each sequence's own length; a padded row is as long as its batch.
std::vector<float> frequencies_of_sequences(const ModelConfig& config, const Batch& batch) {
  std::vector<float> all;
  if (config.rope_scaling.kind != RopeScaling::Kind::dynamic) return all;
  for (const auto& segment : batch.segments) {
    if (segment.shared.count > 0 && segment.keys() > config.max_positions)
      throw InputError(
          "--packing prefix: under dynamic RoPE scaling, sequences of more than {} tokens do not share keys, and one "
          "has {}; use packed",
          config.max_positions, segment.keys());
    const auto own = inverse_frequencies(config, segment.keys());
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

}  // namespace

StepInputs::StepInputs(const ModelConfig& config, const Batch& batch, std::span<const BatchTurn> turns,
                       std::span<const std::int32_t> key_rows, std::span<const TokenDraw> draws)
    : batch_(batch),
      turns_(turns),
      key_rows_values_(key_rows),
      draws_values_(draws),
      frequencies_values_(frequencies_of_sequences(config, batch)) {
  const auto one_row = [&](std::int64_t count) { return add(count > 0 ? 1 : 0, count); };
  tokens_ = one_row(batch.rows());
  positions_ = one_row(batch.rows());
  segments_ = add(std::ssize(batch.segments), segment_words);
  key_rows_ = one_row(std::ssize(key_rows));
  logit_rows_ = one_row(std::ssize(batch.logit_rows));
  targets_ = one_row(std::ssize(batch.targets));
  draws_ = add(std::ssize(draws), draw_words);
  frequencies_ = add(frequencies_values_.empty() ? 0 : std::ssize(batch.segments), config.head_dim / 2);
}

StepInputs::Part StepInputs::add(std::int64_t rows, std::int64_t columns) {
  const Part part{bytes_, rows, columns};
  const std::int64_t bytes = rows * columns * size_of(DType::i32);
  bytes_ += (bytes + Arena::granularity - 1) / Arena::granularity * Arena::granularity;
  return part;
}

void StepInputs::pack(std::byte* to) const {
  copy_values<std::int32_t>(batch_.tokens, to + tokens_.offset);
  copy_values<std::int32_t>(batch_.positions, to + positions_.offset);
  auto* segments = reinterpret_cast<std::int32_t*>(to + segments_.offset);
  for (const BatchTurn& turn : turns_) {
    write_segments(turn.segments, segments);
    segments += std::ssize(turn.segments) * segment_words;
  }
  copy_values<std::int32_t>(key_rows_values_, to + key_rows_.offset);
  copy_values<std::int32_t>(batch_.logit_rows, to + logit_rows_.offset);
  copy_values<std::int32_t>(batch_.targets, to + targets_.offset);
  copy_values(draws_values_, to + draws_.offset);
  copy_values<float>(frequencies_values_, to + frequencies_.offset);
}

StepTensors StepInputs::on(const Tensor& block) const {
  CHECK_EQUAL(block.bytes(), bytes_, "the block is as large as what is packed");
  const auto view = [&](const Part& part, DType dtype) {
    return Tensor{block.data + part.offset, dtype, part.rows, part.columns, part.columns};
  };
  return {.tokens = view(tokens_, DType::i32),
          .positions = view(positions_, DType::i32),
          .segments = view(segments_, DType::i32),
          .key_rows = view(key_rows_, DType::i32),
          .logit_rows = view(logit_rows_, DType::i32),
          .targets = view(targets_, DType::i32),
          .draws = view(draws_, DType::i32),
          .frequencies = view(frequencies_, DType::f32)};
}

}  // namespace batchscope
