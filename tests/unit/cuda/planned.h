#pragma once

#include "backend/cuda/kernels/plan.h"
#include "unit/cuda/rig.h"

namespace itemcrop::test {

/// A fusion's plan on the device, in params that still want matrices and weights.
inline cuda::kernels::FusionParams planned(Rig& rig, const cuda::kernels::FusionPlan& plan) {
  cuda::kernels::FusionParams params;
  params.samples = rig.upload(plan.samples);
  params.sample_count = static_cast<int>(plan.samples.size());
  params.short_tiles = rig.upload(plan.short_tiles);
  params.short_tile_count = static_cast<int>(plan.short_tiles.size());
  params.vision_tiles = rig.upload(plan.vision_tiles);
  params.vision_tile_count = static_cast<int>(plan.vision_tiles.size());
  params.context_tiles = rig.upload(plan.context_tiles);
  params.context_tile_count = static_cast<int>(plan.context_tiles.size());
  params.max_columns = plan.max_columns;
  params.workspace = rig.workspace(plan.workspace_bytes);
  params.partials = static_cast<float*>(rig.workspace(plan.partial_bytes));
  return params;
}

}  // namespace itemcrop::test
