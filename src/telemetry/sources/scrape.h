// A server's own metrics as counters: what vLLM, SGLang or anything else with a Prometheus page says of itself.
#pragma once

#include <memory>
#include <string>

#include "telemetry/source.h"

namespace batchscope {

// `http://HOST[:PORT][/PATH]`; PATH is /metrics where there is none. InputError for anything else.
//
// Each series of the page is a counter of the page's name; device and labels are "HOST:PORT" and the series' labels.
// Series come and go. While the server does not answer all are absent, with the reason. Two counters are the scrape's
// own: scrape_seconds, and scrape_left_out_series, what is beyond the first few hundred series.
std::unique_ptr<Source> scrape_source(const std::string& url, Nanoseconds period);

}  // namespace batchscope
