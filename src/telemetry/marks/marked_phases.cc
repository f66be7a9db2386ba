// Marks to phases (telemetry/marks/marked_phases.h).
#include "telemetry/marks/marked_phases.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace batchscope {
namespace {

constexpr const char* other_names = "(other names)";

std::string track_of(const Mark& mark, const MarkSender& sender) {
  if (!mark.track.empty()) return mark.track;
  if (mark.thread == 0 || mark.thread == sender.pid) return sender.name;
  return fmt::format("{} thread {}", sender.name, mark.thread);
}

// Ids are a sender's own; names are matched on their track, whoever writes there.
std::string key_of(const Mark& mark, const MarkSender& sender, const std::string& track) {
  if (!mark.id.empty()) return fmt::format("{}\t{}", sender.number, mark.id);
  return fmt::format("\t{}\t{}", track, mark.name);
}

std::vector<PhaseTotal> sorted(const std::map<std::string, PhaseTotal>& totals) {
  std::vector<PhaseTotal> out;
  for (const auto& [name, total] : totals) out.push_back(total);
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return out;
}

void add_to(std::map<std::string, PhaseTotal>& totals, const Phase& phase) {
  const bool full = totals.size() >= MarkedPhases::most_names && !totals.contains(phase.name);
  PhaseTotal& total = totals[full ? other_names : phase.name];
  if (total.name.empty()) total.name = full ? other_names : phase.name;
  if (phase.detail.ends_with(not_ended_detail)) {
    ++total.not_ended;
    return;
  }
  ++total.count;
  total.seconds += to_seconds(phase.end - phase.begin);
}

}  // namespace

std::vector<PhaseTotal> totals_of(const std::vector<Phase>& phases) {
  std::map<std::string, PhaseTotal> totals;
  for (const Phase& phase : phases) add_to(totals, phase);
  return sorted(totals);
}

void MarkedPhases::take(std::string_view message, MarkSender& sender, Nanoseconds now) {
  const auto mark = parse_mark(message);
  if (!mark || mark->end > now + most_ahead) {
    ++counts_.refused;
    return;
  }
  ++counts_.received;
  ++sender.received;
  sender.last_sequence = std::max(sender.last_sequence, mark->sequence);
  Phase phase{.name = mark->name,
              .track = track_of(*mark, sender),
              .begin = mark->begin,
              .end = mark->end,
              .detail = mark->detail};
  const std::string key = key_of(*mark, sender, phase.track);
  switch (mark->kind) {
    case Mark::Kind::point:
    case Mark::Kind::phase:
      return add(std::move(phase));
    case Mark::Kind::begin:
      return begin(key, std::move(phase));
    case Mark::Kind::end:
      return end(key, *mark);
  }
}

void MarkedPhases::begin(const std::string& key, Phase phase) {
  if (open_count_ >= most_open) {
    ++counts_.refused;
    return;
  }
  ++open_count_;
  open_[key].push_back(std::move(phase));
}

void MarkedPhases::end(const std::string& key, const Mark& mark) {
  const auto open = open_.find(key);
  if (open == open_.end()) {
    ++counts_.ends_without_begin;
    return;
  }
  Phase phase = std::move(open->second.back());
  open->second.pop_back();
  if (open->second.empty()) open_.erase(open);
  --open_count_;
  phase.end = std::max(phase.begin, mark.end);
  if (phase.detail.empty()) phase.detail = mark.detail;
  add(std::move(phase));
}

// Messages that were refused had numbers, too: a sender that sends nonsense makes no loss of it.
void MarkedPhases::forget(const MarkSender& sender) {
  counts_.lost += std::max<std::int64_t>(sender.last_sequence - sender.received, 0);
}

void MarkedPhases::end_all(Nanoseconds now) {
  for (auto& [key, phases] : std::exchange(open_, {}))
    for (Phase& phase : phases) {
      phase.end = std::max(phase.begin, now);
      phase.detail += fmt::format("{}{}", phase.detail.empty() ? "" : "; ", not_ended_detail);
      add(std::move(phase));
    }
  open_count_ = 0;
}

void MarkedPhases::add(Phase phase) {
  add_to(totals_, phase);
  pending_.push_back(std::move(phase));
}

std::vector<Phase> MarkedPhases::pending() { return std::exchange(pending_, {}); }

std::vector<PhaseTotal> MarkedPhases::totals() const { return sorted(totals_); }

}  // namespace batchscope
