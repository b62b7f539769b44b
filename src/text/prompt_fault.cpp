#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/prompt_syntax.h"
#include "ldm/text/unicode.h"

namespace ldm {
namespace {

constexpr std::size_t kShown = 40;  ///< code points before and behind the place

std::size_t step_back(std::string_view text, std::size_t at) {
  for (std::size_t i = 0; i < kShown && at > 0; ++i) previous_code_point(text, at);
  return at;
}

std::size_t step_forward(std::string_view text, std::size_t at) {
  for (std::size_t i = 0; i < kShown && at < text.size(); ++i) next_code_point(text, at);
  return at;
}

}  // namespace

Error prompt_fault(std::string_view text, std::string_view name, std::size_t at,
                   const std::string& what, std::string hint) {
  std::size_t number = 1;
  for (std::size_t i = 0; i < at; ++number) next_code_point(text, i);
  const std::size_t begin = step_back(text, at);
  const std::string before =
      (begin > 0 ? "…" : "") + escape_control(text.substr(begin, at - begin));
  const std::string after = escape_control(text.substr(at, step_forward(text, at) - at));
  std::size_t columns = 0;
  for (std::size_t i = 0; i < before.size();) {
    columns += static_cast<std::size_t>(columns_of(next_code_point(before, i)));
  }
  Error error = Error::input(cat(name, ": character ", number, ": ", what), std::move(hint));
  error.with_excerpt(before + after + "\n" + std::string(columns, ' ') + "^");
  return error;
}

}  // namespace ldm
