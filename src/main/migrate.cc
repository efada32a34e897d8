#include "main/migrate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <thread>

#include "identity/api_keys.h"
#include "main/master_key.h"

namespace perdure::app {
namespace {

namespace store = journal::migrate;

/// Hears signals on a thread of its own while the caller's is busy.
class Listener {
 public:
  explicit Listener(store::Cancellation& cancellation)
      : cancellation_(cancellation), signals_(loop_, SIGINT, SIGTERM) {
    listen();
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Listener() {
    loop_.stop();
    thread_.join();
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  int signal() const { return signal_; }

 private:
  void listen() {
    signals_.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      if (signal_.exchange(number) != 0) ::_exit(128 + number);
      cancellation_.raise();
      listen();
    });
  }

  store::Cancellation& cancellation_;
  boost::asio::io_context loop_{1};
  boost::asio::signal_set signals_;
  std::atomic<int> signal_ = 0;
  std::thread thread_;
};

Result<store::Place> place_of(const std::string& text, std::string_view flag,
                              const Config& config) {
  if (text == "sqlite") return store::Place{.directory = config.data_dir};
  store::Place place{.url = text, .durability_of_database = config.durability_of_database};
  if (text == "postgresql") {
    if (config.store == "sqlite")
      return fail(
          ErrorCode::kInvalidArgument,
          fmt::format("{} postgresql means the URL of PERDURE_STORE or of [store] url in the "
                      "configuration, and there is none",
                      flag));
    place.url = config.store;
  }
  TRY_VOID(check_store(place.url, flag));
  return place;
}

Result<store::Summary> migrate_until(const MigrateFlags& flags, const Environment& environment,
                                     store::Options options, store::Cancellation& cancellation) {
  TRY(config, load_config(Mode::kServe, flags.server, environment));
  TRY(source, place_of(flags.from, "--from", config));
  TRY(target, place_of(flags.to, "--to", config));
  if (source.directory.empty() == target.directory.empty())
    return fail(
        ErrorCode::kInvalidArgument,
        "'perdure migrate' goes from sqlite to PostgreSQL or back: one of --from and --to is "
        "'sqlite', the other postgresql://…");
  options.keep_source = flags.keep_source;
  // ApiKeys::open and the check of the master key make them at every start.
  options.made_by_opening = {{.kind = "project", .id = std::string(identity::kDefaultProject)},
                             {.kind = std::string(kProofKind), .id = std::string(kProofId)}};
  SystemEnv env;
  TRY(from, store::open_source(source, cancellation, env));
  TRY(to, store::open_target(target, cancellation, env));
  return store::move(*from, *to, options, cancellation, env);
}

}  // namespace

MigrateEnd migrate(const MigrateFlags& flags, const Environment& environment,
                   std::function<void(const store::Progress&)> progress) {
  store::Cancellation cancellation;
  Listener listener(cancellation);
  auto summary = migrate_until(flags, environment, {.progress = std::move(progress)}, cancellation);
  return {.summary = std::move(summary), .signal = listener.signal()};
}

}  // namespace perdure::app
