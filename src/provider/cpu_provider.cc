// Virtual devices: their page of counters, their transport, and the shares of their workers' time.
#include "provider/cpu_provider.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "comm/ring_communicator.h"
#include "comm/world.h"
#include "device/cpu/bf16.h"
#include "device/cpu/cpu_device.h"
#include "ops/cpu_kernels.h"
#include "provider/planned_devices.h"

namespace batchscope {
namespace {

class CpuDevices : public DeviceSet {
 public:
  CpuDevices(const DeviceUse& use, World& world)
      : use_(use),
        world_(world),
        page_(world.count(), use.device.numbers[static_cast<std::size_t>(world.device_index(world.first()))]),
        transport_(world.make_transport(counters(), monotonic_clock())),
        ranks_(static_cast<std::size_t>(world.count())) {}

  std::unique_ptr<Device> make_device(int rank) override {
    VirtualDeviceCounters& counters = page_.device(local(rank));
    counters.thread_id = static_cast<std::int32_t>(syscall(SYS_gettid));
    auto device = std::make_unique<CpuDevice>(name_of(rank), state(rank).memory, cpu_kernels(), threads_of(use_));
    device->arena().publish(&counters.memory_used_bytes);
    return device;
  }

  std::unique_ptr<Communicator> make_communicator(std::vector<int> members, int self, Device& device,
                                                  Ledger& ledger) override {
    const int rank = members[static_cast<std::size_t>(self)];
    return std::make_unique<RingCommunicator>(std::move(members), self, device, ledger, transport_.get(), state(rank).spent);
  }

  void prepare(const LinkSpec& link, std::optional<std::int64_t> device_memory_bytes) override {
    if (link.kind)
      throw InputError("--link {}: cpu devices have virtual links; give a pace such as 12GB/s,5us", to_string(link));
    transport_->reset();
    transport_->set_link(link);
    for (int index = 0; index < page_.devices(); ++index)
      page_.device(index).memory_capacity_bytes = device_memory_bytes.value_or(0);
  }
  void abort() override { transport_->abort(); }

  CurrentPhase& current_phase(int rank) override { return page_.phase(local(rank)); }

  void begin_measuring(int rank) override {
    RankState& of = state(rank);
    of.spent = {};
    of.tx_bytes = page_.device(local(rank)).link_tx_bytes;
    of.rx_bytes = page_.device(local(rank)).link_rx_bytes;
    of.cpu = thread_cpu_time();
  }
  void end_measuring(int rank) override { state(rank).cpu = thread_cpu_time() - state(rank).cpu; }

  DeviceReport report(int rank, Nanoseconds time, Nanoseconds) override {
    const RankState& of = state(rank);
    const VirtualDeviceCounters& counters = page_.device(local(rank));
    DeviceReport device{.name = name_of(rank), .is_virtual = true, .threads = threads_of(use_)};
    LinkReport& link = device.links.emplace_back();
    link.kind = LinkKind::virtual_link;
    link.link_tx_bytes = counters.link_tx_bytes - of.tx_bytes;
    link.link_rx_bytes = counters.link_rx_bytes - of.rx_bytes;
    if (time > Nanoseconds(0)) device.busy = busy(of, time);
    return device;
  }

 private:
  struct RankState {
    HostPages memory;
    CommunicationTime spent;
    Nanoseconds cpu{0};  // at the start of a run, then of the run
    std::int64_t tx_bytes = 0, rx_bytes = 0;  // before the run
  };

  static DeviceReport::Busy busy(const RankState& of, Nanoseconds time) {
    const auto share = [&](Nanoseconds part) { return std::clamp(to_seconds(part) / to_seconds(time), 0.0, 1.0); };
    DeviceReport::Busy busy{.compute = share(of.cpu - of.spent.communicate_cpu),
                            .communicate = share(of.spent.communicate)};
    busy.communicate = std::min(busy.communicate, 1.0 - busy.compute);
    busy.idle = 1.0 - busy.compute - busy.communicate;
    return busy;
  }

  // One a rank; null for those that are elsewhere.
  std::vector<VirtualDeviceCounters*> counters() {
    std::vector<VirtualDeviceCounters*> all(static_cast<std::size_t>(world_.size()));
    for (int index = 0; index < page_.devices(); ++index)
      all[static_cast<std::size_t>(world_.first() + index)] = &page_.device(index);
    return all;
  }
  int local(int rank) const { return rank - world_.first(); }
  RankState& state(int rank) { return ranks_[static_cast<std::size_t>(local(rank))]; }
  std::string name_of(int rank) const {
    const std::string name = use_.device.name(world_.device_index(rank)), host = world_.host();
    return host.empty() ? name : host + "/" + name;
  }

  const DeviceUse use_;
  World& world_;
  VirtualDevicePage page_;
  std::unique_ptr<Transport> transport_;
  std::vector<RankState> ranks_;
};

}  // namespace

void CpuProvider::check(const DeviceUse&, const Precision& precision) {
  const auto check_kept = [&](const char* flag, DType kept) {
    if (kept != DType::f32 && kept != DType::bf16)
      throw InputError("{} {}: cpu devices keep f32 and bf16{}", flag, name_of(kept),
                       kept == precision.weights ? ", and weights in fp8" : "");
    if (size_of(kept) > size_of(precision.compute))
      throw InputError("{} {}: that is wider than --dtype {}, which it would be rounded to at each use; leave it out",
                       flag, name_of(kept), name_of(precision.compute));
  };
  if (precision.compute != DType::f32 && precision.compute != DType::bf16)
    throw InputError("--dtype {}: cpu devices compute f32 and bf16", name_of(precision.compute));
  if (precision.weights != DType::fp8) check_kept("--weights-dtype", precision.weights);
  check_kept("--kv-dtype", precision.kv);
  if (precision.compute == DType::bf16 && !cpu_computes_bf16())
    throw InputError("--dtype bf16: this CPU has no AVX-512, which computing in bf16 needs; use f32, with --weights-dtype "
                     "bf16 and --kv-dtype bf16 where memory is short");
}

std::unique_ptr<DeviceSet> CpuProvider::open(const DeviceUse& use, World& world) {
  return std::make_unique<CpuDevices>(use, world);
}

std::unique_ptr<DeviceSet> CpuProvider::plan(const DeviceUse& use) {
  const CpuKernels kernels = cpu_kernels();
  const CpuContext context{.threads = threads_of(use)};
  DeviceTraits traits{.workspace_bytes =
                          [kernels, context](std::type_index op, const void* arguments) {
                            const auto* kernel = kernels.find(op);
                            return kernel == nullptr || kernel->workspace == nullptr
                                       ? std::int64_t{0}
                                       : kernel->workspace(context, arguments);
                          },
                      .weight_panel = kernels.weight_panel};
  const auto time = std::make_shared<CommunicationTime>();
  return std::make_unique<PlannedDevices>(
      std::move(traits), [time](std::vector<int> members, int self, Device& device, Ledger& ledger, const LinkSpec&) {
        return std::make_unique<RingCommunicator>(std::move(members), self, device, ledger, nullptr, *time);
      });
}

}  // namespace batchscope
