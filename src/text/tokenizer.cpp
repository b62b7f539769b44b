#include "ldm/text/tokenizer.h"

#include "ldm/text/clip_tokenizer.h"

namespace ldm {

std::shared_ptr<const Tokenizer> open_tokenizer(const std::filesystem::path& folder) {
  return std::make_shared<CLIPTokenizer>(CLIPTokenizer::from_folder(folder));
}

}  // namespace ldm
