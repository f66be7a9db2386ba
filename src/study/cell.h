// A cell: one combination of everything that can be set, and what came of running it. `eval` runs one, `study` many.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/extrapolation.h"
#include "analysis/sentinel.h"
#include "base/error.h"
#include "engine/engine.h"
#include "plan/plan.h"
#include "task/question.h"
#include "task/score.h"
#include "task/workload.h"

namespace batchscope {

// Degraded: it ran, and its answers are not those of the model (study/sentinel.h).
enum class CellStatus { ok, truncated, degraded, out_of_memory, failed, timed_out };
std::string to_string(CellStatus status);  // "ok", "truncated", "degraded", "out_of_memory", "failed", "timed_out"
CellStatus parse_cell_status(std::string_view text);
ExitCode exit_code(CellStatus status);
// By their words, as files have them. It ran: there are answers and times.
bool has_scores(std::string_view status);
// For people: "out of memory"; what looks like a result and is none is loud: "TRUNCATED", "DEGRADED".
std::string status_words(std::string_view status);
bool is_loud(std::string_view status);

enum class WhenTooLong { fail, truncate };
inline constexpr std::array<std::string_view, 2> when_too_long_words{"fail", "truncate"};
std::string to_string(WhenTooLong when);
WhenTooLong parse_when_too_long(std::string_view text, std::string_view what);

// The words of eval's flags and of study files; text stays as the user wrote it until the engine parses it.
struct CellSpec {
  EngineSpec engine;
  ModelSource model;
  std::string task;                   // path; "" is the embedded question set
  std::optional<Workload> workload;   // requests to generate, instead of questions
  std::optional<std::int64_t> limit;  // first N items or requests
  std::optional<std::int64_t> sample;  // so many questions that stand for all (task/sample.h)
  std::uint64_t sample_seed = 0;
  Placement placement;
  RunSettings run;
  std::optional<std::int64_t> max_tokens_per_sequence;
  WhenTooLong when_too_long = WhenTooLong::fail;
  std::int64_t sentinel_items = default_sentinel_items;  // that the sentinel compares with a reference; 0: none

  // Cells with equal keys share a worker process and its loaded model.
  std::string worker_key() const;
};
nlohmann::json to_json(const CellSpec& spec);
// InputError naming the field when the object is not one that to_json() could have written.
CellSpec cell_spec_from_json(const nlohmann::json& json);
// InputError when what is set cannot go together: batch 0, more or fewer devices than the layout has ranks.
void check(const CellSpec& spec);

// What the sentinel saw.
struct SentinelReport {
  std::string reference;  // whose answers the cell's were compared with
  std::string why_not;    // not "": it could not look, and why
  SentinelVerdict verdict;
};

// What the whole task would have taken, of which a sample ran.
struct WholeTask {
  std::int64_t items = 0;
  WholeTime time;
};

struct CellResult {
  CellStatus status = CellStatus::failed;
  std::optional<bool> valid;            // false when throttled, disturbed, counters absent; null when unknown
  std::string reason;                   // why not ok, or not valid
  std::optional<TaskScores> scores;     // absent when nothing was scored
  std::vector<ItemScore> items;         // in the order of the task
  std::vector<RequestResult> requests;  // of a workload, in its order; empty unless it ran
  std::optional<SentinelReport> sentinel;  // absent: nobody looked
  std::optional<WholeTask> whole;          // of a sample that ran, with times of its batches
  std::string engine;                      // its name and version; "": not known
  std::optional<Nanoseconds> load_time;
  std::optional<ScoreReport> run;  // of a workload, too: its batches are the passes through the model
  nlohmann::json environment;      // an allow-list, see environment.h
};
// An element of its `devices`.
nlohmann::json to_json(const DeviceReport& device);
// The object of `eval --json` (docs/formats.md); unknown is null.
nlohmann::json to_json(const CellResult& result);

// Without requests where the engine tokenises.
struct AllQuestions {
  std::int64_t items = 0;
  std::vector<ScoreRequest> requests;
};

// What a cell asks of the engine: its task, tokenised where our engine runs it. Cells that differ only in how they run
// share it.
struct PreparedTask {
  std::optional<ModelConfig> config;  // absent: the engine reads the model, we do not
  std::vector<Question> questions;  // with `requests`; none of a workload
  TaskRequests requests;
  std::optional<AllQuestions> whole;  // where `questions` are a sample
  std::optional<WorkloadRequests> workload;
  // Longest model input, and sequence of a workload: the cell's own limit or the model's, whichever is less.
  std::int64_t max_tokens = 0;

  const TokenCounts& counts() const { return workload ? workload->counts : requests.counts; }
  bool is_tokenised() const { return workload || requests.is_tokenised; }
  // No batch is larger.
  std::int64_t sequences() const;
};
PreparedTask prepare_task(const CellSpec& spec);
// Equal for cells whose prepare_task() gives the same.
std::string task_key(const CellSpec& spec);
// InputError when the layout cannot cut the model, as far as the model is known.
void check_layout(const CellSpec& spec, const PreparedTask& task);
// What running the cell takes; InputError for engines that cannot be planned. Traffic and arithmetic of a workload are
// those of requests that all wait from the start. Batches of questions go to `on_batch`.
Plan plan_cell(const CellSpec& spec, const PreparedTask& task, const BatchSink& on_batch = {});
// Where the cell's questions lie; the embedded set's own file for "".
std::filesystem::path task_file(const CellSpec& spec);

// The cell where its ranks are those of `world` (null: threads of this process): how many CPUs each has is settled.
CellSpec placed(CellSpec spec, const World* world);
// Runs one cell on an engine that is already loaded for its worker_key(). Never throws for what the cell itself meets:
// out of memory, truncation, failure are results. InputError still throws, and so does Interrupted. Every process of
// `world` does it; rank 0's has the result.
CellResult run_cell(Engine& engine, const CellSpec& spec, const PreparedTask& task, PhaseSink* phases,
                    const World* world = nullptr);

// A failure of the cell as its result; rethrows InputError and Interrupted. Call it inside a catch block.
CellResult result_of_exception();

}  // namespace batchscope
