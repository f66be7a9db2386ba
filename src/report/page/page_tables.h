// Where a file's numbers come from: sessions, environment, samplers. Every page of a .bscope file ends with them.
#pragma once

#include <map>
#include <span>
#include <string>

#include "report/page/page.h"
#include "store/store.h"

namespace batchscope {

// One line: program, machine, date.
std::string origin_text(const std::map<std::string, std::string>& environment, std::span<const SessionRecord> sessions);

PagePart origin_part(const StoreReader& reader);

}  // namespace batchscope
