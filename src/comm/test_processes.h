// Tests that mpirun starts as several processes: the world of all of them, which is left when the tests are over.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "comm/launcher.h"
#include "comm/process_world.h"

namespace batchscope {

class TestProcesses : public testing::Environment {
 public:
  // Null where this is the only process.
  static ProcessWorld* world() {
    auto& joined = instance();
    if (!joined && launched()) joined = std::make_unique<ProcessWorld>(connect_by_mpi(), this_process());
    return joined.get();
  }
  void TearDown() override { instance().reset(); }

 private:
  static std::unique_ptr<ProcessWorld>& instance() {
    static std::unique_ptr<ProcessWorld> joined;
    return joined;
  }
};

inline const auto* const test_processes = testing::AddGlobalTestEnvironment(new TestProcesses);

}  // namespace batchscope
