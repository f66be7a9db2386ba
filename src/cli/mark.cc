// `batchscope mark`: writes a phase into a recording that runs.
#include "batchscope/mark.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/output.h"
#include "telemetry/command/command.h"
#include "telemetry/marks/channel.h"

namespace batchscope::cli {
namespace {

constexpr const char* track = "mark";  // one for all calls: the shell that begins a phase and the one that ends it

struct MarkOptions {
  std::string record, around;
  bool begin = false, end = false;
  std::vector<std::string> words;
};

std::string list_of(const std::vector<RunningRecording>& recordings) {
  std::string out;
  for (const auto& recording : recordings) out += (out.empty() ? "" : ", ") + std::to_string(recording.pid);
  return out;
}

// The recording around this command, the one that is named, or the only one.
std::optional<std::string> find_recording(const MarkOptions& options) {
  const char* around = std::getenv(marks_variable);
  if (options.record.empty() && around != nullptr && *around != '\0') return around;
  const auto recordings = running_recordings();
  if (!options.record.empty()) {
    const auto pid = parse_integer(options.record, 1, 1 << 22, "--record");
    for (const auto& recording : recordings)
      if (recording.pid == pid) return recording.path.native();
    throw InputError("--record {}: none of your recordings is this process{}", pid,
                     recordings.empty() ? "" : "; running: " + list_of(recordings));
  }
  if (recordings.size() > 1)
    throw InputError("mark: several recordings are running: {}; choose one with --record", list_of(recordings));
  if (recordings.empty()) return std::nullopt;
  return recordings.front().path.native();
}

// Around a command, a folder of marks that is not ours alone is no reason not to run it: another user may have made it.
std::optional<std::string> recording_or_none(const MarkOptions& options, bool has_command) {
  try {
    return find_recording(options);
  } catch (const Failure& failure) {
    if (!has_command) throw;
    warn(failure.what());
    return std::nullopt;
  }
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

int run_within(const std::string& name, const std::vector<std::string>& command) {
  const SignalGuard signals;
  const long long begin = batchscope_now();
  const pid_t child = start_command(command);
  if (child < 0) {
    warn(fmt::format("cannot start {}: {}", command[0], std::strerror(errno)));
    return int(ExitCode::cannot_start);
  }
  const std::string id = std::to_string(child);  // phases of one name may run side by side
  batchscope_send("begin", begin, begin, track, id.c_str(), name.c_str(), "");
  watch(child, true, {});
  const int code = exit_code_of(child);
  const long long end = batchscope_now();
  batchscope_send("end", end, end, track, id.c_str(), name.c_str(), "");
  return code;
}

int mark(const MarkOptions& options) {
  if (options.begin && options.end) throw InputError("--begin and --end cannot be combined; give one");
  const bool has_command = !options.around.empty();
  if (has_command && (options.begin || options.end))
    throw InputError("--name marks the command after --; leave out --begin and --end");
  if (options.words.empty()) throw InputError("mark: give {}", has_command ? "the command after --" : "a name");
  const auto recording = recording_or_none(options, has_command);
  if (recording) setenv(marks_variable, recording->c_str(), 1);
  if (has_command) {
    if (!recording) warn("no recording is running: the command is not marked");
    return run_within(options.around, options.words);
  }
  if (!recording) throw InputError("mark: no recording is running; start one with batchscope record");
  const char* kind = options.begin ? "begin" : options.end ? "end" : "point";
  if (batchscope_instant(kind, track, "", joined(options.words).c_str()) == 0)
    throw InputError("mark: the recording at {} has ended", *recording);
  return 0;
}

}  // namespace

void add_mark(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<MarkOptions>();
  CLI::App* command = app.add_subcommand("mark", "write a phase or a point in time into a running recording");
  command->add_flag("--begin", options->begin, "a phase begins now");
  command->add_flag("--end", options->end, "the phase of this name ends now");
  command->add_option("--name", options->around, "run the command after -- as a phase of this name")->type_name("NAME");
  command
      ->add_option(
          "--record", options->record,
          "the recording's process; needed where several are running (default: the one around this command, or the "
          "only one)")
      ->type_name("PID");
  command->add_option("words", options->words, "the name, or with --name the command after --")->type_name("NAME…");
  command->footer(
      "Programs write marks themselves with include/batchscope/mark.h (C, C++) or\n"
      "python/batchscope_mark.py; NVTX ranges become phases without any change.\n"
      "Exit codes: 2 when no recording is running; with --name the command's own.\n"
      "Examples:\n"
      "  batchscope mark \"request 7\"\n"
      "  batchscope mark --begin prefill; …; batchscope mark --end prefill\n"
      "  batchscope mark --name benchmark -- python benchmark.py");
  command->callback([options, &exit_code] { exit_code = mark(*options); });
}

}  // namespace batchscope::cli
