// Receives the marks of a recording, and writes the phases that they make into its file.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "store/store.h"
#include "telemetry/marks/channel.h"
#include "telemetry/marks/marked_phases.h"

namespace batchscope {

class MarkReceiver {
 public:
  // `store` may be null (only the figures are kept) and must outlive this; `session` is one of its sessions. Failure
  // when there is no place to listen at.
  MarkReceiver(StoreWriter* store, std::int64_t session, const std::filesystem::path& folder = marks_folder());
  ~MarkReceiver();
  MarkReceiver(const MarkReceiver&) = delete;
  MarkReceiver& operator=(const MarkReceiver&) = delete;

  const std::filesystem::path& path() const { return socket_.path(); }
  // Takes what is still on its way, ends phases that are under way, writes all. Later calls do nothing.
  void stop();
  std::vector<PhaseTotal> totals() const;
  MarkCounts counts() const;
  // Why phases could not be written to the end; absent: they could.
  std::optional<std::string> write_error() const;

 private:
  void receive();
  void accept_all();
  bool take_from(int descriptor, MarkSender& sender);  // false: it is gone
  void write();
  void write_once();

  StoreWriter* store_;
  std::int64_t session_;
  MarkSocket socket_;
  int wake_;                           // an eventfd: the receiving thread is to end
  std::map<int, MarkSender> senders_;  // by descriptor; the receiving thread's
  std::int64_t sender_count_ = 0;
  mutable std::mutex mutex_;  // of what follows
  MarkedPhases phases_;
  bool stop_ = false;
  std::optional<std::string> write_error_;
  std::condition_variable stopping_;
  std::thread receiver_, writer_;  // last: they use all the others; two, since a slow disk must not cost marks
};

}  // namespace batchscope
