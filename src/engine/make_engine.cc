// From the name of an engine to the engine, and what any engine can be asked for (engine/engine.h).
#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "comm/world.h"
#include "engine/command/command_engine.h"
#include "engine/engine.h"
#include "engine/http/http_engine.h"
#include "engine/local_engine.h"

namespace batchscope {
namespace {

void check_value(const std::vector<std::string>& known, std::string_view engine, std::string_view flag,
                 const std::string& value, std::string_view plain) {
  if (std::find(known.begin(), known.end(), value) == known.end())
    throw InputError("{} {}: the engine {} does not know it; leave it out, which is {}", flag, value, engine, plain);
}

}  // namespace

void check(const Capabilities& capabilities, std::string_view engine, const Placement& placement,
           const RunSettings& settings) {
  const Layout& layout = placement.layout;
  const auto strategy = [&](bool is_used, const char* name) {
    if (is_used) check_value(capabilities.layouts, engine, "--parallel", name, "one rank");
  };
  strategy(layout.replicas() > 1, "dp");
  strategy(layout.stages() > 1, layout.micro_batches() ? "pp" : "mp");
  strategy(layout.shards() > 1, "tp");
  if (placement.dtype != DType::f32)
    check_value(capabilities.dtypes, engine, "--dtype", std::string(name_of(placement.dtype)), "f32");
  if (settings.packing != Packing::padded)
    check_value(capabilities.packings, engine, "--packing", to_string(settings.packing), "padded");
  if (settings.fusion != Fusion())
    check_value(capabilities.fusions, engine, "--fusion", to_string(settings.fusion), "off");
}

std::unique_ptr<Engine> make_engine(const EngineSpec& spec, World* world) {
  if (spec.is_ours()) return std::make_unique<LocalEngine>(monotonic_clock(), world);
  if (world != nullptr)
    throw InputError("--engine {0}: it is one {1}; start batchscope without a launcher, and let the {1} start what it needs",
                     label(spec), spec.is_server() ? "server" : "program");
  if (spec.is_server()) return std::make_unique<HttpEngine>(spec);
  return std::make_unique<CommandEngine>(spec);
}

}  // namespace batchscope
