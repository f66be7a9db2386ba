// Small chunks first, large ones later (store/sample_writer.h).
#include "store/sample_writer.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "store/chunk.h"

namespace batchscope::store {
namespace {

constexpr std::size_t ticks_a_large_chunk = 16'384;
static_assert(2 * ticks_a_large_chunk <= max_chunk_ticks);

struct Figures {
  std::int64_t count = 0;
  std::optional<double> sum, min, max, first, last;  // not a number counts, but is in none of these
};

template <class Value>
Figures figures_of(const std::vector<Value>& values, const std::vector<std::uint8_t>& present) {
  Figures out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!present.empty() && present[i] == 0) continue;
    ++out.count;
    const auto value = static_cast<double>(values[i]);
    if (std::isnan(value)) continue;
    out.sum = out.sum.value_or(0) + value;
    out.min = std::min(out.min.value_or(value), value);
    out.max = std::max(out.max.value_or(value), value);
    if (!out.first) out.first = value;
    out.last = value;
  }
  return out;
}

SampleBlock part(const SampleBlock& block, std::size_t from, std::size_t to) {
  const auto cut = [&](const auto& values) {
    using Values = std::decay_t<decltype(values)>;
    if (values.empty()) return Values();
    return Values(values.begin() + static_cast<std::ptrdiff_t>(from), values.begin() + static_cast<std::ptrdiff_t>(to));
  };
  SampleBlock out{.before = cut(block.before), .after = cut(block.after), .columns = {}};
  for (const SampleColumn& column : block.columns)
    out.columns.push_back({.series = column.series,
                           .integers = cut(column.integers),
                           .reals = cut(column.reals),
                           .present = cut(column.present)});
  return out;
}

void append_block(SampleBlock& to, const SampleBlock& from) {
  const auto append = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
  if (to.columns.empty()) {
    to.columns.resize(from.columns.size());
    for (std::size_t c = 0; c < from.columns.size(); ++c) to.columns[c].series = from.columns[c].series;
  }
  for (std::size_t c = 0; c < from.columns.size(); ++c) {
    SampleColumn& column = to.columns[c];
    const SampleColumn& more = from.columns[c];
    append(column.integers, more.integers);
    append(column.reals, more.reals);
    if (more.present.empty() && column.present.empty()) continue;
    column.present.resize(to.before.size(), 1);
    append(column.present, more.present);
    column.present.resize(to.before.size() + from.before.size(), 1);
  }
  append(to.before, from.before);
  append(to.after, from.after);
}

void check_block(const SampleBlock& block) {
  CHECK_EQUAL(block.before.size(), block.after.size(), "every reading has two instants");
  for (const SampleColumn& column : block.columns) {
    CHECK_EQUAL(column.integers.size() + column.reals.size(), block.before.size(), "a column has a value a tick");
    CHECK_THAT(column.integers.empty() || column.reals.empty(), "series {} is of integers or not", column.series);
    CHECK_THAT(column.present.empty() || column.present.size() == block.before.size(),
               "a column marks every tick or none, series {} marks {}", column.series, column.present.size());
  }
}

}  // namespace

SampleWriter::SampleWriter(SQLite::Database& database)
    : database_(database),
      add_ticks_(database, "INSERT INTO ticks (begin_ns, end_ns, count, data) VALUES (?, ?, ?, ?)"),
      add_chunk_(database,
                 "INSERT INTO chunks (series, ticks, begin_ns, end_ns, count, absent, sum, min, max, first, last) "
                 "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
      add_data_(database, "INSERT INTO chunk_data (chunk, data) VALUES (?, ?)") {}

void SampleWriter::insert(const SampleBlock& block, Pending& rows) {
  const auto bind_blob = [](SQLite::Statement& statement, int at, const std::string& bytes) {
    statement.bind(at, bytes.data(), static_cast<int>(bytes.size()));
  };
  const auto ticks = static_cast<std::int64_t>(block.before.size());
  add_ticks_.reset();
  add_ticks_.bind(1, static_cast<std::int64_t>(block.before.front().count()));
  add_ticks_.bind(2, static_cast<std::int64_t>(block.before.back().count()));
  add_ticks_.bind(3, ticks);
  bind_blob(add_ticks_, 4, encode_ticks(block.before, block.after));
  add_ticks_.exec();
  rows.ticks.push_back(database_.getLastInsertRowid());
  for (const SampleColumn& column : block.columns) {
    const bool integers = column.reals.empty();
    const Figures figures =
        integers ? figures_of(column.integers, column.present) : figures_of(column.reals, column.present);
    run(add_chunk_, column.series, rows.ticks.back(), block.before.front(), block.before.back(), figures.count,
        ticks - figures.count, figures.sum, figures.min, figures.max, figures.first, figures.last);
    rows.chunks.push_back(database_.getLastInsertRowid());
    add_data_.reset();
    add_data_.bind(1, rows.chunks.back());
    bind_blob(add_data_, 2,
              integers ? encode_integers(column.integers, column.present) : encode_reals(column.reals, column.present));
    add_data_.exec();
  }
}

void SampleWriter::append(const SampleBlock& block) {
  check_block(block);
  if (block.before.empty() || block.columns.empty()) return;
  Key key;
  for (const SampleColumn& column : block.columns) key.push_back(column.series);
  // The first large chunk is shorter, by how much depends on the series: so not all are replaced at once.
  const auto [found, is_new] = pending_.try_emplace(key);
  Pending& pending = found->second;
  if (is_new) pending.small_chunks -= static_cast<std::size_t>(key[0]) % (small_chunks_a_large_one / 2);
  undo_.try_emplace(key, pending);
  for (std::size_t from = 0; from < block.before.size(); from += ticks_a_large_chunk) {
    const auto some = part(block, from, std::min(from + ticks_a_large_chunk, block.before.size()));
    insert(some, pending);
    append_block(pending.block, some);
    if (pending.ticks.size() >= pending.small_chunks || pending.block.before.size() >= ticks_a_large_chunk)
      seal(pending);
  }
}

void SampleWriter::seal(Pending& pending) {
  if (pending.ticks.size() > 1) {
    SQLite::Statement drop_data(database_, "DELETE FROM chunk_data WHERE chunk = ?");
    SQLite::Statement drop_chunk(database_, "DELETE FROM chunks WHERE id = ?");
    SQLite::Statement drop_ticks(database_, "DELETE FROM ticks WHERE id = ?");
    for (const std::int64_t chunk : pending.chunks) {
      run(drop_data, chunk);
      run(drop_chunk, chunk);
    }
    for (const std::int64_t ticks : pending.ticks) run(drop_ticks, ticks);
    Pending rows;
    insert(pending.block, rows);
  }
  pending = Pending();
}

void SampleWriter::seal_all() {
  for (auto& [key, pending] : pending_) {
    undo_.try_emplace(key, pending);
    seal(pending);
  }
}

void SampleWriter::rolled_back() {
  for (auto& [key, pending] : undo_) pending_[key] = std::move(pending);
  undo_.clear();
}

}  // namespace batchscope::store
