// The HTML page of a comparison.
#pragma once

#include "report/comparison/comparison.h"
#include "report/page/page.h"

namespace batchscope {

Page comparison_page(const Comparison& comparison);

}  // namespace batchscope
