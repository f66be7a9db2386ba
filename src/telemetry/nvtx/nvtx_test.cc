// Tests of the library that makes marks of NVTX: against a loader of our own, and against NVIDIA's headers if they are
// there.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "store/test_folder.h"
#include "telemetry/command/command.h"
#include "telemetry/marks/channel.h"
#include "telemetry/marks/receiver.h"
#include "telemetry/nvtx/interface.h"

#if __has_include(<nvtx3/nvToolsExt.h>)
#define HAS_NVTX 1
#include <nvtx3/nvToolsExt.h>
#endif

namespace batchscope {
namespace {

using testing::ElementsAre;

std::filesystem::path beside(const char* name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

// The loader's half: tables of slots, empty until the tool fills them.
std::array<nvtx_function, nvtx_core_size> core;
std::array<nvtx_function, nvtx_core2_size> core2;
std::array<nvtx_function*, nvtx_core_size> core_table;
std::array<nvtx_function*, nvtx_core2_size> core2_table;

int get_module_function_table(int module, nvtx_function_table* table, unsigned int* size) {
  if (module != nvtx_module_core && module != nvtx_module_core2) return 0;
  *table = module == nvtx_module_core ? core_table.data() : core2_table.data();
  *size = module == nvtx_module_core ? core.size() : core2.size();
  return 1;
}

const void* get_export_table(std::uint32_t table) {
  static const nvtx_callbacks callbacks{sizeof(nvtx_callbacks), get_module_function_table};
  return table == nvtx_callbacks_table ? &callbacks : nullptr;
}

template <class Function, class... Arguments>
auto call(nvtx_function function, Arguments... arguments) {
  return reinterpret_cast<Function*>(function)(arguments...);
}

// Loads the library as NVTX does; its return value.
int inject(void* library) {
  for (std::size_t i = 1; i < core.size(); ++i) core_table[i] = &core[i];
  for (std::size_t i = 1; i < core2.size(); ++i) core2_table[i] = &core2[i];
  core.fill(nullptr);
  core2.fill(nullptr);
  const auto initialize = reinterpret_cast<int (*)(nvtx_get_export_table)>(dlsym(library, "InitializeInjectionNvtx2"));
  return initialize != nullptr ? initialize(get_export_table) : -1;
}

class NvtxTest : public testing::Test {
 protected:
  NvtxTest() : receiver_(nullptr, 0, folder_.path()) { setenv(marks_variable, receiver_.path().c_str(), 1); }
  ~NvtxTest() override { unsetenv(marks_variable); }
  // "name: count" of all that was received.
  std::vector<std::string> names() {
    receiver_.stop();
    std::vector<std::string> out;
    for (const PhaseTotal& total : receiver_.totals()) out.push_back(total.name + ": " + std::to_string(total.count));
    return out;
  }
  TestFolder folder_;
  MarkReceiver receiver_;
};

// Runs `work` in a process of its own, since a library keeps its connection as long as it is loaded.
template <class Work>
bool succeeds_apart(const Work& work) {
  void* library = dlopen(beside("libbatchscope_nvtx.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(library, nullptr) << dlerror();
  if (library == nullptr) return false;
  const pid_t child = fork();
  if (child == 0) {
    work(library);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  return exit_code_of(child) == 0;
}

void call_everything(void* library) {
  ASSERT_EQ(inject(library), 1);
  using Push = int(const char*);
  using Pop = int();
  using Create = const void*(const char*);
  using DomainPush = int(const void*, const nvtx_event_attributes*);
  using DomainPop = int(const void*);
  const void* domain = call<Create>(core2[nvtx_domain_create_a], "library");
  nvtx_event_attributes event{};
  event.size = sizeof event;
  event.message_type = nvtx_message_ascii;
  event.message.ascii = "of the domain";

  EXPECT_EQ(call<Push>(core[nvtx_range_push_a], "outer"), 0);
  EXPECT_EQ(call<DomainPush>(core2[nvtx_domain_range_push_ex], domain, &event), 0);
  EXPECT_EQ(call<Push>(core[nvtx_range_push_a], "inner"), 1);
  const auto range = call<std::uint64_t(const wchar_t*)>(core[nvtx_range_start_w], L"wide \u00e9\u4e2d");
  call<void(const char*)>(core[nvtx_mark_a], "point");
  call<void(const nvtx_event_attributes*)>(core[nvtx_mark_ex], nullptr);
  EXPECT_EQ(call<DomainPop>(core2[nvtx_domain_range_pop], domain), 0);
  EXPECT_EQ(call<Pop>(core[nvtx_range_pop]), 1);
  EXPECT_EQ(call<Pop>(core[nvtx_range_pop]), 0);
  EXPECT_EQ(call<Pop>(core[nvtx_range_pop]), nvtx_no_push_pop_tracking);
  call<void(std::uint64_t)>(core[nvtx_range_end], range);
  for (int i = 0; i < 300; ++i) call<Push>(core[nvtx_range_push_a], "deep");  // deeper than the library keeps
  for (int i = 0; i < 300; ++i) call<Pop>(core[nvtx_range_pop]);
}

TEST_F(NvtxTest, RangesAndMarksBecomePhases) {
  ASSERT_TRUE(succeeds_apart(call_everything));
  EXPECT_THAT(names(), testing::UnorderedElementsAre("outer: 1", "inner: 1", "of the domain: 1", "wide é中: 1",
                                                     "point: 1", "(no message): 1", "deep: 256"));
  EXPECT_EQ(receiver_.counts().ends_without_begin, 0);
}

TEST(Nvtx, WithoutARecordingTheLibraryDeclines) {
  unsetenv(marks_variable);
  EXPECT_TRUE(succeeds_apart([](void* library) {
    EXPECT_EQ(inject(library), 0);
    for (const nvtx_function function : core) EXPECT_EQ(function, nullptr);
  }));
}

#ifdef HAS_NVTX
TEST(Nvtx, OurDeclarationsAreNvidias) {
  EXPECT_EQ(sizeof(nvtx_event_attributes), sizeof(nvtxEventAttributes_t));
  EXPECT_EQ(offsetof(nvtx_event_attributes, message_type), offsetof(nvtxEventAttributes_t, messageType));
  EXPECT_EQ(offsetof(nvtx_event_attributes, message), offsetof(nvtxEventAttributes_t, message));
  EXPECT_EQ(offsetof(nvtx_event_attributes, size), offsetof(nvtxEventAttributes_t, size));
  EXPECT_EQ(sizeof(nvtx_callbacks), sizeof(NvtxExportTableCallbacks));
  EXPECT_EQ(offsetof(nvtx_callbacks, get_module_function_table),
            offsetof(NvtxExportTableCallbacks, GetModuleFunctionTable));
  const std::vector<std::pair<int, int>> same{{nvtx_callbacks_table, NVTX_ETID_CALLBACKS},
                                              {nvtx_module_core, NVTX_CB_MODULE_CORE},
                                              {nvtx_module_core2, NVTX_CB_MODULE_CORE2},
                                              {nvtx_core_size, NVTX_CBID_CORE_SIZE},
                                              {nvtx_core2_size, NVTX_CBID_CORE2_SIZE},
                                              {nvtx_mark_ex, NVTX_CBID_CORE_MarkEx},
                                              {nvtx_mark_a, NVTX_CBID_CORE_MarkA},
                                              {nvtx_mark_w, NVTX_CBID_CORE_MarkW},
                                              {nvtx_range_start_ex, NVTX_CBID_CORE_RangeStartEx},
                                              {nvtx_range_start_a, NVTX_CBID_CORE_RangeStartA},
                                              {nvtx_range_start_w, NVTX_CBID_CORE_RangeStartW},
                                              {nvtx_range_end, NVTX_CBID_CORE_RangeEnd},
                                              {nvtx_range_push_ex, NVTX_CBID_CORE_RangePushEx},
                                              {nvtx_range_push_a, NVTX_CBID_CORE_RangePushA},
                                              {nvtx_range_push_w, NVTX_CBID_CORE_RangePushW},
                                              {nvtx_range_pop, NVTX_CBID_CORE_RangePop},
                                              {nvtx_domain_mark_ex, NVTX_CBID_CORE2_DomainMarkEx},
                                              {nvtx_domain_range_start_ex, NVTX_CBID_CORE2_DomainRangeStartEx},
                                              {nvtx_domain_range_end, NVTX_CBID_CORE2_DomainRangeEnd},
                                              {nvtx_domain_range_push_ex, NVTX_CBID_CORE2_DomainRangePushEx},
                                              {nvtx_domain_range_pop, NVTX_CBID_CORE2_DomainRangePop},
                                              {nvtx_domain_register_string_a, NVTX_CBID_CORE2_DomainRegisterStringA},
                                              {nvtx_domain_register_string_w, NVTX_CBID_CORE2_DomainRegisterStringW},
                                              {nvtx_domain_create_a, NVTX_CBID_CORE2_DomainCreateA},
                                              {nvtx_domain_create_w, NVTX_CBID_CORE2_DomainCreateW},
                                              {nvtx_domain_destroy, NVTX_CBID_CORE2_DomainDestroy},
                                              {nvtx_message_ascii, NVTX_MESSAGE_TYPE_ASCII},
                                              {nvtx_message_unicode, NVTX_MESSAGE_TYPE_UNICODE},
                                              {nvtx_message_registered, NVTX_MESSAGE_TYPE_REGISTERED},
                                              {nvtx_no_push_pop_tracking, NVTX_NO_PUSH_POP_TRACKING}};
  for (std::size_t i = 0; i < same.size(); ++i) EXPECT_EQ(same[i].first, same[i].second) << i;
}

TEST_F(NvtxTest, ProgramsWithNvidiasHeadersNeedNoChange) {
  setenv("NVTX_INJECTION64_PATH", beside("libbatchscope_nvtx.so").c_str(), 1);
  const int code = exit_code_of(start_command({beside("nvtx_program")}));
  unsetenv("NVTX_INJECTION64_PATH");
  EXPECT_EQ(code, 0);
  EXPECT_THAT(names(), testing::UnorderedElementsAre("outer: 1", "inner: 1", "registered: 1", "wide é: 1", "point: 1"));
}
#else
TEST(Nvtx, OurDeclarationsAreNvidias) { GTEST_SKIP() << "nvtx3/nvToolsExt.h is not installed"; }
#endif

}  // namespace
}  // namespace batchscope
