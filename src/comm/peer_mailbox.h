// How ranks of a group find each other's tensors: a mailbox in each one's device memory, which the others write.
#pragma once

#include <cstdint>

namespace batchscope {

inline constexpr int most_peers = 16;             // ranks of a group
inline constexpr int most_peer_blocks = 528;      // of a kernel: four for each of 132 multiprocessors
inline constexpr std::int64_t peer_unit_bytes = 16;

// Left by one block of one peer for the same block here.
struct alignas(32) PeerSlot {
  std::uint64_t pointers[2];
  std::uint32_t flag;  // counts the block's arrivals: two a kernel
};

// One direction of send and recv.
struct alignas(32) PeerChannel {
  std::uint64_t pointer;   // of what is sent; by the sender, to the receiver's mailbox
  std::uint32_t posted;    // messages; likewise
  std::uint32_t taken;     // messages that the peer has taken of this rank; by the receiver, to the sender's mailbox
};

struct PeerMailbox {
  PeerSlot slots[most_peer_blocks][most_peers];
  PeerChannel channels[most_peers];  // by peer
  // The owner's alone:
  std::uint32_t arrivals[most_peer_blocks];  // of each block
  std::uint32_t sent[most_peers], received[most_peers];
  std::uint32_t done_blocks;  // of a recv under way
};

// What a rank's kernels counted; only grows. Bytes by peer.
struct PeerCounters {
  std::uint64_t communicating_ns;  // in collectives, waiting included
  std::uint64_t waiting_ns;        // of send and recv, for the neighbour
  std::uint64_t read_bytes[most_peers], written_bytes[most_peers];
};

}  // namespace batchscope
