// Headers by name, and the words of statuses (http/message.h).
#include "http/message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

namespace batchscope::http {
namespace {

// HTTP's names are ASCII; tolower would ask the locale.
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool equal_but_for_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (const Header& header : all_)
    if (equal_but_for_case(header.name, name)) return header.value;
  return std::nullopt;
}

std::size_t Headers::count(std::string_view name) const {
  return static_cast<std::size_t>(std::count_if(
      all_.begin(), all_.end(), [&](const Header& header) { return equal_but_for_case(header.name, name); }));
}

void Headers::remove(std::string_view name) {
  std::erase_if(all_, [&](const Header& header) { return equal_but_for_case(header.name, name); });
}

std::string text_of(const Request& request, std::string_view host) {
  std::string text =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: identity\r\n", request.method, request.target, host);
  for (const Header& header : request.headers) text += fmt::format("{}: {}\r\n", header.name, header.value);
  if (!request.body.empty() || request.method == "POST")
    text += fmt::format("Content-Length: {}\r\n", request.body.size());
  return text + "\r\n" + request.body;
}

std::string_view reason_of(int status) {
  constexpr std::pair<int, std::string_view> reasons[] = {{200, "OK"},
                                                          {400, "Bad Request"},
                                                          {401, "Unauthorized"},
                                                          {403, "Forbidden"},
                                                          {404, "Not Found"},
                                                          {405, "Method Not Allowed"},
                                                          {408, "Request Timeout"},
                                                          {413, "Content Too Large"},
                                                          {415, "Unsupported Media Type"},
                                                          {421, "Misdirected Request"},
                                                          {422, "Unprocessable Content"},
                                                          {429, "Too Many Requests"},
                                                          {431, "Request Header Fields Too Large"},
                                                          {500, "Internal Server Error"},
                                                          {501, "Not Implemented"},
                                                          {502, "Bad Gateway"},
                                                          {503, "Service Unavailable"},
                                                          {504, "Gateway Timeout"}};
  for (const auto& [code, reason] : reasons)
    if (code == status) return reason;
  return "Unknown";
}

std::optional<std::chrono::seconds> retry_after(const Headers& headers) {
  const auto text = headers.find("Retry-After");
  std::int32_t seconds = 0;  // 68 years at most
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error != std::errc() || end != text->data() + text->size() || seconds < 0) return std::nullopt;
  return std::chrono::seconds(seconds);
}

}  // namespace batchscope::http
