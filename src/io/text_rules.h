#pragma once

namespace itemcrop::io {

/// The two sets of rules that checkpoints were trained under. They differ where transformers 5
/// changed the reference; config.json's transformers_version tells which one a checkpoint needs.
enum class TextRules {
  /// The paper's code and transformers 4: a separator continues its block's position ids, and the
  /// text enhancer's sine embedding of them is floating point.
  kPublished,
  /// transformers 5: a separator's own position id is 0, and the sine embedding is truncated
  /// toward zero (transformers issue 47674).
  kTransformers5,
};

}  // namespace itemcrop::io
