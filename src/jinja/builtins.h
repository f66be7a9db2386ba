// What templates can call without defining it: filters, tests, methods of texts and mappings, global functions.
#pragma once

#include <string>

#include "jinja/value.h"

namespace batchscope::jinja {

// (value, arguments) -> value; null where there is no such.
using Builtin = Value (*)(Budget& budget, const Value& value, const Arguments& arguments);
Builtin find_filter(const std::string& name);
Builtin find_test(const std::string& name);  // gives a boolean

// value.name: an attribute or a method; undefined where there is none. InputError of an undefined value.
Value attribute_of(const Value& value, const std::string& name);
// value[key].
Value item_of(const Value& value, const Value& key);
// value[begin:end:step], absent ones undefined.
Value slice_of(Budget& budget, const Value& value, const Value& begin, const Value& end, const Value& step);

// range, namespace, dict, raise_exception.
Dict global_functions();

// a + b and so on, by sign; also ~, in.
Value calculate(Budget& budget, const std::string& sign, const Value& a, const Value& b);
bool contains(Budget& budget, const Value& whole, const Value& part);

}  // namespace batchscope::jinja
