/* A program that calls NVTX by its own headers, for nvtx_test.cc. */
#include <nvtx3/nvToolsExt.h>

int main(void) {
  nvtxEventAttributes_t event = {0};
  const nvtxDomainHandle_t domain = nvtxDomainCreateA("library");
  nvtxRangeId_t range;
  int levels;
  event.version = NVTX_VERSION;
  event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  event.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
  event.message.registered = nvtxDomainRegisterStringA(domain, "registered");
  levels = nvtxRangePushA("outer");
  range = nvtxRangeStartW(L"wide \u00e9");
  levels += 10 * nvtxRangePushA("inner");
  nvtxDomainRangePushEx(domain, &event);
  nvtxMarkA("point");
  levels += 100 * nvtxRangePop();
  nvtxDomainRangePop(domain);
  nvtxRangeEnd(range);
  nvtxRangePop();
  return levels == 110 ? 0 : 1;
}
