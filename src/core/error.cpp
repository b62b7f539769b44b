#include "ldm/core/error.h"

#include <utility>

#include "ldm/core/text.h"

namespace ldm {

Error::Error(ErrorCode code, std::string rule, std::string message, std::string hint)
    : code_(code), rule_(std::move(rule)), message_(std::move(message)), hint_(std::move(hint)) {
  compose();
}

void Error::compose() {
  std::string text;
  for (auto it = context_.rbegin(); it != context_.rend(); ++it) text += *it + ": ";
  if (!rule_.empty()) text += rule_ + ": ";
  text_ = escape_control(text + message_);
}

Error Error::internal(std::string message) {
  return {ErrorCode::kInternal, {}, std::move(message), "this is a bug; please report it"};
}
Error Error::usage(std::string message, std::string hint) {
  return {ErrorCode::kUsage, {}, std::move(message), std::move(hint)};
}
Error Error::input(std::string message, std::string hint) {
  return {ErrorCode::kInput, {}, std::move(message), std::move(hint)};
}
Error Error::model(std::string message, std::string hint) {
  return {ErrorCode::kModel, {}, std::move(message), std::move(hint)};
}
Error Error::model_rule(std::string rule, std::string message, std::string hint) {
  return {ErrorCode::kModel, std::move(rule), std::move(message), std::move(hint)};
}
Error Error::output(std::string message, std::string hint) {
  return {ErrorCode::kOutput, {}, std::move(message), std::move(hint)};
}
Error Error::memory(std::string message, std::string hint) {
  return {ErrorCode::kMemory, {}, std::move(message), std::move(hint)};
}
Error Error::non_finite(std::string message, std::string hint) {
  return {ErrorCode::kNonFinite, {}, std::move(message), std::move(hint)};
}
Error Error::locked(std::string message, std::string hint) {
  return {ErrorCode::kLocked, {}, std::move(message), std::move(hint)};
}

Error Error::stopped(ErrorCode code, std::string message, std::string hint) {
  return {code, {}, std::move(message), std::move(hint)};
}

Error& Error::with_context(std::string context) {
  context_.push_back(std::move(context));
  compose();
  return *this;
}

Error& Error::with_code(ErrorCode code) {
  code_ = code;
  return *this;
}

Error& Error::with_excerpt(std::string lines) {
  excerpt_ = std::move(lines);
  return *this;
}

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInternal:
      return "internal";
    case ErrorCode::kUsage:
      return "usage";
    case ErrorCode::kInput:
      return "input";
    case ErrorCode::kModel:
      return "model";
    case ErrorCode::kOutput:
      return "output";
    case ErrorCode::kMemory:
      return "memory";
    case ErrorCode::kNonFinite:
      return "non-finite";
    case ErrorCode::kPartial:
      return "partial";
    case ErrorCode::kLocked:
      return "locked";
    case ErrorCode::kTimeLimit:
      return "time-limit";
    case ErrorCode::kInterrupted:
      return "interrupted";
    case ErrorCode::kTerminated:
      return "terminated";
  }
  return "internal";
}

}  // namespace ldm
