// Processes that work together (comm/process_world.h).
#include "comm/process_world.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "comm/mpi_transport.h"

namespace batchscope {
namespace {

using nlohmann::json;

// Whoever waits tries all the time at first, unless ranks are more than CPUs and the one that it waits for needs this
// one, and then sleeps between tries: a hundredth of what it has waited, within bounds.
constexpr Nanoseconds longest_spin = std::chrono::microseconds(250);
constexpr Nanoseconds shortest_pause = std::chrono::microseconds(10), longest_pause = std::chrono::milliseconds(1);
constexpr int clock_messages = 16;

json to_json(const ProcessPlace& place) {
  return {{"host", place.host},
          {"machine", place.machine},
          {"pid", place.pid},
          {"pid_namespace", place.pid_namespace},
          {"cpus", place.cpus}};
}

ProcessPlace place_of(const json& place) {
  return {place.at("host"), place.at("machine"), place.at("pid"), place.at("pid_namespace"), place.at("cpus")};
}

std::string first_line(const char* path) {
  try {
    const std::string text = read_file(path);
    return text.substr(0, text.find('\n'));
  } catch (const Error&) {
    return {};
  }
}

// An error as it is told to other processes, and made again there: its kind decides what becomes of a cell.
struct Told {
  int code = 0;  // 0: no error
  std::string message{};
  bool is_peers = false;  // it waited for a rank that failed
};

Told tell(const std::exception_ptr& error) {
  if (!error) return {};
  try {
    std::rethrow_exception(error);
  } catch (const PeerFailed& failure) {
    return {static_cast<int>(ExitCode::failed), failure.what(), true};
  } catch (const Error& failure) {
    return {static_cast<int>(failure.code()), failure.what()};
  } catch (const std::bad_alloc&) {
    return {static_cast<int>(ExitCode::out_of_memory), "the host is out of memory"};
  } catch (const std::exception& failure) {
    return {static_cast<int>(ExitCode::failed), failure.what()};
  } catch (...) {
    return {static_cast<int>(ExitCode::failed), "something that is no error was thrown"};
  }
}

std::exception_ptr told_error(int code, const std::string& message) {
  switch (static_cast<ExitCode>(code)) {
    case ExitCode::bad_input:
      return std::make_exception_ptr(InputError("{}", message));
    case ExitCode::out_of_memory:
      return std::make_exception_ptr(OutOfMemory(message));
    case ExitCode::timed_out:
      return std::make_exception_ptr(TimedOut(message));
    case ExitCode::interrupted:
      return std::make_exception_ptr(Interrupted(message));
    default:
      return std::make_exception_ptr(Failure("{}", message));
  }
}

}  // namespace

ProcessPlace this_process() {
  ProcessPlace place;
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  const char* node = std::getenv("SLURMD_NODENAME");
  place.host = node != nullptr && *node != '\0' ? node : name;
  place.machine = first_line("/proc/sys/kernel/random/boot_id");
  if (place.machine.empty()) place.machine = name;
  place.pid = getpid();
  struct stat info {};
  if (stat("/proc/self/ns/pid", &info) == 0) place.pid_namespace = std::to_string(info.st_ino);
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) place.cpus.push_back(cpu);
  return place;
}

ProcessWorld::ProcessWorld(std::unique_ptr<MessagePasser> passer, const ProcessPlace& here, Nanoseconds time_out,
                           Clock& clock)
    : passer_(std::move(passer)),
      time_out_(time_out),
      clock_(clock),
      peers_(static_cast<std::size_t>(passer_->size())) {
  HostGroup all = all_ranks(first());
  json places = json::array();
  for (const std::string& place : all.gather(to_json(here).dump())) places.push_back(json::parse(place));
  for (const json& place : json::parse(all.broadcast(places.dump()))) places_.push_back(place_of(place));
  if (cpu_sharers() <= std::ssize(here.cpus)) spin_ = longest_spin;
  prctl(PR_SET_TIMERSLACK, 1000);  // ns, of this thread and those that it starts: by default a pause lasts 50 us longer
  align_clocks();
  ++epoch_;
}

int ProcessWorld::device_index(int rank) const {
  const auto end = places_.begin() + rank;
  return static_cast<int>(
      std::count_if(places_.begin(), end, [&](const ProcessPlace& place) { return place.host == end->host; }));
}

int ProcessWorld::cpu_sharers() const {
  const ProcessPlace& here = places_[static_cast<std::size_t>(first())];
  return static_cast<int>(std::count_if(places_.begin(), places_.end(), [&](const ProcessPlace& place) {
    return place.machine == here.machine && std::find_first_of(place.cpus.begin(), place.cpus.end(), here.cpus.begin(),
                                                               here.cpus.end()) != place.cpus.end();
  }));
}

std::string ProcessWorld::host() const {
  const std::string& here = places_[static_cast<std::size_t>(first())].host;
  const bool is_only =
      std::all_of(places_.begin(), places_.end(), [&](const ProcessPlace& place) { return place.host == here; });
  return is_only ? "" : here;
}

std::vector<pid_t> ProcessWorld::beside() const {
  const ProcessPlace& here = places_[static_cast<std::size_t>(first())];
  std::vector<pid_t> pids;
  for (const ProcessPlace& place : places_)
    if (place.machine == here.machine && place.pid_namespace == here.pid_namespace && place.pid != here.pid)
      pids.push_back(static_cast<pid_t>(place.pid));
  return pids;
}

std::unique_ptr<Transport> ProcessWorld::make_transport(std::vector<VirtualDeviceCounters*> counters, Clock& clock) {
  return std::make_unique<MpiTransport>(*this, std::move(counters), clock);
}

template <class Ready, class Late>
void ProcessWorld::wait(const Ready& ready, Abort abort, const Late& late) {
  if (ready()) return;
  const Nanoseconds begin = monotonic_clock().now(), latest = clock_.now() + time_out_;
  while (!ready()) {
    if (abort == Abort::ends_it && is_aborted()) throw PeerFailed();
    if constexpr (!std::is_null_pointer_v<Late>)
      if (clock_.now() >= latest) late();
    const Nanoseconds now = monotonic_clock().now();
    if (now - begin < spin_) continue;
    monotonic_clock().sleep_until(now + std::clamp((now - begin) / 100, shortest_pause, longest_pause));
  }
}

bool ProcessWorld::is_aborted() {
  while (const auto notice = passer_->next(Channel::abort, MessagePasser::any)) {
    std::int64_t epoch = -1;
    receive_all(Channel::abort, *notice, reinterpret_cast<std::byte*>(&epoch));
    note_abort(epoch);
  }
  return aborted_ == epoch_;
}

// Whether it is news.
bool ProcessWorld::note_abort(std::int64_t epoch) {
  std::int64_t known = aborted_;
  while (known < epoch)
    if (aborted_.compare_exchange_weak(known, epoch)) return true;
  return false;
}

void ProcessWorld::abort() {
  if (!note_abort(epoch_)) return;
  abort_sent_ = epoch_;
  for (int to = 0; to < size(); ++to)
    if (to != first())
      passer_->send(Channel::abort, to, 0, reinterpret_cast<const std::byte*>(&abort_sent_), sizeof abort_sent_);
}

template <class Late>
MessagePasser::Envelope ProcessWorld::await(Channel channel, int from, Abort abort, const Late& late) {
  std::optional<MessagePasser::Envelope> message;
  wait([&] { return (message = passer_->next(channel, from)).has_value(); }, abort, late);
  return *message;
}

// Of a message that has arrived, so that this lasts no longer than to copy it, if its sender lives.
std::int64_t ProcessWorld::receive_all(Channel channel, const MessagePasser::Envelope& message, std::byte* out) {
  const Ticket ticket = passer_->receive(channel, message, out);
  std::optional<std::int64_t> bytes;
  wait([&] { return (bytes = passer_->done(ticket)).has_value(); }, Abort::is_ignored, nullptr);
  return *bytes;
}

std::string ProcessWorld::receive_text(Channel channel, int from, Abort abort) {
  const auto message = await(channel, from, abort, nullptr);
  std::string bytes(static_cast<std::size_t>(message.bytes), '\0');
  receive_all(channel, message, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

void ProcessWorld::send_text(Channel channel, int to, const std::string& bytes) {
  if (std::ssize(bytes) > MessagePasser::most_bytes)
    throw Failure("a result of {} bytes is too large to be sent to another process", bytes.size());
  auto& underway = peer(to).texts;
  std::erase_if(underway, [&](const auto& message) { return passer_->done(message.first).has_value(); });
  auto kept = std::make_unique<std::string>(bytes);
  const auto* data = reinterpret_cast<const std::byte*>(kept->data());
  const Ticket ticket = passer_->send(channel, to, 0, data, std::ssize(*kept));
  underway.emplace_back(ticket, std::move(kept));
}

void ProcessWorld::send(int, int to, const std::string& bytes) {
  send_text(Channel::host, to, bytes);
  ++peer(to).texts_sent;
}

std::string ProcessWorld::receive(int from, int) {
  std::string bytes = receive_text(Channel::host, from, Abort::ends_it);
  ++peer(from).texts_taken;
  return bytes;
}

void ProcessWorld::post(int to, const std::byte* data, std::int64_t bytes) {
  Peer& there = peer(to);
  std::int64_t begin = 0;
  do {
    const std::int64_t part = std::min(bytes - begin, MessagePasser::most_bytes);
    there.posted.push_back(passer_->send(Channel::data, to, static_cast<int>(there.sent++ % MessagePasser::tags),
                                         data == nullptr ? nullptr : data + begin, part));
    begin += part;
  } while (begin < bytes);
}

Transport::Taken ProcessWorld::take(int from, std::byte* out, std::int64_t bytes) {
  const Nanoseconds begin = monotonic_clock().now();
  Peer& there = peer(from);
  Transport::Taken taken;
  const auto late = [&] {
    throw Failure("rank {} has waited {} for message {} of rank {}: it was lost, or rank {} hangs", first(),
                  format_duration(time_out_), there.taken, from, from);
  };
  std::int64_t left = bytes;
  do {
    const auto message = await(Channel::data, from, Abort::ends_it, late);
    if (taken.bytes == 0) taken.waited = monotonic_clock().now() - begin;
    if (const int number = static_cast<int>(there.taken % MessagePasser::tags); message.tag != number)
      throw Failure("rank {} expects message {} of rank {} and got message {}: a message was lost or doubled", first(),
                    number, from, message.tag);
    const std::int64_t part = std::min(left, MessagePasser::most_bytes);
    if (message.bytes != part)
      throw Failure("rank {} expects {} bytes of rank {}, which sent {}: a message was lost or doubled", first(), part,
                    from, message.bytes);
    taken.bytes += receive_all(Channel::data, message, out == nullptr ? nullptr : out + taken.bytes);
    ++there.taken;
    left -= part;
  } while (left > 0);
  return taken;
}

std::int64_t ProcessWorld::await_posted(int to) {
  Peer& there = peer(to);
  const auto late = [&] {
    throw Failure("rank {} has waited {} for rank {} to take message {}: rank {} hangs", first(),
                  format_duration(time_out_), to, there.sent - 1, to);
  };
  std::int64_t bytes = 0;
  while (!there.posted.empty()) {
    std::optional<std::int64_t> sent;
    wait([&] { return (sent = passer_->done(there.posted.front())).has_value(); }, Abort::ends_it, late);
    bytes += *sent;
    there.posted.erase(there.posted.begin());
  }
  return bytes;
}

// After work that went well nothing is underway between devices.
void ProcessWorld::check_nothing_is_left() {
  if (const auto message = passer_->next(Channel::data, MessagePasser::any))
    throw Failure("rank {} has got message {} of rank {}, which was not expected: it was doubled", first(),
                  message->tag, message->from);
}

// Takes and forgets what was sent to this process, so that no message is found later on, and no memory read.
void ProcessWorld::drain(const std::vector<std::int64_t>& sent, const std::vector<std::int64_t>& texts_sent) {
  std::vector<std::byte> nowhere;
  const auto drop = [&](Channel channel, int from, std::int64_t count) {
    for (; count > 0; --count) {
      const auto message = await(channel, from, Abort::is_ignored, [] { throw PeerFailed(); });
      nowhere.resize(static_cast<std::size_t>(message.bytes));
      receive_all(channel, message, nowhere.data());
    }
  };
  for (int from = 0; from < size(); ++from) {
    Peer& there = peer(from);
    const std::int64_t of_device =
        sent[static_cast<std::size_t>(from)] - std::exchange(there.taken, sent[static_cast<std::size_t>(from)]);
    const std::int64_t of_host = texts_sent[static_cast<std::size_t>(from)] -
                                 std::exchange(there.texts_taken, texts_sent[static_cast<std::size_t>(from)]);
    try {
      drop(Channel::data, from, of_device);
      drop(Channel::host, from, of_host);
    } catch (const PeerFailed&) {  // one was lost: the failure that is told says as much
    }
  }
  for (Peer& there : peers_) {
    for (const Ticket ticket : there.posted)
      wait([&] { return passer_->done(ticket).has_value(); }, Abort::is_ignored, nullptr);
    there.posted.clear();
  }
}

void ProcessWorld::settle(std::exception_ptr mine) {
  try {
    if (!mine) check_nothing_is_left();
  } catch (const Failure&) {
    mine = std::current_exception();
    abort();
  }
  const Told told = tell(mine);
  json own{{"code", told.code}, {"message", told.message}, {"is_peers", told.is_peers}};
  for (const Peer& there : peers_) {
    own["sent"].push_back(there.sent);
    own["texts_sent"].push_back(there.texts_sent);
  }
  json agreed;
  if (first() != 0) {
    send_text(Channel::outcome, 0, own.dump(-1, ' ', false, json::error_handler_t::replace));
    agreed = json::parse(receive_text(Channel::outcome, 0, Abort::is_ignored));
  } else {
    std::vector<json> outcomes{own};
    for (int from = 1; from < size(); ++from)
      outcomes.push_back(json::parse(receive_text(Channel::outcome, from, Abort::is_ignored)));
    agreed = {{"code", 0}};
    for (int rank = 0; rank < size(); ++rank) {
      const json& of_rank = outcomes[static_cast<std::size_t>(rank)];
      if (of_rank["code"] == 0 ||
          (agreed["code"] != 0 && !(agreed["is_peers"] == true && of_rank["is_peers"] == false)))
        continue;
      agreed = {{"code", of_rank["code"]},
                {"message", of_rank["message"]},
                {"is_peers", of_rank["is_peers"]},
                {"rank", rank}};
    }
    if (agreed["code"] != 0) agreed["all"] = outcomes;
    const std::string text = agreed.dump(-1, ' ', false, json::error_handler_t::replace);
    for (int to = 1; to < size(); ++to) send_text(Channel::outcome, to, text);
  }
  const int code = agreed["code"];
  if (code != 0) {
    std::vector<std::int64_t> sent, texts_sent;  // to this process
    for (const json& outcome : agreed["all"]) {
      sent.push_back(outcome["sent"][static_cast<std::size_t>(first())]);
      texts_sent.push_back(outcome["texts_sent"][static_cast<std::size_t>(first())]);
    }
    drain(sent, texts_sent);
  }
  ++epoch_;
  settled_failure_ = nullptr;
  if (code == 0) return;
  const int rank = agreed["rank"];
  settled_failure_ = mine;
  if (rank != first())
    settled_failure_ =
        told_error(code, fmt::format("rank {} on {}: {}", rank, places_[static_cast<std::size_t>(rank)].host,
                                     agreed["message"].get<std::string>()));
  std::rethrow_exception(settled_failure_);
}

// By messages there and back: the other's clock stood at what it said at some moment between.
void ProcessWorld::align_clocks() {
  const auto is_near = [&](int rank) { return places_[static_cast<std::size_t>(rank)].machine == places_[0].machine; };
  if (first() == 0) {
    for (int rank = 1; rank < size(); ++rank) {
      if (is_near(rank)) continue;
      for (int i = 0; i < clock_messages; ++i) {
        receive(rank, 0);
        send(0, rank, std::to_string(monotonic_clock().now().count()));
      }
    }
    return;
  }
  if (is_near(first())) return;
  clock_offset_ = {Nanoseconds(0), Nanoseconds::max()};
  for (int i = 0; i < clock_messages; ++i) {
    const Nanoseconds begin = monotonic_clock().now();
    send(first(), 0, "");
    const Nanoseconds there(std::stoll(receive(0, first())));
    const Nanoseconds half = (monotonic_clock().now() - begin) / 2;
    if (half < clock_offset_.error) clock_offset_ = {there - (begin + half), half};
  }
}

}  // namespace batchscope
