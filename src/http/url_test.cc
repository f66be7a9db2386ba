// URLs, where redirects lead, and hosts of Host headers.
#include "http/url.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace batchscope::http {
namespace {

std::string parts(const std::string& text) {
  try {
    const Url url = parse_url(text, "--x");
    return (url.is_tls ? "s " : "") + url.server() + " " + url.target;
  } catch (const InputError& error) {
    return error.what();
  }
}

TEST(Url, Parts) {
  EXPECT_EQ(parts("http://h"), "h:80 /");
  EXPECT_EQ(parts("https://h/a?b=c#d"), "s h:443 /a?b=c");
  EXPECT_EQ(parts("http://[::1]:8000/x"), "[::1]:8000 /x");
  EXPECT_EQ(parts("http://h:81?q=@"), "h:81 /?q=@");
}

TEST(Url, WhatIsNone) {
  for (const char* bad : {"", "h", "//h", "ftp://h/", "http://", "http://[::1", "http://[::1]x/", "http://a]/",
                          "http://h/a b", "http://h/\r\nX: y", "http://h:x/", "http://h:0/", "http://[]/"})
    EXPECT_TRUE(parts(bad).starts_with("--x: ")) << bad;
  EXPECT_LT(parts("http://h/ " + std::string(100000, 'a')).size(), 500U);
}

TEST(Url, CredentialsAreNotRepeated) {
  for (const char* secret : {"http://u:secret@h/", "secret@h", "http://u:secret@h:99999/", "x://u:secret@h"})
    EXPECT_EQ(parts(secret).find("secret"), std::string::npos) << secret;
}

std::string led(const Url& from, const std::string& location) {
  const auto url = redirected(from, location);
  return url ? (url->is_tls ? "s " : "") + url->server() + url->target : "nowhere";
}

TEST(Url, Redirects) {
  const Url plain{.host = "h", .port = 81}, tls{.is_tls = true, .host = "h", .port = 444};
  EXPECT_EQ(led(plain, "/x?y#z"), "h:81/x?y");
  EXPECT_EQ(led(plain, "https://g/"), "s g:443/");
  EXPECT_EQ(led(tls, "https://h:444/a"), "s h:444/a");
  EXPECT_EQ(led(tls, "http://h/"), "nowhere");
  for (const char* bad : {"", "x", "//evil/", "file:///etc/passwd", "/a b", "http://u:p@h/"})
    EXPECT_EQ(led(plain, bad), "nowhere") << bad;
}

TEST(Url, PagesBesideAnApi) {
  EXPECT_EQ(beside_api("/v1", "/metrics"), "/metrics");
  EXPECT_EQ(beside_api("/proxy/v1/?x", "/metrics"), "/proxy/metrics");
  EXPECT_EQ(beside_api("/", ""), "");
}

TEST(Url, HostsOfHeaders) {
  EXPECT_EQ(host_of("h:80"), "h");
  EXPECT_EQ(host_of("[::1]:80"), "::1");
  EXPECT_EQ(host_of("h"), "h");
  for (const char* bad : {"", ":80", "h:", "h:x", "h:1:2", "[::1", "[::1]x"})
    EXPECT_EQ(host_of(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace batchscope::http
