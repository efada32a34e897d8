#include "main/node_requests.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <vector>

namespace perdure::app {
namespace {

/// Senders that are remembered: nodes come and go with every start.
constexpr std::size_t kMaxSenders = 1024;

std::unexpected<Error> not_a_node() {
  return fail(ErrorCode::kUnauthenticated,
              "The request does not come from a node of this cluster.");
}

/// "from.to.number.operator.project.principal": what is signed with the request. Names of projects
/// and principals have no dots but the last one may.
std::string statement_of(std::uint64_t from, std::uint64_t to, std::uint64_t number,
                         const identity::Caller& caller) {
  return fmt::format("{}.{}.{}.{}.{}.{}", from, to, number, caller.operator_access ? 1 : 0,
                     caller.project.value, caller.principal);
}

std::string signature_of(const Digest& key, const http::Request& request,
                         std::string_view statement) {
  const std::string text = fmt::format("{}\n{}\n{}\n{}", request.method, request.target, statement,
                                       to_hex(as_view(sha256(request.body))));
  return to_hex(as_view(hmac_sha256(as_view(key), text)));
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

NodeRequests::NodeRequests(const Digest& master_key)
    : key_(hmac_sha256(as_view(master_key), "perdure requests between nodes")) {}

std::string NodeRequests::sign(const http::Request& request, const identity::Caller& caller,
                               std::uint64_t from, std::uint64_t to) {
  const std::string statement = statement_of(from, to, ++sent_, caller);
  return fmt::format("{} {}", signature_of(key_, request, statement), statement);
}

Result<identity::Caller> NodeRequests::verify(const http::Request& request, std::uint64_t self) {
  const auto field = request.headers.get(kNodeHeader);
  if (!field || request.headers.count(kNodeHeader) != 1) return not_a_node();
  const std::size_t space = field->find(' ');
  if (space == std::string_view::npos) return not_a_node();
  const std::string statement(field->substr(space + 1));
  if (!equal_in_constant_time(field->substr(0, space), signature_of(key_, request, statement)))
    return not_a_node();

  std::vector<std::string_view> parts;
  std::string_view rest = statement;
  while (parts.size() < 5) {
    const std::size_t dot = rest.find('.');
    if (dot == std::string_view::npos) return not_a_node();
    parts.push_back(rest.substr(0, dot));
    rest.remove_prefix(dot + 1);
  }
  const auto from = number_of(parts[0]), to = number_of(parts[1]), number = number_of(parts[2]);
  // Meant for the one that had our address before: its sender looks again.
  if (!from || !number || to != self) return not_a_node();
  if (!is_new(*from, *number)) return not_a_node();
  return identity::Caller{.project = {std::string(parts[4])},
                          .principal = std::string(rest),
                          .operator_access = parts[3] == "1"};
}

bool NodeRequests::is_new(std::uint64_t from, std::uint64_t number) {
  if (!seen_.contains(from) && seen_.size() >= kMaxSenders) seen_.erase(seen_.begin());
  Seen& seen = seen_[from];
  const std::uint64_t window = seen.last.size();
  if (number > seen.newest) {
    const std::uint64_t passed = number - seen.newest;
    for (std::uint64_t i = 1; i <= std::min(passed, window); ++i)
      seen.last.reset((seen.newest + i) % window);
    seen.newest = number;
  } else if (seen.newest - number >= window || seen.last.test(number % window)) {
    return false;
  }
  seen.last.set(number % window);
  return true;
}

}  // namespace perdure::app
