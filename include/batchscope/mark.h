// Writes phases of this program into the recording that runs around it (batchscope record -- PROGRAM). C99 and C++;
// this file is all that is needed. Include it first, or define _DEFAULT_SOURCE or _GNU_SOURCE.
//
//   batchscope_begin("prefill");  …  batchscope_end("prefill");     batchscope_mark("request 7 came");
//
// Any thread may call. A call never blocks and leaves errno as it was. It returns 1 when the mark is on its way, 0 when
// no recording runs (the call then costs a few nanoseconds) or when the recording does not keep up (it counts what is lost).
#ifndef BATCHSCOPE_MARK_H
#define BATCHSCOPE_MARK_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { batchscope_fresh, batchscope_connecting, batchscope_connected, batchscope_off };

// word: the process to which the socket belongs (a fork needs its own), times four, plus one of the states above.
static struct {
  unsigned long long word, sequence;
  int socket;
} batchscope_channel;

// A new socket that leads to the recording, or -1.
static inline int batchscope_connect(void) {
  const char* path = getenv("BATCHSCOPE_MARKS");
  struct sockaddr_un address;
  const int room = 1 << 20;
  int s;
  if (path == NULL || *path == '\0' || strlen(path) >= sizeof address.sun_path) return -1;
  s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (s < 0) return -1;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path);
  setsockopt(s, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  if (connect(s, (const struct sockaddr*)&address, sizeof address) == 0) return s;
  close(s);
  return -1;
}

// This process's socket, made at its first mark; -1 when there is no recording.
static inline int batchscope_socket(void) {
  unsigned long long word, me;
  for (;;) {
    word = __atomic_load_n(&batchscope_channel.word, __ATOMIC_ACQUIRE);
    if ((word & 3) == batchscope_off) return -1;
    me = (unsigned long long)getpid() << 2;
    if (word == (me | batchscope_connected)) return batchscope_channel.socket;
    if (word == (me | batchscope_connecting))
      sched_yield();  // to the thread that does it
    else if (__atomic_compare_exchange_n(&batchscope_channel.word, &word, me | batchscope_connecting, 0,
                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      break;
  }
  batchscope_channel.socket = batchscope_connect();
  __atomic_store_n(&batchscope_channel.sequence, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&batchscope_channel.word,
                   me | (batchscope_channel.socket < 0 ? batchscope_off : batchscope_connected), __ATOMIC_RELEASE);
  return batchscope_channel.socket;
}

// Adds a tab and at most `most` bytes; what would break the message's form becomes a space.
static inline size_t batchscope_put(char* message, size_t at, size_t most, const char* text) {
  size_t i;
  message[at++] = '\t';
  for (i = 0; i < most && text[i] != '\0'; ++i) message[at++] = (unsigned char)text[i] < ' ' ? ' ' : text[i];
  return at;
}

// One message (docs/formats.md, "Marks"): kind is "point", "begin", "end" or "phase"; times are CLOCK_MONOTONIC, end_ns
// counts for "phase" alone; track "" is this thread; id "" matches an end to its begin by track and name.
static inline int batchscope_send(const char* kind, long long begin_ns, long long end_ns, const char* track,
                                  const char* id, const char* name, const char* detail) {
  const int before = errno, s = batchscope_socket();
  char message[1200];
  size_t size;
  int sent;
  if (s >= 0) {
    size = (size_t)snprintf(message, 160, "%.8s\t%llu\t%lld\t%lld\t%ld", kind,
                            __atomic_add_fetch(&batchscope_channel.sequence, 1, __ATOMIC_RELAXED), begin_ns, end_ns,
                            (long)syscall(SYS_gettid));
    size = batchscope_put(message, size, 120, track);
    size = batchscope_put(message, size, 60, id);
    size = batchscope_put(message, size, 400, name);
    size = batchscope_put(message, size, 400, detail);
    sent = send(s, message, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
    if (!sent && errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
      __atomic_store_n(&batchscope_channel.word, (unsigned long long)batchscope_off, __ATOMIC_RELEASE);
  } else {
    sent = 0;
  }
  errno = before;
  return sent;
}

static inline long long batchscope_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline int batchscope_instant(const char* kind, const char* track, const char* id, const char* name) {
  long long now;
  if ((__atomic_load_n(&batchscope_channel.word, __ATOMIC_RELAXED) & 3) == batchscope_off) return 0;
  now = batchscope_now();
  return batchscope_send(kind, now, now, track, id, name, "");
}

// A point in time.
static inline int batchscope_mark(const char* name) { return batchscope_instant("point", "", "", name); }
// A phase of this thread; an end belongs to the last begin of its name.
static inline int batchscope_begin(const char* name) { return batchscope_instant("begin", "", "", name); }
static inline int batchscope_end(const char* name) { return batchscope_instant("end", "", "", name); }

#endif
