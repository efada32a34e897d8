#include "http/request_parser.h"

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <charconv>
#include <functional>

#include "http/ascii.h"
#include "http/limits.h"
#include "http/percent.h"

namespace perdure::http {
namespace {

namespace beast = boost::beast;

constexpr std::string_view kMethods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                         "PATCH", "DELETE", "OPTIONS"};

std::string_view as_std(beast::string_view text) {
  return {text.data(), text.size()};
}

bool is_visible_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

/// host[:port] as it may stand in a Host field; which names are ours is the door's rule.
bool is_authority(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return is_token_char(c) || c == ':' || c == '[' || c == ']' || c == '(' || c == ')' ||
           c == ';' || c == '=';
  });
}

/// True for "… HTTP/d.d" with a version we could read and do not speak.
bool names_another_version(std::string_view line) {
  if (line.size() < 9) return false;
  std::string_view tail = line.substr(line.size() - 9);
  auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return tail.starts_with(" HTTP/") && is_digit(tail[6]) && tail[7] == '.' && is_digit(tail[8]) &&
         tail != " HTTP/1.0" && tail != " HTTP/1.1";
}

}  // namespace

RequestParser::RequestParser() {
  skip(true);  // the body is read by the connection: straight into its string, or by ChunkDecoder
  header_limit(kMaxHeaderBytes + 1);  // ours strikes first
}

RequestParser::State RequestParser::parse(std::string_view input, std::size_t& consumed) {
  consumed = 0;
  while (!started_) {
    if (input.size() - consumed == 0 || input.substr(consumed) == "\r") return State::kMore;
    if (!input.substr(consumed).starts_with("\r\n")) break;
    consumed += 2;
    if (++empty_lines_ > kMaxLeadingEmptyLines) {
      refuse(400, ErrorCode::kInvalidArgument, "Too many empty lines before the request.");
      return State::kRefused;
    }
  }
  started_ = true;

  input_ = input.substr(consumed);
  ErrorCodeOut ec;
  std::size_t taken = put(boost::asio::buffer(input_.data(), input_.size()), ec);
  consumed += taken;
  head_bytes_ += taken;
  std::string_view rest = input_.substr(taken);
  if (refusal_) return State::kRefused;
  if (ec && ec != beast::http::error::need_more) {
    refuse_for(ec, rest);
    return State::kRefused;
  }
  if (is_done()) {
    if (head_bytes_ <= kMaxHeaderBytes) return State::kDone;
    refuse(431, ErrorCode::kTooLarge, "The header is larger than this server accepts.");
    return State::kRefused;
  }
  if (has_bare_line_end(rest, taken))
    refuse(400, ErrorCode::kInvalidArgument, "A header line does not end with CR LF.");
  else if (!line_done_ && rest.size() > kMaxRequestLine + 1 &&
           rest.substr(0, kMaxRequestLine + 2).find('\n') == std::string_view::npos)
    refuse(414, ErrorCode::kTooLarge, "The request line is longer than this server accepts.");
  else if (head_bytes_ + rest.size() > kMaxHeaderBytes)
    refuse(431, ErrorCode::kTooLarge, "The header is larger than this server accepts.");
  return refusal_ ? State::kRefused : State::kMore;
}

bool RequestParser::has_bare_line_end(std::string_view rest, std::size_t taken) {
  // Beast looks again only when an empty line has come, and after a bare LF none may ever come.
  std::size_t at = checked_ > taken ? checked_ - taken : 0;
  checked_ = rest.size();
  while ((at = rest.find('\n', at)) != std::string_view::npos) {
    if (at == 0 || rest[at - 1] != '\r') return true;
    ++at;
  }
  return false;
}

void RequestParser::refuse(int status, ErrorCode code, std::string message) {
  if (!refusal_) refusal_ = Refusal{status, Error{code, std::move(message), {}, {}}};
}

void RequestParser::refuse_for(const ErrorCodeOut& ec, std::string_view input) {
  using beast::http::error;
  if (ec == error::header_limit)
    return refuse(431, ErrorCode::kTooLarge, "The header is larger than this server accepts.");
  if (ec == error::bad_version && names_another_version(input.substr(0, input.find("\r\n"))))
    return refuse(505, ErrorCode::kUnimplemented, "This server speaks HTTP/1.1 and HTTP/1.0.");
  refuse(400, ErrorCode::kInvalidArgument, "The request is not valid HTTP: " + ec.message() + ".");
}

void RequestParser::on_request_impl(beast::http::verb, View method, View target, int version,
                                    ErrorCodeOut& ec) {
  line_done_ = true;
  framing_.http_1_0 = version == 10;
  request_.method = as_std(method);
  constexpr std::size_t kAround = std::string_view("  HTTP/1.1").size();
  if (method.size() + target.size() + kAround > kMaxRequestLine)
    refuse(414, ErrorCode::kTooLarge, "The request line is longer than this server accepts.");
  else if (std::ranges::find(kMethods, as_std(method)) == std::end(kMethods))
    refuse(501, ErrorCode::kUnimplemented, "This server does not know the method.");
  else
    read_target(as_std(target));
  if (refusal_) ec = beast::http::error::bad_target;
}

void RequestParser::read_target(std::string_view target) {
  auto refuse_target = [this](const char* why) { refuse(400, ErrorCode::kInvalidArgument, why); };
  if (!is_visible_ascii(target) || target.find('#') != std::string_view::npos)
    return refuse_target("The request target has characters that must be percent-encoded.");
  if (!target.starts_with('/')) {
    std::size_t scheme_end = target.find("://");
    std::string_view scheme = target.substr(0, scheme_end);
    if (scheme_end == std::string_view::npos ||
        !(equal_ignoring_case(scheme, "http") || equal_ignoring_case(scheme, "https")))
      return refuse_target("The request target must be a path or an http URL.");
    target.remove_prefix(scheme_end + 3);
    authority_ = target.substr(0, target.find_first_of("/?"));
    if (authority_.empty() || !is_authority(authority_))
      return refuse_target("The request target names no valid host.");
    target.remove_prefix(authority_.size());
  }
  request_.target = target.starts_with('/') ? std::string(target) : '/' + std::string(target);
  std::string_view in_origin_form = request_.target;
  std::size_t question = in_origin_form.find('?');
  request_.path = in_origin_form.substr(0, question);
  if (question == std::string_view::npos) return;
  Result<Query> query = parse_query(in_origin_form.substr(question + 1));
  if (!query) return refuse_target(query.error().message.c_str());
  request_.query = std::move(*query);
}

bool RequestParser::is_folded(std::string_view name, std::string_view value) const {
  // Beast joins folded lines in a buffer of its own; a fold before the first word shows as a line
  // end between the colon and the value.
  std::less<const char*> before;
  const char* end = input_.data() + input_.size();
  if (before(value.data(), input_.data()) || before(end, value.data())) return true;
  std::string_view between(name.data() + name.size(),
                           static_cast<std::size_t>(value.data() - name.data()) - name.size());
  return between.find('\r') != std::string_view::npos;
}

void RequestParser::on_field_impl(beast::http::field field, View raw_name, View raw_value,
                                  ErrorCodeOut& ec) {
  using beast::http::field;
  std::string_view name = as_std(raw_name);
  std::string_view value = as_std(raw_value);
  if (is_folded(name, value))
    refuse(400, ErrorCode::kInvalidArgument, "Folded header lines are not accepted.");
  else if (request_.headers.all().size() >= kMaxHeaderFields)
    refuse(431, ErrorCode::kTooLarge,
           "The request has more header fields than this server accepts.");
  else if (field == field::host)
    read_host(value);
  else if (field == field::content_length)
    read_content_length(value);
  else if (field == field::transfer_encoding)
    read_transfer_encoding(value);
  else if (field == field::expect && !equal_ignoring_case(value, "100-continue"))
    refuse(417, ErrorCode::kUnimplemented,
           "The only expectation this server meets is 100-continue.");
  if (refusal_) {
    ec = beast::http::error::bad_value;
    return;
  }
  if (field == field::expect) framing_.expect_continue = !framing_.http_1_0;
  request_.headers.add(std::string(name), std::string(value));
}

void RequestParser::read_host(std::string_view value) {
  if (request_.headers.get("host"))
    refuse(400, ErrorCode::kInvalidArgument, "The request has more than one Host field.");
  else if (!is_authority(value))
    refuse(400, ErrorCode::kInvalidArgument,
           "The Host field is not a host name with an optional port.");
}

void RequestParser::read_content_length(std::string_view value) {
  auto [end, failure] =
      std::from_chars(value.data(), value.data() + value.size(), framing_.content_length);
  if (has_content_length_)
    refuse(400, ErrorCode::kInvalidArgument, "The request has more than one Content-Length.");
  else if (value.empty() || failure != std::errc() || end != value.data() + value.size())
    refuse(400, ErrorCode::kInvalidArgument, "The Content-Length is not a decimal number.");
  has_content_length_ = true;
}

void RequestParser::read_transfer_encoding(std::string_view value) {
  if (framing_.chunked || framing_.http_1_0)
    refuse(400, ErrorCode::kInvalidArgument, "The Transfer-Encoding is not valid here.");
  else if (!equal_ignoring_case(value, "chunked"))
    refuse(501, ErrorCode::kUnimplemented,
           "The only transfer coding this server knows is chunked.");
  framing_.chunked = true;
}

void RequestParser::on_header_impl(ErrorCodeOut& ec) {
  const Headers& headers = request_.headers;
  if (framing_.chunked && has_content_length_)
    refuse(400, ErrorCode::kInvalidArgument,
           "The request has both a Content-Length and a Transfer-Encoding.");
  else if (!framing_.http_1_0 && !headers.get("host"))
    refuse(400, ErrorCode::kInvalidArgument, "The request has no Host field.");
  if (refusal_) {
    ec = beast::http::error::bad_value;
    return;
  }
  bool close = false;
  bool keep = false;
  for (const auto& [name, value] : headers.all()) {
    if (!equal_ignoring_case(name, "connection")) continue;
    close = close || list_has(value, "close");
    keep = keep || list_has(value, "keep-alive");
  }
  framing_.keep_alive = !close && (keep || !framing_.http_1_0);
  // RFC 9112 §3.2.2: the authority of an absolute target replaces the Host field.
  if (!authority_.empty()) request_.headers.set("Host", authority_);
}

}  // namespace perdure::http
