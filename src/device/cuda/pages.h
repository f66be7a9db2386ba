// Memory of a GPU behind an arena: a range of addresses as large as the GPU's memory, of which pages are there as far as the
// arena needs them. Peers may read and write it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/arena.h"

namespace batchscope {

class CudaPages : public ArenaBacking {
 public:
  // `peers`: CUDA's numbers of the GPUs that may access it, its own among them.
  CudaPages(std::string name, int device, std::vector<int> peers);
  ~CudaPages() override;
  CudaPages(const CudaPages&) = delete;
  CudaPages& operator=(const CudaPages&) = delete;

  std::byte* base() const override { return base_; }
  std::int64_t bytes() const override { return bytes_; }
  void commit(std::int64_t bytes) override;
  // Gives back what lies behind the first `bytes`, in whole chunks; nothing that uses it may be under way.
  void trim(std::int64_t bytes);

 private:
  void add_chunk(std::int64_t bytes);

  struct Chunk {
    unsigned long long handle;
    std::int64_t bytes;
  };
  std::string name_;
  int device_;
  std::vector<int> peers_;
  std::byte* base_ = nullptr;
  std::int64_t bytes_ = 0, committed_ = 0;
  std::vector<Chunk> chunks_;
};

}  // namespace batchscope
