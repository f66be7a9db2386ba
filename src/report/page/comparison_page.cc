// A comparison's sections and figure, as a page (report/page/comparison_page.h).
#include "report/page/comparison_page.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace batchscope {
namespace {

// Names of the parts; the section's own title stands below them.
constexpr std::pair<std::string_view, const char*> names[] = {
    {"verdict", "Verdict"},        {"status", "How cells ended"},   {"time", "Time"},
    {"accuracy", "Accuracy"},      {"exact", "Memory and traffic"}, {"latency", "Latency"},
    {"frontier", "Largest batch"}, {"environment", "Environment"}};

std::string name_of(std::string_view id) {
  for (const auto& [section, name] : names)
    if (section == id) return name;
  return std::string(id);
}

std::vector<PageFact> facts_of(const Comparison& comparison) {
  const std::size_t regressions = comparison.regressions().size(), open = comparison.not_judged().size();
  std::vector<PageFact> facts{{.label = "Verdict",
                               .value = regressions == 0 ? "no regression" : "REGRESSION",
                               .detail = fmt::format("{} found, beyond noise and threshold", regressions),
                               .is_bad = regressions > 0}};
  if (const Compared& time = comparison.overall; time.ratio)
    facts.push_back(
        {.label = "Time of all cells together",
         .value = fmt::format("{:.3f} times A's", *time.ratio),
         .detail = time.low && time.high ? fmt::format("95 %: {:.3f} to {:.3f}", *time.low, *time.high) : "",
         .is_bad = time.judgement == Judgement::worse});
  facts.push_back(
      {.label = "Cells compared",
       .value = std::to_string(comparison.cells.size()),
       .detail = fmt::format("{} only in A, {} only in B", comparison.only_in_a.size(), comparison.only_in_b.size())});
  if (open > 0)
    facts.push_back({.label = "Not judged", .value = std::to_string(open), .detail = "see Verdict", .is_bad = true});
  return facts;
}

}  // namespace

Page comparison_page(const Comparison& comparison) {
  Page page{.title = fmt::format("{} against {}", comparison.file_b, comparison.file_a),
            .subtitle = fmt::format("A is {} (study {}), B is {} (study {})", comparison.file_a, comparison.study_a,
                                    comparison.file_b, comparison.study_b),
            .facts = facts_of(comparison)};
  for (Section& section : comparison_sections(comparison)) {
    PagePart part{.id = "part-" + section.id, .title = name_of(section.id)};
    if (section.id == "time") part.figures.push_back(time_ratio_figure(comparison));
    part.sections.push_back(std::move(section));
    page.parts.push_back(std::move(part));
  }
  return page;
}

}  // namespace batchscope
