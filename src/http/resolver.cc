// The system's resolver in a thread that may be left behind (http/resolver.h).
#include "http/resolver.h"

#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/thread_signals.h"

namespace batchscope::http {

using boost::asio::ip::tcp;
using boost::system::error_code;
namespace asio = boost::asio;

struct Resolver::Lookup {
  std::string host;
  std::mutex mutex{};
  std::condition_variable ready{};
  bool is_done = false;
  std::vector<tcp::endpoint> found{};
};

Resolver::Result Resolver::find(const std::string& host, int port, std::chrono::steady_clock::time_point deadline,
                                std::vector<tcp::endpoint>& found) {
  error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (!error) {
    found = {tcp::endpoint(address, static_cast<unsigned short>(port))};
    return Result::found;
  }
  if (lookup_ == nullptr || lookup_->host != host) start(host);
  Lookup& lookup = *lookup_;
  std::unique_lock lock(lookup.mutex);
  if (!lookup.ready.wait_until(lock, deadline, [&] { return lookup.is_done; })) return Result::too_late;
  found = lookup.found;
  lock.unlock();
  lookup_.reset();
  for (tcp::endpoint& endpoint : found) endpoint.port(static_cast<unsigned short>(port));
  return found.empty() ? Result::none : Result::found;
}

void Resolver::start(const std::string& host) {
  lookup_ = std::make_shared<Lookup>();
  lookup_->host = host;
  const auto look_up = [lookup = lookup_] {
    asio::io_context io;
    error_code error;
    std::vector<tcp::endpoint> found;
    for (const auto& entry : tcp::resolver(io).resolve(lookup->host, "", error)) found.push_back(entry.endpoint());
    const std::lock_guard guard(lookup->mutex);
    lookup->found = std::move(found);
    lookup->is_done = true;
    lookup->ready.notify_all();
  };
  try {
    std::thread([look_up] {
      leave_signals_to_others();
      look_up();
    }).detach();
  } catch (const std::system_error&) {  // no more threads may be started
    look_up();
  }
}

}  // namespace batchscope::http
