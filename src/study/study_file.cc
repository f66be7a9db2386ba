// Reads study files: TOML to a StudySpec.
#include "study/study_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/file.h"
#include "base/file_kind.h"
#include "base/json.h"
#include "base/units.h"
#include "study/ablation.h"
#include "study/axes.h"
#include "study/grid.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

constexpr std::size_t most_cells = 100'000;
constexpr std::int64_t most_runs = 1'000'000;  // each is a row of the file before the first begins
constexpr const char* each_fusion = "each";    // a grid's word for all that an ablation compares

// The file as text for errors.
class StudyParser {
 public:
  StudyParser(std::string origin, std::string default_name) : origin_(std::move(origin)) {
    study_.name = std::move(default_name);
  }
  StudySpec parse(const toml::table& root);

 private:
  template <class... Args>
  [[noreturn]] void refuse(const toml::node& node, fmt::format_string<Args...> format, Args&&... args) const {
    const auto line = node.source().begin.line;  // 0: it came by --set
    throw InputError("{}{}: {}", origin_, line > 0 ? fmt::format(":{}", line) : " with --set",
                     fmt::format(format, std::forward<Args>(args)...));
  }
  void check_keys(const toml::table& table, const std::string& where, std::vector<std::string> known,
                  bool axes_too) const;
  using GivenAxes = std::vector<std::pair<const Axis*, const toml::node*>>;
  GivenAxes given_in(const toml::table& table) const;
  void add_task(const toml::table& task, GivenAxes& given) const;
  std::string value_of(const Axis& axis, const toml::node& node) const;
  std::int64_t integer(const toml::node& node, std::string_view key, std::int64_t low, std::int64_t high) const;
  std::string text(const toml::node& node, std::string_view key) const;
  bool boolean(const toml::node& node, std::string_view key) const;
  Nanoseconds duration(const toml::node& node, std::string_view key) const;
  std::vector<const toml::table*> tables(const toml::table& root, const char* key) const;

  void parse_general(const toml::table& root);
  void parse_frontier(const toml::table& root);
  void parse_reference(const toml::table& root);
  using GridAxis = std::pair<std::string, std::vector<std::string>>;  // word and values
  std::vector<GridAxis> axes_of(const toml::table& grid, const AxisValues& defaults) const;
  void expand_each_fusion(std::vector<GridAxis>& axes, const AxisValues& defaults, const toml::node& where) const;
  void expand_grid(const toml::table& grid, const AxisValues& defaults);
  AxisValues scalars(const toml::table& table, AxisValues values) const;
  void add_cell(const AxisValues& values, const toml::node& where);

  std::string origin_;
  StudySpec study_;
  std::set<std::string> keys_;
};

// Flags are written with dashes; a key may have underscores instead.
std::string dashed(std::string_view key) {
  std::string name(key);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

const toml::node* get(const toml::table& table, std::string_view key) {
  for (const auto& [name, node] : table)
    if (dashed(name.str()) == key) return &node;
  return nullptr;
}

const char* type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string:
      return "text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::table:
      return "a table";
    default:
      return "a date or time";
  }
}

void StudyParser::check_keys(const toml::table& table, const std::string& where, std::vector<std::string> known,
                             bool axes_too) const {
  if (axes_too)
    for (const Axis& axis : axes()) known.emplace_back(axis.word);
  std::set<std::string> seen;
  for (const auto& [name, node] : table) {
    const std::string key = dashed(name.str());
    if (!seen.insert(key).second) refuse(node, "{}{} is given twice, with '-' and with '_'", where, quote(key));
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string near = nearest(key, known);
    refuse(node, "unknown key {}{}; {}", where, quote(name.str()),
           near.empty() ? "docs/study_files.md lists the keys" : fmt::format("did you mean '{}'?", near));
  }
}

std::int64_t StudyParser::integer(const toml::node& node, std::string_view key, std::int64_t low,
                                  std::int64_t high) const {
  const auto value = node.type() == toml::node_type::integer ? node.value<std::int64_t>() : std::nullopt;
  if (!value) refuse(node, "{}: a whole number is expected, not {}", key, type_name(node));
  if (*value < low || *value > high) refuse(node, "{}: {} is not within {} to {}", key, *value, low, high);
  return *value;
}

std::string StudyParser::text(const toml::node& node, std::string_view key) const {
  const auto value = node.type() == toml::node_type::string ? node.value<std::string>() : std::nullopt;
  if (!value) refuse(node, "{}: text in quotes is expected, not {}", key, type_name(node));
  return *value;
}

bool StudyParser::boolean(const toml::node& node, std::string_view key) const {
  const auto value = node.type() == toml::node_type::boolean ? node.value<bool>() : std::nullopt;
  if (!value) refuse(node, "{}: true or false is expected, not {}", key, type_name(node));
  return *value;
}

Nanoseconds StudyParser::duration(const toml::node& node, std::string_view key) const {
  try {
    const Nanoseconds time = parse_duration(text(node, key), key);
    if (time > Nanoseconds(0)) return time;
  } catch (const InputError& error) {
    const std::string_view message = error.what();
    if (message.starts_with(origin_)) throw;
    refuse(node, "{}", message);
  }
  refuse(node, "{}: it must be longer than zero", key);
}

// The axes that a table sets. Those of its [task] stand in it as if they were its own.
StudyParser::GivenAxes StudyParser::given_in(const toml::table& table) const {
  GivenAxes given;
  for (const auto& [name, node] : table) {
    const Axis* axis = find_axis(dashed(name.str()));
    if (axis == nullptr) continue;
    if (axis->word == "task" && node.is_table())
      add_task(*node.as_table(), given);
    else
      given.emplace_back(axis, &node);
  }
  std::set<std::string_view> seen;
  for (const auto& [axis, node] : given)
    if (!seen.insert(axis->word).second) refuse(*node, "{} is given twice, in [task] and beside it", axis->word);
  return given;
}

// The key of [task] that an axis of a workload has: "seed" of task-seed.
std::string task_key_of(const Axis& axis) { return dashed(axis.json.substr(axis.json.rfind('/') + 1)); }

void StudyParser::add_task(const toml::table& task, GivenAxes& given) const {
  std::vector<std::string> known{"kind"};
  for (const Axis& axis : axes())
    if (axis.is_of_workload()) known.push_back(task_key_of(axis));
  check_keys(task, "[task] ", known, false);
  const toml::node* kind = get(task, "kind");
  if (kind == nullptr || text(*kind, "kind") != "generate")
    refuse(kind != nullptr ? *kind : task,
           "[task] kind: \"generate\" is expected; questions to be scored are a path, task = \"FILE.jsonl\"");
  for (const Axis& axis : axes())
    if (const toml::node* node = axis.is_of_workload() ? get(task, task_key_of(axis)) : nullptr)
      given.emplace_back(&axis, node);
}

// What is given to an axis, as the text that its flag would have.
std::string StudyParser::value_of(const Axis& axis, const toml::node& node) const {
  const bool takes_text = axis.kind == AxisKind::text || axis.kind == AxisKind::size || axis.kind == AxisKind::count_or_word;
  if (node.is_string() && takes_text) return text(node, axis.word);
  if (node.is_integer() && axis.kind != AxisKind::text) return std::to_string(integer(node, axis.word, 0, any_integer));
  if (node.is_floating_point() && axis.kind == AxisKind::number) return fmt::format("{}", node.value<double>().value());
  const char* expected = axis.kind == AxisKind::text           ? "text in quotes"
                         : axis.kind == AxisKind::whole_number ? "a whole number"
                         : axis.kind == AxisKind::number       ? "a number"
                                                               : "text in quotes or a whole number";
  refuse(node, "{}: {} is expected, not {}", axis.word, expected, type_name(node));
}

AxisValues StudyParser::scalars(const toml::table& table, AxisValues values) const {
  for (const auto& [axis, node] : given_in(table))
    values.insert_or_assign(std::string(axis->word), value_of(*axis, *node));
  return values;
}

void StudyParser::add_cell(const AxisValues& values, const toml::node& where) {
  CellSpec spec;
  if (const auto fusion = values.find("fusion"); fusion != values.end() && fusion->second == each_fusion)
    refuse(where, "fusion: \"each\" stands for many cells; write it in a [grid]");
  try {
    spec = cell_of(values);
    check(spec);
  } catch (const InputError& error) {
    refuse(where, "{}", error.what());
  }
  if (!keys_.insert(cell_key(spec, 1)).second) {
    const auto layout = values.find("parallel");
    const bool is_bare = layout != values.end() && layout->second.find_first_of("0123456789") == std::string::npos;
    if (is_bare && spec.placement.layout.ranks() == 1) return;  // "mp" and "tp" over one device
    refuse(where, "the cell '{}' occurs twice", cell_key(spec, 1));
  }
  if (study_.cells.size() == most_cells) refuse(where, "more than {} cells; make the grid smaller", most_cells);
  study_.cells.push_back(std::move(spec));
}

std::vector<StudyParser::GridAxis> StudyParser::axes_of(const toml::table& grid, const AxisValues& defaults) const {
  std::vector<GridAxis> axes;
  for (const auto& [axis, node] : given_in(grid)) {
    auto& [word, values] = axes.emplace_back(std::string(axis->word), std::vector<std::string>());
    const toml::array* array = node->as_array();
    if (array == nullptr) values.push_back(value_of(*axis, *node));
    if (array != nullptr && array->empty()) refuse(*node, "{}: an empty array leaves no cells", word);
    if (array != nullptr)
      for (const toml::node& value : *array) values.push_back(value_of(*axis, value));
  }
  expand_each_fusion(axes, defaults, grid);
  // Innermost last: a strategy's batches stand together.
  std::stable_partition(axes.begin(), axes.end(), [](const GridAxis& axis) { return axis.first != "batch"; });
  return axes;
}

// fusion = "each", in the grid or as the file's default, becomes what the grid's engine has.
void StudyParser::expand_each_fusion(std::vector<GridAxis>& axes, const AxisValues& defaults, const toml::node& where) const {
  const auto axis = [&](const char* key) {
    return std::find_if(axes.begin(), axes.end(), [&](const GridAxis& one) { return one.first == key; });
  };
  const auto given = defaults.find("fusion"), engine = defaults.find("engine");
  if (axis("fusion") == axes.end() && given != defaults.end()) axes.push_back({"fusion", {given->second}});
  if (axis("fusion") == axes.end()) return;
  std::vector<std::string>& values = axis("fusion")->second;
  const auto found = std::find(values.begin(), values.end(), each_fusion);
  if (found == values.end()) return;
  if (values.size() > 1) refuse(where, "fusion: \"each\" already covers all values; give it alone");
  const std::string name = axis("engine") != axes.end() ? axis("engine")->second.front()
                           : engine != defaults.end()   ? engine->second
                                                        : to_string(CellSpec().engine);
  values.clear();
  try {
    for (const Fusion& fusion : ablation(make_engine(parse_engine(name, "engine"))->capabilities().fusions))
      values.push_back(to_string(fusion));
  } catch (const InputError& error) {
    refuse(where, "{}", error.what());
  }
}

// All combinations of a grid's values; keys that the grid does not have keep the file's defaults.
void StudyParser::expand_grid(const toml::table& grid, const AxisValues& defaults) {
  check_keys(grid, "[grid] ", {}, true);
  const std::vector<GridAxis> axes = axes_of(grid, defaults);
  std::vector<std::size_t> at(axes.size(), 0);
  while (true) {
    AxisValues values = defaults;
    for (std::size_t i = 0; i < axes.size(); ++i) values.insert_or_assign(axes[i].first, axes[i].second[at[i]]);
    add_cell(values, grid);
    std::size_t i = axes.size();
    while (i > 0 && ++at[i - 1] == axes[i - 1].second.size()) at[--i] = 0;
    if (i == 0) return;
  }
}

// [key] or [[key]].
std::vector<const toml::table*> StudyParser::tables(const toml::table& root, const char* key) const {
  const toml::node* node = get(root, key);
  if (node == nullptr) return {};
  if (const toml::table* table = node->as_table()) return {table};
  std::vector<const toml::table*> found;
  const toml::array* array = node->as_array();
  if (array == nullptr) refuse(*node, "{}: a table [{}] or tables [[{}]] are expected", key, key, key);
  for (const toml::node& element : *array) {
    if (!element.is_table()) refuse(element, "{}: a table is expected, not {}", key, type_name(element));
    found.push_back(element.as_table());
  }
  return found;
}

void StudyParser::parse_general(const toml::table& root) {
  if (const auto* node = get(root, "name")) study_.name = text(*node, "name");
  if (study_.name.empty()) refuse(root, "name: a study needs a name");
  if (study_.name.find('/') != std::string::npos)  // it becomes a file's name
    refuse(root, "name: {} has a '/' in it; leave it out", quote(study_.name));
  if (const auto* node = get(root, "seed"))
    study_.seed = static_cast<std::uint64_t>(integer(*node, "seed", 0, any_integer));
  if (const auto* node = get(root, "paper-sampler")) study_.paper_sampler = boolean(*node, "paper-sampler");
  if (const auto* node = get(root, "repeats")) study_.repeats = integer(*node, "repeats", 1, 1000);
  if (const auto* node = get(root, "time-out")) study_.time_out = duration(*node, "time-out");
  if (const auto* node = get(root, "period")) study_.sample_period = duration(*node, "period");
  if (study_.sample_period < std::chrono::milliseconds(1)) refuse(*get(root, "period"), "period: 1ms is the shortest");
}

void StudyParser::parse_frontier(const toml::table& root) {
  const toml::node* node = get(root, "frontier");
  if (node == nullptr) return;
  if (!node->is_table()) refuse(*node, "frontier: a table [frontier] is expected, not {}", type_name(*node));
  const toml::table& table = *node->as_table();
  check_keys(table, "[frontier] ", {"search", "largest-batch"}, false);
  if (const auto* search = get(table, "search")) study_.frontier = boolean(*search, "search");
  if (const auto* largest = get(table, "largest-batch"))
    study_.frontier_largest_batch = integer(*largest, "largest-batch", 1, any_integer);
}

// The first cell that has every value the table names.
void StudyParser::parse_reference(const toml::table& root) {
  const toml::node* node = get(root, "reference");
  if (node == nullptr) return;
  study_.names_reference = true;
  if (!node->is_table()) refuse(*node, "reference: a table [reference] is expected, not {}", type_name(*node));
  check_keys(*node->as_table(), "[reference] ", {}, true);
  const AxisValues wanted = scalars(*node->as_table(), {});
  const auto matches = [&](const CellSpec& cell) { return has_values(cell, wanted); };
  try {
    const auto found = std::find_if(study_.cells.begin(), study_.cells.end(), matches);
    if (found == study_.cells.end()) refuse(*node, "[reference]: no cell of the study has these values");
    study_.reference = static_cast<std::size_t>(found - study_.cells.begin());
  } catch (const InputError& error) {
    if (std::string_view(error.what()).starts_with(origin_)) throw;
    refuse(*node, "[reference]: {}", error.what());
  }
}

StudySpec StudyParser::parse(const toml::table& root) {
  check_keys(
      root, "",
      {"name", "seed", "repeats", "time-out", "period", "paper-sampler", "grid", "cell", "reference", "frontier"},
      true);
  parse_general(root);
  parse_frontier(root);
  const AxisValues defaults = scalars(root, {});
  for (const toml::table* grid : tables(root, "grid")) expand_grid(*grid, defaults);
  for (const toml::table* cell : tables(root, "cell")) {
    check_keys(*cell, "[[cell]] ", {}, true);
    add_cell(scalars(*cell, defaults), *cell);
  }
  if (study_.cells.empty()) throw InputError("{}: the study has no cells; give it a [grid] or a [[cell]]", origin_);
  if (std::ssize(study_.cells) * study_.repeats > most_runs)
    throw InputError("{}: {} cells, {} times each, are more than {} runs; make the grid smaller, or repeat less",
                     origin_, study_.cells.size(), study_.repeats, most_runs);
  parse_reference(root);
  return std::move(study_);
}

}  // namespace

namespace {

// toml++ makes and destroys tables by recursion, a level a part of a dotted key, without a limit.
void check_dotted_keys(std::string_view text, const std::string& origin) {
  constexpr int most_dots = 64;
  std::int64_t line = 1;
  int dots = 0;
  char quote = 0;
  for (const char c : text) {
    if (c == '\n') {
      ++line;
      dots = 0;
      quote = 0;
    } else if (quote != 0) {
      quote = c == quote ? 0 : quote;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '.' && ++dots > most_dots) {
      throw InputError("{}:{}: a key of more than {} parts; no key of a study has that many", origin, line, most_dots);
    }
  }
}

// Gives the key the value in each table that has it, a [task] by its own word. Lists are for grids.
bool replace(toml::table& table, std::string_view name, const std::string& key, const toml::node& value) {
  const bool takes_it = !value.is_array() || (name != "cell" && name != "reference");
  const Axis* axis = find_axis(key);
  const bool is_task = name == "task";
  const std::string word = is_task && axis != nullptr && axis->is_of_workload() ? task_key_of(*axis) : key;
  bool found = false;
  for (auto&& [own, node] : table) {
    const std::string_view own_name = own.str();
    if (dashed(own_name) == word && !(is_task && (axis == nullptr || !axis->is_of_workload()))) {
      found = true;
      const toml::key& place = own;
      if (takes_it) value.visit([&](const auto& is) { table.insert_or_assign(place, is); });
    } else if (toml::table* inner = node.as_table()) {
      found |= replace(*inner, own_name, key, value);
    } else if (toml::array* tables = node.as_array()) {
      for (toml::node& each : *tables)
        if (toml::table* one = each.as_table()) found |= replace(*one, own_name, key, value);
    }
  }
  return found;
}

// "batch=[1,8]": the value as the file would have it; what is no TOML is text.
void apply(const std::string& setting, toml::table& root) {
  const auto equals = std::min(setting.find('='), setting.size());
  if (equals == 0 || equals == setting.size())
    throw InputError("--set {}: write KEY=VALUE, as in device=cpu:4", quote(setting));
  const std::string key = dashed(setting.substr(0, equals)), text = setting.substr(equals + 1);
  toml::table given;
  try {
    given = toml::parse("value = " + text);
  } catch (const toml::parse_error&) {
    given.insert_or_assign("value", text);
  }
  const toml::node& value = *given.get("value");
  if (!replace(root, "", key, value)) value.visit([&](const auto& is) { root.insert_or_assign(key, is); });
}

}  // namespace

StudySpec parse_study(std::string_view text, const std::string& origin, std::span<const std::string> settings) {
  check_dotted_keys(text, origin);
  toml::table root;
  try {
    refuse_foreign_text(text, origin);
    root = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw InputError("{}:{}: {}", origin, error.source().begin.line, error.description());
  }
  for (const std::string& setting : settings) apply(setting, root);
  return StudyParser(origin, std::filesystem::path(origin).stem().string()).parse(root);
}

StudySpec read_study(const std::filesystem::path& path, std::span<const std::string> settings) {
  StudySpec study = parse_study(read_file(path), path.string(), settings);
  study.folder = std::filesystem::absolute(path).parent_path();
  return study;
}

nlohmann::json to_json(const StudySpec& study) {
  nlohmann::json cells = nlohmann::json::array();
  for (const CellSpec& cell : study.cells) cells.push_back(to_json(cell));
  nlohmann::json json = {
      {"name", study.name},
      {"seed", study.seed},
      {"repeats", study.repeats},
      {"time_out_ns", study.time_out.count()},
      {"sample_period_ns", study.sample_period.count()},
      {"reference", cell_key(study.cells.at(study.reference), 1)},
      {"frontier", {{"search", study.frontier}, {"largest_batch", json_or_null(study.frontier_largest_batch)}}},
      {"cells", std::move(cells)}};
  if (study.paper_sampler) json["paper_sampler"] = true;  // studies that began without it go on
  return json;
}

CellSpec resolved(const CellSpec& spec, const std::filesystem::path& folder) {
  const auto absolute = [&](const std::string& path) {
    return path.empty() ? path : (folder / path).lexically_normal().string();
  };
  CellSpec copy = spec;
  // Another engine's model may be a name that it finds by itself.
  if (spec.engine.is_ours() || std::filesystem::exists(folder / spec.model.path))
    copy.model.path = absolute(spec.model.path);
  copy.task = absolute(spec.task);
  if (copy.workload) copy.workload->trace = absolute(copy.workload->trace);
  // A shape may be a path as well; its other forms are no files.
  if (const auto shape = folder / spec.model.random_shape;
      !spec.model.random_shape.empty() && std::filesystem::exists(shape))
    copy.model.random_shape = shape.lexically_normal().string();
  return copy;
}

}  // namespace batchscope
