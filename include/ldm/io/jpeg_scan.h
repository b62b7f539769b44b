#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace ldm {

/// What a JPEG's markers say; `exif` points into the scanned bytes.
struct JpegLayout {
  int width = 0;
  int height = 0;
  int components = 0;
  bool progressive = false;
  bool has_adobe = false;
  std::span<const std::byte> exif;  ///< the TIFF block of APP1, empty without one
};

/// Walks the markers from SOI to EOI: segment lengths, one 8-bit Huffman SOF0/1/2 of 1, 3 or 4
/// components and at most 64 MPix, at most 256 scans, and for every scan the quantisation and
/// Huffman tables it uses. Error::input naming `name`. Allocates nothing.
JpegLayout scan_jpeg(std::span<const std::byte> bytes, const std::string& name);

}  // namespace ldm
