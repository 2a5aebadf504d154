#pragma once

#include "backend/cuda/kernels/layout.h"

namespace itemcrop::cuda::kernels {

/// Query rows per tile of attention: attention_tiles(query_segments).
inline constexpr std::int64_t kAttentionTileRows = 64;

/// softmax(scale * q k^T) v, head by head. All matrices have one type; head dimensions (of query
/// and of value) are at most 256.
struct AttentionParams {
  Matrix query, key, value, y;
  const Segment* query_segments = nullptr;
  const Segment* key_segments = nullptr;
  const Tile* tiles = nullptr;  ///< of the query segments
  int tile_count = 0;
  int heads = 1;
  float scale = 1.0F;                    ///< positive
  const std::int32_t* blocks = nullptr;  ///< per row, or null
};
void launch_attention(Stream stream, const AttentionParams& params);

/// Swin windows: shift, padding, relative bias, mask and softmax in one pass. The executor makes
/// qkv = layer_norm(x) Wqkv^T + b on the maps as they are, and adds y Wo^T + b to x afterwards.
/// plan_windows() makes the maps. Head dimension at most 64.
struct WindowAttentionParams {
  Matrix qkv;  ///< [rows, 3C]
  Matrix y;    ///< [rows, C]
  /// [3C] bias of the qkv product: what tokens in the padding have. Null: zeros.
  const float* qkv_bias = nullptr;
  const float* bias = nullptr;  ///< relative position bias, [(2w-1)^2, heads]
  const WindowMap* maps = nullptr;
  int map_count = 0;
  std::int64_t windows = 0;  ///< of all maps; more are skipped
  int window = 7;
  int shift = 0;
  int heads = 1;
  /// Thread blocks that keep a device busy; more windows and heads share blocks. Answers do not
  /// depend on it. 1320: two rounds of five a multiprocessor of an H100.
  int blocks = 1320;
};
void launch_window_attention(Stream stream, const WindowAttentionParams& params);

}  // namespace itemcrop::cuda::kernels
