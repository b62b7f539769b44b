#include <cmath>

#include "ldm/text/prompt_syntax.h"

namespace ldm {
namespace {

using Kind = PromptNode::Kind;
using Nodes = std::vector<PromptNode>;

void flatten(const Nodes& nodes, double weight, int step, int steps,
             std::vector<PromptPiece>& out) {
  for (const PromptNode& node : nodes) {
    switch (node.kind) {
      case Kind::kText: {
        const bool joins = !out.empty() && !out.back().is_break && out.back().weight == weight;
        if (!joins) out.push_back({{}, weight, false, {}});
        out.back().text += node.text;
        out.back().source.insert(out.back().source.end(), node.source.begin(), node.source.end());
        break;
      }
      case Kind::kBreak:
        out.push_back({{}, 1.0, true, {}});
        break;
      case Kind::kWeight:
        flatten(node.branches[0], weight * node.number, step, steps, out);
        break;
      case Kind::kEdit: {
        const double last = node.is_fraction ? std::trunc(node.number * steps) : node.number;
        flatten(node.branches[step <= last ? 0 : 1], weight, step, steps, out);
        break;
      }
      case Kind::kAlternate: {
        const auto turn = static_cast<std::size_t>(step - 1) % node.branches.size();
        flatten(node.branches[turn], weight, step, steps, out);
        break;
      }
    }
  }
}

}  // namespace

bool changes_over_steps(const std::vector<PromptNode>& nodes) {
  for (const PromptNode& node : nodes) {
    if (node.kind == Kind::kEdit || node.kind == Kind::kAlternate) return true;
    if (!node.branches.empty() && changes_over_steps(node.branches[0])) return true;
  }
  return false;
}

std::vector<PromptPiece> pieces_at(const std::vector<PromptNode>& nodes, int step, int steps) {
  std::vector<PromptPiece> pieces;
  flatten(nodes, 1.0, step, steps, pieces);
  return pieces;
}

}  // namespace ldm
