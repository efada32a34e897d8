// Which database: the operator's URL, checked, and how it is spoken of.
//
// A URL may hold a password, and libpq quotes what it does not understand. Nothing here or above
// repeats any part of a URL: messages name the server, the database and the role only.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace perdure::journal::postgres {

class Target {
 public:
  /// kInvalidArgument for what is not a PostgreSQL URL, in a sentence without any of it.
  static Result<Target> parse(const std::string& url);

  /// What libpq is given: the URL's words and ours, each word with its value.
  const std::vector<std::pair<std::string, std::string>>& words() const { return words_; }
  /// `message` without the password, should the server or libpq repeat it.
  std::string without_password(std::string message) const;

 private:
  std::vector<std::pair<std::string, std::string>> words_;
  std::string password_;
};

}  // namespace perdure::journal::postgres
