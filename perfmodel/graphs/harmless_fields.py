"""Fields of a config.json that have no influence on speed, so that no note is made of them.

They name, initialise, train or post-process, or scale values inside a kernel that runs anyway: none moves a byte more.
To add one: a word in the group it belongs to.
"""

# names, bookkeeping of libraries
_NAMES = """
    _name_or_path name_or_path architectures auto_map model_type transformers_version torch_dtype dtype id2label
    label2id finetuning_task problem_type return_dict return_dict_in_generate torchscript use_bfloat16 use_cache
    output_attentions output_hidden_states output_scores output_past pruned_heads
    tie_encoder_decoder tf_legacy_loss chunk_size_feed_forward
    tokenizer_class prefix task_specific_params custom_pipelines _attn_implementation attn_implementation
    _attn_implementation_autoset _flash_attn_2_enabled gradient_checkpointing _commit_hash license unsloth_version
    unsloth_fixed cpu_offload config_format base_config_key
"""
# special tokens
_TOKENS = """
    bos_token_id eos_token_id pad_token_id unk_token_id sep_token_id cls_token_id mask_token_id
    decoder_start_token_id forced_bos_token_id forced_eos_token_id image_token_id image_token_index video_token_id
    audio_token_id vision_start_token_id vision_end_token_id vision_token_id boi_token_index eoi_token_index
    boi_token_id eoi_token_id media_placeholder_token_id suppress_tokens begin_suppress_tokens bad_words_ids
    video_placeholder use_unified_vision_chunk mm_tokens_per_image ignore_index vision_feature_layer
    vision_feature_select_strategy projector_hidden_act multimodal_projector_bias spatial_merge_size
    image_seq_length num_image_tokens use_bidirectional_attention
"""
# generation settings
_GENERATION = """
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k
    top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size
    exponential_decay_length_penalty num_return_sequences remove_invalid_values
"""
# training: dropout, initialisation, losses; epsilons
_TRAINING = """
    attention_dropout hidden_dropout attention_probs_dropout_prob hidden_dropout_prob dropout activation_dropout
    embd_pdrop attn_pdrop resid_pdrop embd_dropout embedding_dropout emb_pdrop attn_dropout classifier_dropout
    dropout_rate summary_first_dropout layerdrop attention_dropout_prob ffn_dropout resid_dropout residual_dropout
    seq_classif_dropout qa_dropout initializer_range initializer_factor init_std init_method layer_norm_eps
    layer_norm_epsilon layernorm_epsilon rms_norm_eps norm_eps norm_epsilon rms_norm_epsilon decoder_layernorm_eps
    router_aux_loss_coef aux_loss_alpha seq_aux output_router_logits router_jitter_noise input_jitter_noise
    router_z_loss_coef pretraining_tp ep_size mamba_ssm_dtype summary_activation summary_proj_to_labels summary_type
    summary_use_proj summary_proj gradient_checkpointing_kwargs attention_softmax_in_fp32 fp32_residual_connection
    scale_attention_softmax_in_fp32 scale_attn_by_inverse_layer_idx scale_attn_weights reorder_and_upcast_attn
    slow_but_exact n_ctx seq_length encoder_stride classifier_activation cls_token pooler_act
"""
# positions: rotary angles cost the same whatever they are
_POSITIONS = """
    rope_theta rope_scaling rope_parameters rope_interleave rope_type partial_rotary_factor rotary_pct rotary_dim
    rotary_emb_base rope_local_base_freq rotary rope_ratio original_max_position_embeddings initial_context_length
    rope_percentage use_dynamic_ntk use_logn_attn relative_attention_num_buckets
    relative_attention_max_distance default_theta max_window_layers indexer_rope_interleave
"""
# values scaled or clipped inside a kernel that runs anyway; how a router turns scores into weights
_SCALES = """
    query_pre_attn_scalar attn_logit_softcapping final_logit_softcapping logit_scale logits_scaling
    embedding_multiplier residual_multiplier attention_multiplier scale_embedding routed_scaling_factor scoring_func
    norm_topk_prob topk_method n_group topk_group num_expert_group moe_router_activation_func use_routing_bias
    attn_temperature_tuning attn_scale floor_scale swiglu_limit swiglu_alpha qk_norm_type qk_head_dim
    moe_renormalize router_dtype use_grouped_topk apply_router_weight_on_input for_llm_compressor
    normalization_function cache_implementation hybrid_cache pooler_output_size scale_decoder_outputs
"""

# image pipelines: scales of latents, phases of sines, tables that are computed or cut to size
_DIFFUSION = """
    _class_name _diffusers_version flip_sin_to_cos freq_shift downsample_padding norm_num_groups
    mid_block_scale_factor resnet_out_scale_factor scaling_factor shift_factor latents_mean latents_std
    interpolation_scale logit_scale_init_value projection_dim norm_elementwise_affine addition_embed_type_num_heads
    center_input_sample sample_size
"""

HARMLESS = frozenset("".join((_NAMES, _TOKENS, _GENERATION, _TRAINING, _POSITIONS, _SCALES, _DIFFUSION)).split())
# fields that change the computation with any other value
HARMLESS_VALUES = {
    "position_embedding_type": ("absolute", "rope", "rotary"),
    "act_fn": ("silu", "swish"),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "resnet_time_scale_shift": ("default",),
    "time_embedding_type": ("positional",),
    "attention_type": ("default",),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "only_cross_attention": ([False, False, False, False],),
}
