#include "main/runtime_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/json.h"
#include "main/files.h"

namespace perdure::app {
namespace {

constexpr std::size_t kMaxRuntimeFile = 4096;

std::string path_in(const std::string& data_dir) {
  return data_dir + "/server.json";
}

}  // namespace

Result<void> write_runtime_file(const std::string& data_dir, const RuntimeInfo& info) {
  const json::object body{{"pid", info.pid}, {"url", info.url}, {"token", info.token}};
  TRY(written, write_private_file(path_in(data_dir), serialize(body) + "\n", IfPresent::kReplace));
  (void)written;
  return {};
}

Result<std::optional<RuntimeInfo>> read_runtime_file(const std::string& data_dir) {
  TRY(text, read_small_file(path_in(data_dir), kMaxRuntimeFile));
  if (!text) return std::nullopt;
  const auto body = parse_json(*text);
  if (!body || !body->is_object())
    return fail(ErrorCode::kInternal, fmt::format("{} is damaged; remove it and start the server "
                                                  "again.",
                                                  path_in(data_dir)));
  const json::object& object = body->get_object();
  return RuntimeInfo{.pid = get_int(object, "pid"),
                     .url = std::string(get_string(object, "url")),
                     .token = std::string(get_string(object, "token"))};
}

void remove_runtime_file(const std::string& data_dir) {
  const auto info = read_runtime_file(data_dir);
  if (info && *info && (*info)->pid == ::getpid()) ::unlink(path_in(data_dir).c_str());
}

}  // namespace perdure::app
