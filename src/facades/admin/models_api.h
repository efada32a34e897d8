// GET /v1/models: which names a client may ask for, in OpenAI's list shape.
//
// The configured models, or those found at start, and the name `default`. Other names are not
// refused elsewhere: they go to the default provider as they are. Owned by the composition
// root, outlives the server; the list never changes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/error.h"
#include "http/message.h"
#include "http/router.h"

namespace perdure::facades::admin {

struct ListedModel {
  std::string id;
  std::string provider;
};

class ModelsApi {
 public:
  /// `error` makes an error's answer in OpenAI's shape; `started` is given as every model's age.
  ModelsApi(std::vector<ListedModel> models, UnixMillis started,
            std::function<http::Response(const Error&)> error);

  /// Under both prefixes, /v1 and /openai/v1.
  void add_routes(http::Router& router);

 private:
  async::Task<http::Response> list(http::Request request);
  async::Task<http::Response> retrieve(http::Request request);
  void append(std::string& out, const ListedModel& model) const;

  std::vector<ListedModel> models_;
  UnixMillis started_;
  std::function<http::Response(const Error&)> error_;
};

}  // namespace perdure::facades::admin
