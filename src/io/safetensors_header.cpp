#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/json_sax.h"
#include "ldm/io/little_endian.h"
#include "ldm/io/safetensors.h"
#include "ldm/io/sniff.h"

namespace ldm {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr const char* kAgain = "download or copy the file again";

std::string in_quotes(std::string_view name) {
  constexpr std::size_t kMost = 120;
  if (name.size() <= kMost) return cat("\"", name, "\"");
  return cat("\"", name.substr(0, kMost), "…\"");
}

// Turns the header's JSON events straight into tensors: a value tree of a hostile header could be
// fifty times its size.
class HeaderReader final : public JsonHandler {
 public:
  HeaderReader(SafetensorsHeader& header, const SafetensorsLimits& limits)
      : header_(header), limits_(limits) {}

  /// The broken rule, where a rule of the format and not the JSON grammar was broken.
  std::string rule;

  bool null() override { return (state_ == State::kRoot && in_metadata_) || scalar("null"); }
  bool boolean(bool /*value*/) override { return scalar("boolean"); }
  bool number_integer(number_integer_t /*value*/) override { return scalar("negative number"); }
  bool real(double /*value*/) override { return scalar("fraction"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShape) return add_dimension(value);
    if (state_ == State::kOffsets) return add_offset(value);
    return scalar("number");
  }
  bool string(string_t& value) override {
    if (state_ == State::kMetadata) {
      header_.metadata.emplace(std::move(key_), std::move(value));
      return true;
    }
    if (state_ == State::kEntry && field_ == kDtype) return set_dtype(value);
    return scalar("string");
  }
  bool key(string_t& name) override {
    switch (state_) {
      case State::kRoot:
        return root_key(name);
      case State::kMetadata:
        key_ = name;
        return !header_.metadata.contains(name) || duplicate("metadata key " + in_quotes(name));
      case State::kEntry:
        return entry_key(name);
      default:
        return true;
    }
  }
  bool start_object(std::size_t /*elements*/) override {
    if (!deeper()) return false;
    switch (state_) {
      case State::kStart:
        state_ = State::kRoot;
        return true;
      case State::kRoot:
        state_ = in_metadata_ ? State::kMetadata : State::kEntry;
        return true;
      default:
        return skip_or_refuse("object");
    }
  }
  bool start_array(std::size_t /*elements*/) override {
    if (!deeper()) return false;
    if (state_ == State::kEntry && field_ == kShape) {
      state_ = State::kShape;
      return true;
    }
    if (state_ == State::kEntry && field_ == kOffsets) {
      state_ = State::kOffsets;
      return true;
    }
    return skip_or_refuse("array");
  }
  bool end_object() override {
    const State closed = std::exchange(state_, State::kRoot);
    --depth_;
    if (closed == State::kSkip) return leave_skipped();
    return closed != State::kEntry || finish_entry();
  }
  bool end_array() override {
    --depth_;
    if (state_ == State::kSkip) return leave_skipped();
    const bool complete = state_ != State::kOffsets || offsets_seen_ == 2;
    state_ = State::kEntry;
    return complete || broken("E_ST_OFFSETS", cat("data_offsets has ", offsets_seen_, " numbers"));
  }

 private:
  enum class State { kStart, kRoot, kMetadata, kEntry, kShape, kOffsets, kSkip };
  enum Field : unsigned { kDtype = 1, kShape = 2, kOffsets = 4, kOther = 8 };

  bool broken(const char* which, const std::string& text) {
    rule = which;
    const bool in_tensor = state_ != State::kStart && !in_metadata_ && !tensor_.name.empty();
    return refuse(JsonFault::Kind::kSyntax,
                  in_tensor ? text + " (tensor " + in_quotes(tensor_.name) + ")" : text);
  }
  bool duplicate(const std::string& what) { return broken("E_ST_DUP", what + " appears twice"); }

  bool deeper() {
    if (depth_ >= limits_.max_depth) {
      return broken("E_ST_DEPTH", cat("nested deeper than ", limits_.max_depth));
    }
    ++depth_;
    return true;
  }

  // A value where the format has none of this type; values of unknown fields are passed over.
  bool scalar(const char* found) {
    if (state_ == State::kSkip || (state_ == State::kEntry && field_ == kOther)) return true;
    return unexpected(found);
  }
  bool skip_or_refuse(const char* found) {
    if (state_ == State::kSkip) return true;
    if (state_ != State::kEntry || field_ != kOther) return unexpected(found);
    skip_depth_ = depth_;
    state_ = State::kSkip;
    return true;
  }
  bool leave_skipped() {
    state_ = depth_ < skip_depth_ ? State::kEntry : State::kSkip;
    return true;
  }
  bool unexpected(const std::string& found) {
    switch (state_) {
      case State::kStart:
        return broken("E_ST_ROOT", "the header is not an object but: " + found);
      case State::kRoot:
        if (!in_metadata_) return broken("E_ST_ENTRY", "expected an object, found: " + found);
        return broken("E_ST_META", "__metadata__ is not an object but: " + found);
      case State::kMetadata:
        return broken("E_ST_META",
                      "metadata " + in_quotes(key_) + " is not a string but: " + found);
      case State::kShape:
        return broken("E_ST_SHAPE", "shape holds a " + found);
      case State::kOffsets:
        return broken("E_ST_OFFSETS", "data_offsets holds a " + found);
      default:
        break;
    }
    if (field_ == kDtype) return broken("E_ST_DTYPE", "dtype is not a string but: " + found);
    if (field_ == kShape) return broken("E_ST_SHAPE", "shape is not a list but: " + found);
    return broken("E_ST_OFFSETS", "data_offsets is not a list but: " + found);
  }

  bool root_key(const std::string& name) {
    in_metadata_ = name == "__metadata__";
    tensor_ = TensorInfo{};
    seen_ = 0;
    offsets_seen_ = 0;
    others_.clear();
    if (in_metadata_) {
      return !std::exchange(metadata_seen_, true) || duplicate("__metadata__");
    }
    if (!names_.insert(name).second) return duplicate("tensor " + in_quotes(name));
    tensor_.name = name;
    return true;
  }
  bool entry_key(const std::string& name) {
    field_ = name == "dtype"          ? kDtype
             : name == "shape"        ? kShape
             : name == "data_offsets" ? kOffsets
                                      : kOther;
    if (field_ == kOther) {
      if (!others_.insert(name).second) return duplicate("field " + in_quotes(name));
      constexpr std::size_t kMostNotes = 20;
      if (header_.notes.size() < kMostNotes) {
        header_.notes.push_back("unknown field " + in_quotes(name) + " of " +
                                in_quotes(tensor_.name));
      }
      return true;
    }
    if ((seen_ & field_) != 0) return duplicate("field " + in_quotes(name));
    seen_ |= field_;
    return true;
  }

  bool set_dtype(const std::string& name) {
    const auto dtype = dtype_from_name(name);
    if (!dtype) {
      return broken("E_ST_DTYPE",
                    "unknown dtype " + in_quotes(name) + ", known are " + join(dtype_names(), " "));
    }
    tensor_.dtype = *dtype;
    return true;
  }
  bool add_dimension(std::uint64_t value) {
    if (tensor_.shape.size() >= limits_.max_rank) {
      return broken("E_ST_SHAPE", cat("more than ", limits_.max_rank, " dimensions"));
    }
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return broken("E_ST_SHAPE", cat("dimension ", value, " is too large"));
    }
    tensor_.shape.push_back(static_cast<std::int64_t>(value));
    return true;
  }
  bool add_offset(std::uint64_t value) {
    ++offsets_seen_;
    if (offsets_seen_ == 1) tensor_.begin = value;
    if (offsets_seen_ == 2) tensor_.end = value;
    return offsets_seen_ <= 2 || broken("E_ST_OFFSETS", "data_offsets has more than 2 numbers");
  }

  bool finish_entry() {
    if (seen_ != (kDtype | kShape | kOffsets)) {
      return broken("E_ST_ENTRY", "dtype, shape or data_offsets is missing");
    }
    const std::string range = cat("[", tensor_.begin, ", ", tensor_.end, "]");
    if (tensor_.begin > tensor_.end) {
      return broken("E_ST_OFFSETS", "data_offsets " + range + " run backwards");
    }
    std::uint64_t bits = 1;
    bool overflow = false;
    for (const std::int64_t dimension : tensor_.shape) {
      overflow |= __builtin_mul_overflow(bits, static_cast<std::uint64_t>(dimension), &bits);
    }
    overflow |= __builtin_mul_overflow(bits, std::uint64_t{dtype_bits(tensor_.dtype)}, &bits);
    if (overflow) return broken("E_ST_OVERFLOW", describe(tensor_) + " has 2^64 bits or more");
    if (bits % 8 != 0) return broken("E_ST_ALIGN", describe(tensor_) + " is not whole bytes");
    if (bits / 8 != tensor_.byte_size()) {
      return broken("E_ST_SIZE",
                    cat(describe(tensor_), " needs ", bits / 8, " bytes, data_offsets ", range,
                        " hold ", tensor_.byte_size()));
    }
    header_.tensors.push_back(std::move(tensor_));
    tensor_ = TensorInfo{};
    return true;
  }

  SafetensorsHeader& header_;
  SafetensorsLimits limits_;
  State state_ = State::kStart;
  int depth_ = 0;
  int skip_depth_ = 0;
  bool in_metadata_ = false;
  bool metadata_seen_ = false;
  std::string key_;
  TensorInfo tensor_;
  unsigned seen_ = 0;
  Field field_ = kOther;
  int offsets_seen_ = 0;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> others_;
};

std::uint64_t header_length(std::span<const std::byte> prefix, std::uint64_t file_size,
                            const SafetensorsLimits& limits) {
  const std::string_view start(reinterpret_cast<const char*>(prefix.data()), prefix.size());
  if (file_size == 0) throw Error::model_rule("E_ST_SHORT", "the file is empty", kAgain);
  std::uint64_t length = 0;
  if (file_size >= kLengthBytes) {
    if (prefix.size() < kLengthBytes) throw Error::internal("safetensors prefix is too short");
    length = from_little_endian(prefix.first(kLengthBytes));
    if (length <= limits.max_header_bytes && length <= file_size - kLengthBytes) return length;
  }
  if (const auto foreign = foreign_weights(start)) throw *foreign;
  if (file_size < kLengthBytes) {
    throw Error::model_rule("E_ST_SHORT", cat("only ", file_size, " bytes"), kAgain);
  }
  if (length > limits.max_header_bytes) {
    throw Error::model_rule(
        "E_ST_HDR_BIG", cat("the header would have ", length, " bytes; not a safetensors file?"));
  }
  throw Error::model_rule("E_ST_HDR_LEN",
                          cat("the header has ", length, " bytes, the file ", file_size), kAgain);
}

void check_layout(const SafetensorsHeader& header) {
  const TensorInfo* previous = nullptr;
  for (const TensorInfo& tensor : header.tensors) {
    const std::uint64_t expected = previous != nullptr ? previous->end : 0;
    if (tensor.begin != expected) {
      const char* fault = tensor.begin < expected ? " overlaps " : " leaves a hole after ";
      throw Error::model_rule("E_ST_LAYOUT",
                              cat("tensor ", in_quotes(tensor.name), fault,
                                  previous != nullptr ? in_quotes(previous->name) : "the header",
                                  ": it begins at ", tensor.begin, ", expected ", expected));
    }
    previous = &tensor;
  }
}

void check_file_size(const SafetensorsHeader& header, std::uint64_t file_size,
                     const SafetensorsLimits& limits) {
  const std::uint64_t data = header.tensors.empty() ? 0 : header.tensors.back().end;
  const std::uint64_t present = file_size - header.data_offset;
  if (data > present) {
    throw Error::model_rule("E_ST_TRUNC",
                            cat("short by ", data - present, " bytes (", file_size, " of ",
                                header.data_offset, " + ", data, ")"),
                            "the download is incomplete: download again");
  }
  if (data < present && !limits.allow_trailing) {
    throw Error::model_rule("E_ST_TRAIL", cat(present - data, " bytes follow the last tensor"),
                            kAgain);
  }
}

void read_json(std::string_view text, const SafetensorsLimits& limits, SafetensorsHeader& header) {
  HeaderReader reader(header, limits);
  const JsonLimits json{text.size(), limits.max_depth};
  const auto fault = parse_json_into(text, json, reader);
  if (!fault) return;
  const bool utf8 = fault->kind == JsonFault::Kind::kUtf8;
  const std::string rule = !reader.rule.empty() ? reader.rule : utf8 ? "E_ST_UTF8" : "E_ST_JSON";
  throw Error::model_rule(rule, cat(fault->text, ", header byte ", fault->offset));
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> prefix,
                                           std::uint64_t file_size, const std::string& file,
                                           const SafetensorsLimits& limits) {
  try {
    const std::uint64_t length = header_length(prefix, file_size, limits);
    if (prefix.size() - kLengthBytes < length) {
      throw Error::internal("safetensors prefix is too short");
    }
    const std::string_view text(reinterpret_cast<const char*>(prefix.data()) + kLengthBytes,
                                static_cast<std::size_t>(length));
    SafetensorsHeader header;
    header.data_offset = kLengthBytes + length;
    read_json(text, limits, header);
    std::sort(header.tensors.begin(), header.tensors.end(),
              [](const TensorInfo& a, const TensorInfo& b) {
                return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
              });
    check_layout(header);
    check_file_size(header, file_size, limits);
    return header;
  } catch (Error& error) {
    error.with_context(file);
    throw;
  }
}

}  // namespace ldm
