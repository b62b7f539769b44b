#include "ldm/io/byte_source.h"

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {

void ByteSource::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  if (file_ != nullptr) return file_->read_at(offset, out);
  if (offset > memory_.size() || out.size() > memory_.size() - offset) {
    throw Error::model(cat("the data end before byte ", offset, " + ", out.size()));
  }
  std::copy_n(memory_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
}

}  // namespace ldm
