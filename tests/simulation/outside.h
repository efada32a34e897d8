// The world that no node owns: what the model is asked, and what tools do in it. A node that died
// or stands still has no say in it any more.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "models/provider.h"
#include "random.h"
#include "tools/tool.h"
#include "trace.h"

namespace perdure::simulation {

/// Kept by session and by call, for the rules that no history may break.
struct Outside {
  Trace& trace;
  Random random;
  std::map<std::string, std::vector<std::string>> heard;  ///< user texts, by session
  std::map<std::string, int> runs;                        ///< of tools, by idempotency key
  int model_calls = 0;
};

/// Answers after a while: with text, with calls of tools, or not at all.
class Model final : public models::Provider {
 public:
  Model(Outside& outside, const bool& dead) : outside_(outside), dead_(dead) {}
  std::string_view name() const override { return "model"; }
  std::string_view kind() const override { return "simulated"; }
  models::Capabilities capabilities() const override { return {}; }
  async::Task<std::expected<models::ModelOutput, models::ModelFailure>> generate(
      models::ModelRequest request, models::ModelSink* sink, async::CancelToken cancel) override;

 private:
  Outside& outside_;
  const bool& dead_;  // the node whose call it is
};

class SlowTool final : public tools::Tool {
 public:
  SlowTool(Outside& outside, const bool& dead, std::string name, tools::RepeatClass repeat_class)
      : outside_(outside), dead_(dead), name_(std::move(name)), class_(repeat_class) {}
  std::string_view name() const override { return name_; }
  std::string_view description() const override { return "Takes its time."; }
  std::string_view parameters() const override { return R"({"type":"object"})"; }
  tools::RepeatClass repeat_class() const override { return class_; }
  async::Task<tools::ToolResult> run(tools::ToolCall call, async::CancelToken cancel) override;

 private:
  Outside& outside_;
  const bool& dead_;
  std::string name_;
  tools::RepeatClass class_;
};

}  // namespace perdure::simulation
