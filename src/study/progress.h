// How far a study is, and how long it will still take.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"

namespace batchscope {

// Learns what cells took and guesses the rest: a strategy's own mean where it has one, else the mean of all.
class TimeLeft {
 public:
  void expect(const std::string& strategy) { ++waiting_[strategy]; }
  void finished(const std::string& strategy, Nanoseconds took);
  std::optional<Nanoseconds> left() const;  // absent before the first cell

 private:
  struct Sum {
    Nanoseconds total{0};
    std::int64_t count = 0;
  };
  std::map<std::string, std::int64_t> waiting_;
  std::map<std::string, Sum> took_;
  Sum all_;
};

// Told by the study; shows it or not.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void begin(std::size_t number, std::size_t total, const std::string& name,
                     std::optional<Nanoseconds> left) = 0;
  virtual void end(const std::string& status, const std::string& reason) = 0;
};

class NoProgress : public Progress {
 public:
  void begin(std::size_t, std::size_t, const std::string&, std::optional<Nanoseconds>) override {}
  void end(const std::string&, const std::string&) override {}
};

// One line of a terminal's standard error, written over and over.
class TerminalProgress : public Progress {
 public:
  ~TerminalProgress() override;
  void begin(std::size_t number, std::size_t total, const std::string& name, std::optional<Nanoseconds> left) override;
  void end(const std::string& status, const std::string& reason) override;

 private:
  std::string name_;
};

}  // namespace batchscope
