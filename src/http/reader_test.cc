// Requests and answers in pieces of any size, and what is refused.
#include "http/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchscope::http {
namespace {

// Fed `piece` bytes at a time; the status of the refusal, 0 where more is needed, 200 when it is complete.
int status_of(std::string_view bytes, std::size_t piece = 1 << 16) {
  RequestReader reader;
  Progress progress = Progress::needs_more;
  while (!bytes.empty() && progress == Progress::needs_more) {
    progress = reader.take(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (progress == Progress::refused) return reader.refusal();
  return progress == Progress::complete ? 200 : 0;
}

TEST(RequestReader, ARequestInAnyPieces) {
  const std::string text = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\naccept: text/plain\r\n\r\n";
  for (const std::size_t piece : {1UL, 2UL, 7UL, 1000UL}) EXPECT_EQ(status_of(text, piece), 200) << piece;
  RequestReader reader;
  ASSERT_EQ(reader.take(text), Progress::complete);
  EXPECT_EQ(reader.request().method, "GET");
  EXPECT_EQ(reader.request().path(), "/metrics");
  EXPECT_EQ(reader.request().headers.find("ACCEPT"), "text/plain");
  EXPECT_TRUE(reader.keeps_connection());
  EXPECT_EQ(reader.next(), Progress::needs_more);
  EXPECT_FALSE(reader.has_begun());
}

TEST(RequestReader, RequestsOneBehindTheOther) {
  RequestReader reader;
  ASSERT_EQ(reader.take("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nConnection: close\r\n\r\nGET"), Progress::complete);
  EXPECT_EQ(reader.request().target, "/a");
  ASSERT_EQ(reader.next(), Progress::complete);
  EXPECT_EQ(reader.request().target, "/b");
  EXPECT_FALSE(reader.keeps_connection());
  EXPECT_EQ(reader.next(), Progress::needs_more);
  EXPECT_TRUE(reader.has_begun());
}

TEST(RequestReader, NoPartOfARequestIsWithoutEnd) {
  const std::string much(1 << 20, 'a');
  const std::string post = "POST / HTTP/1.1\r\n";
  std::string headers, chunks, trailers;
  for (int i = 0; i < 20000; ++i) headers += "X: a\r\n", chunks += "1\r\na\r\n";
  for (const std::size_t piece : {100UL, 4096UL, 1UL << 21}) {
    EXPECT_EQ(status_of("GET /" + much, piece), 431);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nX: " + much, piece), 431);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + much, piece), 431);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + headers, piece), 431);
    EXPECT_EQ(status_of(post + "Content-Length: 1000000000\r\n\r\n", piece), 413);
    EXPECT_EQ(status_of(post + "Content-Length: 1025\r\n\r\n", piece), 413);
    EXPECT_EQ(status_of(post + "Transfer-Encoding: chunked\r\n\r\n10000\r\n" + much, piece), 413);
    EXPECT_EQ(status_of(post + "Transfer-Encoding: chunked\r\n\r\n" + chunks, piece), 413);
    EXPECT_EQ(status_of(post + "Transfer-Encoding: chunked\r\n\r\n1;" + much, piece), 413);
    EXPECT_EQ(status_of(post + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + headers, piece), 413);
  }
}

TEST(RequestReader, WhatIsNoRequest) {
  for (const char* bad : {"\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/3.0\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
                          "GET / HTTP/1.1\r\nContent-Length: -2\r\n\r\n",
                          "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                          "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n",
                          "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
                          "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"})
    EXPECT_EQ(status_of(bad), 400) << bad;
}

struct Read {
  Progress progress;
  int status;
  std::string body;
  bool is_too_long;
};

Read read(std::string_view bytes, std::size_t piece = 1 << 16, bool ends = true) {
  std::string body;
  ResponseReader reader({}, [&](std::string_view more) {
    body += more;
    return true;
  });
  Progress progress = Progress::needs_more;
  while (!bytes.empty() && progress == Progress::needs_more) {
    progress = reader.take(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (ends && progress == Progress::needs_more) progress = reader.end();
  return {progress, reader.response().status, body, reader.is_too_long()};
}

TEST(ResponseReader, BodiesOfEachFraming) {
  for (const std::size_t piece : {1UL, 5UL, 1000UL})
    for (const std::string text :
         {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n",
          "HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"}) {
      const Read got = read(text, piece);
      EXPECT_EQ(got.progress, Progress::complete) << text;
      EXPECT_EQ(got.status, 200) << text;
      EXPECT_EQ(got.body, "hello") << text;
    }
}

TEST(ResponseReader, WhatEndsTooEarlyIsRefused) {
  for (const char* text :
       {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nX", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "HTTP/1.1 100 Continue\r\n\r\n"})
    EXPECT_EQ(read(text).progress, Progress::refused) << text;
}

TEST(ResponseReader, ALastChunkMayComeInPieces) {
  for (const std::size_t piece : {1UL, 2UL, 3UL}) {
    EXPECT_EQ(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", piece).progress,
              Progress::complete);
    EXPECT_EQ(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\b", piece).progress,
              Progress::refused);
  }
}

TEST(ResponseReader, AStatusIsOneOfHttps) {
  for (const char* bad : {"HTTP/1.1 000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n"})
    EXPECT_EQ(read(bad).progress, Progress::refused) << bad;
}

TEST(ResponseReader, NothingIsWithoutEnd) {
  const std::string ok = "HTTP/1.1 200 OK\r\n", chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string much(5 << 20, 'a');
  std::string headers, chunks, interim;
  for (int i = 0; i < 1000000; ++i) headers += "X: a\r\n", chunks += "1\r\na\r\n";
  for (int i = 0; i < 100; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  for (const std::string& text :
       {ok + "X: " + much, ok + headers, ok + "\r\n" + much, chunked + chunks, chunked + "1;" + much,
        chunked + "0\r\n" + headers, chunked + "fffffffffffffffe\r\n" + much,
        ok + "Content-Length: 18446744073709551615\r\n\r\n" + much}) {
    const Read got = read(text, 16384, false);
    EXPECT_EQ(got.progress, Progress::refused) << text.substr(0, 60);
    EXPECT_TRUE(got.is_too_long) << text.substr(0, 60);
    EXPECT_LE(got.body.size(), std::size_t{4} << 20);
  }
  EXPECT_EQ(read(interim, 16384, false).progress, Progress::refused);
  EXPECT_EQ(read(much, 16384, false).progress, Progress::refused);
}

TEST(ResponseReader, TheBodyCanBeStopped) {
  ResponseReader reader({}, [](std::string_view) { return false; });
  EXPECT_EQ(reader.take("HTTP/1.1 200 OK\r\n\r\nx"), Progress::refused);
  EXPECT_EQ(reader.response().status, 200);
}

}  // namespace
}  // namespace batchscope::http
