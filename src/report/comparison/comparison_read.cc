// A side of a comparison from its file (report/comparison/comparison.h).
#include <algorithm>
#include <numeric>
#include <utility>

#include "report/comparison/comparison.h"

namespace batchscope {
namespace {

// Sorted by id, so that a task in another order is the same task; items that share an id keep their order.
AnswerSheet sheet_of(const std::vector<ItemRecord>& items) {
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return items[x].id_json < items[y].id_json; });
  AnswerSheet sheet;
  for (const std::size_t i : order) {
    sheet.ids.push_back(items[i].id_json);
    sheet.gold.push_back(items[i].gold);
    sheet.answers.push_back({items[i].prediction_norm, items[i].prediction_norm == items[i].gold});
  }
  return sheet;
}

bool same_answers(const AnswerSheet& x, const AnswerSheet& y) {
  return x.ids == y.ids && x.gold == y.gold &&
         std::equal(x.answers.begin(), x.answers.end(), y.answers.begin(), y.answers.end(),
                    [](const Answer& a, const Answer& b) { return a.prediction == b.prediction; });
}

}  // namespace

std::size_t add_sheet(ComparedStudy& study, AnswerSheet sheet) {
  const auto found = std::find_if(study.sheets.begin(), study.sheets.end(),
                                  [&](const AnswerSheet& known) { return same_answers(known, sheet); });
  if (found != study.sheets.end()) return static_cast<std::size_t>(found - study.sheets.begin());
  study.sheets.push_back(std::move(sheet));
  return study.sheets.size() - 1;
}

ComparedStudy read_compared_study(const StoreReader& reader, const std::optional<std::string>& name) {
  ComparedStudy study{
      .file = reader.path().string(), .report = read_study_report(reader, name), .sheets = {}, .sheet_of_cell = {}};
  for (const CellSummary& cell : study.report.cells) {
    auto& sheets = study.sheet_of_cell.emplace_back();
    for (const CellRun& run : cell.runs) {
      if (!has_scores(run.status)) continue;
      if (const auto items = reader.items(run.attempt); !items.empty())
        sheets.emplace(run.repeat, add_sheet(study, sheet_of(items)));
    }
  }
  return study;
}

}  // namespace batchscope
