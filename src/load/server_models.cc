// GET /v1/models (load/server_models.h).
#include "load/server_models.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "http/exchanges.h"
#include "load/outcome.h"

namespace batchscope::load {

std::vector<std::string> server_models(const Endpoint& endpoint, Nanoseconds patience) {
  http::Exchanges exchanges(endpoint.url,
                            {.connecting = patience,
                             .first_byte = patience,
                             .between_bytes = patience,
                             .whole = patience,
                             .answer = {.header_bytes = 64 * 1024, .whole_bytes = 4 << 20}},
                            endpoint.token, endpoint.authorities);
  std::string body;
  http::Exchange exchange;
  exchanges.get(
      endpoint.target("models"), [&](std::string_view bytes, Nanoseconds, const http::Response&) { body += bytes; },
      [&](const http::Exchange& ended) { exchange = ended; });
  exchanges.run();
  const std::string asked = endpoint.url.server() + endpoint.target("models");
  if (exchange.ending != http::Ending::complete)
    throw InputError("{}: {} ({}); is the server running, and this its address?", asked, meaning_of(exchange.ending),
                     http::word_of(exchange.ending));
  if (exchange.response.status != 200)
    throw InputError("{}: the server answers with status {}; the URL is that of the API, as http://localhost:8000/v1",
                     asked, exchange.response.status);
  const nlohmann::json list = parse_json(body, asked);
  const JsonObject object(list, asked);
  const nlohmann::json* data = object.find("data");
  if (data == nullptr || !data->is_array()) object.refuse("data", "a list of models");
  std::vector<std::string> names;
  for (const nlohmann::json& model : *data) names.push_back(JsonObject(model, asked, "data.").text("id"));
  return names;
}

}  // namespace batchscope::load
