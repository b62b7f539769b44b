#include "ldm/io/fields.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ldm/core/error.h"

namespace ldm {
namespace {

std::string type_in_words(const nlohmann::json& value) {
  if (value.is_number_integer()) return "integer";
  if (value.is_number_float()) return "number " + value.dump();
  return value.type_name();
}

[[noreturn]] void wrong_type(const std::string& path, const char* expected,
                             const nlohmann::json& value) {
  throw Error::model(path + ": expected " + expected + ", found " + type_in_words(value));
}

}  // namespace

void read_field(const nlohmann::json& value, bool& out, const std::string& path) {
  if (!value.is_boolean()) wrong_type(path, "boolean", value);
  out = value.get<bool>();
}

void read_field(const nlohmann::json& value, std::int64_t& out, const std::string& path) {
  if (!value.is_number_integer()) wrong_type(path, "integer", value);
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > kMost) {
    throw Error::model(path + ": " + value.dump() + " does not fit 64 bits");
  }
  out = value.get<std::int64_t>();
}

void read_field(const nlohmann::json& value, int& out, const std::string& path) {
  std::int64_t wide = 0;
  read_field(value, wide, path);
  if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
    throw Error::model(path + ": " + value.dump() + " does not fit 32 bits");
  }
  out = static_cast<int>(wide);
}

void read_field(const nlohmann::json& value, double& out, const std::string& path) {
  if (!value.is_number()) wrong_type(path, "number", value);
  const auto number = value.get<double>();
  if (!std::isfinite(number)) throw Error::model(path + ": expected a finite number");
  out = number;
}

void read_field(const nlohmann::json& value, std::string& out, const std::string& path) {
  if (!value.is_string()) wrong_type(path, "string", value);
  out = value.get_ref<const std::string&>();
}

namespace fields_detail {

void require_object(const nlohmann::json& value, const std::string& where) {
  if (!value.is_object()) wrong_type(where, "object", value);
}

std::vector<std::string> unknown_keys(const nlohmann::json& object,
                                      const std::vector<std::string>& known) {
  std::vector<std::string> unknown;
  for (const auto& item : object.items()) {
    const std::string& key = item.key();
    if (key.starts_with('_')) continue;
    if (std::find(known.begin(), known.end(), key) == known.end()) unknown.push_back(key);
  }
  return unknown;
}

}  // namespace fields_detail
}  // namespace ldm
