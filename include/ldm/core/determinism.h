#pragma once

#include <map>
#include <string>

namespace ldm {

/// What libtorch and oneDNN are told of exactness, on the CPU or on CUDA: deterministic algorithms,
/// the precision of fp32 convolutions and products, cuDNN's search, and those environment variables
/// of oneDNN, MKL and cuBLAS that are set and change a result's last digits.
std::map<std::string, std::string> determinism_settings(bool cuda);

}  // namespace ldm
