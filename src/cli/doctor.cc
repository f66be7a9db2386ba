// `batchscope doctor`: what works on this machine, what does not, and what to do.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/output.h"
#include "doctor/checks.h"
#include "provider/cuda_provider.h"
#include "report/wrap_text.h"

namespace batchscope::cli {
namespace {

std::string painted(const char* colour, const std::string& text) {
  return stdout_has_colour() ? fmt::format("\033[{}m{}\033[0m", colour, text) : text;
}

std::string text_of(const Check& check) {
  const std::string state = check.present  ? painted("32", "present")
                            : check.needed ? painted("31", "BROKEN ")
                                           : painted("33", "absent ");
  const std::string indent(19, ' ');
  // Colours take no column: the first line is wrapped without them.
  std::string out = wrap_text(check.what, fmt::format("{:<17}", check.id) + "  " + std::string(9, ' '), indent);
  out.replace(19, 7, state);
  out += wrap_text(check.why, indent, indent);
  if (!check.to_do.empty()) out += wrap_text("-> " + check.to_do, indent, indent + "   ");
  return out;
}

nlohmann::json json_of(const Check& check) {
  return {{"id", check.id},     {"present", check.present}, {"needed", check.needed},
          {"what", check.what}, {"why", check.why},         {"to_do", check.to_do}};
}

Check check_cuda_engine() {
  Check check{.id = "cuda-engine", .what = "our library that computes on NVIDIA GPUs"};
  try {
    load_cuda_library();
    check.present = true;
    check.why = "it loads, and so does what it needs of CUDA";
  } catch (const Failure& failure) {
    check.why = failure.what();
    check.to_do = "needed on GPU machines only";
  }
  return check;
}

int doctor(const std::string& json_file) {
  bool well = true;
  std::string text;
  auto json = nlohmann::json::array();
  std::vector<Check> checks = run_checks();
  checks.push_back(check_cuda_engine());
  for (const Check& check : checks) {
    well = well && (check.present || !check.needed);
    text += text_of(check);
    json.push_back(json_of(check));
  }
  text += well ? "Everything that batchscope can do on this machine works.\n"
               : "Something that batchscope needs on this machine is broken: see above.\n";
  if (!json_file.empty()) write_output(json_file, nlohmann::json{{"ok", well}, {"checks", json}}.dump(2) + "\n");
  if (json_file != "-") print_text(text);
  return static_cast<int>(well ? ExitCode::ok : ExitCode::answer_is_no);
}

}  // namespace

void add_doctor(CLI::App& app, int& exit_code) {
  auto json = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("doctor", "check what works on this machine, what does not, and what to do");
  command->add_option("--json", *json, "the checks as one JSON object; - is standard output")->type_name("FILE");
  command->footer(
      "Exit codes: 0 all is well (also without a GPU), 1 something needed is broken.\n"
      "Example:\n"
      "  batchscope doctor --json -");
  command->callback([json, &exit_code] { exit_code = doctor(*json); });
}

}  // namespace batchscope::cli
