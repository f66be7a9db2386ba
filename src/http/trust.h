// Whose certificates a client trusts.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <string>

namespace batchscope::http {

// A context for TLS 1.2 and later that trusts the certificates of this file (PEM), "": those of the system. InputError
// when the file cannot be read.
boost::asio::ssl::context trusting_context(const std::string& authorities);

}  // namespace batchscope::http
