#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "ldm/text/added_tokens.h"
#include "ldm/text/bpe.h"

namespace ldm {

/// What a CLIP tokenizer folder says, before anything is built from it.
struct ClipFiles {
  Vocabulary vocabulary;
  std::vector<MergeRule> merges;
  std::string merges_source;  ///< file of the merges, for messages
  std::vector<AddedToken>
      added;  ///< in the order of their addition; a later one replaces an earlier
  std::string bos = "<|startoftext|>";
  std::string eos = "<|endoftext|>";
  std::string unk = "<|endoftext|>";
  std::string pad = "<|endoftext|>";
  std::size_t max_length = 77;
};

/// Reads `tokenizer.json` where there is one, else `vocab.json` and `merges.txt`; and beside them,
/// each optional, `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
///
/// Which file wins is as in transformers 5's CLIPTokenizer.from_pretrained: the config's
/// `added_tokens_decoder`, where present, rules out the other two; otherwise the special-tokens map
/// overrides the config. A tokenizer.json must describe CLIP's own pipeline (NFC, white space,
/// lower case; split and byte level; BPE with "</w>"). Everything wrong is Error::model naming the
/// file and the place in it.
ClipFiles read_clip_files(const std::filesystem::path& folder);

}  // namespace ldm
