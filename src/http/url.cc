#include "http/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "http/ascii.h"

namespace perdure::http {
namespace {

namespace urls = boost::urls;

constexpr std::size_t kMaxUrl = 16 << 10;
constexpr std::size_t kMaxHostName = 253;

std::unexpected<Error> refuse(std::string_view problem) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("The URL is refused: {}.", problem));
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.';
}

/// True if the last label is a number: resolvers take such names for IPv4 addresses in their old
/// spellings. No public name ends so.
bool ends_in_a_number(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string_view label = name.substr(name.rfind('.') + 1);
  if (label.starts_with("0x"))
    return label.find_first_not_of("0123456789abcdef", 2) == std::string_view::npos;
  return std::all_of(label.begin(), label.end(), is_digit);
}

Result<std::string> read_name(std::string encoded) {
  std::transform(encoded.begin(), encoded.end(), encoded.begin(), to_lower);
  if (encoded.empty() || encoded.size() > kMaxHostName) return refuse("it has no usable host");
  // Boost.URL has checked escapes, but no host name needs one.
  if (!std::all_of(encoded.begin(), encoded.end(), is_name_char))
    return refuse("its host has a character that no host name has");
  if (encoded.starts_with('.') || encoded.contains("..") || ends_in_a_number(encoded))
    return refuse("its host is neither a name nor an IP address");
  return encoded;
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  if (text.size() > kMaxUrl) return refuse("it is too long");
  auto parsed = urls::parse_uri({text.data(), text.size()});
  if (!parsed) return refuse("it is not an absolute URL");
  const urls::url_view& view = *parsed;

  Url url;
  if (view.scheme_id() != urls::scheme::http && view.scheme_id() != urls::scheme::https)
    return refuse("only http and https are offered");
  url.tls = view.scheme_id() == urls::scheme::https;
  if (!view.has_authority()) return refuse("it has no host");
  if (view.has_userinfo()) return refuse("it has a user name or password; use a header instead");

  switch (view.host_type()) {
    case urls::host_type::ipv4:
      url.host = view.host_ipv4_address().to_string();
      url.is_address = true;
      break;
    case urls::host_type::ipv6:
      url.host = view.host_ipv6_address().to_string();
      url.is_address = true;
      break;
    case urls::host_type::name: {
      TRY(name, read_name(std::string(view.encoded_host())));
      url.host = std::move(name);
      break;
    }
    default:
      return refuse("its host is neither a name nor an IP address");
  }

  std::uint16_t default_port = url.tls ? 443 : 80;
  url.port = default_port;
  if (view.has_port() && !view.port().empty()) {
    url.port = view.port_number();  // 0 for what does not fit
    if (url.port == 0) return refuse("its port is not between 1 and 65535");
  }
  bool brackets = view.host_type() == urls::host_type::ipv6;
  url.authority = brackets ? '[' + url.host + ']' : url.host;
  if (url.port != default_port) url.authority += fmt::format(":{}", url.port);

  url.target = std::string(view.encoded_target());
  // Boost.URL 1.81 ends a host or port where it stops understanding it ("1.2.3.4.evil.example" is
  // 1.2.3.4 and a path to it); a path behind a host begins with a slash.
  if (!url.target.empty() && url.target.front() != '/' && url.target.front() != '?')
    return refuse("its host or port is malformed");
  if (!url.target.starts_with('/')) url.target.insert(0, 1, '/');
  return url;
}

}  // namespace perdure::http
