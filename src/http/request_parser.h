// From bytes to a request's head: Beast's parser for the grammar, our rules on top.
//
// Stricter than HTTP where leniency lets two readers of one connection disagree on where a request
// ends: both Content-Length and Transfer-Encoding, repeated or listed lengths, codings other than
// "chunked", folded lines, control characters, a missing or repeated Host are refused. No I/O: the
// connection and the fuzzer drive the same code. A parser is for one request.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace perdure::http {

/// Why a request is answered without its handler.
struct Refusal {
  int status = 400;  ///< 0: the client has gone, there is nobody to answer
  Error error;
};

/// How the message is cut out of the connection, and what becomes of the connection.
struct Framing {
  bool http_1_0 = false;
  bool keep_alive = true;
  bool chunked = false;
  bool expect_continue = false;
  std::uint64_t content_length = 0;

  bool has_body() const { return chunked || content_length > 0; }
};

class RequestParser final : private boost::beast::http::basic_parser<true> {
 public:
  RequestParser();

  enum class State { kMore, kDone, kRefused };
  /// `input` begins where the last call stopped; `consumed` says how far this one came. After kMore
  /// the caller offers the unconsumed rest again with more behind it.
  State parse(std::string_view input, std::size_t& consumed);

  /// True once a byte of the request (not an empty line before it) has been seen.
  bool started() const { return started_; }
  /// Valid after kDone; after kRefused they hold what was understood until then.
  Request& request() { return request_; }
  const Framing& framing() const { return framing_; }
  /// Valid after kRefused. Framing is lost: the connection must close after the answer.
  const Refusal& refusal() const { return *refusal_; }

 private:
  using ErrorCodeOut = boost::beast::error_code;
  using View = boost::beast::string_view;

  void on_request_impl(boost::beast::http::verb, View method, View target, int version,
                       ErrorCodeOut& ec) override;
  void on_field_impl(boost::beast::http::field field, View name, View value,
                     ErrorCodeOut& ec) override;
  void on_header_impl(ErrorCodeOut& ec) override;
  void on_finish_impl(ErrorCodeOut&) override {}
  // The body is never given to Beast's parser.
  void on_response_impl(int, View, int, ErrorCodeOut&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCodeOut&) override {}
  std::size_t on_body_impl(View, ErrorCodeOut&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, View, ErrorCodeOut&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View, ErrorCodeOut&) override { return 0; }

  void read_target(std::string_view target);
  void read_host(std::string_view value);
  void read_content_length(std::string_view value);
  void read_transfer_encoding(std::string_view value);
  void refuse(int status, ErrorCode code, std::string message);
  void refuse_for(const ErrorCodeOut& ec, std::string_view input);
  bool has_bare_line_end(std::string_view rest, std::size_t taken);
  bool is_folded(std::string_view name, std::string_view value) const;

  Request request_;
  Framing framing_;
  std::optional<Refusal> refusal_;
  std::string_view input_;  // of the running parse()
  std::string authority_;   // of a target in absolute form
  std::size_t head_bytes_ = 0;
  std::size_t empty_lines_ = 0;
  std::size_t checked_ = 0;  // of the unconsumed rest, for bare line ends
  bool started_ = false;
  bool line_done_ = false;
  bool has_content_length_ = false;
};

}  // namespace perdure::http
