#include "models/responses_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/bytes.h"
#include "base/raw_json.h"
#include "models/limits.h"
#include "models/responses_request.h"

namespace perdure::models {
namespace {

std::string join_texts(const json::array& parts, std::string_view member) {
  std::string out;
  for (const json::value& part : parts) {
    if (!part.is_object()) continue;
    std::string_view text = get_string(part.get_object(), member);
    if (text.empty()) continue;
    if (!out.empty()) out += "\n\n";
    out += text;
  }
  return out;
}

void read_message(const json::object& item, OutputItem& out) {
  for (const json::value& value : get_array(item, "content")) {
    if (!value.is_object()) continue;
    const json::object& part = value.get_object();
    if (get_string(part, "type") == "refusal") {
      out.refusal = true;
      out.text += get_string(part, "refusal");
    } else {
      out.text += get_string(part, "text");
    }
  }
}

std::optional<OutputItem> read_item(std::string_view raw) {
  auto parsed = check_strict_json(raw) ? parse_json(raw)
                                       : fail(ErrorCode::kInvalidArgument, "The item is not JSON.");
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const json::object& item = parsed->get_object();
  OutputItem out;
  out.raw = raw;
  out.raw_provider = kOpenAiResponses;
  std::string_view type = get_string(item, "type");
  if (type == "message") {
    read_message(item, out);
  } else if (type == "function_call") {
    out.type = OutputType::kFunctionCall;
    out.call_id = get_string(item, "call_id");
    out.name = get_string(item, "name");
    out.arguments = get_string(item, "arguments");
    if (out.arguments.empty()) out.arguments = "{}";
    if (out.call_id.empty() || out.name.empty()) return std::nullopt;
  } else {
    out.type = OutputType::kReasoning;
    out.text = join_texts(get_array(item, "summary"), "text");
    if (out.text.empty()) out.text = join_texts(get_array(item, "content"), "text");
  }
  return out;
}

}  // namespace

std::expected<Progress, ModelFailure> ResponsesStream::on_event(std::string_view event,
                                                                std::string_view data,
                                                                ModelSink& sink) {
  if (data.empty() || data == "[DONE]") return Progress::kMore;
  auto parsed = parse_json(data);
  if (!parsed || !parsed->is_object())
    return std::unexpected(with_usage(failures_.broken("an event that is not a JSON object")));
  const json::object& object = parsed->get_object();
  // A whole answer instead of a stream is the response object itself.
  bool whole = get_string(object, "object") == "response" && !find(object, "type");
  const json::object& response = whole ? object : get_object(object, "response");
  std::string_view type = get_string(object, "type", event);

  Step step;
  if (whole) {
    step = on_created(response, sink);
    if (get_string(response, "status") == "failed") return std::unexpected(on_failed(response));
    if (step) step = on_end(data, response, sink);
  } else if (type == "response.created") {
    step = on_created(response, sink);
  } else if (type == "response.output_item.added") {
    step = on_item_added(object, sink);
  } else if (type == "response.output_text.delta" || type == "response.refusal.delta") {
    on_text_delta(object, sink);
  } else if (type == "response.output_item.done") {
    step = on_item_done(index_of(object, true), raw_member(data, "item").value_or(""), sink);
  } else if (type == "response.completed" || type == "response.incomplete") {
    step = on_end(raw_member(data, "response").value_or(""), response, sink);
  } else if (type == "response.failed") {
    return std::unexpected(on_failed(response));
  } else if (const json::value* error = find(object, "error");
             type == "error" || (error && !error->is_null())) {
    return std::unexpected(with_usage(failures_.from_error(*parsed)));
  }
  if (step && items_.size() > kMaxOutputItems)
    step = std::unexpected(
        failures_.broken(fmt::format("more than {} items in one answer", kMaxOutputItems)));
  if (!step) return std::unexpected(with_usage(std::move(step).error()));
  return ended_ ? Progress::kComplete : Progress::kMore;
}

ResponsesStream::Step ResponsesStream::on_created(const json::object& response, ModelSink& sink) {
  if (!output_.response_id.empty()) return {};
  output_.response_id = get_string(response, "id");
  output_.model = get_string(response, "model");
  if (!output_.response_id.empty()) sink.on_response_id(output_.response_id);
  return {};
}

ResponsesStream::Step ResponsesStream::on_item_added(const json::object& event, ModelSink& sink) {
  std::int64_t index = index_of(event, true);
  items_.try_emplace(index);
  if (get_string(get_object(event, "item"), "type") == "message") begin_message(index, sink);
  return {};
}

std::int64_t ResponsesStream::index_of(const json::object& event, bool new_item_possible) {
  if (find(event, "output_index")) return get_int(event, "output_index");
  std::string_view id = get_string(event, "item_id", get_string(get_object(event, "item"), "id"));
  auto known = unnumbered_.find(id);
  // An id that is used again after its item was done (an empty one, say) means the next item.
  if (known != unnumbered_.end() && !(new_item_possible && items_.at(known->second)))
    return known->second;
  std::int64_t next = items_.empty() ? 0 : items_.rbegin()->first + 1;
  unnumbered_.insert_or_assign(std::string(id), next);
  items_.try_emplace(next);
  return next;
}

void ResponsesStream::begin_message(std::int64_t index, ModelSink& sink) {
  if (message_) return;
  message_ = index;
  items_.try_emplace(index);
  position_ = static_cast<std::size_t>(std::distance(items_.begin(), items_.find(index)));
  sink.on_message_started(position_);
}

void ResponsesStream::on_text_delta(const json::object& event, ModelSink& sink) {
  std::int64_t index = index_of(event, false);
  begin_message(index, sink);
  if (message_ == index) send_text(utf8_.push(get_string(event, "delta")), sink);
}

void ResponsesStream::send_text(std::string_view text, ModelSink& sink) {
  if (text.empty()) return;
  streamed_ += text;
  sink.on_text(text);
}

ResponsesStream::Step ResponsesStream::on_item_done(std::int64_t index, std::string_view raw,
                                                    ModelSink& sink) {
  auto item = read_item(raw);
  if (!item) return std::unexpected(failures_.broken("an output item that is not valid"));
  if (item->type == OutputType::kMessage) {
    begin_message(index, sink);
    // Servers may leave out some or all deltas; a listener still gets the whole text.
    if (message_ == index && item->text.starts_with(streamed_))
      send_text(item->text.substr(streamed_.size()), sink);
  }
  items_[index] = std::move(*item);
  return {};
}

ResponsesStream::Step ResponsesStream::on_end(std::string_view raw_response,
                                              const json::object& response, ModelSink& sink) {
  if (auto step = on_created(response, sink); !step) return step;
  if (std::string_view model = get_string(response, "model"); !model.empty()) output_.model = model;
  on_usage(response);
  RawArrayReader raw_items(raw_member(raw_response, "output").value_or("[]"));
  for (std::int64_t index = 0; auto raw = raw_items.next(); ++index) {
    auto known = items_.find(index);
    if (known != items_.end() && known->second) continue;
    if (auto step = on_item_done(index, *raw, sink); !step) return step;
  }
  if (get_string(response, "status") == "incomplete") {
    std::string_view reason = get_string(get_object(response, "incomplete_details"), "reason");
    output_.finish = reason == "content_filter" ? Finish::kContentFilter : Finish::kLength;
  }
  ended_ = true;
  return {};
}

ModelFailure ResponsesStream::on_failed(const json::object& response) {
  on_usage(response);
  const json::value* error = find(response, "error");
  return with_usage(error && !error->is_null() ? failures_.from_error(*error)
                                               : failures_.broken("a failure without a reason"));
}

void ResponsesStream::on_usage(const json::object& response) {
  const json::object& usage = get_object(response, "usage");
  if (usage.empty()) return;
  output_.usage_known = true;
  output_.usage.input_tokens = told_tokens(get_int(usage, "input_tokens"));
  output_.usage.output_tokens = told_tokens(get_int(usage, "output_tokens"));
  const json::object& input = get_object(usage, "input_tokens_details");
  output_.usage.cached_tokens = told_tokens(get_int(input, "cached_tokens"));
  output_.usage.cache_write_tokens = told_tokens(get_int(input, "cache_write_tokens"));
  output_.usage.reasoning_tokens =
      told_tokens(get_int(get_object(usage, "output_tokens_details"), "reasoning_tokens"));
}

std::expected<ModelOutput, ModelFailure> ResponsesStream::finish(ModelSink& sink) {
  if (!ended_) return std::unexpected(with_usage(failures_.cut_off()));
  bool has_calls = false;
  for (auto& [index, item] : items_) {
    // Begun and never told whole: only the streamed text of an incomplete answer is worth keeping.
    if (!item && message_ == index) {
      send_text(utf8_.finish(), sink);
      item.emplace().text = streamed_;
    }
    // The message was announced at its place among all that had begun: nothing before it may go.
    if (!item && message_ && index < *message_) item.emplace().type = OutputType::kReasoning;
    if (!item) continue;
    if (message_ == index &&
        (output_.items.size() != position_ || item->type != OutputType::kMessage))
      return std::unexpected(with_usage(failures_.broken("output items in no order")));
    has_calls |= item->type == OutputType::kFunctionCall;
    output_.items.push_back(std::move(*item));
  }
  if (has_calls && output_.finish == Finish::kStop) output_.finish = Finish::kToolCalls;
  return std::move(output_);
}

ModelFailure ResponsesStream::with_usage(ModelFailure failure) const {
  failure.usage = output_.usage;
  failure.usage_known = output_.usage_known;
  return failure;
}

}  // namespace perdure::models
