#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ldm/text/added_tokens.h"
#include "ldm/text/tokenizer.h"

namespace ldm {

/// What stands around a prompt's ids.
struct PromptFrame {
  std::int64_t bos = 0;  ///< before the prompt; -1 for none (T5)
  std::int64_t eos = 0;  ///< behind it
  std::int64_t pad = 0;  ///< fills up to `max_length`
  std::size_t max_length = 77;
};

/// What all tokenizers share: prompts are checked, framed, cut and padded on the right.
class FramedTokenizer : public Tokenizer {
 public:
  Encoding encode(std::string_view prompt) const final;
  std::vector<std::int64_t> tokenize(std::string_view text) const final;
  std::vector<PlacedToken> place(std::string_view text) const final;
  std::int64_t bos_id() const final { return frame_.bos; }
  std::int64_t eos_id() const final { return frame_.eos; }
  std::int64_t pad_id() const final { return frame_.pad; }
  std::size_t max_length() const final { return frame_.max_length; }

 protected:
  explicit FramedTokenizer(const PromptFrame& frame) : frame_(frame) {}

  /// The tokens that are found in a prompt as they stand, before anything else is done with it.
  virtual const AddedTokenSplitter& raw_tokens() const = 0;
  /// Appends the tokens of a stretch of the prompt between those, which begins at its byte
  /// `offset`.
  virtual void scan_text(std::string_view text, std::size_t offset,
                         std::vector<PlacedToken>& tokens) const = 0;

 private:
  PromptFrame frame_;
};

}  // namespace ldm
