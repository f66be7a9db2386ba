// Reading faults (fault.h).
#include "telemetry/nvml/fake/fault.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "telemetry/nvml/fake/scenario_json.h"

namespace batchscope::nvml::fake {
namespace {

using nlohmann::json;

constexpr std::array<Word<FaultKind>, 6> fault_kinds{{{"lost", FaultKind::lost},
                                                      {"hang", FaultKind::hang},
                                                      {"answer", FaultKind::answer},
                                                      {"reset", FaultKind::reset},
                                                      {"xid", FaultKind::xid},
                                                      {"ecc", FaultKind::ecc}}};
constexpr std::array<Word<Return>, 16> returns{{{"uninitialized", uninitialized},
                                                {"invalid_argument", invalid_argument},
                                                {"not_supported", not_supported},
                                                {"no_permission", no_permission},
                                                {"not_found", not_found},
                                                {"driver_not_loaded", driver_not_loaded},
                                                {"timeout", timeout},
                                                {"function_not_found", function_not_found},
                                                {"gpu_is_lost", gpu_is_lost},
                                                {"reset_required", reset_required},
                                                {"operating_system", operating_system},
                                                {"version_mismatch", version_mismatch},
                                                {"in_use", in_use},
                                                {"no_data", no_data},
                                                {"not_ready", not_ready},
                                                {"unknown", unknown}}};
constexpr std::array<Word<std::array<Rate, 2>>, 3> resettable{{{"pcie", {Rate::pcie_tx, Rate::pcie_rx}},
                                                               {"nvlink", {Rate::nvlink_tx, Rate::nvlink_rx}},
                                                               {"energy", {Rate::power, Rate::power}}}};

constexpr std::array functions{
#define BATCHSCOPE_NVML_NAME(name, parameters) std::string_view(#name),
    BATCHSCOPE_NVML_FUNCTIONS(BATCHSCOPE_NVML_NAME)
#undef BATCHSCOPE_NVML_NAME
};

std::vector<std::string> parse_calls(const JsonObject& object) {
  std::vector<std::string> calls;
  const json* list = object.find("calls");
  if (list == nullptr) return calls;
  if (!list->is_array()) object.refuse("calls", "a list of functions by name and fields by number");
  for (const json& each : *list) {
    calls.push_back(each.is_string() ? each.get<std::string>() : each.is_number_integer() ? each.dump() : "");
    check_call(calls.back(), object.name("calls"));
  }
  return calls;
}

}  // namespace

void check_call(const std::string& call, const std::string& name) {
  if (std::find(functions.begin(), functions.end(), call) != functions.end()) return;
  const bool is_number = std::all_of(call.begin(), call.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (is_number && !call.empty() && call.size() <= 4) return;
  const std::string near = nearest(call, functions);
  throw InputError("{}: {} is neither a function of NVML nor a field's number{}", name, quote(call),
                   near.empty() ? "" : fmt::format("; {}?", near));
}

bool Fault::concerns(int which, std::string_view call, Nanoseconds time) const {
  return concerns(which, time) && (calls.empty() || std::find(calls.begin(), calls.end(), call) != calls.end());
}

Fault parse_fault(const JsonObject& object, std::size_t gpus) {
  know_keys(object, std::array<std::string_view, 10>{"kind", "gpu", "from_s", "until_s", "calls", "result", "counters",
                                                     "xid", "corrected", "uncorrected"});
  Fault fault{.kind = word<FaultKind>(object, "kind", fault_kinds)};
  const auto only_for = [&](std::initializer_list<FaultKind> kinds, std::string_view key) {
    if (object.has(key) && std::find(kinds.begin(), kinds.end(), fault.kind) == kinds.end())
      throw InputError("{}: not a key of this kind of fault", object.name(key));
  };
  only_for({FaultKind::lost, FaultKind::hang, FaultKind::answer}, "until_s");
  only_for({FaultKind::hang, FaultKind::answer}, "calls");
  only_for({FaultKind::answer}, "result");
  only_for({FaultKind::reset}, "counters");
  only_for({FaultKind::xid}, "xid");
  only_for({FaultKind::ecc}, "corrected");
  only_for({FaultKind::ecc}, "uncorrected");
  if (object.has("gpu")) fault.gpu = static_cast<int>(object.integer("gpu", 0, static_cast<std::int64_t>(gpus) - 1));
  fault.from = seconds(object, "from_s", 0, 0);
  if (object.has("until_s")) fault.until = seconds(object, "until_s");
  if (fault.until <= fault.from) object.refuse("until_s", "a time after \"from_s\"");
  fault.calls = parse_calls(object);
  if (fault.kind == FaultKind::answer) {
    if (fault.calls.empty()) object.refuse("calls", "the calls that are answered so");
    fault.result = word<Return>(object, "result", returns);
  }
  if (fault.kind == FaultKind::reset) {
    if (!object.has("counters"))
      for (const auto& each : resettable)
        fault.counters.insert(fault.counters.end(), each.value.begin(), each.value.end());
    else
      for (const std::string& text : object.texts("counters")) {
        const auto found =
            std::find_if(resettable.begin(), resettable.end(), [&](const auto& each) { return each.word == text; });
        if (found == resettable.end()) object.refuse("counters", "a list of " + all_words(resettable));
        fault.counters.insert(fault.counters.end(), found->value.begin(), found->value.end());
      }
  }
  if (fault.kind == FaultKind::xid) fault.xid = static_cast<std::uint64_t>(object.integer("xid", 1, 1000));
  fault.corrected = static_cast<std::uint64_t>(object.integer("corrected", 0, 1'000'000'000, 0));
  fault.uncorrected = static_cast<std::uint64_t>(object.integer("uncorrected", 0, 1'000'000'000, 0));
  return fault;
}

}  // namespace batchscope::nvml::fake
