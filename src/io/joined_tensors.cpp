#include "ldm/io/joined_tensors.h"

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {

void JoinedTensors::insert(const std::string& name, Entry entry) {
  entry.info.name = name;
  if (!entries_.emplace(name, std::move(entry)).second) {
    throw Error::model(cat("two tensors are called \"", name, "\""));
  }
}

void JoinedTensors::add(std::string_view prefix, std::shared_ptr<const TensorSource> source) {
  for (const std::string& name : source->names()) {
    insert(cat(prefix, name), {*source->find(name), source.get(), name, {}});
  }
  sources_.push_back(std::move(source));
}

void JoinedTensors::add_value(const std::string& name, DType dtype, std::vector<std::int64_t> shape,
                              std::vector<std::byte> bytes) {
  const std::uint64_t size = bytes.size();
  insert(name, {{name, dtype, std::move(shape), 0, size}, nullptr, {}, std::move(bytes)});
}

const JoinedTensors::Entry& JoinedTensors::entry(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw Error::model(cat("no tensor \"", name, "\""));
  return found->second;
}

const TensorInfo* JoinedTensors::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second.info;
}

std::vector<std::string> JoinedTensors::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

void JoinedTensors::read_part(std::string_view name, std::uint64_t offset,
                              std::span<std::byte> out) const {
  const Entry& from = entry(name);
  if (from.source != nullptr) {
    from.source->read_part(from.name, offset, out);
    return;
  }
  if (offset > from.bytes.size() || out.size() > from.bytes.size() - offset) {
    throw Error::internal(cat("reading past the end of tensor \"", name, "\""));
  }
  std::copy_n(from.bytes.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
}

std::filesystem::path JoinedTensors::file_of(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second.source == nullptr) return {};
  return found->second.source->file_of(found->second.name);
}

std::vector<SourceFile> JoinedTensors::files() const {
  std::vector<SourceFile> all;
  for (const auto& source : sources_) {
    for (SourceFile& file : source->files()) all.push_back(std::move(file));
  }
  return all;
}

void JoinedTensors::check_unchanged() const {
  for (const auto& source : sources_) source->check_unchanged();
}

}  // namespace ldm
