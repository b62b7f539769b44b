#include "ldm/text/bpe.h"

#include <queue>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/unicode.h"

namespace ldm {
namespace {

constexpr std::string_view kEndOfWord = "</w>";
constexpr std::int64_t kMostId = (std::int64_t{1} << 22) - 1;
constexpr const char* kFilesHint = "copy the tokenizer folder again: its files do not fit together";

// GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes follow from U+0100.
std::array<std::string, 256> byte_alphabet() {
  std::array<std::string, 256> alphabet;
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    append_utf8(alphabet[byte], printable ? byte : next++);
  }
  return alphabet;
}

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(left) << 32U | static_cast<std::uint64_t>(right);
}

// A possible merge of the symbol at `position` with the one behind it.
struct Candidate {
  std::uint32_t rank;
  std::int32_t position;
  std::int32_t id;

  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

struct BytePairEncoder::Symbol {
  std::int32_t id;
  std::int32_t previous;  // -1 at the word's start
  std::int32_t next;      // -1 at the word's end
  std::size_t begin;
  std::size_t end;  // == begin once merged into the symbol before it
};

std::vector<MergeRule> parse_merges(std::string_view text, const std::string& file) {
  std::vector<MergeRule> rules;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("#version")) continue;
    const std::size_t blank = line.find(' ');
    if (blank == 0 || blank == std::string_view::npos || blank + 1 == line.size() ||
        line.find(' ', blank + 1) != std::string_view::npos) {
      throw Error::model(cat(file, ":", number, ": expected two pieces with one blank between, ",
                             "found \"", line.substr(0, 60), "\""),
                         "copy merges.txt again from the model's source");
    }
    rules.push_back(
        {std::string(line.substr(0, blank)), std::string(line.substr(blank + 1)), number});
  }
  return rules;
}

BytePairEncoder::BytePairEncoder(Vocabulary vocabulary, std::span<const MergeRule> merges,
                                 const std::string& source, const std::string& unknown)
    : vocabulary_(std::move(vocabulary)) {
  index_pieces();
  index_bytes(unknown);
  add_merges(merges, source);
}

void BytePairEncoder::index_pieces() {
  for (const auto& [piece, id] : vocabulary_) {
    if (id < 0 || id > kMostId) {
      throw Error::model(cat("vocabulary: id ", id, " of \"", piece, "\" is out of range"),
                         kFilesHint);
    }
    const auto slot = static_cast<std::size_t>(id);
    if (slot >= pieces_.size()) pieces_.resize(slot + 1);
    if (pieces_[slot].data() != nullptr) {
      throw Error::model(
          cat("vocabulary: \"", pieces_[slot], "\" and \"", piece, "\" have the same id ", id),
          kFilesHint);
    }
    pieces_[slot] = piece;
  }
}

void BytePairEncoder::index_bytes(const std::string& unknown) {
  const std::array<std::string, 256> alphabet = byte_alphabet();
  const std::optional<std::int64_t> unknown_id = find(unknown);
  const auto id_of = [&](const std::string& piece) {
    const std::optional<std::int64_t> id = find(piece);
    if (!id && !unknown_id) {
      throw Error::model(cat("vocabulary: has neither the byte piece \"", piece,
                             "\" nor the unknown token \"", unknown, "\""),
                         kFilesHint);
    }
    return static_cast<std::int32_t>(id ? *id : *unknown_id);
  };
  for (std::size_t byte = 0; byte < alphabet.size(); ++byte) {
    byte_ids_[byte] = id_of(alphabet[byte]);
    last_byte_ids_[byte] = id_of(cat(alphabet[byte], kEndOfWord));
  }
}

void BytePairEncoder::add_merges(std::span<const MergeRule> merges, const std::string& source) {
  merges_.reserve(merges.size());
  std::uint32_t rank = 0;
  for (const MergeRule& rule : merges) {
    const auto id_of = [&](const std::string& piece) {
      const std::optional<std::int64_t> id = find(piece);
      if (!id) {
        throw Error::model(
            cat(source, ":", rule.place, ": \"", piece, "\" is not in the vocabulary"), kFilesHint);
      }
      return static_cast<std::int32_t>(*id);
    };
    const std::uint64_t key = pair_key(id_of(rule.left), id_of(rule.right));
    merges_.insert_or_assign(key, Merge{rank++, id_of(rule.left + rule.right)});
  }
}

const BytePairEncoder::Merge* BytePairEncoder::find_merge(std::int32_t left,
                                                          std::int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BytePairEncoder::merge_all(std::vector<Symbol>& symbols) const {
  std::priority_queue<Candidate> queue;
  const auto at = [&](std::int32_t i) -> Symbol& { return symbols[static_cast<std::size_t>(i)]; };
  const auto consider = [&](std::int32_t i) {
    if (i < 0 || at(i).next < 0) return;
    const Merge* merge = find_merge(at(i).id, at(at(i).next).id);
    if (merge != nullptr) queue.push({merge->rank, i, merge->id});
  };
  for (std::int32_t i = 0; static_cast<std::size_t>(i) < symbols.size(); ++i) consider(i);

  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& left = at(top.position);
    if (left.begin == left.end || left.next < 0) continue;
    Symbol& right = at(left.next);
    // The pair may have changed since it was queued.
    const Merge* merge = find_merge(left.id, right.id);
    if (merge == nullptr || merge->id != top.id) continue;
    left.id = merge->id;
    left.end = right.end;
    left.next = right.next;
    right.end = right.begin;
    if (left.next >= 0) at(left.next).previous = top.position;
    consider(left.previous);
    consider(top.position);
  }
}

void BytePairEncoder::encode(std::string_view word, std::vector<Token>& out) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (std::size_t i = 0; i < word.size(); ++i) {
    const bool is_last = i + 1 == word.size();
    const auto position = static_cast<std::int32_t>(i);
    const auto& ids = is_last ? last_byte_ids_ : byte_ids_;
    symbols.push_back({ids[static_cast<unsigned char>(word[i])], position - 1,
                       is_last ? -1 : position + 1, i, i + 1});
  }
  merge_all(symbols);
  for (const Symbol& symbol : symbols) {
    if (symbol.begin != symbol.end) out.push_back({symbol.id, symbol.begin, symbol.end});
  }
}

std::optional<std::int64_t> BytePairEncoder::find(const std::string& piece) const {
  const auto found = vocabulary_.find(piece);
  if (found == vocabulary_.end()) return std::nullopt;
  return found->second;
}

std::string_view BytePairEncoder::piece(std::int64_t id) const {
  const auto slot = static_cast<std::size_t>(id);
  return id >= 0 && slot < pieces_.size() ? pieces_[slot] : std::string_view();
}

}  // namespace ldm
