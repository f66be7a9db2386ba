// Slots and steps of a generation (engine/generation.h).
#include "engine/generation.h"

#include <algorithm>
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
  return generated >= request.new_tokens ||
         (request.stop_at_eos && std::find(eos.begin(), eos.end(), token) != eos.end());
}

Generation::Generation(std::span<const GenerateRequest> requests, RequestIndices served, std::int64_t batch,
                       std::span<const std::int32_t> eos)
    : requests_(requests),
      served_(std::move(served)),
      eos_(eos),
      slots_(std::min(served_.size(), static_cast<std::size_t>(batch))) {
  for (const std::size_t index : served_) slot_rows_ = std::max(slot_rows_, longest(requests_[index]));
}

std::vector<GenerationStep> Generation::largest_steps() const {
  std::vector<GenerationStep> steps;
  if (slots_.empty()) return steps;
  RequestIndices by_length = served_;
  std::stable_sort(by_length.begin(), by_length.end(), [&](std::size_t a, std::size_t b) {
    return requests_[a].prompt.size() > requests_[b].prompt.size();
  });
  GenerationStep prefill{.is_prefill = true};
  for (std::size_t slot = 0; slot < slots_.size(); ++slot)
    add(prefill, slot, by_length[slot], requests_[by_length[slot]].prompt, 0);
  steps.push_back(std::move(prefill));

  // A sequence's last token is not read any more, so one of two tokens or more is decoded, up to all but one of them.
  std::int64_t keys = 0;
  for (const std::size_t index : served_)
    if (requests_[index].new_tokens > 1) keys = std::max(keys, longest(requests_[index]) - 1);
  if (keys > 0) {
    GenerationStep decode;
    for (std::size_t slot = 0; slot < slots_.size(); ++slot)
      add(decode, slot, by_length[slot], std::span(requests_[by_length[slot]].prompt).first(1), keys - 1);
    steps.push_back(std::move(decode));
  }
  const auto drawn = std::find_if(served_.begin(), served_.end(),
                                  [&](std::size_t index) { return requests_[index].sampling.temperature > 0; });
  if (drawn != served_.end())
    for (GenerationStep& step : steps)
      for (TokenDraw& draw : step.draws) draw = draw_of(requests_[*drawn].sampling, 0, 0);
  return steps;
}

GenerationStep Generation::prefill(const RequestIndices& admitted) {
  CHECK_THAT(admitted.size() <= free_slots(), "{} requests are admitted to {} slots", admitted.size(), free_slots());
  GenerationStep step{.is_prefill = true};
  std::size_t slot = 0;
  for (const std::size_t request : admitted) {
    while (slots_[slot]) ++slot;
    slots_[slot] = Sequence{.request = request};
    add(step, slot, request, requests_[request].prompt, 0);
  }
  active_ += admitted.size();
  return step;
}

GenerationStep Generation::decode() const {
  GenerationStep step;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot]) continue;
    const Sequence& sequence = *slots_[slot];
    add(step, slot, sequence.request, {&sequence.last, 1},
        std::ssize(requests_[sequence.request].prompt) + sequence.generated - 1);
  }
  return step;
}

void Generation::append(const GenerationStep& step, std::span<const std::int32_t> tokens) {
  for (std::size_t i = 0; i < step.slots.size(); ++i) {
    auto& slot = slots_[step.slots[i]];
    slot->last = tokens[i];
    ++slot->generated;
    if (!is_last_token(requests_[slot->request], slot->generated, slot->last, eos_)) continue;
    slot.reset();
    --active_;
  }
}

// The next tokens of a sequence of which `cached` are in its slot.
void Generation::add(GenerationStep& step, std::size_t slot, std::size_t request, std::span<const std::int32_t> tokens,
                     std::int64_t cached) const {
  const std::int64_t begin = static_cast<std::int64_t>(slot) * slot_rows_;
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
  step.requests.push_back(request);
  step.slots.push_back(slot);
  step.draws.push_back(draw_of(requests_[request].sampling, request, length));
}

}  // namespace batchscope
