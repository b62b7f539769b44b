#include "ldm/loading/weight_updates.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/matmul.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/convert.h"

namespace ldm {
namespace {

at::Tensor read_factor(const TensorSource& source, const std::string& name) {
  std::vector<float> values = read_floats(source, name);
  return at::from_blob(values.data(), source.find(name)->shape, at::kFloat).clone();
}

}  // namespace

at::Tensor low_rank_change(const LowRankUpdate& update, at::IntArrayRef shape) {
  const at::Tensor up = read_factor(*update.source, update.up).flatten(1);
  const at::Tensor down = read_factor(*update.source, update.down).flatten(1);
  const at::Tensor change =
      update.mid.empty()
          ? at::matmul(up, down)
          : at::einsum("op,pqkl,qi->oikl", {up, read_factor(*update.source, update.mid), down});
  if (!at::isfinite(change).all().item<bool>()) {
    throw Error::model(cat(update.source->file_of(update.up).string(), ": the product of \"",
                           update.up, "\" and \"", update.down, "\" is not finite"),
                       "the file is damaged or was trained to divergence");
  }
  return change.reshape(shape) * update.scale;
}

}  // namespace ldm
