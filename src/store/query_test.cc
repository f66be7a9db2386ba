// A user's SELECT sees tables and views, whatever the file's version, and can change nothing.
#include "store/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "store/database.h"
#include "store/schema.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

class Query : public testing::Test {
 protected:
  Query() : path_(folder_ / "s.bscope") {
    StoreWriter writer(path_, OpenMode::create);
    const auto session = writer.begin_session("study");
    writer.set_environment(session, {{"host", "node1"}});
    const CellRecord cells[] = {
        {.key = "k1",
         .spec_json = R"({"strategy":"tp2 x","repeat":1,"spec":{"batch":4,"parallel":"tp2","task":"",)"
                      R"("model":{"path":"","random_shape":""}}})"},
        {.key = "k2", .spec_json = "no JSON"}};
    const auto ids = writer.add_cells(writer.add_study("demo", "{}"), cells);
    const std::vector<ItemRecord> items{{.id_json = "\"q\"", .gold = 1, .prediction = 1, .prediction_norm = 0}};
    const std::vector<Phase> phases{{.name = "batch", .track = "t", .end = Nanoseconds(500'000'000), .detail = ""}};
    std::vector<DeviceRecord> devices(2, DeviceRecord{.name = "cpu:0", .peak_bytes = 7});
    devices[1].links = {{.kind = "virtual", .counted_tx_bytes = 12}};
    const std::vector<LedgerRecord> ledger{{.collective = "all_reduce", .phase = "mlp"}};
    const std::vector<RequestRecord> requests{
        {.id_json = "\"r\"", .arrival_s = 1, .admitted_s = 1.5, .first_token_s = 2, .end_s = 4, .output_tokens = 5},
        {.id_json = "7", .arrival_s = 1, .admitted_s = 1, .first_token_s = 2, .end_s = 2, .output_tokens = 1}};
    writer.finish_attempt(writer.start_attempt(session, ids[0]), {.status = "ok", .result_json = R"({"acc":0.5})"},
                          items, phases, ledger, devices, requests);
    writer.finish_attempt(writer.start_attempt(session, ids[1]), {.status = "failed", .result_json = "{"}, {}, {}, {},
                          {});
    writer.start_attempt(session, ids[1]);
  }

  // The first row's values as text, "|" between them; "" when there is none.
  std::string first(const std::string& sql) const {
    StoreQuery query(path_, sql);
    std::vector<SqlValue> row;
    std::string text;
    if (!query.next(row)) return text;
    for (const SqlValue& value : row) {
      if (!text.empty()) text += "|";
      if (const auto* integer = std::get_if<std::int64_t>(&value)) text += std::to_string(*integer);
      if (const auto* real = std::get_if<double>(&value)) text += fmt::format("{}", *real);
      if (const auto* string = std::get_if<std::string>(&value)) text += *string;
      if (const auto* blob = std::get_if<SqlBlob>(&value)) text += fmt::format("blob {}", blob->bytes);
      if (std::holds_alternative<std::monostate>(value)) text += "NULL";
    }
    return text;
  }
  std::string refusal(const std::string& sql) const {
    try {
      first(sql);
    } catch (const InputError& error) {
      return error.what();
    }
    return "(no InputError)";
  }

  TestFolder folder_;
  std::filesystem::path path_;
};

TEST_F(Query, ViewsJoinWhatBelongsTogether) {
  EXPECT_EQ(first("SELECT study, host, strategy, batch, parallel, model, task, acc, largest_peak_bytes, "
                  "counted_tx_bytes FROM cell_results WHERE key = 'k1'"),
            "demo|node1|tp2 x|4|tp2|embedded|embedded|0.5|7|12");
  EXPECT_EQ(first("SELECT count(*), max(status), count(batch), count(acc) FROM cell_results"), "2|ok|1|1");
  EXPECT_EQ(first("SELECT count(*) FROM attempt_settings WHERE status = 'running'"), "1");
  EXPECT_EQ(first("SELECT id, is_right, is_right_norm, batch FROM item_results"), "q|1|0|4");
  EXPECT_EQ(first("SELECT id, queue_ms, ttft_ms, tpot_ms, latency_ms, batch FROM request_results WHERE request = 0"),
            "r|500|1000|500|3000|4");
  EXPECT_EQ(first("SELECT id, queue_ms, tpot_ms FROM request_results WHERE request = 1"), "7|0|NULL");
  EXPECT_EQ(first("SELECT count(*), sum(peak_bytes) FROM device_results"), "2|14");
  EXPECT_EQ(first("SELECT device, device_name, kind, batch FROM link_results"), "1|cpu:0|virtual|4");
  EXPECT_EQ(first("SELECT collective, phase, key FROM ledger_results"), "all_reduce|mlp|k1");
  EXPECT_EQ(first("SELECT key, seconds, begin_unix_ns = monotonic_zero_unix_ns FROM phase_times, sessions"),
            "k1|0.5|1");
  EXPECT_EQ(first("SELECT count(*) FROM sample_means"), "0");
}

TEST_F(Query, ViewsKnowWorkloads) {
  {
    StoreWriter writer(path_, OpenMode::append);
    const CellRecord cell{.key = "k3",
                          .spec_json = R"({"spec":{"task":"","workload":{"prompt_tokens":8,"output_tokens":4,)"
                                       R"("requests":3,"arrival_rate":2.5,"trace":null,"seed":1}}})"};
    const auto id = writer.add_cells(writer.add_study("demo", "{}"), {&cell, 1}).front();
    const auto attempt = writer.start_attempt(writer.begin_session("study"), id);
    writer.finish_attempt(attempt, {.status = "ok", .result_json = R"({"requests":3,"ttft_ms":{"p99":1.5}})"}, {}, {},
                          {}, {});
  }
  EXPECT_EQ(first("SELECT task, workload_prompt_tokens, workload_requests, arrival_rate, trace, task_seed, requests, "
                  "ttft_p99_ms, tpot_p50_ms FROM cell_results WHERE key = 'k3'"),
            "generate|8|3|2.5|NULL|1|3|1.5|NULL");
}

TEST_F(Query, OlderFilesHaveTheViewsToo) {
  {
    SQLite::Database old(path_, SQLite::OPEN_READWRITE);
    for (const SchemaObject& object : schema_objects())
      if (object.since > 1) old.exec(std::string("DROP ") + object.type + " " + object.name);
    old.exec("PRAGMA user_version = 1");
    old.exec("CREATE VIEW cell_results AS SELECT 'theirs' AS acc");
  }
  EXPECT_EQ(first("SELECT acc FROM cell_results WHERE key = 'k1'"), "0.5");
}

TEST_F(Query, ValuesComeAsTheyAre) {
  EXPECT_EQ(first("SELECT NULL, 1, 0.5, 'a', x'0102', 9223372036854775807"), "NULL|1|0.5|a|blob 2|9223372036854775807");
  EXPECT_EQ(first("SELECT 1 WHERE 0"), "");
  EXPECT_EQ(first("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5) SELECT sum(i) FROM n"),
            "15");
  EXPECT_EQ(first("PRAGMA user_version"), std::to_string(bscope_version));
  EXPECT_EQ(first("SELECT 1; -- the end"), "1");
}

TEST_F(Query, JsonInValuesCanBeTakenApart) {
  EXPECT_EQ(first("SELECT value FROM json_each('[7,8]') LIMIT 1"), "7");
  EXPECT_EQ(
      first("SELECT tree.value FROM cells, json_tree(cells.spec_json, '$.spec') AS tree WHERE cells.key = 'k1' AND "
            "tree.key = 'batch'"),
      "4");
}

// One on an expression computes and stores with each row that is written.
TEST_F(Query, FilesWithAnIndexOfOthersAreNotWritten) {
  SQLite::Database(path_, SQLite::OPEN_READWRITE).exec("CREATE INDEX big ON sessions(hex(zeroblob(100000)))");
  EXPECT_EQ(first("SELECT count(*) FROM sessions"), "1");
  try {
    StoreWriter(path_, OpenMode::create_or_append);
    FAIL() << "written";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("its index \"big\" is not batchscope's"));
  }
}

TEST_F(Query, NothingCanBeChanged) {
  const std::string before = read_file(path_);
  for (const char* sql :
       {"DELETE FROM items", "UPDATE cells SET key = 'x'", "DROP TABLE items", "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)", "ATTACH 'other.db' AS other", "VACUUM", "VACUUM INTO 'other.db'",
        "PRAGMA user_version = 9", "PRAGMA journal_mode = WAL", "PRAGMA writable_schema = ON", "BEGIN", "ROLLBACK",
        "REINDEX", "INSERT INTO items SELECT * FROM items RETURNING 1", "SELECT load_extension('x')"})
    EXPECT_THAT(refusal(sql), HasSubstr("sql: ")) << sql;
  EXPECT_THAT(refusal("DELETE FROM items"), HasSubstr("only reading"));
  EXPECT_EQ(read_file(path_), before);
}

TEST_F(Query, MistakesAreOneLine) {
  EXPECT_THAT(refusal("SELECT nonsense FROM cells"), HasSubstr("no such column: nonsense"));
  EXPECT_THAT(refusal("SELECT 1; SELECT 2"), HasSubstr("more than one statement"));
  EXPECT_THAT(refusal("SELECT 1; nonsense"), HasSubstr("syntax error"));
  EXPECT_THAT(refusal("  -- nothing"), HasSubstr("no statement"));
  EXPECT_THAT(refusal(""), HasSubstr("no statement"));
  EXPECT_THAT(refusal("SELECT ?"), HasSubstr("no value"));
  EXPECT_THAT(refusal("SELECT \x1b\n[2J"), HasSubstr("\\x1b"));
  EXPECT_THAT(refusal("SELECT json_extract('{', '$')"), HasSubstr("malformed JSON"));
  EXPECT_THAT(refusal("SELECT abs(-9223372036854775808)"), HasSubstr("overflow"));
}

}  // namespace
}  // namespace batchscope
