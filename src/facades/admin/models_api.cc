#include "facades/admin/models_api.h"

#include <fmt/format.h>

#include <algorithm>

#include "facades/admin/limits.h"
#include "facades/common/json_writer.h"

namespace perdure::facades::admin {

using async::Task;

ModelsApi::ModelsApi(std::vector<ListedModel> models, UnixMillis started,
                     std::function<http::Response(const Error&)> error)
    : models_(std::move(models)), started_(started), error_(std::move(error)) {}

void ModelsApi::add_routes(http::Router& router) {
  for (std::string_view prefix : {"/v1", "/openai/v1"}) {
    router.add({.method = "GET",
                .path = fmt::format("{}/models", prefix),
                .summary = "List the models that clients may ask for",
                .tag = "models",
                .max_body = kMaxBody,
                .handler = std::bind_front(&ModelsApi::list, this)});
    router.add({.method = "GET",
                .path = fmt::format("{}/models/{{model}}", prefix),
                .summary = "Read a model",
                .tag = "models",
                .max_body = kMaxBody,
                .handler = std::bind_front(&ModelsApi::retrieve, this)});
  }
}

Task<http::Response> ModelsApi::list(http::Request) {
  std::string body;
  ObjectWriter writer(body);
  writer.text("object", "list");
  append_array(writer.begin("data"), models_,
               [this](std::string& out, const ListedModel& model) { append(out, model); });
  writer.end();
  co_return http::json_response(200, std::move(body));
}

Task<http::Response> ModelsApi::retrieve(http::Request request) {
  const std::string& id = request.parameters.at(0);
  const auto model = std::find_if(models_.begin(), models_.end(),
                                  [&](const ListedModel& known) { return known.id == id; });
  if (model == models_.end())
    co_return error_({ErrorCode::kNotFound, fmt::format("The model '{}' does not exist.", id),
                      "model", "model_not_found"});
  std::string body;
  append(body, *model);
  co_return http::json_response(200, std::move(body));
}

void ModelsApi::append(std::string& out, const ListedModel& model) const {
  ObjectWriter(out)
      .text("id", model.id)
      .text("object", "model")
      .number("created", started_ / 1000)
      .text("owned_by", model.provider)
      .end();
}

}  // namespace perdure::facades::admin
