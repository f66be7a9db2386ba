// Tests of the ledger: entries of one kind add up, others stay apart.
#include "comm/ledger.h"

#include <gtest/gtest.h>

namespace batchscope {
namespace {

LedgerEntry entry(std::int64_t rank, const char* collective, const char* phase, std::int64_t bytes) {
  return {rank, collective, "ring", phase, 2, 1, bytes, 2 * bytes, 3 * bytes, 4 * bytes, 5 * bytes};
}

TEST(Ledger, CallsOfOneKindAddUp) {
  Ledger ledger;
  ledger.add(entry(0, "all_reduce", "mlp", 10));
  ledger.add(entry(0, "all_reduce", "mlp", 7));
  ASSERT_EQ(ledger.entries().size(), 1u);
  const LedgerEntry& sum = ledger.entries()[0];
  EXPECT_EQ(sum.calls, 2);
  EXPECT_EQ(sum.payload_bytes, 17);
  EXPECT_EQ(sum.predicted_tx_bytes, 34);
  EXPECT_EQ(sum.predicted_rx_bytes, 51);
  EXPECT_EQ(sum.counted_tx_bytes, 68);
  EXPECT_EQ(sum.counted_rx_bytes, 85);
}

TEST(Ledger, OtherKindsStayApart) {
  Ledger ledger;
  ledger.add(entry(0, "all_reduce", "mlp", 1));
  ledger.add(entry(1, "all_reduce", "mlp", 1));
  ledger.add(entry(0, "all_gather", "mlp", 1));
  ledger.add(entry(0, "all_reduce", "attention", 1));
  LedgerEntry direct = entry(0, "all_reduce", "mlp", 1);
  direct.algorithm = "direct";
  ledger.add(direct);
  EXPECT_EQ(ledger.entries().size(), 5u);
  ledger.clear();
  EXPECT_TRUE(ledger.entries().empty());
}

TEST(Ledger, ACountThatOneCallLacksIsUnknown) {
  Ledger ledger;
  ledger.add(entry(0, "all_reduce", "mlp", 10));
  LedgerEntry uncounted = entry(0, "all_reduce", "mlp", 7);
  uncounted.counted_tx_bytes.reset();
  ledger.add(uncounted);
  ledger.add(entry(0, "all_reduce", "mlp", 1));
  EXPECT_EQ(ledger.entries()[0].counted_tx_bytes, std::nullopt);
  EXPECT_EQ(ledger.entries()[0].counted_rx_bytes, 90);
}

TEST(Ledger, ATemplateIsAddedTimesItsReplays) {
  Ledger once, run;
  once.add(entry(0, "all_reduce", "mlp", 3));
  once.add(entry(0, "send", "boundary", 5));
  run.add(entry(0, "send", "boundary", 1));
  run.add(once, 4);
  ASSERT_EQ(run.entries().size(), 2u);
  EXPECT_EQ(run.entries()[0].calls, 5);
  EXPECT_EQ(run.entries()[0].payload_bytes, 21);
  EXPECT_EQ(run.entries()[1].calls, 4);
  EXPECT_EQ(run.entries()[1].counted_rx_bytes, 60);
}

}  // namespace
}  // namespace batchscope
