// An engine for the tests of doors that ask it for one thing: everything else is not there.
#pragma once

#include <stdexcept>

#include "engine/engine.h"
#include "models/pool.h"

namespace perdure::facades::admin {

class AbsentEngine : public engine::Engine {
 public:
  template <class T = void>
  using Task = async::Task<T>;
  template <class T>
  using Listed = engine::Listed<T>;
  using View = std::shared_ptr<const engine::SessionView>;

  static std::unexpected<Error> not_here() { return fail(ErrorCode::kUnimplemented, ""); }

  Task<Result<engine::Stopped>> stop(policy::StopOrder) override { co_return not_here(); }
  Result<models::Capabilities> capabilities(std::string_view) const override { return not_here(); }
  Result<void> admit_tool_server(std::string_view) const override { return not_here(); }
  Result<void> priced(std::string_view) const override { return {}; }
  Task<Result<Listed<engine::CallContext>>> context(SessionKey, std::string,
                                                    engine::Page) override {
    co_return not_here();
  }
  engine::Accounts& accounts() override { throw std::logic_error("no accounts"); }
  Task<Result<engine::Created>> create_session(engine::CreateSession) override {
    co_return not_here();
  }
  Task<Result<journal::Committed>> submit(SessionKey, std::vector<engine::Input>,
                                          engine::Idempotency) override {
    co_return not_here();
  }
  Task<Result<journal::Committed>> delete_session(SessionKey) override { co_return not_here(); }
  Task<Result<View>> session(SessionKey) override { co_return not_here(); }
  Task<Result<Listed<View>>> sessions(ProjectId, engine::SessionFilter, engine::Page) override {
    co_return not_here();
  }
  Task<Result<Listed<engine::ItemView>>> items(SessionKey, std::optional<std::string>, engine::Page,
                                               bool) override {
    co_return not_here();
  }
  Task<Result<Listed<engine::TurnView>>> turns(SessionKey, engine::Page) override {
    co_return not_here();
  }
  Task<Result<engine::TurnView>> turn(SessionKey, std::string) override { co_return not_here(); }
  Task<Result<std::unique_ptr<engine::Subscription>>> subscribe(SessionKey,
                                                                engine::StreamFrom) override {
    co_return not_here();
  }
  Task<> recover(journal::Shards) override { co_return; }
  Task<> give_up(journal::Shards) override { co_return; }
  journal::Shards busy() const override { return {}; }
  Task<> refresh_budgets() override { co_return; }
  void heed(std::vector<policy::Stop>) override {}
  void check_timers() override {}
  Task<> drain() override { co_return; }
  engine::Counters counters() const override { return {}; }
  std::vector<models::PoolStatus> pools() const override { return {}; }
};

}  // namespace perdure::facades::admin
