"""The procedural configurations: what their folders' config.json say."""

_OUT = {"out_features": ["stage2", "stage3", "stage4"], "out_indices": [2, 3, 4]}

# As published: sub-configs list only what differs from SwinConfig's and BertConfig's defaults.
TINY = {
    "architectures": ["GroundingDinoForObjectDetection"],
    "model_type": "grounding-dino",
    "backbone_config": {"model_type": "swin", **_OUT},
    "text_config": {"model_type": "bert"},
    "activation_function": "relu",
    "d_model": 256,
    "num_feature_levels": 4,
    "num_queries": 900,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "encoder_n_points": 4,
    "decoder_layers": 6,
    "decoder_attention_heads": 8,
    "decoder_ffn_dim": 2048,
    "decoder_n_points": 4,
    "decoder_bbox_embed_share": True,
    "two_stage": True,
    "two_stage_bbox_embed_share": False,
    "embedding_init_target": True,
    "query_dim": 4,
    "max_text_len": 256,
    "position_embedding_type": "sine",
    "positional_embedding_temperature": 20,
    "layer_norm_eps": 1e-05,
    "transformers_version": "4.40.0",
}

BASE = {
    **TINY,
    "backbone_config": {
        "model_type": "swin",
        "embed_dim": 128,
        "depths": [2, 2, 18, 2],
        "num_heads": [4, 8, 16, 32],
        "hidden_size": 1024,
        "window_size": 12,
        "image_size": 384,
        **_OUT,
    },
}

_SMALL_TEXT = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}

# Small enough for sanitizers; three backbone levels and an extra one, as tiny.
MICRO = {
    **TINY,
    "d_model": 64,
    "num_queries": 30,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 128,
    "max_text_len": 64,
    "backbone_config": {
        "model_type": "swin",
        "embed_dim": 32,
        "depths": [2, 2, 2, 2],
        "num_heads": [1, 2, 4, 8],
        "window_size": 7,
        **_OUT,
    },
    "text_config": _SMALL_TEXT,
}

# Unlike tiny wherever a reader could have hard-coded it: four backbone levels of five, another
# window, points, heads, layers and text rules, and a box head for each decoder layer.
MICRO_WIDE = {
    **MICRO,
    "d_model": 96,
    "num_feature_levels": 5,
    "num_queries": 23,
    "encoder_layers": 3,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 192,
    "encoder_n_points": 2,
    "decoder_layers": 2,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 80,
    "decoder_n_points": 3,
    "decoder_bbox_embed_share": False,
    "max_text_len": 48,
    "positional_embedding_temperature": 10000,
    "transformers_version": "5.17.0",
    "backbone_config": {
        "model_type": "swin",
        "embed_dim": 24,
        "depths": [1, 2, 3, 1],
        "num_heads": [2, 2, 4, 4],
        "window_size": 4,
        "mlp_ratio": 2.0,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
        "out_indices": [1, 2, 3, 4],
    },
    "text_config": {**_SMALL_TEXT, "hidden_size": 48, "num_attention_heads": 3},
}

_SHARE_FLAGS = ("decoder_bbox_embed_share", "two_stage_bbox_embed_share")


def _mm(config: dict) -> dict:
    """The same shape as MM-Grounding-DINO or LLMDet: no share flags."""
    kept = {key: value for key, value in config.items() if key not in _SHARE_FLAGS}
    return {**kept, "architectures": ["MMGroundingDinoForObjectDetection"], "model_type": "mm-grounding-dino"}


_FOUR_OUTPUTS = {"out_features": ["stage1", "stage2", "stage3", "stage4"], "out_indices": [1, 2, 3, 4]}

MM_TINY = _mm(TINY)
# Swin-L with four outputs, and a level more than outputs.
MM_LARGE = {
    **MM_TINY,
    "num_feature_levels": 5,
    "backbone_config": {
        "model_type": "swin",
        "embed_dim": 192,
        "depths": [2, 2, 18, 2],
        "num_heads": [6, 12, 24, 48],
        "hidden_size": 1536,
        "window_size": 12,
        "image_size": 384,
        **_FOUR_OUTPUTS,
    },
}
MM_MICRO = {
    **_mm(MICRO),
    "num_feature_levels": 5,
    "backbone_config": {**MICRO["backbone_config"], **_FOUR_OUTPUTS},
}

CONFIGS = {
    "tiny": TINY,
    "base": BASE,
    "micro": MICRO,
    "micro_wide": MICRO_WIDE,
    "mm_tiny": MM_TINY,
    "mm_large": MM_LARGE,
    "mm_micro": MM_MICRO,
}


def preprocessor(shortest_edge: int, longest_edge: int) -> dict:
    """preprocessor_config.json with the published fields."""
    return {
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "format": "coco_detection",
        "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "GroundingDinoImageProcessor",
        "image_std": [0.229, 0.224, 0.225],
        "processor_class": "GroundingDinoProcessor",
        "resample": 2,
        "rescale_factor": 0.00392156862745098,
        "size": {"longest_edge": longest_edge, "shortest_edge": shortest_edge},
    }
