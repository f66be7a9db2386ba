// A server's own metrics as counters: what vLLM, SGLang or anything else with a Prometheus page says of itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/client.h"
#include "http/url.h"
#include "telemetry/source.h"

namespace batchscope {

struct ScrapeAccess {
  Nanoseconds timeout = std::chrono::milliseconds(1500);  // for a whole answer
  http::BearerToken token{};
  std::string authorities{};  // file of certificates to trust; "": the system's
};

// Where the server of that API publishes its metrics: beside http://localhost:8000/v1, http://localhost:8000/metrics.
std::string metrics_url_beside(const http::Url& api);

// `http://HOST[:PORT][/PATH]` or https; PATH is /metrics where there is none. InputError for anything else.
//
// Each series of the page is a counter of the page's name; device and labels are "HOST:PORT" and the series' labels.
// Series come and go. A counter that the page before did not have has been at 0 then, where the server is still the
// same. While the server does not answer all are absent, with the reason. Two counters are the scrape's own:
// scrape_seconds, and scrape_left_out_series, for which there was no room (sources/series_choice.h). `only`: patterns
// of series to take.
std::unique_ptr<Source> scrape_source(const std::string& url, Nanoseconds period, const ScrapeAccess& access = {},
                                      std::vector<std::string> only = {});

}  // namespace batchscope
