#include "ldm/loading/weight_updates.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/kron.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/convert.h"

namespace ldm {
namespace {

using Role = LoraRole;

/// Reads the factors of one update.
class Factors {
 public:
  explicit Factors(const WeightUpdate& update) : update_(update) {}

  at::Tensor change() const {
    if (update_.has(Role::kDiff)) return read(Role::kDiff);
    if (update_.has(Role::kBiasDiff)) return read(Role::kBiasDiff);
    if (update_.has(Role::kHada1A)) {
      return hada(Role::kHadaT1, Role::kHada1A, Role::kHada1B) *
             hada(Role::kHadaT2, Role::kHada2A, Role::kHada2B);
    }
    if (update_.has(Role::kKron2) || update_.has(Role::kKron2A)) return kron();
    const at::Tensor up = read(Role::kUp).flatten(1);
    const at::Tensor down = read(Role::kDown).flatten(1);
    if (!update_.has(Role::kMid)) return at::matmul(up, down);
    return at::einsum("op,pqkl,qi->oikl", {up, read(Role::kMid), down});
  }

  at::Tensor read(Role role) const {
    const std::string& name = update_.name(role);
    std::vector<float> values = read_floats(*update_.source, name);
    return at::from_blob(values.data(), update_.source->find(name)->shape, at::kFloat).clone();
  }

 private:
  at::Tensor hada(Role core, Role a, Role b) const {
    if (!update_.has(core)) return at::matmul(read(a), read(b).flatten(1));
    return tucker(core, a, b);
  }

  at::Tensor tucker(Role core, Role a, Role b) const {
    return at::einsum("ijkl,ip,jr->prkl", {read(core), read(a).flatten(1), read(b).flatten(1)});
  }

  at::Tensor kron() const {
    at::Tensor first = update_.has(Role::kKron1)
                           ? read(Role::kKron1)
                           : at::matmul(read(Role::kKron1A), read(Role::kKron1B));
    at::Tensor second;
    if (update_.has(Role::kKron2)) {
      second = read(Role::kKron2);
    } else if (update_.has(Role::kKronT2)) {
      second = tucker(Role::kKronT2, Role::kKron2A, Role::kKron2B);
    } else {
      second = at::matmul(read(Role::kKron2A), read(Role::kKron2B).flatten(1));
    }
    while (first.dim() < second.dim()) first = first.unsqueeze(-1);
    // ATen's kron views its product, whose strides follow its factors'.
    return at::kron(first.contiguous(), second.contiguous());
  }

  const WeightUpdate& update_;
};

using Shape = std::vector<std::int64_t>;

/// Whether DoRA's norms are of the weight's rows, one an output; peft's always are.
bool norms_rows(const WeightUpdate& update, at::IntArrayRef norms, std::int64_t out) {
  std::int64_t count = 1;
  for (const std::int64_t size : norms) count *= size;
  const bool peft = update.name(Role::kDora).find("magnitude") != std::string::npos;
  return !norms.empty() && count == out && (peft || norms[0] == out);
}

/// Shapes of the factors of one update.
class Shapes {
 public:
  Shapes(const WeightUpdate& update, at::IntArrayRef weight)
      : update_(update),
        out_(weight.empty() ? 0 : weight[0]),
        in_(weight.size() < 2 ? 0 : weight[1]),
        weight_(weight) {}

  std::string misfit() const {
    if (update_.has(Role::kDiff)) return same(Role::kDiff);
    if (update_.has(Role::kBiasDiff)) return same(Role::kBiasDiff);
    std::string text = weight_.size() < 2 ? "factors for a weight of one dimension" : factors();
    if (text.empty() && update_.has(Role::kDora)) text = dora();
    return text;
  }

 private:
  Shape of(Role role) const { return update_.source->find(update_.name(role))->shape; }
  static std::int64_t count(at::IntArrayRef shape) {
    std::int64_t numbers = 1;
    for (const std::int64_t size : shape) numbers *= size;
    return numbers;
  }
  std::int64_t kernel() const { return count(weight_.slice(2)); }
  std::string against(const std::string& what) const {
    return cat(what, " for a weight ", weight_);
  }
  std::string pair(Role a, Role b) const {
    return against(
        cat(update_.name(a), " ", at::IntArrayRef(of(a)), " · ", at::IntArrayRef(of(b))));
  }

  std::string same(Role role) const {
    const Shape shape = of(role);
    const bool fits = count(shape) == count(weight_) && !shape.empty() && shape[0] == out_;
    return fits ? std::string() : against(cat(update_.name(role), " ", at::IntArrayRef(shape)));
  }

  std::string factors() const {
    if (update_.has(Role::kHada1A)) {
      const std::string first = hada(Role::kHadaT1, Role::kHada1A, Role::kHada1B);
      return first.empty() ? hada(Role::kHadaT2, Role::kHada2A, Role::kHada2B) : first;
    }
    if (update_.has(Role::kKron2) || update_.has(Role::kKron2A)) return kron();
    return lora();
  }

  /// a [out, r] · b [r, in · kernel], or Tucker's form of it.
  bool product(Role core, Role a, Role b, std::int64_t out, std::int64_t in) const {
    const Shape left = of(a);
    const Shape right = of(b);
    if (left.size() < 2 || right.size() < 2) return false;
    if (!update_.has(core)) {
      return left[0] == out && left[1] == right[0] && count(left) == out * left[1] &&
             count(right) == right[0] * in * kernel();
    }
    const Shape middle = of(core);
    return middle.size() == 4 && middle[0] == left[0] && middle[1] == right[0] &&
           count(left) == left[0] * out && count(right) == right[0] * in &&
           at::IntArrayRef(middle).slice(2) == weight_.slice(2);
  }

  std::string hada(Role core, Role a, Role b) const {
    return product(core, a, b, out_, in_) ? std::string() : pair(a, b);
  }

  std::string lora() const {
    const Shape up = of(Role::kUp);
    const Shape down = of(Role::kDown);
    const bool shaped = up.size() >= 2 && down.size() >= 2 && up[0] == out_ && down[1] == in_ &&
                        count(up) == up[0] * up[1];
    bool fits = false;
    if (shaped && !update_.has(Role::kMid)) {
      const at::IntArrayRef rest = at::IntArrayRef(down).slice(2);
      fits = up[1] == down[0] && count(rest) == kernel() &&
             (kernel() == 1 || rest == weight_.slice(2));
    } else if (shaped) {
      const Shape middle = of(Role::kMid);
      fits = middle.size() == 4 && middle[0] == up[1] && middle[1] == down[0] &&
             at::IntArrayRef(middle).slice(2) == weight_.slice(2) && count(down) == down[0] * in_;
    }
    return fits ? std::string() : pair(Role::kUp, Role::kDown);
  }

  std::string kron() const {
    const bool whole = update_.has(Role::kKron1);
    const Shape first = of(whole ? Role::kKron1 : Role::kKron1A);
    const Shape first_b = whole ? first : of(Role::kKron1B);
    const Role shown = update_.has(Role::kKron2) ? Role::kKron2 : Role::kKron2A;
    const bool plain = first.size() == 2 && first_b.size() == 2 &&
                       (whole || first[1] == first_b[0]) && first[0] > 0 && first_b[1] > 0 &&
                       out_ % first[0] == 0 && in_ % first_b[1] == 0;
    bool fits = false;
    if (plain) {
      const std::int64_t out = out_ / first[0];
      const std::int64_t in = in_ / first_b[1];
      if (update_.has(Role::kKron2)) {
        const Shape second = of(Role::kKron2);
        fits = second.size() >= 2 && second[0] == out && second[1] == in &&
               count(second) == out * in * kernel();
      } else {
        fits = product(Role::kKronT2, Role::kKron2A, Role::kKron2B, out, in);
      }
    }
    return fits ? std::string() : pair(whole ? Role::kKron1 : Role::kKron1A, shown);
  }

  std::string dora() const {
    const Shape norms = of(Role::kDora);
    const bool of_out = norms_rows(update_, norms, out_);
    const bool of_in = norms.size() >= 2 && norms[0] == 1 && norms[1] == in_ && count(norms) == in_;
    return of_out || of_in ? std::string()
                           : against(cat(update_.name(Role::kDora), " ", at::IntArrayRef(norms)));
  }

  const WeightUpdate& update_;
  std::int64_t out_;
  std::int64_t in_;
  at::IntArrayRef weight_;
};

const std::string& any_name(const WeightUpdate& update) {
  for (const std::string& name : update.tensors) {
    if (!name.empty()) return name;
  }
  return update.tensors.front();
}

/// m · W / ‖W‖ over each output's row, or each input's column.
at::Tensor with_norms(const at::Tensor& weight, const at::Tensor& norms, bool of_out) {
  std::vector<std::int64_t> others;
  for (std::int64_t i = 0; i < weight.dim(); ++i) {
    if (i != (of_out ? 0 : 1)) others.push_back(i);
  }
  const at::Tensor now = at::linalg_vector_norm(weight, 2, others, /*keepdim=*/true);
  return weight * (norms.reshape(now.sizes()) / now);
}

}  // namespace

at::Tensor weight_change(const WeightUpdate& update, at::IntArrayRef shape) {
  const at::Tensor change = Factors(update).change();
  if (!at::isfinite(change).all().item<bool>()) {
    const std::string& name = any_name(update);
    throw Error::model(cat(update.source->file_of(name).string(), ": the change that \"", name,
                           "\" makes is not finite"),
                       "the file is damaged or was trained to divergence");
  }
  return change.reshape(shape) * update.factor;
}

void apply_update(const WeightUpdate& update, at::Tensor& weight) {
  const at::Tensor change = weight_change(update, weight.sizes());
  if (!update.has(LoraRole::kDora)) {
    weight += change * update.strength;
    return;
  }
  const at::Tensor norms = Factors(update).read(LoraRole::kDora);
  const bool of_out = norms_rows(update, norms.sizes(), weight.size(0));
  weight += update.strength * (with_norms(weight + change, norms, of_out) - weight);
}

std::string update_misfit(const WeightUpdate& update, at::IntArrayRef shape) {
  return Shapes(update, shape).misfit();
}

}  // namespace ldm
