// A replica's generation as each of its ranks follows it: which request holds which slot of the KV cache, and what the
// next pass through the model takes. Ranks that admit the same requests and see the same tokens stay alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/batch.h"
#include "ops/sample_tokens.h"

namespace batchscope {

// One pass through the model: whole prompts, or one token of every active sequence.
struct GenerationStep {
  bool is_prefill = false;
  Batch batch;
  std::vector<std::int32_t> cache_rows;  // [tokens], where their keys and values go
  // One a sequence, which is one a logit row:
  RequestIndices requests;
  std::vector<std::size_t> slots;
  std::vector<TokenDraw> draws;
};

// Requests go to replica index % replicas; this one's, in order.
RequestIndices requests_of_replica(std::size_t requests, const Layout& layout, std::int64_t replica);

// Whether `token`, the last of `generated` ones, ends the request.
bool is_last_token(const GenerateRequest& request, std::int64_t generated, std::int32_t token,
                   std::span<const std::int32_t> eos);

class Generation {
 public:
  // Serves `served` of the requests, at most `batch` at a time. `requests` and `eos` outlive it.
  Generation(std::span<const GenerateRequest> requests, RequestIndices served, std::int64_t batch,
             std::span<const std::int32_t> eos);

  // Slots are equal: each has room for the longest prompt and what is generated for it.
  std::int64_t cache_rows() const { return std::ssize(slots_) * slot_rows_; }
  std::size_t free_slots() const { return slots_.size() - active_; }
  bool is_active() const { return active_ > 0; }

  // The largest steps there can be, whatever arrives when: a prefill of the longest prompts, one a slot, and a decode
  // step of as many sequences that are as long as the longest ever is. Drawn if any request's tokens are.
  std::vector<GenerationStep> largest_steps() const;

  // Gives the admitted requests slots, and takes their prompts.
  GenerationStep prefill(const RequestIndices& admitted);
  GenerationStep decode() const;
  // The tokens that came of a step, one a sequence; finished sequences leave their slots.
  void append(const GenerationStep& step, std::span<const std::int32_t> tokens);

 private:
  struct Sequence {
    std::size_t request = 0;
    std::int64_t generated = 0;
    std::int32_t last = 0;  // of its tokens
  };

  void add(GenerationStep& step, std::size_t slot, std::size_t request, std::span<const std::int32_t> tokens,
           std::int64_t cached) const;

  std::span<const GenerateRequest> requests_;
  RequestIndices served_;
  std::span<const std::int32_t> eos_;
  std::vector<std::optional<Sequence>> slots_;
  std::size_t active_ = 0;
  std::int64_t slot_rows_ = 0;
};

}  // namespace batchscope
