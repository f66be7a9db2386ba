// How many requests of a study's cell were as fast as wanted.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "load/metrics.h"
#include "store/records.h"

namespace batchscope {

// --slo ttft=200ms,tpot=30ms,e2e=2s. InputError, beginning with `what`, also for gaps between tokens, which studies do
// not keep.
std::vector<load::SloTerm> parse_study_slo(std::string_view text, std::string_view what);

// As of a load run (load/metrics.h): TTFT and E2E count from a request's arrival; without a warm-up. Absent without
// requests or terms.
std::optional<load::Goodput> goodput_of(std::span<const RequestRecord> requests, std::span<const load::SloTerm> slo);

}  // namespace batchscope
