#include "ldm/text/prompt_syntax.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/tokenizer.h"
#include "ldm/text/unicode.h"

namespace ldm {
namespace {

using Kind = PromptNode::Kind;
using Nodes = std::vector<PromptNode>;

constexpr double kRound = 1.1;
constexpr double kMostWeight = 1000;
constexpr int kMostDepth = 64;
constexpr std::string_view kBlanks = " \t\r\n\f\v";
constexpr const char* kEscapeHint = "a \\ before a bracket or colon makes it text";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// "[+-]digits[.digits]" and nothing else.
std::optional<double> read_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.find_first_not_of("0123456789.-") != std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

bool begins_number(std::string_view text) {
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  if (text.starts_with('.')) text.remove_prefix(1);
  return !text.empty() && is_digit(text.front());
}

/// What a stretch of the prompt stands in.
struct Within {
  char bracket = 0;  ///< '(' or '[', 0 at the top
  std::size_t at = 0;
};

class Parser {
 public:
  Parser(std::string_view text, std::string_view name, std::vector<LoraTag>& loras)
      : text_(text), name_(name), loras_(loras) {}

  std::vector<WeightedPrompt::Part> parse() {
    std::vector<WeightedPrompt::Part> parts;
    for (;;) {
      WeightedPrompt::Part part;
      part.begin = at_;
      part.nodes = sequence({}, 0);
      const std::size_t end = at_;
      const bool more = end < text_.size();
      if (more || !parts.empty()) take_part_weight(part, end);
      parts.push_back(std::move(part));
      if (!more) return parts;
      at_ += kAnd.size();
    }
  }

 private:
  static constexpr std::string_view kAnd = "AND";
  static constexpr std::string_view kBreak = "BREAK";

  [[noreturn]] void fail(std::size_t at, const std::string& what, const char* hint) const {
    throw prompt_fault(text_, name_, at, what, hint);
  }

  std::size_t character(std::size_t at) const {
    std::size_t number = 1;
    for (std::size_t i = 0; i < at; ++number) next_code_point(text_, i);
    return number;
  }

  /// Everything up to what ends `within`, or an AND at the top; that is left to be read.
  Nodes sequence(const Within& within, int depth);
  PromptNode round(int depth);
  PromptNode square(int depth);
  PromptNode edit(std::vector<Nodes> branches, const std::vector<std::size_t>& begins);
  bool ends(const Within& within, char c);
  bool weight_follows() const;
  double weight();
  bool take_word(const Within& within, Nodes& out);
  bool take_tag();
  void take_escape(Nodes& out);
  void take_part_weight(WeightedPrompt::Part& part, std::size_t end);
  void enter(int depth) const {
    if (depth > kMostDepth) fail(at_, "brackets are nested too deep", "64 levels are taken");
  }

  bool is_word(std::string_view word) const {
    if (!text_.substr(at_).starts_with(word)) return false;
    std::size_t before = at_;
    std::size_t after = at_ + word.size();
    if (before > 0 && is_word_char(previous_code_point(text_, before))) return false;
    return after == text_.size() || !is_word_char(next_code_point(text_, after));
  }

  void append(Nodes& out, std::size_t at) const {
    if (out.empty() || out.back().kind != Kind::kText) out.emplace_back();
    out.back().text += text_[at];
    out.back().source.push_back(at);
  }

  std::string_view text_;
  std::string_view name_;
  std::vector<LoraTag>& loras_;
  std::size_t at_ = 0;
};

bool Parser::ends(const Within& within, char c) {
  const char closing = within.bracket == '(' ? ')' : within.bracket == '[' ? ']' : 0;
  if (c == ')' || c == ']') {
    if (c == closing) return true;
    if (closing == 0) fail(at_, cat("\"", c, "\" closes nothing"), kEscapeHint);
    fail(at_,
         cat("\"", c, "\" stands before the \"", within.bracket, "\" of character ",
             character(within.at), " is closed"),
         kEscapeHint);
  }
  if (within.bracket == '[') return c == ':' || c == '|';
  return within.bracket == '(' && c == ':' && weight_follows();
}

Nodes Parser::sequence(const Within& within, int depth) {
  enter(depth);
  Nodes out;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '\\') {
      take_escape(out);
    } else if (c == '(') {
      out.push_back(round(depth + 1));
    } else if (c == '[') {
      out.push_back(square(depth + 1));
    } else if (ends(within, c)) {
      return out;
    } else if (c == '<' && take_tag()) {
      continue;
    } else if (c == kAnd.front() && is_word(kAnd)) {
      if (within.bracket == 0) return out;
      fail(at_, "AND stands inside brackets", "AND joins whole prompts; in lower case it is text");
    } else if (!take_word(within, out)) {
      append(out, at_++);
    }
  }
  if (within.bracket != 0) {
    fail(within.at, cat("\"", within.bracket, "\" is never closed"), kEscapeHint);
  }
  return out;
}

void Parser::take_escape(Nodes& out) {
  if (++at_ == text_.size()) {
    fail(at_ - 1, "nothing follows the \\", "write \\\\ for a backslash");
  }
  // As in the reference, a backslash before anything else is dropped.
  if (std::string_view("()[]:|<\\").find(text_[at_]) != std::string_view::npos) {
    append(out, at_++);
  }
}

/// A BREAK with the blanks around it.
bool Parser::take_word(const Within&, Nodes& out) {
  if (text_[at_] != kBreak.front() || !is_word(kBreak)) return false;
  if (!out.empty() && out.back().kind == Kind::kText) {
    PromptNode& before = out.back();
    const std::size_t last = before.text.find_last_not_of(kBlanks);
    before.text.resize(last == std::string::npos ? 0 : last + 1);
    before.source.resize(before.text.size());
  }
  out.emplace_back().kind = Kind::kBreak;
  at_ = std::min(text_.find_first_not_of(kBlanks, at_ + kBreak.size()), text_.size());
  return true;
}

bool Parser::take_tag() {
  const std::string_view rest = text_.substr(at_);
  if (rest.starts_with("<hypernet:")) {
    fail(at_, "hypernetworks are not read", "<lora:NAME:WEIGHT> names a LoRA");
  }
  std::size_t length = 0;
  for (const std::string_view word : {"<lora:", "<lyco:"}) {
    if (rest.starts_with(word)) length = word.size();
  }
  if (length == 0) return false;
  const std::size_t end = rest.find('>');
  if (end == std::string_view::npos) fail(at_, "this \"<\" is never closed", "<lora:NAME:WEIGHT>");
  const std::string_view inside = rest.substr(length, end - length);
  const std::size_t colon = inside.find(':');
  LoraTag tag{std::string(trim(inside.substr(0, colon))), 1.0, at_};
  if (tag.name.empty()) fail(at_ + length, "a LoRA's name is missing", "<lora:NAME:WEIGHT>");
  if (colon != std::string_view::npos) {
    const auto weight = read_number(trim(inside.substr(colon + 1)));
    if (!weight) {
      fail(at_ + length + colon + 1,
           cat("\"", trim(inside.substr(colon + 1)), "\" is not one number"), "<lora:NAME:WEIGHT>");
    }
    tag.weight = *weight;
  }
  loras_.push_back(std::move(tag));
  at_ += end + 1;
  return true;
}

/// Whether the colon at `at_` begins the weight that closes a "(".
bool Parser::weight_follows() const {
  const std::size_t end = text_.find_first_of("()[]:", at_ + 1);
  if (end == std::string_view::npos || text_[end] == ':') return false;
  const std::string_view run = trim(text_.substr(at_ + 1, end - at_ - 1));
  const bool closes = text_[end] == ')';
  if (closes && run.empty()) {
    fail(at_, "a weight is missing behind the colon", "(words:1.3); \\: is a colon of the text");
  }
  if (closes && read_number(run)) return true;
  if (!begins_number(run)) return false;
  fail(at_ + 1, cat("\"", run, "\" is not a weight"), "(words:1.3); \\: is a colon of the text");
}

double Parser::weight() {
  if (text_[at_] == ')') {
    ++at_;
    return kRound;
  }
  const std::size_t end = text_.find(')', at_);
  const double weight = read_number(trim(text_.substr(at_ + 1, end - at_ - 1))).value_or(1);
  if (std::abs(weight) > kMostWeight) {
    fail(at_ + 1, "this weight is not within -1000…1000", "usual weights lie within 0.5…1.5");
  }
  at_ = end + 1;
  return weight;
}

PromptNode Parser::round(int depth) {
  const Within within{'(', at_++};
  PromptNode node;
  node.kind = Kind::kWeight;
  node.branches.push_back(sequence(within, depth));
  node.number = weight();
  return node;
}

PromptNode Parser::square(int depth) {
  const Within within{'[', at_++};
  std::vector<Nodes> branches;
  std::vector<std::size_t> begins = {at_};
  std::string separators;
  for (;;) {
    branches.push_back(sequence(within, depth));
    const char c = text_[at_];
    const bool mixed = c != ']' && !separators.empty() && c != separators.front();
    if (mixed) {
      fail(at_, "\":\" and \"|\" stand in one pair of brackets",
           "[a:b:0.5] changes the words, [a|b] takes turns; put one into brackets of its own");
    }
    begins.push_back(++at_);
    if (c == ']') break;
    separators += c;
  }
  if (separators.starts_with(':')) return edit(std::move(branches), begins);
  PromptNode node;
  node.kind = separators.empty() ? Kind::kWeight : Kind::kAlternate;
  node.number = 1 / kRound;
  node.branches = std::move(branches);
  return node;
}

PromptNode Parser::edit(std::vector<Nodes> branches, const std::vector<std::size_t>& begins) {
  constexpr const char* kHint =
      "[before:after:0.5], [added:0.5], [removed::0.5], or a step's number";
  if (branches.size() > 3) {
    fail(begins[3] - 1, "there is one colon too many", kHint);
  }
  const std::size_t last = branches.size() - 1;
  const std::string_view when =
      trim(text_.substr(begins[last], begins[last + 1] - 1 - begins[last]));
  const auto number = read_number(when);
  if (!number) {
    fail(begins[last],
         when.empty() ? "where the words change is missing"
                      : cat("\"", when, "\" does not say where the words change"),
         kHint);
  }
  PromptNode node;
  node.kind = Kind::kEdit;
  node.number = *number;
  node.is_fraction = when.find('.') != std::string_view::npos;
  if (*number < 0 || (node.is_fraction && *number > 1)) {
    fail(begins[last],
         cat(when, " is neither a part of the steps, 0.0 to 1.0, nor a step's number"), kHint);
  }
  if (branches.size() == 2) branches.insert(branches.begin(), Nodes());
  branches.pop_back();
  node.branches = std::move(branches);
  return node;
}

/// The weight ": 0.8" at the end of a prompt that AND joins to others, and whether it has words.
void Parser::take_part_weight(WeightedPrompt::Part& part, std::size_t end) {
  const std::string_view raw = trim(text_.substr(part.begin, end - part.begin));
  if (raw.empty()) {
    fail(std::min(part.begin, text_.size() - 1), "AND joins nothing here",
         "a prompt stands before and behind AND; in lower case it is text");
  }
  const std::size_t colon = raw.find_last_of(":\\()[]|<>");
  if (colon == std::string_view::npos || raw[colon] != ':' || part.nodes.empty()) return;
  const auto weight = read_number(trim(raw.substr(colon + 1)));
  const std::size_t at = static_cast<std::size_t>(raw.data() - text_.data()) + colon;
  PromptNode& last = part.nodes.back();
  const bool is_escaped = colon > 0 && raw[colon - 1] == '\\';
  if (!weight || is_escaped || last.kind != Kind::kText) return;
  if (std::abs(*weight) > kMostWeight) {
    fail(at + 1, "this weight is not within -1000…1000", "usual weights lie within 0.5…1.5");
  }
  part.weight = *weight;
  while (!last.source.empty() && last.source.back() >= at) {
    last.source.pop_back();
    last.text.pop_back();
  }
}

}  // namespace

WeightedPrompt WeightedPrompt::parse(std::string_view text, PromptRole role) {
  check_prompt_text(text);
  const bool negative = role == PromptRole::kNegative;
  const std::string_view name = negative ? "negative prompt" : "prompt";
  WeightedPrompt prompt;
  prompt.parts_ = Parser(text, name, prompt.loras_).parse();
  if (negative && prompt.parts_.size() > 1) {
    throw prompt_fault(text, name, prompt.parts_[1].begin - 3, "a negative prompt knows no AND",
                       "a comma lists what is not wanted; in lower case it is text");
  }
  if (negative && !prompt.loras_.empty()) {
    throw prompt_fault(text, name, prompt.loras_.front().at, "a negative prompt names no LoRA",
                       "<lora:NAME:-0.5> in the prompt takes its effect away");
  }
  return prompt;
}

}  // namespace ldm
