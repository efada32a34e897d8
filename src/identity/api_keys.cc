#include "identity/api_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "identity/limits.h"

namespace perdure::identity {
namespace {

constexpr std::string_view kKeyPrefix = "pdk_";
constexpr std::string_view kIdPrefix = "key_";
constexpr std::size_t kIdLength = 16;
constexpr std::size_t kSecretLength = 32;  // of 5 bits each
constexpr std::string_view kKeyKind = "api_key";
constexpr std::string_view kProjectKind = "project";

ProjectId system_project() {
  return {"$system"};
}

/// What a row of kind "api_key" holds.
struct StoredKey {
  KeyInfo info;
  std::string hash;  ///< hexadecimal
};

std::string to_body(const StoredKey& stored) {
  json::object body{{"v", 1},
                    {"project", stored.info.project},
                    {"name", stored.info.name},
                    {"last4", stored.info.last4},
                    {"hash", stored.hash}};
  if (stored.info.revoked) body["revoked"] = *stored.info.revoked;
  return serialize(body);
}

Result<StoredKey> from_row(const journal::Row& row) {
  TRY(body, parse_json(row.body));
  if (!body.is_object())
    return fail(ErrorCode::kInternal, fmt::format("the stored key '{}' is damaged", row.id));
  const json::object& object = body.get_object();
  StoredKey stored;
  stored.info.id = row.id;
  stored.info.project = get_string(object, "project");
  stored.info.name = get_string(object, "name");
  stored.info.last4 = get_string(object, "last4");
  stored.info.created = row.created;
  if (find(object, "revoked")) stored.info.revoked = get_int(object, "revoked");
  stored.hash = get_string(object, "hash");
  return stored;
}

std::unexpected<Error> not_a_valid_key() {
  return fail(ErrorCode::kUnauthenticated, "The API key is not valid, or it was revoked.");
}

/// The id inside a key's text; nullopt for text of any other shape.
std::optional<std::string> id_of(std::string_view key) {
  if (key.size() != kKeyPrefix.size() + kIdLength + 1 + kSecretLength ||
      !key.starts_with(kKeyPrefix) || key[kKeyPrefix.size() + kIdLength] != '_')
    return std::nullopt;
  return fmt::format("{}{}", kIdPrefix, key.substr(kKeyPrefix.size(), kIdLength));
}

Result<std::size_t> checked_limit(std::size_t limit) {
  if (limit < 1 || limit > kMaxListed)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("limit must be between 1 and {}.", kMaxListed), "limit");
  return limit;
}

std::string bad_project_name(std::string_view name) {
  return fmt::format(
      "'{}' is not a project's name: use 1 to {} lower-case letters, digits and hyphens, "
      "not beginning with a hyphen.",
      name.substr(0, kMaxProjectName), kMaxProjectName);
}

}  // namespace

bool is_project_name(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= kMaxProjectName && plain(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return plain(c) || c == '-'; });
}

Task<Result<void>> ApiKeys::open() {
  // Looked up first: a start on a full disk has nothing to write.
  CO_TRY(exists, co_await project_exists(std::string(kDefaultProject)));
  if (exists) co_return Result<void>();
  auto made = co_await create_project(std::string(kDefaultProject));
  if (!made && made.error().code != ErrorCode::kConflict)
    co_return std::unexpected(std::move(made).error());
  co_return Result<void>();
}

Task<Result<CreatedKey>> ApiKeys::create(std::string project, std::string name) {
  if (name.size() > kMaxKeyName || !is_valid_utf8(name))
    co_return fail(ErrorCode::kInvalidArgument,
                   fmt::format("A key's name is text of at most {} bytes.", kMaxKeyName), "name");
  CreatedKey created;
  auto made = co_await create_project(project);
  if (!made && made.error().code != ErrorCode::kConflict)
    co_return std::unexpected(std::move(made).error());
  created.project_created = made.has_value();

  const std::string id = env_.random_token(kIdLength);
  const std::string secret = env_.random_token(kSecretLength);
  created.key = fmt::format("{}{}_{}", kKeyPrefix, id, secret);
  created.info = {.id = fmt::format("{}{}", kIdPrefix, id),
                  .project = project,
                  .name = std::move(name),
                  .last4 = secret.substr(secret.size() - 4),
                  .created = env_.now(),
                  .revoked = {}};
  journal::Row row{.project = system_project(),
                   .kind = std::string(kKeyKind),
                   .id = created.info.id,
                   .parent = project,
                   .created = created.info.created,
                   .body = to_body({created.info, to_hex(as_view(sha256(created.key)))})};
  CO_TRY(version, co_await store_.put_row(std::move(row), 0));
  (void)version;
  co_return created;
}

Task<Result<ListOf<KeyInfo>>> ApiKeys::list(std::optional<std::string> project,
                                            std::optional<std::string> after, std::size_t limit) {
  CO_TRY(page, checked_limit(limit));
  journal::RowQuery query{.project = system_project(),
                          .kind = std::string(kKeyKind),
                          .parent = std::move(project),
                          .after = std::move(after),
                          .limit = page + 1,
                          .ascending = true};
  CO_TRY(rows, co_await store_.list_rows(std::move(query)));
  ListOf<KeyInfo> keys{.has_more = rows.size() > page};
  if (keys.has_more) rows.resize(page);
  for (const journal::Row& row : rows) {
    CO_TRY(stored, from_row(row));
    keys.data.push_back(std::move(stored.info));
  }
  co_return keys;
}

Task<Result<KeyInfo>> ApiKeys::revoke(std::string id) {
  auto row = co_await store_.get_row(system_project(), std::string(kKeyKind), id);
  if (!row && row.error().code == ErrorCode::kNotFound)
    co_return fail(ErrorCode::kNotFound, fmt::format("There is no key '{}'.", id.substr(0, 64)));
  if (!row) co_return std::unexpected(std::move(row).error());
  CO_TRY(stored, from_row(*row));
  if (!stored.info.revoked) {
    stored.info.revoked = env_.now();
    const std::uint64_t version = row->version;
    row->body = to_body(stored);
    CO_TRY(written, co_await store_.put_row(std::move(*row), version));
    (void)written;
  }
  ++revocations_;
  cache_.erase(id);
  co_return std::move(stored.info);
}

Task<Result<KeyInfo>> ApiKeys::find(std::string id) {
  CO_TRY(row, co_await store_.get_row(system_project(), std::string(kKeyKind), std::move(id)));
  CO_TRY(stored, from_row(row));
  co_return std::move(stored.info);
}

void ApiKeys::forget_verified() {
  ++revocations_;
  cache_.clear();
}

Task<Result<Caller>> ApiKeys::verify(std::string key) {
  const std::optional<std::string> id = id_of(key);
  if (!id) co_return not_a_valid_key();
  const Digest hash = sha256(key);
  if (const Caller* caller = find_cached(*id, hash)) co_return *caller;

  const std::uint64_t revocations = revocations_;
  auto row = co_await store_.get_row(system_project(), std::string(kKeyKind), *id);
  if (!row && row.error().code == ErrorCode::kNotFound) co_return not_a_valid_key();
  if (!row) co_return std::unexpected(std::move(row).error());
  CO_TRY(stored, from_row(*row));
  if (stored.info.revoked || !equal_in_constant_time(stored.hash, to_hex(as_view(hash))))
    co_return not_a_valid_key();
  Caller caller{.project = {stored.info.project}, .principal = *id, .operator_access = false};
  if (revocations == revocations_) remember(*id, {hash, caller, env_.now()});
  co_return caller;
}

Task<Result<ProjectInfo>> ApiKeys::create_project(std::string name) {
  if (!is_project_name(name))
    co_return fail(ErrorCode::kInvalidArgument, bad_project_name(name), "project");
  ProjectInfo project{.name = name, .created = env_.now()};
  journal::Row row{.project = system_project(),
                   .kind = std::string(kProjectKind),
                   .id = name,
                   .created = project.created,
                   .body = serialize(json::object{{"v", 1}})};
  auto version = co_await store_.put_row(std::move(row), 0);
  if (!version && version.error().code == ErrorCode::kConflict)
    co_return fail(ErrorCode::kConflict, fmt::format("The project '{}' exists.", name), "name");
  if (!version) co_return std::unexpected(std::move(version).error());
  co_return project;
}

Task<Result<bool>> ApiKeys::project_exists(std::string name) {
  auto row = co_await store_.get_row(system_project(), std::string(kProjectKind), std::move(name));
  if (!row && row.error().code != ErrorCode::kNotFound)
    co_return std::unexpected(std::move(row).error());
  co_return row.has_value();
}

Task<Result<ListOf<ProjectInfo>>> ApiKeys::projects(std::optional<std::string> after,
                                                    std::size_t limit) {
  CO_TRY(page, checked_limit(limit));
  journal::RowQuery query{.project = system_project(),
                          .kind = std::string(kProjectKind),
                          .parent = {},
                          .after = std::move(after),
                          .limit = page + 1,
                          .ascending = true};
  CO_TRY(rows, co_await store_.list_rows(std::move(query)));
  ListOf<ProjectInfo> found{.has_more = rows.size() > page};
  if (found.has_more) rows.resize(page);
  for (journal::Row& row : rows) found.data.push_back({std::move(row.id), row.created});
  co_return found;
}

const Caller* ApiKeys::find_cached(const std::string& id, const Digest& hash) const {
  const auto cached = cache_.find(id);
  if (cached == cache_.end() ||
      !equal_in_constant_time(as_view(cached->second.hash), as_view(hash)))
    return nullptr;
  const std::int64_t age = env_.now() - cached->second.checked;
  return age >= 0 && age < kCachedKeyMs ? &cached->second.caller : nullptr;
}

void ApiKeys::remember(std::string id, Cached cached) {
  // Everything in here is a moment old at most, so starting afresh costs one read per key in use.
  if (cache_.size() >= kMaxCachedKeys) cache_.clear();
  cache_.insert_or_assign(std::move(id), std::move(cached));
}

}  // namespace perdure::identity
