// Jinja templates, as far as checkpoints' chat templates use the language
// (https://jinja.palletsprojects.com/en/stable/templates/): for, if, set, macro, break, continue, raw, all operators,
// the filters, tests and methods of jinja/builtins.h. Nothing in a template reaches beyond the values that it is given;
// what one rendering may do and make is bounded. Not supported, and refused by name: inheritance, imports, call and
// filter blocks, recursive loops.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "jinja/value.h"

namespace batchscope::jinja {

struct RenderLimits {
  std::int64_t steps = 2'000'000;  // of expressions, statements and items gone through
  std::int64_t bytes = 16 << 20;   // of all texts and lists that are made, the output among them
};

class Template {
 public:
  // InputError, which names the line, for what is no such template.
  explicit Template(std::string_view source);
  ~Template();
  Template(Template&&) noexcept;

  // Thread-safe. InputError where the template refuses (raise_exception), does what cannot be done, or leaves the
  // limits.
  std::string render(const Dict& variables, const RenderLimits& limits = {}) const;

 private:
  struct Program;
  std::unique_ptr<Program> program_;
};

}  // namespace batchscope::jinja
