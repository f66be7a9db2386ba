// Which rank computes what: a small value class that holds all rank arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/config.h"

namespace batchscope {

// A contiguous share [begin, end).
struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

// Part `index` of `total` cut into `parts` as even as it goes: the first total % parts shares have one more.
Range even_share(std::int64_t total, std::int64_t parts, std::int64_t index);

// dp replicas × stages (mp: one after the other; pp: filled with micro-batches) × tp tensor-parallel ranks.
// rank = (replica * stages + stage) * tp + shard.
class Layout {
 public:
  Layout() = default;
  // "mp4", "tp2", "dp2.tp2", "dp2.pp2.tp2"; InputError says what is accepted.
  static Layout parse(std::string_view text);

  std::int64_t replicas() const { return dp_; }
  std::int64_t stages() const { return stages_; }
  std::int64_t shards() const { return tp_; }
  bool micro_batches() const { return micro_batches_; }  // pp rather than mp
  std::int64_t ranks() const { return dp_ * stages_ * tp_; }

  struct Place {
    std::int64_t replica = 0, stage = 0, shard = 0;
  };
  Place place(std::int64_t rank) const;
  std::int64_t rank(const Place& place) const { return (place.replica * stages_ + place.stage) * tp_ + place.shard; }

  // InputError if the model cannot be cut so: more stages than layers, more shards than heads.
  void check(const ModelConfig& config) const;
  std::string to_string() const;
  bool operator==(const Layout&) const = default;

 private:
  std::int64_t dp_ = 1, stages_ = 1, tp_ = 1;
  bool micro_batches_ = false;
};

// What one tensor-parallel shard holds of a layer.
struct LayerShare {
  Range heads;         // query heads
  Range kv_heads;      // every KV head that one of those heads reads; at a border two shards hold the same one
  Range intermediate;  // columns of the MLP
};
LayerShare layer_share(const ModelConfig& config, std::int64_t shards, std::int64_t shard);
Range layer_range(const ModelConfig& config, std::int64_t stages, std::int64_t stage);
Range vocabulary_range(const ModelConfig& config, std::int64_t shards, std::int64_t shard);

}  // namespace batchscope
