// A study's requests as a load run has them (report/goodput.h).
#include "report/goodput.h"

#include "base/clock.h"
#include "base/error.h"
#include "store/load_runs.h"

namespace batchscope {

std::vector<load::SloTerm> parse_study_slo(std::string_view text, std::string_view what) {
  std::vector<load::SloTerm> slo = load::parse_slo(text, what);
  for (const load::SloTerm& term : slo)
    if (term.metric == load::Metric::itl || term.metric == load::Metric::icl)
      throw InputError("{}: a study keeps no gaps between tokens; ask for ttft, tpot, ntpot or e2e", what);
  return slo;
}

std::optional<load::Goodput> goodput_of(std::span<const RequestRecord> requests, std::span<const load::SloTerm> slo) {
  std::vector<LoadRequestRecord> all;
  for (const RequestRecord& request : requests) {
    const Nanoseconds arrival = from_seconds(request.arrival_s), first = from_seconds(request.first_token_s),
                      end = from_seconds(request.end_s);
    LoadRequestRecord& one = all.emplace_back();
    one.outcome = "ok";
    one.intended = arrival;
    one.sent = arrival;
    one.end = end;
    one.output_tokens = request.output_tokens;
    one.chunks = {{.at = first, .tokens = 1}};
    if (request.output_tokens > 1) one.chunks.push_back({.at = end, .tokens = request.output_tokens - 1});
  }
  return load::summarize(all, {.slo = {slo.begin(), slo.end()}, .warm_up = 0}).goodput;
}

}  // namespace batchscope
