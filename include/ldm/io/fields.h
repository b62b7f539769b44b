#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ldm {

// Each converts one JSON value or throws Error::model "PATH: expected X, found Y".
void read_field(const nlohmann::json& value, bool& out, const std::string& path);
/// Whole numbers only (4.0 is refused), within 64 bits.
void read_field(const nlohmann::json& value, std::int64_t& out, const std::string& path);
/// The same within 32 bits.
void read_field(const nlohmann::json& value, int& out, const std::string& path);
/// Any finite number, whole ones included.
void read_field(const nlohmann::json& value, double& out, const std::string& path);
void read_field(const nlohmann::json& value, std::string& out, const std::string& path);

template <typename T>
void read_field(const nlohmann::json& value, std::vector<T>& out, const std::string& path);

/// Null is the empty optional.
template <typename T>
void read_field(const nlohmann::json& value, std::optional<T>& out, const std::string& path) {
  if (value.is_null()) {
    out.reset();
    return;
  }
  T inner{};
  read_field(value, inner, path);
  out = std::move(inner);
}

/// A list; a single value counts as a list of one, because diffusers' configs write both
/// (`attention_head_dim: 8` and `[5, 10, 20, 20]`).
template <typename T>
void read_field(const nlohmann::json& value, std::vector<T>& out, const std::string& path) {
  std::vector<T> items;
  if (!value.is_array()) {
    T item{};
    read_field(value, item, path);
    items.push_back(std::move(item));
  } else {
    items.reserve(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) {
      T item{};
      read_field(value[i], item, path + "/" + std::to_string(i));
      items.push_back(std::move(item));
    }
  }
  out = std::move(items);
}

namespace fields_detail {

template <typename T>
inline constexpr bool kIsOptional = false;
template <typename T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

/// Error::model unless `value` is an object.
void require_object(const nlohmann::json& value, const std::string& where);
/// Keys of `object` that are not in `known` and do not start with '_', in the object's order.
std::vector<std::string> unknown_keys(const nlohmann::json& object,
                                      const std::vector<std::string>& known);

class Reader {
 public:
  Reader(const nlohmann::json& object, const std::string& where) : object_(object), where_(where) {
    require_object(object, where);
  }
  template <typename T>
  void operator()(std::string_view key, T& value) {
    known_.emplace_back(key);
    const auto found = object_.find(known_.back());
    if (found == object_.end() || (found->is_null() && !kIsOptional<T>)) return;
    read_field(*found, value, where_ + ": /" + known_.back());
  }
  std::vector<std::string> unknown() const { return unknown_keys(object_, known_); }

 private:
  const nlohmann::json& object_;
  const std::string& where_;
  std::vector<std::string> known_;
};

class Writer {
 public:
  template <typename T>
  void operator()(std::string_view key, const T& value) {
    object[std::string(key)] = value;
  }
  template <typename T>
  void operator()(std::string_view key, const std::optional<T>& value) {
    object[std::string(key)] = value ? nlohmann::json(*value) : nlohmann::json(nullptr);
  }
  nlohmann::json object = nlohmann::json::object();
};

}  // namespace fields_detail

/// Fills a config struct from a JSON object and returns the object's unknown keys (those that start
/// with '_' aside). The struct lists its fields once:
///
///     struct Config {
///       std::int64_t layers = 2;
///       template <class V> void visit(V&& v) { v("layers", layers); }
///     };
///
/// Fields may be bool, std::int64_t, double, std::string, and std::optional or std::vector of
/// these. An absent key, and null for a field that is not optional, keeps the default. A wrong type
/// is Error::model "WHERE: /key: expected integer, found string".
template <typename T>
std::vector<std::string> read_fields(const nlohmann::json& object, T& config,
                                     const std::string& where) {
  fields_detail::Reader reader(object, where);
  config.visit(reader);
  return reader.unknown();
}

/// All fields as a JSON object; empty optionals are null.
template <typename T>
nlohmann::json write_fields(const T& config) {
  T copy = config;
  fields_detail::Writer writer;
  copy.visit(writer);
  return std::move(writer.object);
}

}  // namespace ldm
