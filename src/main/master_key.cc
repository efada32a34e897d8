#include "main/master_key.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <string_view>

#include "main/files.h"

namespace perdure::app {
namespace {

constexpr std::size_t kMaxKeyFile = 4096;

/// Whatever text the operator chose becomes 32 even bytes.
Result<Digest> key_of(std::string_view text, std::string_view where) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  if (text.size() < kMinMasterKey)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("The master key in {} is too short: it needs {} characters or more, "
                            "such as the output of 'openssl rand -base64 32'.",
                            where, kMinMasterKey));
  return hmac_sha256("perdure master key", text);
}

}  // namespace

Result<MasterKey> load_master_key(const std::optional<std::string>& variable,
                                  const std::string& file, Env& env) {
  if (variable && !variable->empty()) {
    TRY(key, key_of(*variable, "PERDURE_MASTER_KEY"));
    return MasterKey{key, false};
  }
  if (file.empty())
    return fail(ErrorCode::kInvalidArgument,
                "There is no place for the master key: set PERDURE_MASTER_KEY, or HOME, or "
                "master_key_file in [secrets] of perdure.toml.");
  MasterKey result;
  TRY(present, read_small_file(file, kMaxKeyFile));
  if (!present) {
    std::array<std::uint8_t, 32> random;
    env.random_bytes(random);
    const std::string text =
        to_base64({reinterpret_cast<const char*>(random.data()), random.size()});
    if (const auto directory = std::filesystem::path(file).parent_path(); !directory.empty())
      TRY_VOID(make_private_directory(directory.string()));
    // Another server may make it at the same moment; then its key is the key.
    TRY(written, write_private_file(file, text + "\n", IfPresent::kKeep));
    result.created = written;
    TRY(made, read_small_file(file, kMaxKeyFile));
    present = std::move(made);
  }
  if (is_open_to_others(file))
    return fail(ErrorCode::kPermissionDenied,
                fmt::format("Others may read the master key in {0}. Run 'chmod 600 {0}', and "
                            "think about who has seen it.",
                            file));
  TRY(key, key_of(present.value_or(""), file));
  result.key = key;
  return result;
}

}  // namespace perdure::app
