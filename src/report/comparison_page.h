// The HTML page of a comparison.
#pragma once

#include "report/comparison.h"
#include "report/page.h"

namespace batchscope {

Page comparison_page(const Comparison& comparison);

}  // namespace batchscope
