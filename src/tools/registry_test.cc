#include "tools/registry.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace perdure::tools {
namespace {

class Named final : public Tool {
 public:
  explicit Named(std::string name) : name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  std::string_view description() const override { return "does nothing"; }
  std::string_view parameters() const override { return "{}"; }
  RepeatClass repeat_class() const override { return RepeatClass::kPure; }
  Task<ToolResult> run(ToolCall, async::CancelToken) override { co_return ToolResult{true, ""}; }

 private:
  std::string name_;
};

TEST(Registry, FindsByNameAndListsInOrder) {
  Registry registry;
  registry.add(std::make_unique<Named>("search"));
  registry.add(std::make_unique<Named>("remember"));
  ASSERT_NE(registry.find("search"), nullptr);
  EXPECT_EQ(registry.find("search")->name(), "search");
  EXPECT_EQ(registry.find("forget"), nullptr);
  ASSERT_EQ(registry.all().size(), 2u);
  EXPECT_EQ(registry.all()[0]->name(), "remember");
}

TEST(Registry, RefusesTwoOfOneNameAndNamesThatProvidersRefuse) {
  Registry registry;
  registry.add(std::make_unique<Named>("search"));
  EXPECT_THROW(registry.add(std::make_unique<Named>("search")), std::logic_error);
  EXPECT_THROW(registry.add(std::make_unique<Named>("")), std::logic_error);
  EXPECT_THROW(registry.add(std::make_unique<Named>("web search")), std::logic_error);
  EXPECT_THROW(registry.add(std::make_unique<Named>(std::string(65, 'a'))), std::logic_error);
}

TEST(RepeatClass, EveryClassHasAWordThatReadsBack) {
  for (auto value : {RepeatClass::kPure, RepeatClass::kRepeatable, RepeatClass::kKeyed,
                     RepeatClass::kTransactional, RepeatClass::kOpaque})
    EXPECT_EQ(parse_repeat_class(to_string(value)), value);
  EXPECT_EQ(parse_repeat_class("Pure"), std::nullopt);
  EXPECT_EQ(parse_repeat_class(""), std::nullopt);
}

TEST(RepeatClass, WhatIsUnknownIsNeverRepeated) {
  EXPECT_TRUE(may_repeat(RepeatClass::kPure));
  EXPECT_TRUE(may_repeat(RepeatClass::kKeyed));
  EXPECT_FALSE(may_repeat(RepeatClass::kTransactional));
  EXPECT_FALSE(may_repeat(RepeatClass::kOpaque));
}

}  // namespace
}  // namespace perdure::tools
