// HTTP messages as both sides see them.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope::http {

struct Header {
  std::string name{}, value{};
};

// In the order in which they came, or are to go.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<Header> all) : all_(all) {}
  void add(std::string name, std::string value) { all_.push_back({std::move(name), std::move(value)}); }
  // The first of that name, whatever its case.
  std::optional<std::string_view> find(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  void remove(std::string_view name);
  auto begin() const { return all_.begin(); }
  auto end() const { return all_.end(); }

 private:
  std::vector<Header> all_;
};

bool equal_but_for_case(std::string_view a, std::string_view b);

struct Request {
  std::string method = "GET", target = "/";
  Headers headers{};
  std::string body{};

  std::string_view path() const { return std::string_view(target).substr(0, target.find('?')); }
};

// The bytes of a request to that host: its own headers, and those that go with every request.
std::string text_of(const Request& request, std::string_view host);

// The words that go with a status: "Not Found".
std::string_view reason_of(int status);

// How long a server asks to wait before the next attempt; absent where it does not say, or names a date.
std::optional<std::chrono::seconds> retry_after(const Headers& headers);

}  // namespace batchscope::http
