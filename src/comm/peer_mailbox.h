// How ranks of a group find each other's tensors: a mailbox in each one's device memory, which the others write. And
// the areas through which tensors go where ranks do not reach each other's device memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace batchscope {

inline constexpr int most_peers = 16;             // ranks of a group
inline constexpr int most_peer_blocks = 528;      // of a kernel: four for each of 132 multiprocessors
inline constexpr std::int64_t peer_unit_bytes = 16;
inline constexpr int staging_blocks = 32;  // of a kernel that goes through staging areas
inline constexpr std::int64_t staging_block_bytes = std::int64_t{128} << 10;

// What is small goes in one shot: each rank pushes its rows to every peer and reduces all of them itself. Data travels
// in lines with flags beside it, so that nobody meets anybody (NCCL's LL protocol; Jeaugey 2019).
struct alignas(16) PushedLine {
  std::uint32_t data0, flag0, data1, flag1;
};
inline constexpr std::int64_t pushed_line_data_bytes = 8;
inline constexpr std::int64_t most_pushed_bytes = 512 << 10;  // of data, to all peers together

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
  std::uint32_t done_blocks;  // of a recv or a push under way
  std::uint32_t pushes;       // so far; a push's lines have the number of the push, from 1 on, as their flags
  // Likewise, of what goes through staging areas: arrivals of each block, and its pieces sent to and received from each
  // peer.
  std::uint32_t staged_arrivals[staging_blocks];
  std::uint32_t staged_sent[staging_blocks][most_peers], staged_received[staging_blocks][most_peers];
};

// Behind the mailbox: lines from each peer, in two halves by turns. Whoever pushes for the second time has seen all
// others' pushes of the first, so that they have read those before.
inline std::int64_t pushed_lines(int ranks) { return most_pushed_bytes / (ranks - 1) / pushed_line_data_bytes; }
inline std::int64_t pushed_bytes(int ranks) {
  return 2 * ranks * pushed_lines(ranks) * static_cast<std::int64_t>(sizeof(PushedLine));
}

// A rank's staging area: the owner writes what others read, they write flags. Of each block alone.
struct StagingArea {
  struct alignas(32) Flags {
    std::uint32_t arrived;  // the peer's block, so often
    std::uint32_t posted;   // pieces that the peer has for the owner
    std::uint32_t taken;    // pieces that the peer has taken of the owner's
  };
  Flags flags[staging_blocks][most_peers];  // by peer
  alignas(256) std::byte data[staging_blocks][staging_block_bytes];
};

// What a rank's kernels counted; only grows. Bytes by peer.
struct PeerCounters {
  std::uint64_t communicating_ns;  // in collectives, waiting included
  std::uint64_t waiting_ns;        // of send and recv, for the neighbour
  std::uint64_t read_bytes[most_peers], written_bytes[most_peers];  // in device memory of peers
  std::uint64_t to_host_bytes, from_host_bytes;                     // staging areas in the host's memory
};

}  // namespace batchscope
