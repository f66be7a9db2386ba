// Decides which waiting requests enter the next step of a generation, and tells other ranks in CBOR, which keeps every
// bit of a number.
#include "engine/admission.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace batchscope {
namespace {

using nlohmann::json;

json to_json(const NumberedRequest& one) {
  const GenerateRequest& request = one.request;
  const Sampling& sampling = request.sampling;
  return {one.number,
          request.prompt,
          request.new_tokens,
          request.arrival.count(),
          request.min_new_tokens,
          request.stop_at_eos,
          request.log_probabilities,
          request.prompt_log_probabilities,
          sampling.temperature,
          sampling.top_p,
          sampling.seed,
          sampling.sequence};
}

NumberedRequest request_of(const json& values) {
  return {.number = values[0],
          .request = {
              .prompt = values[1],
              .new_tokens = values[2],
              .arrival = Nanoseconds(values[3].get<std::int64_t>()),
              .min_new_tokens = values[4],
              .stop_at_eos = values[5],
              .log_probabilities = values[6],
              .prompt_log_probabilities = values[7],
              .sampling = {.temperature = values[8], .top_p = values[9], .seed = values[10], .sequence = values[11]}}};
}

std::string to_bytes(const Admission::Decision& decision) {
  json admitted = json::array();
  for (const NumberedRequest& one : decision.admitted) admitted.push_back(to_json(one));
  std::string bytes;
  json::to_cbor(json{admitted, decision.cancelled, decision.has_ended, decision.time.count()}, bytes);
  return bytes;
}

Admission::Decision decision_of(const std::string& bytes) {
  const json values = json::from_cbor(bytes);
  Admission::Decision decision;
  for (const json& one : values[0]) decision.admitted.push_back(request_of(one));
  decision.cancelled = values[1].get<std::vector<std::size_t>>();
  decision.has_ended = values[2];
  decision.time = Nanoseconds(values[3].get<std::int64_t>());
  return decision;
}

}  // namespace

Admission::Admission(RequestSource& source, std::size_t replica, Clock& clock, Nanoseconds begin,
                     std::optional<HostGroup> group)
    : source_(source), replica_(replica), clock_(clock), begin_(begin), group_(std::move(group)) {}

void Admission::barrier() {
  if (group_) group_->barrier();
}

Admission::Decision Admission::next(std::size_t free_slots, bool is_active) {
  if (group_ && group_->rank() != 0) return decision_of(group_->broadcast({}));
  Decision decision{source_.take(replica_, free_slots, is_active), {}};
  decision.time = clock_.now() - begin_;
  if (group_ && group_->size() > 1) group_->broadcast(to_bytes(decision));
  return decision;
}

}  // namespace batchscope
