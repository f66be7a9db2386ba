// What the keys of a config.json mean to us: read, harmless, fine with one value only, or unknown.
#pragma once

#include "base/json.h"

namespace batchscope {

// InputError for a field that changes numbers in a way that we do not compute, by its name.
void refuse_what_we_do_not_compute(const JsonObject& file);

// One line that names the keys nobody here has heard of.
void warn_of_unknown_keys(const JsonObject& file);

}  // namespace batchscope
