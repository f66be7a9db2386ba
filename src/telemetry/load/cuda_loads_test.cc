// Known loads through a CUDA driver and an NCCL that only keep books: who is where, what is allocated, what is moved.
#include "telemetry/load/cuda_loads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "base/error.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

constexpr std::int64_t MiB = 1 << 20;

// Two GPUs. Contexts are device + 1, streams and kernels are small numbers, memory is addresses without memory.
// Whatever a real driver would refuse is an error.
struct Books {
  std::mutex mutex;
  std::map<std::uintptr_t, std::pair<std::uintptr_t, std::size_t>> memory;  // address to context and size
  std::map<std::uintptr_t, std::size_t> pinned;
  std::map<std::uintptr_t, std::uintptr_t> streams;  // to context
  std::map<std::string, std::int64_t> bytes, calls;
  std::vector<std::uint64_t> kernel_ns;
  int primary_contexts = 0, communicators = 0, group_depth = 0;
  bool peers = true;
  std::uintptr_t next = 1 << 20;

  bool holds(std::uintptr_t address, std::size_t size) const {
    const auto found = memory.find(address);
    return found != memory.end() && size <= found->second.second;
  }
};
Books* books = nullptr;
thread_local std::uintptr_t current = 0;

using namespace cuda;  // the driver's types

template <class Handle>
std::uintptr_t number(Handle handle) {
  return reinterpret_cast<std::uintptr_t>(handle);
}
template <class Handle>
Handle handle(std::uintptr_t value) {
  return reinterpret_cast<Handle>(value);
}
Return well(bool is_well) { return is_well ? success : invalid_value; }

Return copied(const char* what, std::size_t bytes, Stream stream, bool is_well) {
  books->bytes[what] += static_cast<std::int64_t>(bytes);
  ++books->calls[what];
  return well(is_well && books->streams.contains(number(stream)) && books->streams[number(stream)] == current);
}

cuda::Functions driver() {
  cuda::Functions driver;
  driver.cuInit = [](unsigned) { return success; };
  driver.cuGetErrorString = [](Return result, const char** text) {
    *text = result == out_of_memory ? "out of memory" : "invalid argument";
    return success;
  };
  driver.cuDeviceGetCount = [](int* count) { return *count = 2, success; };
  driver.cuDeviceGet = [](Device* device, int ordinal) { return *device = ordinal, success; };
  driver.cuDeviceGetUuid_v2 = [](Uuid* uuid, Device device) {
    std::memset(uuid, device, sizeof *uuid);
    return success;
  };
  driver.cuDeviceGetAttribute = [](int* value, Attribute, Device) { return *value = 132, success; };
  driver.cuDeviceCanAccessPeer = [](int* can, Device, Device) { return *can = books->peers ? 1 : 0, success; };
  driver.cuDevicePrimaryCtxRetain = [](Context* context, Device device) {
    ++books->primary_contexts;
    return *context = handle<Context>(static_cast<std::uintptr_t>(device) + 1), success;
  };
  driver.cuDevicePrimaryCtxRelease_v2 = [](Device) { return --books->primary_contexts, success; };
  driver.cuCtxSetCurrent = [](Context context) { return current = number(context), success; };
  driver.cuCtxEnablePeerAccess = [](Context peer, unsigned) {
    const bool is_first = books->calls["peer access"]++ == 0;
    return number(peer) == current ? invalid_value : is_first ? success : peer_access_already_enabled;
  };
  driver.cuMemAlloc_v2 = [](Pointer* pointer, std::size_t bytes) {
    const std::lock_guard lock(books->mutex);
    if (bytes > 4096ULL * MiB) return out_of_memory;
    *pointer = books->next;
    books->memory[books->next] = {current, bytes};
    books->next += 1 << 20;
    return well(current != 0 && bytes > 0);
  };
  driver.cuMemFree_v2 = [](Pointer pointer) {
    const std::lock_guard lock(books->mutex);
    EXPECT_EQ(books->memory.at(pointer).first, current) << "freed in another context";
    books->memory.erase(pointer);
    return success;
  };
  driver.cuMemHostAlloc = [](void** pointer, std::size_t bytes, unsigned) {
    *pointer = handle<void*>(books->next);
    books->pinned[books->next] = bytes;
    books->next += 1 << 20;
    return well(current != 0);
  };
  driver.cuMemFreeHost = [](void* pointer) {
    EXPECT_NE(current, 0U);
    EXPECT_GT(books->primary_contexts, 0) << "the context is gone already";
    return well(books->pinned.erase(number(pointer)) == 1);
  };
  driver.cuMemcpyHtoDAsync_v2 = [](Pointer to, const void* from, std::size_t bytes, Stream stream) {
    return copied("to device", bytes, stream, books->holds(to, bytes) && books->pinned.at(number(from)) >= bytes);
  };
  driver.cuMemcpyDtoHAsync_v2 = [](void* to, Pointer from, std::size_t bytes, Stream stream) {
    return copied("to host", bytes, stream, books->holds(from, bytes) && books->pinned.at(number(to)) >= bytes);
  };
  driver.cuMemcpyPeerAsync = [](Pointer to, Context to_context, Pointer from, Context from_context, std::size_t bytes,
                                Stream stream) {
    return copied(number(from_context) == 1 ? "to peer" : "from peer", bytes, stream,
                  books->holds(to, bytes) && books->holds(from, bytes) &&
                      books->memory.at(to).first == number(to_context) &&
                      books->memory.at(from).first == number(from_context) && to_context != from_context);
  };
  driver.cuMemsetD8Async = [](Pointer to, unsigned char, std::size_t bytes, Stream) {
    return well(books->holds(to, bytes));
  };
  driver.cuStreamCreate = [](Stream* stream, unsigned) {
    *stream = handle<Stream>(books->next);
    books->streams[books->next++] = current;
    return well(current != 0);
  };
  driver.cuStreamSynchronize = [](Stream stream) { return well(books->streams.at(number(stream)) == current); };
  driver.cuStreamDestroy_v2 = [](Stream stream) { return well(books->streams.erase(number(stream)) == 1); };
  driver.cuModuleLoadData = [](Module* module, const void*) { return *module = handle<Module>(5), well(current != 0); };
  driver.cuModuleGetFunction = [](Kernel* kernel, Module, const char* name) {
    *kernel = handle<Kernel>(std::strcmp(name, "burn") == 0 ? 8 : 7);
    return success;
  };
  driver.cuLaunchKernel = [](Kernel kernel, unsigned grid, unsigned, unsigned, unsigned block, unsigned, unsigned,
                             unsigned, Stream stream, void** parameters, void**) {
    books->kernel_ns.push_back(*static_cast<std::uint64_t*>(parameters[0]));
    const bool has_room =
        number(kernel) == 7 || books->holds(*static_cast<Pointer*>(parameters[1]), std::size_t{4} * grid * block);
    return copied("kernels", 0, stream, has_room);
  };
  return driver;
}

nccl::Functions collectives() {
  nccl::Functions functions;
  functions.ncclCommInitAll = [](nccl::Communicator* communicators, int count, const Device* devices) {
    for (int i = 0; i < count; ++i)
      communicators[i] = handle<nccl::Communicator>(static_cast<std::uintptr_t>(devices[i]) + 1);
    return books->communicators += count, nccl::success;
  };
  functions.ncclCommDestroy = [](nccl::Communicator) { return --books->communicators, nccl::success; };
  functions.ncclGroupStart = [] { return ++books->group_depth, nccl::success; };
  functions.ncclGroupEnd = [] { return --books->group_depth, nccl::success; };
  functions.ncclAllReduce = [](const void* from, void* to, std::size_t count, nccl::DataType, nccl::Reduction,
                               nccl::Communicator communicator, Stream stream) {
    ++books->calls["all-reduce"];
    books->bytes["all-reduce"] += static_cast<std::int64_t>(4 * count);
    EXPECT_EQ(books->group_depth, 1);
    EXPECT_TRUE(books->holds(number(from), 4 * count)) << "memory is too small";
    EXPECT_EQ(books->memory.at(number(to)).first, number(communicator)) << "another GPU's memory";
    EXPECT_EQ(books->streams.at(number(stream)), number(communicator)) << "another GPU's stream";
    return nccl::success;
  };
  return functions;
}

constexpr const char* second_gpu = "GPU-01010101-0101-0101-0101-010101010101";
constexpr const char* first_gpu = "GPU-00000000-0000-0000-0000-000000000000";

class CudaLoads : public testing::Test {
 protected:
  CudaLoads() { books = &books_; }
  ~CudaLoads() override {
    loads_.reset();
    EXPECT_TRUE(books_.memory.empty());
    EXPECT_TRUE(books_.pinned.empty());
    EXPECT_TRUE(books_.streams.empty());
    EXPECT_EQ(books_.primary_contexts, 0);
    EXPECT_EQ(books_.communicators, 0);
    books = nullptr;
  }

  LoadRunner& on(const char* uuid) {
    loads_ = cuda_loads(uuid, std::make_unique<const cuda::Library>(driver()),
                        [] { return std::make_unique<const nccl::Library>(collectives()); });
    return *loads_;
  }
  static LoadRun run(LoadRunner& loads, const Load& load) {
    loads.prepare(load);
    books->bytes.clear();
    books->calls.clear();
    books->kernel_ns.clear();
    loads.start();
    return loads.finish();
  }

  Books books_;
  std::unique_ptr<LoadRunner> loads_;
};

TEST_F(CudaLoads, CopyWhatTheySay) {
  LoadRunner& loads = on(first_gpu);
  const struct {
    LoadKind kind;
    const char* what;
  } kinds[] = {{LoadKind::copy_to_device, "to device"},
               {LoadKind::copy_to_host, "to host"},
               {LoadKind::copy_to_peer, "to peer"},
               {LoadKind::copy_from_peer, "from peer"}};
  for (const auto& [kind, what] : kinds) {
    for (const std::int64_t bytes : {MiB, 64 * MiB, 4 * MiB}) {  // buffers grow, and stay
      const LoadRun moved = run(loads, {.kind = kind, .bytes = bytes, .transfers = 3, .cycles = 2});
      EXPECT_EQ(books_.bytes[what], 6 * bytes) << what;
      EXPECT_EQ(books_.calls[what], 6);
      EXPECT_EQ(moved.transfers, 6);
      EXPECT_EQ(moved.tx_bytes + moved.rx_bytes, 6 * bytes);
      EXPECT_EQ(moved.rx_bytes > 0, kind == LoadKind::copy_to_device || kind == LoadKind::copy_from_peer);
      EXPECT_EQ(moved.bursts.size(), 2U);
    }
  }
}

TEST_F(CudaLoads, AllReduceOverAllGpusInOneGroup) {
  LoadRunner& loads = on(second_gpu);
  const LoadRun moved = run(loads, {.kind = LoadKind::all_reduce, .bytes = 8 * MiB, .transfers = 5, .cycles = 2});
  EXPECT_EQ(books_.calls["all-reduce"], 2 * 10);  // one a GPU
  EXPECT_EQ(books_.bytes["all-reduce"], 2 * 10 * 8 * MiB);
  EXPECT_EQ(moved.tx_bytes, 10 * 8 * MiB);  // 2 (n - 1) / n is 1
  EXPECT_EQ(moved.rx_bytes, moved.tx_bytes);
  run(loads, {.kind = LoadKind::all_reduce, .bytes = MiB});
  EXPECT_EQ(books_.communicators, 2);  // made once
}

TEST_F(CudaLoads, KernelsRunAsLongAsAsked) {
  LoadRunner& loads = on(first_gpu);
  run(loads, {.kind = LoadKind::spin, .busy = std::chrono::milliseconds(7), .cycles = 3});
  EXPECT_THAT(books_.kernel_ns, testing::ElementsAre(7'000'000, 7'000'000, 7'000'000));
  const Load uneven{.kind = LoadKind::burn, .busy = std::chrono::milliseconds(7), .cycles = 20, .uneven = true};
  run(loads, uneven);
  ASSERT_EQ(books_.kernel_ns.size(), 20U);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(books_.kernel_ns[static_cast<std::size_t>(i)], uneven.busy_of(i).count());
  EXPECT_GE(*std::min_element(books_.kernel_ns.begin(), books_.kernel_ns.end()), 3'500'000U);
  EXPECT_LE(*std::max_element(books_.kernel_ns.begin(), books_.kernel_ns.end()), 10'500'000U);
}

TEST_F(CudaLoads, PausesAndAllocationsTakeTheirTime) {
  LoadRunner& loads = on(first_gpu);
  const LoadRun run_of = run(loads, {.kind = LoadKind::allocation,
                                     .bytes = MiB,
                                     .busy = std::chrono::milliseconds(3),
                                     .idle = std::chrono::milliseconds(2),
                                     .cycles = 2});
  ASSERT_EQ(run_of.bursts.size(), 2U);
  EXPECT_GE(run_of.bursts[0].seconds(), 3e-3);
  EXPECT_GE(run_of.bursts[1].begin - run_of.bursts[0].end, std::chrono::milliseconds(2));
}

TEST_F(CudaLoads, FailuresComeOutOfFinish) {
  LoadRunner& loads = on(first_gpu);
  loads.prepare({.kind = LoadKind::allocation, .bytes = 8192 * MiB});
  loads.start();
  EXPECT_THROW(loads.finish(), Failure);
  EXPECT_THROW(loads.prepare({.kind = LoadKind::copy_to_host, .bytes = 8192 * MiB}), Failure);
  EXPECT_EQ(run(loads, {.kind = LoadKind::copy_to_host, .bytes = MiB}).tx_bytes, MiB);  // and the next one runs
}

TEST_F(CudaLoads, SayWhyTheyCannotRun) {
  books_.peers = false;
  LoadRunner& loads = on(first_gpu);
  EXPECT_THAT(loads.cannot(LoadKind::copy_to_peer).value_or(""), HasSubstr("no other GPU's memory"));
  EXPECT_EQ(loads.cannot(LoadKind::copy_to_host), std::nullopt);
  const auto without_nccl =
      cuda_loads(first_gpu, std::make_unique<const cuda::Library>(driver()),
                 []() -> std::unique_ptr<const nccl::Library> { throw Failure("not installed"); });
  EXPECT_EQ(without_nccl->cannot(LoadKind::all_reduce), "no NCCL: not installed");
  const auto hidden = cuda_loads("GPU-f", std::make_unique<const cuda::Library>(driver()), {});
  EXPECT_THAT(hidden->cannot(LoadKind::spin).value_or(""), HasSubstr("CUDA does not show GPU-f"));
}

}  // namespace
}  // namespace batchscope
