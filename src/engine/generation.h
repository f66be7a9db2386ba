// A replica's generation as each of its ranks follows it: which request holds which slot of the KV cache, and what the
// next pass through the model takes. Ranks that admit the same requests and see the same tokens stay alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/batch.h"
#include "engine/request_source.h"
#include "ops/sample_tokens.h"

namespace batchscope {

// One pass through the model: whole prompts, or one token of every active sequence.
struct GenerationStep {
  bool is_prefill = false;
  Batch batch;  // logit rows: the last token of each sequence, then those of prompts that are scored
  std::vector<std::int32_t> cache_rows;  // [tokens], where their keys and values go
  bool has_log_probabilities = false;    // of all logit rows, since some request wants them
  // One a sequence:
  RequestIndices requests;  // their numbers
  std::vector<std::size_t> slots;
  std::vector<TokenDraw> draws;
};

// What came of a step.
struct StepOutput {
  std::vector<std::int32_t> tokens;  // [sequences], what follows each; -1: its logits were no numbers
  // [logit rows], empty where nobody wants them: natural logarithms of softmax(logits), whatever the temperature.
  std::vector<float> log_probabilities;  // of the tokens above, then of the scored prompts' next tokens
  std::vector<std::int32_t> top_tokens;  // the most probable ones, and theirs
  std::vector<float> top_log_probabilities;
};

// Requests go to replica index % replicas; this one's, in order.
RequestIndices requests_of_replica(std::size_t requests, const Layout& layout, std::int64_t replica);

// Whether `token`, the last of `generated` ones, ends the request.
bool is_last_token(const GenerateRequest& request, std::int64_t generated, std::int32_t token,
                   std::span<const std::int32_t> eos);

// How large a replica's generation can become: what memory is for.
struct GenerationExtent {
  std::int64_t slots = 0;
  std::int64_t slot_rows = 0;  // tokens of the longest sequence, generated ones included
  // The largest prefills: the lengths of their prompts.
  std::vector<std::vector<std::int64_t>> prefills{};
  std::int64_t decoded_keys = 0;  // of the longest sequence that is decoded; 0: none is
  bool is_drawn = false;          // some request's tokens are
  bool has_log_probabilities = false;
  bool is_open = false;  // what will come is not known
};
// Of a list of which `served` come, at most `batch` at a time, whatever arrives when.
GenerationExtent extent_of(std::span<const GenerateRequest> requests, const RequestIndices& served, std::int64_t batch);
// Of requests that are not known: `batch` sequences of at most `sequence_tokens`, prompts of `prompt_tokens` together or
// one alone.
GenerationExtent open_extent(std::int64_t batch, std::int64_t sequence_tokens, std::int64_t prompt_tokens);

class Generation {
 public:
  // `eos` outlives it.
  Generation(GenerationExtent extent, std::span<const std::int32_t> eos);

  // Slots are equal: each has room for the longest sequence.
  std::int64_t cache_rows() const { return std::ssize(slots_) * extent_.slot_rows; }
  std::size_t free_slots() const { return slots_.size() - active_; }
  bool is_active() const { return active_ > 0; }
  bool is_open() const { return extent_.is_open; }

  // The largest steps there can be: prefills, and a decode step of as many sequences that are as long as the longest ever
  // is. Drawn if any request's tokens are.
  std::vector<GenerationStep> largest_steps() const;

  // Gives the admitted requests slots, and takes their prompts.
  GenerationStep prefill(std::span<const NumberedRequest> admitted);
  GenerationStep decode() const;
  // What came of a step; finished sequences leave their slots.
  void append(const GenerationStep& step, std::span<const std::int32_t> tokens);
  // Those of them that are active leave their slots.
  void cancel(std::span<const std::size_t> numbers);

 private:
  struct Sequence {
    NumberedRequest of;
    std::int64_t generated = 0;
    std::int32_t last = 0;  // of its tokens
  };

  void add(GenerationStep& step, std::size_t slot, const NumberedRequest& of, std::span<const std::int32_t> tokens,
           std::int64_t cached) const;

  GenerationExtent extent_;
  std::span<const std::int32_t> eos_;
  std::vector<std::optional<Sequence>> slots_;
  std::size_t active_ = 0;
};

}  // namespace batchscope
