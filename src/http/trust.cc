// Certificates of authorities, by OpenSSL (http/trust.h).
#include "http/trust.h"

#include <unistd.h>

#include <cstdlib>

#include "base/error.h"

namespace batchscope::http {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

// Where distributions keep the certificates that they trust: OpenSSL knows only its own distribution's place.
void trust(ssl::context& context, const std::string& authorities) {
  error_code error;
  if (!authorities.empty()) {
    context.load_verify_file(authorities, error);
    if (error)
      throw InputError("cannot read the certificates of {}: {}; name a file in PEM", authorities, error.message());
    return;
  }
  context.set_default_verify_paths(error);
  if (std::getenv("SSL_CERT_FILE") != nullptr || std::getenv("SSL_CERT_DIR") != nullptr) return;
  for (const char* file : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"})
    if (access(file, R_OK) == 0) return static_cast<void>(context.load_verify_file(file, error));
}

}  // namespace

ssl::context trusting_context(const std::string& authorities) {
  ssl::context context(ssl::context::tls_client);
  context.set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  trust(context, authorities);
  return context;
}

}  // namespace batchscope::http
