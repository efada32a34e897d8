#include "http/response_parser.h"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <charconv>

#include "http/ascii.h"
#include "http/limits.h"

namespace perdure::http {
namespace {

namespace beast = boost::beast;

std::string_view as_std(beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

ResponseParser::ResponseParser(bool head_request) : head_request_(head_request) {
  skip(true);  // the body is framed by the client
  header_limit(kMaxHeaderBytes);
}

Result<bool> ResponseParser::parse(std::string_view input, std::size_t& consumed) {
  ErrorCodeOut ec;
  consumed = put(boost::asio::buffer(input.data(), input.size()), ec);
  head_bytes_ += consumed;
  if (!refusal_ && ec && ec != beast::http::error::need_more) {
    if (ec == beast::http::error::header_limit)
      refuse("its header is too large");
    else
      refuse("it is not valid HTTP: " + ec.message());
  }
  if (!refusal_ && head_bytes_ + (is_done() ? 0 : input.size() - consumed) > kMaxHeaderBytes)
    refuse("its header is too large");
  if (refusal_) return std::unexpected(*refusal_);
  return is_done();
}

void ResponseParser::refuse(std::string_view problem) {
  if (!refusal_)
    refusal_ =
        Error{ErrorCode::kUpstream, fmt::format("The answer is refused: {}.", problem), {}, {}};
}

void ResponseParser::on_response_impl(int status, View, int version, ErrorCodeOut& ec) {
  status_ = status;
  http_1_0_ = version == 10;
  if (status < 100 || status == 101) {  // an upgrade is never asked for
    refuse(fmt::format("its status is {}", status));
    ec = beast::http::error::bad_status;
  }
}

void ResponseParser::on_field_impl(beast::http::field field, View name, View value,
                                   ErrorCodeOut& ec) {
  headers_.add(std::string(as_std(name)), std::string(as_std(value)));
  if (headers_.all().size() > kMaxHeaderFields) refuse("it has too many header fields");
  switch (field) {
    case beast::http::field::content_length:
      read_content_length(as_std(value));
      break;
    case beast::http::field::transfer_encoding:
      if (chunked_ || !equal_ignoring_case(trim(as_std(value)), "chunked"))
        refuse("its transfer coding is not \"chunked\"");
      chunked_ = true;
      break;
    case beast::http::field::connection:
      close_ |= list_has(as_std(value), "close");
      explicit_keep_alive_ |= list_has(as_std(value), "keep-alive");
      break;
    default:
      break;
  }
  if (refusal_) ec = beast::http::error::bad_field;
}

void ResponseParser::read_content_length(std::string_view value) {
  std::uint64_t length = 0;
  auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), length);
  if (ec != std::errc() || end != value.data() + value.size())
    return refuse("its Content-Length is not a number");
  if (content_length_ && *content_length_ != length)
    return refuse("it has two Content-Lengths that differ");
  content_length_ = length;
}

void ResponseParser::on_header_impl(ErrorCodeOut& ec) {
  if (chunked_ && content_length_) refuse("it has both Content-Length and Transfer-Encoding");
  if (chunked_ && http_1_0_) refuse("it is HTTP/1.0 and chunked");
  if (refusal_) ec = beast::http::error::bad_transfer_encoding;
}

BodyEnd ResponseParser::body_end() const {
  if (head_request_ || is_interim() || status_ == 204 || status_ == 304) return BodyEnd::kNone;
  if (chunked_) return BodyEnd::kChunked;
  if (!content_length_) return BodyEnd::kClose;
  return *content_length_ == 0 ? BodyEnd::kNone : BodyEnd::kLength;
}

bool ResponseParser::keep_alive() const {
  if (close_ || body_end() == BodyEnd::kClose) return false;
  return !http_1_0_ || explicit_keep_alive_;
}

}  // namespace perdure::http
