#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <map>
#include <string>

namespace ldm::nn {

/// Turns every layer below `module` into its fastest form for inference where its weights are: on a
/// CPU in oneDNN's blocked layouts, the plain ones let go; projections of one input joined; own
/// kernels for attention (on a CPU) and norms. Outputs stay the same within rounding. Convolutions
/// are packed at their first forward, when the size of their input is known, and again when it
/// changes. Parameters become placeholders: nothing can be trained or saved afterwards. Layers that
/// no faster form serves (other dtypes) stay as they are.
void pack_for_inference(torch::nn::Module& module);

/// Drops packed weights again: layers are as they were before any weights came.
void unpack(torch::nn::Module& module);

/// Lets layers below `module` be packed in 8 bits from then on where a kernel serves
/// (kernels/int8_linear.h on a CPU, kernels/fp8_linear.h on a GPU): those of transformer blocks
/// that every step computes over all pixels, where most products are; on a GPU those of them that
/// read what a LayerNorm or a gate gives. Keys and values of the text, which are computed once,
/// stay exact.
void prefer_eight_bit(torch::nn::Module& module);

/// All tensors that a packed module computes with, before its first forward: the parameters that
/// packing left, by their names, and what it made of the others, by the layer's name and its own.
/// They share storage; oneDNN's are opaque (`is_mkldnn`).
std::map<std::string, at::Tensor> packed_tensors(torch::nn::Module& module);

/// Makes a module without weights what it was when `packed_tensors` told of it. `find` gives the
/// tensor of a name, which may be read-only memory, or an undefined one; `dtype` is that of the
/// weights.
void adopt_packed(torch::nn::Module& module, at::ScalarType dtype,
                  const std::function<at::Tensor(const std::string& name)>& find);

}  // namespace ldm::nn
