#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "ldm/io/torch_state_dict.h"

namespace ldm::test {

/// The pieces of protocol-2 pickles, put together by +.
inline std::string raw_number(std::uint64_t value, unsigned bytes) {
  std::string out;
  for (unsigned i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8U * i)) & 0xFFU);
  return out;
}
inline std::string py_text(std::string_view text) {
  return "X" + raw_number(text.size(), 4) + std::string(text);
}
inline std::string py_int(std::int64_t value) {
  return "\x8a\x08" + raw_number(static_cast<std::uint64_t>(value), 8);
}
inline std::string py_global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string py_tuple(std::initializer_list<std::string> items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}
inline std::string py_dims(std::initializer_list<std::int64_t> numbers) {
  std::string out = "(";
  for (const std::int64_t number : numbers) out += py_int(number);
  return out + "t";
}
/// A dict of text keys: key, value, key, value, …
inline std::string py_dict(std::initializer_list<std::string> items) {
  std::string out = "}(";
  bool is_key = true;
  for (const std::string& item : items) {
    out += is_key ? py_text(item) : item;
    is_key = !is_key;
  }
  return out + "u";
}
inline std::string py_storage(std::string_view key, std::int64_t numel,
                              const std::string& type = "FloatStorage") {
  return py_tuple({py_text("storage"), py_global("torch", type), py_text(key), py_text("cpu"),
                   py_int(numel)}) +
         "Q";
}
inline std::string py_hooks() { return py_global("collections", "OrderedDict") + ")R"; }
inline std::string py_tensor(const std::string& storage, std::int64_t offset,
                             std::initializer_list<std::int64_t> sizes,
                             std::initializer_list<std::int64_t> strides) {
  return py_global("torch._utils", "_rebuild_tensor_v2") +
         py_tuple({storage, py_int(offset), py_dims(sizes), py_dims(strides), "\x89", py_hooks()}) +
         "R";
}
/// A tensor of `numel` floats that are all of storage `key`.
inline std::string py_floats(std::string_view key, std::int64_t numel) {
  return py_tensor(py_storage(key, numel), 0, {numel}, {1});
}
inline std::string py_file(const std::string& body) { return "\x80\x02" + body + "."; }

inline TorchStateDict read_pickle(std::string_view pickle, const PickleLimits& limits = {}) {
  return read_torch_state_dict(std::as_bytes(std::span(pickle)), limits);
}

}  // namespace ldm::test
