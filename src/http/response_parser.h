// From bytes to the head of an answer: Beast's parser for the grammar, our rules on framing on top.
//
// Refuses what two readers could cut differently: Content-Length beside Transfer-Encoding, lengths
// that disagree, codings other than "chunked". No I/O. A parser is for one answer head; interim
// (1xx) answers are heads of their own.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace perdure::http {

/// How the end of an answer's body is found.
enum class BodyEnd { kNone, kLength, kChunked, kClose };

class ResponseParser final : private boost::beast::http::basic_parser<false> {
 public:
  /// `head_request`: the answer to a HEAD has no body, whatever it says.
  explicit ResponseParser(bool head_request);

  /// `input` begins where the last call stopped; `consumed` says how far this one came. True once
  /// the head is complete; false: offer the unconsumed rest again with more behind it. kUpstream
  /// for what is not HTTP or breaks a rule.
  Result<bool> parse(std::string_view input, std::size_t& consumed);

  // Valid once parse has given true.
  int status() const { return status_; }
  bool is_interim() const { return status_ < 200; }
  Headers& headers() { return headers_; }
  BodyEnd body_end() const;
  std::uint64_t content_length() const { return content_length_.value_or(0); }
  /// True if the connection may carry another request after this answer.
  bool keep_alive() const;

 private:
  using ErrorCodeOut = boost::beast::error_code;
  using View = boost::beast::string_view;

  void on_response_impl(int status, View reason, int version, ErrorCodeOut& ec) override;
  void on_field_impl(boost::beast::http::field field, View name, View value,
                     ErrorCodeOut& ec) override;
  void on_header_impl(ErrorCodeOut& ec) override;
  void on_finish_impl(ErrorCodeOut&) override {}
  // The body is never given to Beast's parser.
  void on_request_impl(boost::beast::http::verb, View, View, int, ErrorCodeOut&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCodeOut&) override {}
  std::size_t on_body_impl(View, ErrorCodeOut&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, View, ErrorCodeOut&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View, ErrorCodeOut&) override { return 0; }

  void read_content_length(std::string_view value);
  void refuse(std::string_view problem);

  bool head_request_;
  int status_ = 0;
  bool http_1_0_ = false;
  Headers headers_;
  std::optional<std::uint64_t> content_length_;
  bool chunked_ = false;
  bool close_ = false;
  bool explicit_keep_alive_ = false;
  std::size_t head_bytes_ = 0;
  std::optional<Error> refusal_;
};

}  // namespace perdure::http
