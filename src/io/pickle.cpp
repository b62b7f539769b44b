#include "ldm/io/pickle.h"

#include <array>
#include <bit>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/little_endian.h"
#include "ldm/io/pickle_globals.h"
#include "ldm/io/pickle_objects.h"

namespace ldm {
namespace {

enum Op : unsigned char {
  kMark = '(',
  kStop = '.',
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kBinFloat = 'G',
  kBinUnicode = 'X',
  kShortBinString = 'U',
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kGlobal = 'c',
  kBinPersId = 'Q',
  kReduce = 'R',
  kNewObj = 0x81,
  kBuild = 'b',
  kProto = 0x80,
};

std::string shortened(std::string_view text) {
  constexpr std::size_t kMost = 120;
  return text.size() <= kMost ? std::string(text) : std::string(text.substr(0, kMost)) + "…";
}

// The stack machine. Every operation takes at least one byte and adds at most one value, so that
// time and memory are bounded by the pickle's length.
class Machine {
 public:
  Machine(std::span<const std::byte> pickle, const PickleLimits& limits, PickleArena& arena)
      : bytes_(pickle), limits_(limits), arena_(arena), objects_(arena, limits) {
    // Python 2 numbers the memo from one.
    if (limits.before_torch_1_6) memo_.emplace_back();
  }

  PickleValue run() {
    if (take_byte() != kProto || take_byte() != 2) {
      refuse("E_PKL_PROTO", "this is no pickle of protocol 2, as torch.save writes");
    }
    for (std::uint64_t count = 1;; ++count) {
      op_at_ = at_;
      if (count > limits_.max_operations) {
        refuse("E_PKL_LIMIT", cat("more than ", limits_.max_operations, " operations"));
      }
      const unsigned char op = take_byte();
      if (op == kStop) return finish();
      step(op);
    }
  }

  std::size_t read_bytes() const { return at_; }

 private:
  [[noreturn]] void refuse(const char* rule, const std::string& what) const {
    refuse_pickle(rule, what, op_at_);
  }

  std::span<const std::byte> take(std::size_t count) {
    if (count > bytes_.size() - at_) {
      refuse("E_PKL_TRUNC", "the pickle ends in the middle of the operation");
    }
    return bytes_.subspan(std::exchange(at_, at_ + count), count);
  }
  unsigned char take_byte() { return std::to_integer<unsigned char>(take(1).front()); }
  std::uint64_t take_number(std::size_t count) { return from_little_endian(take(count)); }
  std::string_view take_line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_,
                                bytes_.size() - at_);
    const std::size_t length = rest.find('\n');
    if (length == std::string_view::npos) refuse("E_PKL_TRUNC", "a name without an end");
    at_ += length + 1;
    return rest.substr(0, length);
  }

  void push(const PickleValue& value) { stack_.push_back(value); }
  std::size_t above_mark() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  void require(std::size_t count) const {
    if (above_mark() < count) refuse("E_PKL_STACK", "an operation without its operands");
  }
  PickleValue pop() {
    require(1);
    const PickleValue value = stack_.back();
    stack_.pop_back();
    return value;
  }
  const PickleValue& top() const {
    require(1);
    return stack_.back();
  }
  // The values since the last mark, which is taken away; they stay on the stack until drop().
  std::span<const PickleValue> marked() {
    if (marks_.empty()) refuse("E_PKL_STACK", "an operation without its mark");
    const std::size_t start = marks_.back();
    marks_.pop_back();
    return std::span(stack_).subspan(start);
  }
  void drop(std::size_t count) { stack_.resize(stack_.size() - count); }

  PickleValue finish() {
    if (stack_.size() != 1 || !marks_.empty()) {
      refuse("E_PKL_STACK", cat("the end with ", stack_.size(), " values left"));
    }
    if (at_ != bytes_.size() && !limits_.before_torch_1_6) {
      refuse("E_PKL_TRAIL", cat(bytes_.size() - at_, " bytes follow the end"));
    }
    return stack_.back();
  }

  void step(unsigned char op) {
    switch (op) {
      case kMark:
        if (marks_.size() >= limits_.max_depth) {
          refuse("E_PKL_LIMIT", cat("marks nested deeper than ", limits_.max_depth));
        }
        return marks_.push_back(stack_.size());
      case kNone:
        return push({PickleKind::kNone});
      case kNewTrue:
      case kNewFalse:
        return push({PickleKind::kBool, false, 0, op == kNewTrue ? 1U : 0U});
      case kBinInt:
        return push_int(static_cast<std::int32_t>(take_number(4)));
      case kBinInt1:
        return push_int(static_cast<std::int64_t>(take_number(1)));
      case kBinInt2:
        return push_int(static_cast<std::int64_t>(take_number(2)));
      case kLong1:
        return push_long();
      case kBinFloat:
        return push_float();
      case kBinUnicode:
        return push_text(static_cast<std::size_t>(take_number(4)));
      case kShortBinString:
        return push_text(static_cast<std::size_t>(take_number(1)));
      default:
        return step_container(op);
    }
  }

  void step_container(unsigned char op) {
    switch (op) {
      case kEmptyTuple:
        return push(arena_.make_tuple({}));
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return push_tuple(1U + op - kTuple1);
      case kTuple:
        return push_tuple(marked().size());
      case kEmptyList:
        return push(arena_.make_container(PickleKind::kList));
      case kEmptyDict:
        return push(arena_.make_container(PickleKind::kDict));
      case kAppend:
        require(2);
        return append(std::span(stack_).last(1));
      case kAppends:
        return append(marked());
      case kSetItem:
        require(3);
        return set_items(std::span(stack_).last(2));
      case kSetItems:
        return set_items(marked());
      default:
        return step_object(op);
    }
  }

  void step_object(unsigned char op) {
    switch (op) {
      case kBinPut:
        return put(static_cast<std::size_t>(take_number(1)));
      case kLongBinPut:
        return put(static_cast<std::size_t>(take_number(4)));
      case kBinGet:
        return get(static_cast<std::size_t>(take_number(1)));
      case kLongBinGet:
        return get(static_cast<std::size_t>(take_number(4)));
      case kGlobal:
        return push_global();
      case kBinPersId:
        return push(objects_.storage(pop(), op_at_));
      case kReduce:
      case kNewObj: {
        const PickleValue arguments = pop();
        const PickleValue callable = pop();
        return push(op == kReduce ? objects_.reduce(callable, arguments, op_at_)
                                  : objects_.new_object(callable, arguments, op_at_));
      }
      case kBuild: {
        const PickleValue state = pop();
        return objects_.build(top(), state, op_at_);
      }
      case kProto:
        refuse("E_PKL_PROTO", "a second PROTO");
      default:
        refuse("E_PKL_OPCODE", "the opcode " + pickle_opcode_name(op) + ", which is not allowed,");
    }
  }

  void push_int(std::int64_t value) {
    push({PickleKind::kInt, false, 0, static_cast<std::uint64_t>(value)});
  }
  void push_long() {
    constexpr std::size_t kMost = 8;
    const std::size_t length = take_byte();
    if (length > kMost) refuse("E_PKL_INT", cat("an integer of ", length, " bytes"));
    std::uint64_t value = take_number(length);
    if (length > 0 && length < kMost && (value >> (8 * length - 1)) != 0) {
      value |= ~std::uint64_t{0} << (8 * length);
    }
    push_int(static_cast<std::int64_t>(value));
  }
  void push_float() {
    std::uint64_t bits = 0;
    for (const std::byte byte : take(8)) bits = (bits << 8U) | std::to_integer<std::uint64_t>(byte);
    push({PickleKind::kFloat, false, 0, bits});
  }
  void push_text(std::size_t length) {
    const auto begin = static_cast<std::uint32_t>(at_);
    take(length);
    const PickleValue value{PickleKind::kText, false, begin, length};
    if (find_invalid_utf8(arena_.text(value)) != std::string_view::npos) {
      refuse("E_PKL_TEXT", "a text that is not UTF-8");
    }
    push(value);
  }
  void push_tuple(std::size_t count) {
    require(count);
    const PickleValue tuple = arena_.make_tuple(std::span(stack_).last(count));
    drop(count);
    push(tuple);
  }

  void append(std::span<const PickleValue> values) {
    require(values.size() + 1);
    const PickleValue list = stack_[stack_.size() - values.size() - 1];
    if (list.kind == PickleKind::kList) {
      for (const PickleValue& value : values) arena_.add(list, {}, value);
    } else if (!limits_.opaque_globals || list.kind != PickleKind::kOpaque) {
      refuse("E_PKL_TYPE", "APPEND on something that is no list");
    }
    drop(values.size());
  }
  void set_items(std::span<const PickleValue> values) {
    require(values.size() + 1);
    const PickleValue dict = stack_[stack_.size() - values.size() - 1];
    if (values.size() % 2 != 0) refuse("E_PKL_STACK", "a key without its value");
    if (dict.kind == PickleKind::kDict) {
      for (std::size_t i = 0; i < values.size(); i += 2) {
        if (values[i].kind == PickleKind::kList || values[i].kind == PickleKind::kDict) {
          refuse("E_PKL_TYPE", "a list or dict as a key");
        }
        arena_.add(dict, values[i], values[i + 1]);
      }
    } else if (!limits_.opaque_globals || dict.kind != PickleKind::kOpaque) {
      refuse("E_PKL_TYPE", "SETITEM on something that is no dict");
    }
    drop(values.size());
  }

  // Picklers number the memo upwards, so a slot far beyond the last one only asks for memory.
  void put(std::size_t slot) {
    if (slot >= limits_.max_memo) refuse("E_PKL_LIMIT", cat("memo slot ", slot));
    if (slot > memo_.size()) refuse("E_PKL_MEMO", cat("memo slot ", slot, " out of order"));
    if (slot == memo_.size()) memo_.emplace_back();
    memo_[slot] = top();
  }
  void get(std::size_t slot) {
    if (slot >= memo_.size()) refuse("E_PKL_MEMO", cat("memo slot ", slot, ", which is empty,"));
    push(memo_[slot]);
  }

  void push_global() {
    const std::string_view module = take_line();
    const std::string_view name = take_line();
    const auto known = find_known_global(module, name);
    if (!known && limits_.opaque_globals) return push({PickleKind::kOpaque});
    if (!known) {
      throw Error::model_rule("E_PKL_GLOBAL",
                              cat("\"", shortened(module), " ", shortened(name), "\" at byte ",
                                  op_at_, ": this file asks to run code; not loaded"),
                              "get the model as .safetensors, or from a source you trust");
    }
    push({PickleKind::kGlobal, false, static_cast<std::uint32_t>(*known), op_at_});
  }

  std::span<const std::byte> bytes_;
  const PickleLimits& limits_;
  PickleArena& arena_;
  PickleObjects objects_;
  std::size_t at_ = 0;
  std::size_t op_at_ = 0;
  std::vector<PickleValue> stack_;
  std::vector<std::size_t> marks_;
  std::vector<PickleValue> memo_;
};

}  // namespace

Pickle parse_pickle(std::span<const std::byte> pickle, const PickleLimits& limits) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 30U;
  if (pickle.size() > kMostBytes) {
    throw Error::model_rule("E_PKL_LIMIT", cat("a pickle of ", pickle.size(), " bytes"));
  }
  Pickle result{PickleArena(pickle), {}, 0};
  Machine machine(pickle, limits, result.arena);
  result.root = machine.run();
  result.bytes = machine.read_bytes();
  return result;
}

}  // namespace ldm
