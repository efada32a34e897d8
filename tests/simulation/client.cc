#include "client.h"

#include <algorithm>

#include "base/json.h"

namespace perdure::simulation {

using engine::Engine;
using journal::Committed;

namespace {

constexpr int kTries = 400;
/// A look that may fail: while a session goes from one node to another nobody answers for it.
constexpr int kTriesInPassing = 20;
const ProjectId kProject{"project"};

engine::Input message(const std::string& text) {
  return engine::InputMessage{{models::ContentPart{text}}};
}

/// It may be taken at another node, or a little later.
bool may_pass(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kFenced ||
         error.code == ErrorCode::kRateLimited;
}

std::string name_of(const engine::SessionEvent& event) {
  return fmt::format("{} {}", static_cast<int>(event.type), event.id());
}

}  // namespace

Client::Client(int number, Random random, Nodes& nodes, Trace& trace, async::Executor executor)
    : number_(number), random_(random), nodes_(nodes), trace_(trace), executor_(executor) {}

template <class T>
async::Task<std::optional<Result<T>>> Client::ask(Work<Result<T>> work, int tries) {
  for (int i = 0; i < tries; ++i) {
    if (Node* node = nodes_.any(random_)) {
      std::optional<Result<T>> answer = co_await node->ask<Result<T>>(executor_, work);
      if (answer && (answer->has_value() || !may_pass(answer->error()))) co_return answer;
    }
    co_await async::sleep_for(random_.between(20, 200));
  }
  co_return std::nullopt;
}

engine::Idempotency Client::remember(const std::string& key) const {
  return journal::IdempotencyRecord{
      {kProject, "client", "POST", key}, "hash", 202, "{}", "", 4'000'000'000'000};
}

async::Task<> Client::live() {
  while (true) {
    co_await async::sleep_for(random_.between(1, 600));
    if (finishing_) {
      // What a session waits for is given to it, until nothing is waited for any more.
      bool waits = false;
      for (std::size_t index = 0; index < sessions_.size(); ++index)
        waits = co_await look(index) || waits;
      if (!waits) break;
      continue;
    }
    const std::int64_t what = random_.between(1, 100);
    if (sessions_.empty() || (what <= 8 && sessions_.size() < 5)) {
      co_await create();
      continue;
    }
    const auto index = static_cast<std::size_t>(
        random_.between(0, static_cast<std::int64_t>(sessions_.size()) - 1));
    if (what <= 45)
      co_await send(index);
    else if (what <= 75)
      co_await look(index);
    else if (what <= 82)
      co_await cancel(index);
    else
      co_await follow(index, static_cast<int>(random_.between(1, 6)), kTriesInPassing);
  }
  finished_ = true;
}

async::Task<> Client::create() {
  const std::string text = fmt::format("text {}.{}", number_, ++texts_);
  engine::CreateSession command;
  command.project = kProject;
  command.id = derive_session_id(kProject, text);
  command.principal = "client";
  command.agent.model = "some-model";
  command.agent.functions.push_back({"ask", "", R"({"type":"object"})"});
  command.input.push_back({{models::ContentPart{text}}});
  const SessionKey key{kProject, *command.id};
  const Work<Result<std::uint64_t>> work = [command](Engine& engine) {
    return [](Engine* engine, engine::CreateSession command) -> async::Task<Result<std::uint64_t>> {
      auto created = co_await engine->create_session(std::move(command));
      if (created) co_return created->receipt.head();
      // Where an answer was lost, a session that is there is this one: nobody else has its id.
      if (created.error().code == ErrorCode::kConflict) co_return std::uint64_t{0};
      co_return std::unexpected(created.error());
    }(&engine, command);
  };
  auto answer = co_await ask(work, kTries);
  if (!answer) co_return;  // never used again
  if (!answer->has_value()) {
    trace_.wrong("a session was refused: {}", answer->error().message);
    co_return;
  }
  trace_.say("client {} has {}", number_, key.session.value);
  sessions_.push_back({.key = key, .acknowledged_head = **answer, .acknowledged = {text}});
}

async::Task<bool> Client::submit(std::size_t index, std::vector<engine::Input> inputs,
                                 std::string key) {
  const SessionKey session = sessions_[index].key;
  const engine::Idempotency idempotency = remember(key);
  const Work<Result<std::uint64_t>> work = [=](Engine& engine) {
    return [](Engine* engine, SessionKey session, std::vector<engine::Input> inputs,
              engine::Idempotency idempotency) -> async::Task<Result<std::uint64_t>> {
      auto taken = co_await engine->submit(session, std::move(inputs), std::move(idempotency));
      if (taken) co_return taken->head();
      if (taken.error().reason == "idempotency_key_used") co_return std::uint64_t{0};
      co_return std::unexpected(taken.error());
    }(&engine, session, inputs, idempotency);
  };
  auto answer = co_await ask(work, kTries);
  if (!answer || !answer->has_value()) {
    trace_.say("client {}: {} was {}", number_, key,
               answer ? "refused: " + answer->error().message : "not answered");
    co_return false;
  }
  sessions_[index].acknowledged_head = std::max(sessions_[index].acknowledged_head, **answer);
  co_return true;
}

async::Task<> Client::send(std::size_t index) {
  const std::string text = fmt::format("text {}.{}", number_, ++texts_);
  sessions_[index].unanswered.push_back(text);
  std::vector<engine::Input> inputs;
  inputs.push_back(message(text));
  if (!co_await submit(index, std::move(inputs), text)) co_return;
  trace_.say("client {}: '{}' was acknowledged", number_, text);
  std::erase(sessions_[index].unanswered, text);
  sessions_[index].acknowledged.push_back(text);
}

/// Reads the session, and answers a call that it waits for; whether anything is going on in it.
async::Task<bool> Client::look(std::size_t index) {
  using View = std::shared_ptr<const engine::SessionView>;
  const SessionKey key = sessions_[index].key;
  const std::uint64_t acknowledged = sessions_[index].acknowledged_head;
  const Work<Result<View>> work = [key](Engine& engine) { return engine.session(key); };
  auto view = co_await ask(work, kTriesInPassing);
  if (!view) co_return true;
  if (!view->has_value()) {
    trace_.wrong("an acknowledged session is not there: {}", view->error().message);
    co_return false;
  }
  if ((**view)->head < acknowledged)
    trace_.wrong("{} was read at entry {} after {} was acknowledged", key.session.value,
                 (**view)->head, acknowledged);
  for (const engine::PendingCall& call : (**view)->required_actions) {
    std::vector<engine::Input> inputs;
    inputs.push_back(
        engine::InputToolResult{call.turn_id, call.call_id, true, R"("here")", std::nullopt});
    co_await submit(index, std::move(inputs), "answer " + call.call_id);
    break;
  }
  const engine::SessionStatus status = (**view)->status;
  co_return status != engine::SessionStatus::kIdle&& status != engine::SessionStatus::kFailed;
}

async::Task<> Client::cancel(std::size_t index) {
  std::vector<engine::Input> inputs;
  inputs.push_back(engine::InputCancel{});
  co_await submit(index, std::move(inputs), fmt::format("cancel {}.{}", number_, ++texts_));
}

/// Takes some batches of the session's events, behind the last that it has seen.
async::Task<> Client::follow(std::size_t index, int batches, int tries) {
  using Names = std::vector<std::string>;
  const SessionKey key = sessions_[index].key;
  engine::StreamFrom from{engine::StreamFrom{.after = Place{0, 0}, .until_settled = false}};
  if (!sessions_[index].seen.empty()) {
    const std::string& last = sessions_[index].seen.back();
    from.after = engine::parse_event_id(last.substr(last.find(' ') + 1), key.session);
  }
  const Work<Result<Names>> work = [=](Engine& engine) {
    return [](Engine* engine, SessionKey key, engine::StreamFrom from,
              int batches) -> async::Task<Result<Names>> {
      auto stream = co_await engine->subscribe(key, from);
      if (!stream) co_return std::unexpected(stream.error());
      Names names;
      engine::Subscription* subscription = stream->get();
      // Somebody who has nothing to wait for goes after a while.
      auto patience = std::make_shared<bool>(true);
      async::spawn(co_await boost::asio::this_coro::executor, "patience",
                   [](engine::Subscription* waits, std::shared_ptr<bool> waiting) -> async::Task<> {
                     co_await async::sleep_for(300);
                     if (*waiting) waits->wake();
                   }(subscription, patience));
      for (int i = 0; i < batches; ++i) {
        auto batch = co_await subscription->next();
        if (!batch || !*batch || (*batch)->empty()) break;
        for (const auto& event : **batch)
          if (event->durable) names.push_back(name_of(*event));
      }
      *patience = false;
      co_return names;
    }(&engine, key, from, batches);
  };
  auto names = co_await ask(work, tries);
  if (!names) co_return;
  if (!names->has_value()) {
    trace_.wrong("a stream was refused: {}", names->error().message);
    co_return;
  }
  if (!(*names)->empty())
    trace_.say("client {} saw {} to {} of {}", number_, (*names)->front(), (*names)->back(),
               key.session.value);
  for (std::string& name : **names) sessions_[index].seen.push_back(std::move(name));
}

// ---- at the end -----------------------------------------------------------------------------

async::Task<> Client::check(bool may_be_aside) {
  using Items = engine::Listed<engine::ItemView>;
  using View = std::shared_ptr<const engine::SessionView>;
  for (std::size_t index = 0; index < sessions_.size(); ++index) {
    const Session& session = sessions_[index];
    const SessionKey key = session.key;
    const Work<Result<View>> look = [key](Engine& engine) { return engine.session(key); };
    auto view = co_await ask(look, kTries);
    const bool aside = may_be_aside && view && view->has_value() &&
                       (**view)->status == engine::SessionStatus::kFailed;
    std::map<std::string, int> taken;
    std::optional<std::string> after;
    for (bool more = true; more;) {
      const Work<Result<Items>> work = [key, after](Engine& engine) {
        return engine.items(key, std::nullopt, engine::Page{after, 100, true}, true);
      };
      auto items = co_await ask(work, kTries);
      if (!items || !items->has_value()) {
        trace_.wrong("the items of {} cannot be read", key.session.value);
        co_return;
      }
      for (const engine::ItemView& item : (**items).data)
        if (item.type == engine::ItemType::kUserMessage) ++taken[item.parts.front().text];
      more = (**items).has_more;
      if (more) after = (**items).data.back().id;
    }
    for (const std::string& text : session.acknowledged)
      if (taken[text] != 1 && !(aside && taken[text] == 0))
        trace_.wrong("'{}' was acknowledged and is there {} times", text, taken[text]);
    for (const std::string& text : session.unanswered)
      if (taken[text] > 1) trace_.wrong("'{}' is there {} times", text, taken[text]);

    const std::vector<std::string> seen = session.seen;
    sessions_[index].seen.clear();
    for (std::size_t before = ~std::size_t{0}; sessions_[index].seen.size() != before;) {
      before = sessions_[index].seen.size();
      co_await follow(index, 1'000, kTries);
    }
    const std::vector<std::string>& all = sessions_[index].seen;
    if (seen.size() > all.size() || !std::equal(seen.begin(), seen.end(), all.begin())) {
      const auto [left, right] = std::ranges::mismatch(seen, all);
      trace_.say("it gave {}", fmt::join(seen, ", "));
      trace_.say("there is {}", fmt::join(all, ", "));
      trace_.wrong("a stream of {} gave '{}' where '{}' stands", key.session.value,
                   left == seen.end() ? "nothing" : *left, right == all.end() ? "nothing" : *right);
    }
  }
}

}  // namespace perdure::simulation
