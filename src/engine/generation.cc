// Keeps the slots of a generation, and makes each step's input from them.
#include "engine/generation.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"
#include "engine/sampling.h"

namespace batchscope {
namespace {

std::int64_t longest(const GenerateRequest& request) { return std::ssize(request.prompt) + request.new_tokens; }

}  // namespace

RequestIndices requests_of_replica(std::size_t requests, const Layout& layout, std::int64_t replica) {
  RequestIndices served;
  for (auto index = static_cast<std::size_t>(replica); index < requests;
       index += static_cast<std::size_t>(layout.replicas()))
    served.push_back(index);
  return served;
}

bool is_last_token(const GenerateRequest& request, std::int64_t generated, std::int32_t token,
                   std::span<const std::int32_t> eos) {
  return generated >= request.new_tokens || (request.stop_at_eos && generated > request.min_new_tokens &&
                                             std::find(eos.begin(), eos.end(), token) != eos.end());
}

GenerationExtent extent_of(std::span<const GenerateRequest> requests, const RequestIndices& served,
                           std::int64_t batch) {
  GenerationExtent extent{.slots = std::min<std::int64_t>(std::ssize(served), batch)};
  if (served.empty()) return extent;
  std::vector<std::int64_t> lengths;
  for (const std::size_t index : served) {
    const GenerateRequest& request = requests[index];
    lengths.push_back(std::ssize(request.prompt));
    extent.slot_rows = std::max(extent.slot_rows, longest(request));
    // A sequence's last token is not read any more, so one of two tokens or more is decoded, up to all but one of them.
    if (request.new_tokens > 1) extent.decoded_keys = std::max(extent.decoded_keys, longest(request) - 1);
    extent.is_drawn = extent.is_drawn || request.sampling.temperature > 0;
    extent.has_log_probabilities = extent.has_log_probabilities || request.log_probabilities;
  }
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  lengths.resize(static_cast<std::size_t>(extent.slots));
  extent.prefills.push_back(std::move(lengths));
  return extent;
}

GenerationExtent open_extent(std::int64_t batch, std::int64_t sequence_tokens, std::int64_t prompt_tokens) {
  GenerationExtent extent{.slots = batch,
                          .slot_rows = sequence_tokens,
                          .decoded_keys = sequence_tokens - 1,
                          .is_drawn = true,
                          .has_log_probabilities = true,
                          .is_open = true};
  // As long prompts as there can be have the most tokens and scores, many short ones the most logits beside them.
  const std::int64_t longest_prompt = sequence_tokens - 1, together = std::max(prompt_tokens, longest_prompt);
  std::vector<std::int64_t> long_ones, short_ones;
  for (std::int64_t left = together; left > 0 && std::ssize(long_ones) < batch; left -= long_ones.back())
    long_ones.push_back(std::min(left, longest_prompt));
  const std::int64_t prompts = std::min(batch, prompt_tokens);
  for (std::int64_t i = 0; i < prompts; ++i)
    short_ones.push_back(std::min(longest_prompt, even_share(prompt_tokens, prompts, i).size()));
  extent.prefills = {std::move(long_ones), std::move(short_ones)};
  return extent;
}

Generation::Generation(GenerationExtent extent, std::span<const std::int32_t> eos)
    : extent_(std::move(extent)), eos_(eos), slots_(static_cast<std::size_t>(extent_.slots)) {}

std::vector<GenerationStep> Generation::largest_steps() const {
  std::vector<GenerationStep> steps;
  if (slots_.empty()) return steps;
  NumberedRequest any;
  any.request.sampling.temperature = extent_.is_drawn ? 1 : 0;
  any.request.log_probabilities = any.request.prompt_log_probabilities = extent_.has_log_probabilities;
  for (const auto& lengths : extent_.prefills) {
    std::vector<NumberedRequest> prompts(lengths.size(), any);
    for (std::size_t i = 0; i < lengths.size(); ++i)
      prompts[i].request.prompt.resize(static_cast<std::size_t>(lengths[i]));
    steps.push_back(Generation(extent_, eos_).prefill(prompts));
  }
  if (extent_.decoded_keys == 0) return steps;
  GenerationStep decode;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    constexpr std::int32_t token = 0;
    add(decode, slot, any, {&token, 1}, extent_.decoded_keys - 1);
  }
  steps.push_back(std::move(decode));
  return steps;
}

GenerationStep Generation::prefill(std::span<const NumberedRequest> admitted) {
  CHECK_THAT(admitted.size() <= free_slots(), "{} requests are admitted to {} slots", admitted.size(), free_slots());
  GenerationStep step{.is_prefill = true};
  std::size_t slot = 0;
  for (const NumberedRequest& one : admitted) {
    CHECK_THAT(longest(one.request) <= extent_.slot_rows, "{} tokens of a request find room in a slot of {}",
               longest(one.request), extent_.slot_rows);
    while (slots_[slot]) ++slot;
    slots_[slot] = Sequence{.of = one};
    add(step, slot, one, one.request.prompt, 0);
  }
  for (std::size_t i = 0; i < admitted.size(); ++i) {
    if (!admitted[i].request.prompt_log_probabilities) continue;
    const auto& prompt = admitted[i].request.prompt;
    step.batch.scored.push_back({i, step.batch.logits(), std::ssize(prompt) - 1});
    for (std::size_t token = 1; token < prompt.size(); ++token) {
      step.batch.logit_rows.push_back(
          static_cast<std::int32_t>(step.batch.segments[i].query_begin + static_cast<std::int64_t>(token) - 1));
      step.batch.targets.push_back(prompt[token]);
    }
  }
  active_ += admitted.size();
  return step;
}

GenerationStep Generation::decode() const {
  GenerationStep step;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot]) continue;
    const Sequence& sequence = *slots_[slot];
    add(step, slot, sequence.of, {&sequence.last, 1}, std::ssize(sequence.of.request.prompt) + sequence.generated - 1);
  }
  return step;
}

void Generation::append(const GenerationStep& step, std::span<const std::int32_t> tokens) {
  for (std::size_t i = 0; i < step.slots.size(); ++i) {
    auto& slot = slots_[step.slots[i]];
    slot->last = tokens[i];
    ++slot->generated;
    if (slot->last >= 0 && !is_last_token(slot->of.request, slot->generated, slot->last, eos_)) continue;
    slot.reset();
    --active_;
  }
}

void Generation::cancel(std::span<const std::size_t> numbers) {
  for (auto& slot : slots_) {
    if (!slot || std::find(numbers.begin(), numbers.end(), slot->of.number) == numbers.end()) continue;
    slot.reset();
    --active_;
  }
}

// The next tokens of a sequence of which `cached` are in its slot.
void Generation::add(GenerationStep& step, std::size_t slot, const NumberedRequest& of,
                     std::span<const std::int32_t> tokens, std::int64_t cached) const {
  const std::int64_t begin = static_cast<std::int64_t>(slot) * extent_.slot_rows;
  const std::int64_t length = cached + std::ssize(tokens);
  step.batch.segments.push_back(
      {.query_begin = step.batch.rows(), .query_count = std::ssize(tokens), .shared = {}, .own = {begin, length}});
  step.batch.tokens.insert(step.batch.tokens.end(), tokens.begin(), tokens.end());
  for (std::int64_t position = cached; position < length; ++position) {
    step.batch.positions.push_back(static_cast<std::int32_t>(position));
    step.cache_rows.push_back(static_cast<std::int32_t>(begin + position));
  }
  step.batch.logit_rows.push_back(static_cast<std::int32_t>(step.batch.rows() - 1));
  step.batch.targets.push_back(-1);
  step.has_log_probabilities = step.has_log_probabilities || of.request.log_probabilities;
  step.requests.push_back(of.number);
  step.slots.push_back(slot);
  step.draws.push_back(draw_of(of.request.sampling, length));
}

}  // namespace batchscope
