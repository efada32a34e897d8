#include "journal/postgres/target.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "journal/postgres/limits.h"

namespace perdure::journal::postgres {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

/// A "/" or "@" in a password that is not written as %2F or %40 moves what follows it into other
/// parts: then the port is no number or the database's name has an "@".
bool parts_have_slipped(std::string_view word, std::string_view value) {
  if (word == "port") return value.find_first_not_of("0123456789,") != std::string_view::npos;
  return (word == "dbname" || word == "host") && value.find('@') != std::string_view::npos;
}

}  // namespace

Result<Target> Target::parse(const std::string& url) {
  auto wrong = [](std::string_view why) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("the store's URL {}; it looks like "
                            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and characters like "
                            "@ : / ? # of a password are written as %40 %3A %2F %3F %23",
                            why));
  };
  if (!url.starts_with("postgresql://") && !url.starts_with("postgres://"))
    return wrong("does not begin with postgresql://");
  char* reason = nullptr;
  std::unique_ptr<PQconninfoOption, FreeOptions> options(PQconninfoParse(url.c_str(), &reason));
  PQfreemem(reason);  // it may quote the URL
  if (!options) return wrong("cannot be understood");

  Target target;
  auto is_given = [&](std::string_view word) {
    return std::ranges::any_of(target.words_,
                               [&](const auto& known) { return known.first == word; });
  };
  for (const PQconninfoOption* option = options.get(); option->keyword; ++option) {
    if (!option->val) continue;
    if (parts_have_slipped(option->keyword, option->val))
      return wrong("has a host, port or database that cannot be meant");
    target.words_.emplace_back(option->keyword, option->val);
    if (std::string_view(option->keyword) == "password") target.password_ = option->val;
  }
  // So that a network that swallows packets is noticed while somebody still waits.
  const std::pair<std::string, std::string> defaults[] = {
      {"connect_timeout", std::to_string(kConnectSeconds)},
      {"application_name", "perdure"},
      {"keepalives_idle", "10"},
      {"keepalives_interval", "5"},
      {"keepalives_count", "3"},
      {"tcp_user_timeout", "15000"}};
  for (const auto& word : defaults)
    if (!is_given(word.first)) target.words_.push_back(word);
  std::erase_if(target.words_, [](const auto& word) { return word.first == "client_encoding"; });
  target.words_.emplace_back("client_encoding", "UTF8");
  return target;
}

std::string Target::without_password(std::string message) const {
  if (password_.empty()) return message;
  for (std::size_t at = 0; (at = message.find(password_, at)) != std::string::npos; at += 3)
    message.replace(at, password_.size(), "***");
  return message;
}

}  // namespace perdure::journal::postgres
