#include "main/banner.h"

#include <fmt/format.h>

namespace perdure::app {
namespace {

/// The name to put into an example: any will do for the scripted model.
std::string example_model(const BannerModel& model) {
  if (!model.model.empty()) return model.model;
  return model.kind == "scripted" ? "scripted" : "MODEL";
}

std::string about(const BannerModel& model) {
  if (model.kind == "scripted")
    return "scripted: a built-in stand-in, NOT a real model. Its answers are canned.\n"
           "             For a real one set OPENAI_API_KEY, run Ollama, or see\n"
           "             'perdure dev --help' for --provider-url.";
  std::string text = fmt::format("{} ({}) at {}", model.provider, model.kind, model.base_url);
  if (!model.model.empty()) text = fmt::format("{} by {}", model.model, text);
  if (model.is_default && model.model != "default")
    text += "\n             Clients may also call it 'default'.";
  if (!model.other_names.empty())
    text += fmt::format("\n             Names that are not listed go to {}.", model.other_names);
  if (model.model.empty() && !model.has_default)
    text +=
        "\n             Which models it has is not known: clients name one, or you do with\n"
        "             --model NAME. Until then the name 'default' means nothing.";
  if (model.has_key) text += "\n             Calls use your real key and SPEND YOUR MONEY.";
  return text;
}

/// Quoted for a POSIX shell where it needs to be.
std::string quoted(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,=";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

}  // namespace

std::string banner(const BannerInfo& info) {
  std::string notes;
  for (const std::string& note : info.model.notes) notes += fmt::format("             {}\n", note);
  const std::string data_flag =
      info.data_dir_is_default ? "" : fmt::format(" --data-dir {}", quoted(info.data_dir));
  return fmt::format(
      R"(Perdure {version} is ready at {url}

  Model      {model}
{notes}  Data       {data_dir}
  Access     anybody on this machine, with any key ('perdure serve' demands real ones)

Paste this into another terminal:

  export OPENAI_BASE_URL={url}/v1
  export OPENAI_API_KEY=perdure-dev

  curl -s {url}/v1/agents/sessions -H 'Authorization: Bearer perdure-dev' \
    -H 'Content-Type: application/json' \
    -d '{{"agent":{{"model":"{example}"}},"environment":{{"type":"none"}},"input":"Hello"}}'

Then 'perdure sessions ls{data_flag}' shows what the server keeps. Ctrl-C stops it; nothing is lost.
)",
      fmt::arg("version", info.version), fmt::arg("url", info.url),
      fmt::arg("model", about(info.model)), fmt::arg("notes", notes),
      fmt::arg("data_dir", info.data_dir), fmt::arg("example", example_model(info.model)),
      fmt::arg("data_flag", data_flag));
}

}  // namespace perdure::app
