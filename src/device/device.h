// A device runs ops on tensors of its own memory, in the order in which they are enqueued. What it is (CPU worker,
// planning device, GPU) stays behind this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "device/trace.h"
#include "tensor/arena.h"
#include "tensor/tensor.h"
#include "tensor/weight.h"

namespace batchscope {

// Memory of the host that a device's copies need not wait for: pinned, where there is such a thing.
struct HostBuffer {
  std::shared_ptr<std::byte> data;
  std::int64_t bytes = 0;
};

// Everything that decides what a step enqueues: its shape and where its tensors lie.
using ReplayKey = std::vector<std::int64_t>;

// A part of a matrix of random numbers (tensor/drawn_values.h), from its place on.
struct DrawnMatrix {
  std::uint64_t key = 0;
  float mean = 0;
  std::int64_t row_begin = 0, column_begin = 0;
  std::int64_t columns = 0;  // of the whole matrix
};

class Device {
 public:
  Device(std::string name, ArenaBacking& backing) : name_(std::move(name)), arena_(name_, backing) {}
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const std::string& name() const { return name_; }
  Arena& arena() { return arena_; }

  // Enqueues an op (a struct of its arguments, see src/ops); which code that is depends on the device's kernels. Host
  // memory that the struct points to is read before the call returns.
  template <class Op>
  void launch(const Work& work, const Op& op) {
    const std::type_index type = typeid(Op);
    const std::int64_t bytes = workspace_bytes(type, &op);
    const ArenaScope scope(arena_);
    std::byte* const workspace =
        bytes == 0 ? nullptr
                   : arena_.allocate("workspace", MemoryUse::workspace, DType::i32, 1, (bytes + 3) / 4).data;
    const Launch begin = begin_launch();
    run(work, type, &op, workspace);
    ++kernels_;
    if (observer_ != nullptr) observer_->launched(work, begin.event, record());
  }

  // From now on told of every kernel and collective; null: nobody is.
  void observe(LaunchObserver* observer) { observer_ = observer; }
  // A collective's way to tell: `begin` from before its first kernel, `work` made only where somebody listens.
  struct Launch {
    Event event;
    std::int64_t kernels = 0;  // before it
  };
  Launch begin_launch() { return {observer_ != nullptr ? record() : Event{}, kernels_}; }
  template <class MakeWork>
  void end_collective(const Launch& begin, const MakeWork& make_work) {
    if (observer_ == nullptr) return;
    CollectiveWork work = make_work();
    work.kernels = kernels_ - begin.kernels;
    observer_->launched(std::move(work), begin.event, record());
  }

  // How many rows of a weight [rows, columns] this device's GEMM wants in a panel (Tensor::panel); 0: none. Where a weight
  // is cut into parts, `rows` is what divides all of them.
  virtual std::int64_t weight_panel(DType, std::int64_t /*rows*/, std::int64_t /*columns*/) const { return 0; }

  // Enqueue a copy of a contiguous tensor, byte by byte. The host's bytes stay as they are (or are not read) until an
  // event behind the copy has happened.
  virtual void copy_in(const std::byte* from, const Tensor& to) = 0;
  virtual void copy_out(const Tensor& from, std::byte* to) = 0;
  virtual HostBuffer host_buffer(std::int64_t bytes);

  // An event behind all that has been enqueued.
  virtual Event record();
  virtual bool has_happened(const Event&) { return true; }
  // Returns once it has happened; throws what went wrong in the work before it.
  virtual void wait(const Event&) {}
  // When it happened, on the host's monotonic clock; of an event that has.
  virtual Nanoseconds time_of(const Event& event) { return Nanoseconds(event.number); }
  // By the device's own clock, which tells short times better; of events that have happened.
  virtual Nanoseconds time_between(const Event& begin, const Event& end) { return time_of(end) - time_of(begin); }

  virtual bool has_graphs() const { return false; }
  // Has done what `enqueue` enqueues, as often as it is called with an equal key. Where a device has graphs it may
  // capture the work and replay it without a call of `enqueue`; returns whether it was called. While the device is
  // observed it always is, and events between kernels are captured with them.
  virtual bool replay(const ReplayKey& /*key*/, const std::function<void()>& enqueue) {
    enqueue();
    return true;
  }

  // Whether beside() is that.
  virtual bool does_two_things() const { return false; }
  // Has done what `enqueue` enqueues behind all that was enqueued before, and beside what is enqueued afterwards, until
  // join() of the same number; `enqueue` takes no workspace. One thing at a time: in order.
  static constexpr std::size_t most_beside = 2;
  virtual void beside(std::size_t /*number*/, const std::function<void()>& enqueue) { enqueue(); }
  // What is enqueued from now on waits for it, if there is any.
  virtual void join(std::size_t /*number*/) {}

  // What the first step of its kind has to have been prepared for: a number for steps of so many rows, alike where the
  // same will do. 0: nothing.
  virtual std::int64_t preparation(std::int64_t /*rows*/) const { return 0; }
  // Has `enqueue` enqueue a step, of which only that is done which may hold up everything on the device, such as
  // measuring and loading a library's kernels; collectives do nothing. While no rank waits for another: it would wait
  // for ever.
  template <class Enqueue>
  void prepare(const Enqueue& enqueue) {
    struct Preparing {
      explicit Preparing(bool& is) : is(is) { is = true; }
      ~Preparing() { is = false; }
      bool& is;
    } const preparing(is_preparing_);
    enqueue();
  }
  bool is_preparing() const { return is_preparing_; }

  // Fills a tensor with numbers that are drawn, where the device can do so itself; else nothing happens and it is false.
  virtual bool draw(const DrawnMatrix& /*values*/, const Weight& /*to*/) { return false; }
  // Host to device, converting to the tensor's dtype; shapes are equal. For loading: returns when the host's memory may
  // be used again.
  virtual void upload(const HostMatrix& from, const Tensor& to) = 0;
  // Whole rows to FP8, each with a scale of its own (tensor/host_rows.h); of these, the columns from column_begin on. The scale
  // stands in all of a row's groups.
  virtual void upload_as_fp8(const HostMatrix& from, std::int64_t column_begin, const Weight& to);
  // Device to host, when all that was enqueued is done: every element as a float, row by row. For tests.
  virtual std::vector<float> download(const Tensor& from) = 0;

 protected:
  bool is_observed() const { return observer_ != nullptr; }

 private:
  virtual std::int64_t workspace_bytes(std::type_index /*op*/, const void* /*arguments*/) const { return 0; }
  virtual void run(const Work& work, std::type_index op, const void* arguments, std::byte* workspace) = 0;

  std::string name_;
  Arena arena_;
  LaunchObserver* observer_ = nullptr;
  std::int64_t kernels_ = 0;  // launched so far
  bool is_preparing_ = false;
};

}  // namespace batchscope
