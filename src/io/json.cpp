#include "ldm/io/json.h"

#include <cmath>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json_sax.h"

namespace ldm {
namespace {

using nlohmann::json;

// Says how far the lexer has read, which the SAX interface does not.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    *furthest = ++at;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
  bool operator!=(const CountingIterator& other) const { return at != other.at; }

  const char* at;
  const char** furthest;
};

// Builds the value itself rather than through nlohmann's own builder, which keeps the last of two
// equal keys and has no depth limit.
class Builder final : public JsonHandler {
 public:
  Builder(const JsonLimits& limits, json& root) : limits_(limits), root_(root) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool real(double value) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool start_object(std::size_t /*elements*/) override { return open(json::object()); }
  bool start_array(std::size_t /*elements*/) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    const auto [it, is_new] = stack_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
    if (!is_new) {
      return refuse(JsonFault::Kind::kDuplicate, "duplicate key \"" + name.substr(0, 80) + "\"");
    }
    slot_ = &it->second;
    return true;
  }

 private:
  json* place(json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (stack_.back()->is_array()) {
      auto& items = stack_.back()->get_ref<json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    *slot_ = std::move(value);
    return slot_;
  }
  bool put(json value) {
    place(std::move(value));
    return true;
  }
  bool open(json value) {
    if (static_cast<int>(stack_.size()) >= limits_.max_depth) {
      return refuse(JsonFault::Kind::kDepth, cat("nested deeper than ", limits_.max_depth));
    }
    // A parent's array does not grow while its child is open, so the pointer stays valid.
    stack_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  JsonLimits limits_;
  json& root_;
  std::vector<json*> stack_;
  json* slot_ = nullptr;
};

// nlohmann's texts read "[json.exception.parse_error.101] parse error at line 1, column 5: syntax
// error while parsing value - …"; what follows the position is of use here.
std::string plain_text(const std::string& text) {
  const std::size_t column = text.find("column ");
  const std::size_t at = column == std::string::npos ? text.find("] ") : text.find(": ", column);
  return at == std::string::npos ? text : text.substr(at + 2);
}

}  // namespace

bool JsonHandler::binary(binary_t& /*value*/) { return false; }

bool JsonHandler::parse_error(std::size_t /*position*/, const std::string& /*last_token*/,
                              const nlohmann::detail::exception& error) {
  constexpr int kNumberOverflow = 406;
  const auto kind =
      error.id == kNumberOverflow ? JsonFault::Kind::kNumber : JsonFault::Kind::kSyntax;
  return refuse(kind, plain_text(error.what()));
}

bool JsonHandler::number_float(number_float_t value, const string_t& token) {
  // The lexer hands integers that do not fit 64 bits on as floats.
  const bool is_integer = token.find_first_of(".eE") == std::string::npos;
  if (is_integer || !std::isfinite(value)) {
    return refuse(JsonFault::Kind::kNumber, "number out of range: " + token.substr(0, 40));
  }
  return real(value);
}

bool JsonHandler::refuse(JsonFault::Kind kind, std::string text) {
  fault = JsonFault{kind, 0, std::move(text)};
  return false;
}

std::optional<JsonFault> check_json_text(std::string_view text, const JsonLimits& limits) {
  using Kind = JsonFault::Kind;
  if (text.size() > limits.max_bytes) {
    return JsonFault{Kind::kSize, limits.max_bytes,
                     cat("text has ", text.size(), " bytes, more than ", limits.max_bytes)};
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    return JsonFault{Kind::kUtf8, 0, "starts with a byte-order mark"};
  }
  const std::size_t bad = find_invalid_utf8(text);
  if (bad != std::string_view::npos) return JsonFault{Kind::kUtf8, bad, "invalid UTF-8"};
  const std::size_t nul = text.find('\0');
  if (nul != std::string_view::npos) return JsonFault{Kind::kSyntax, nul, "NUL byte"};
  return std::nullopt;
}

std::optional<JsonFault> parse_json_into(std::string_view text, const JsonLimits& limits,
                                         JsonHandler& handler) {
  if (auto fault = check_json_text(text, limits)) return fault;
  const char* begin = text.data();
  const char* end = begin + text.size();
  const char* furthest = begin;
  const CountingIterator first{begin, &furthest};
  const CountingIterator last{end, &furthest};
  if (json::sax_parse(first, last, &handler)) return std::nullopt;
  JsonFault fault = handler.fault.value_or(JsonFault{JsonFault::Kind::kSyntax, 0, "refused"});
  const auto read = static_cast<std::size_t>(furthest - begin);
  fault.offset = read > 0 ? read - 1 : 0;
  return fault;
}

std::optional<JsonFault> try_parse_json(std::string_view text, const JsonLimits& limits,
                                        json& out) {
  Builder builder(limits, out);
  return parse_json_into(text, limits, builder);
}

json parse_json(std::string_view text, const JsonLimits& limits, const std::string& what) {
  json value;
  if (const auto fault = try_parse_json(text, limits, value)) {
    throw Error::model(cat(what, ": invalid JSON at byte ", fault->offset, ": ", fault->text));
  }
  return value;
}

json read_json_file(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse_json(read_small_file(path, limits.max_bytes), limits, path.string());
}

}  // namespace ldm
