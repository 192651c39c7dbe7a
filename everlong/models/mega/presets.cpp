#include <map>
#include <memory>
#include <string>

#include "everlong/models/mega/config.h"

namespace everlong::models::mega {

std::unique_ptr<ArchitectureConfig> make_config() { return std::make_unique<Config>(); }

std::unique_ptr<ArchitectureConfig> tiny_config() {
  auto config = std::make_unique<Config>();
  config->vocab_size = 37;
  config->hidden_size = 20;
  config->num_hidden_layers = 2;
  config->intermediate_size = 28;
  config->ema_projection_size = 4;
  config->shared_representation_size = 12;
  config->nffn_hidden_size = 24;
  config->bidirectional = false;
  config->is_decoder = true;
  config->use_chunking = true;
  config->chunk_size = 8;
  config->max_positions = 32;
  config->dropout_prob = config->hidden_dropout_prob = config->attention_probs_dropout_prob = config->nffn_activation_dropout_prob = 0;
  return config;
}

const std::map<std::string, std::string>& presets() {
  static const std::string causal = "is_decoder=true bidirectional=false use_chunking=true relative_positional_bias=rotary pad_token_id=-1 bos_token_id=-1 eos_token_id=-1 ";
  static const std::string encoder = "is_decoder=false bidirectional=true use_chunking=true chunk_size=1024 vocab_size=50265 ";
  static const std::map<std::string, std::string> all = {
      {"mega-encoder-small-16k", encoder + "hidden_size=768 num_hidden_layers=8 intermediate_size=2304 nffn_hidden_size=2304 ema_projection_size=32 "
                                           "shared_representation_size=192 max_positions=16384 relative_positional_bias=simple"},
      {"mega-base-wikitext", encoder + "hidden_size=128 num_hidden_layers=4 intermediate_size=256 nffn_hidden_size=256 ema_projection_size=16 "
                                       "shared_representation_size=64 max_positions=2048 relative_positional_bias=rotary"},
      {"mega-small", causal + "hidden_size=256 num_hidden_layers=4 intermediate_size=512 nffn_hidden_size=512 shared_representation_size=64 chunk_size=256 "
                              "dropout_prob=0 hidden_dropout_prob=0 attention_probs_dropout_prob=0 nffn_activation_dropout_prob=0 initializer_range=0.0625 "
                              "add_lm_hidden_dense_layer=false"},
      {"mega-enwik8", causal + "hidden_size=512 num_hidden_layers=12 intermediate_size=1024 nffn_hidden_size=1024 shared_representation_size=128 "
                               "normalization_type=layernorm chunk_size=2048 truncation=8192 dropout_prob=0.1 hidden_dropout_prob=0 "
                               "attention_probs_dropout_prob=0 nffn_activation_dropout_prob=0"},
      {"mega-wikitext103", causal + "hidden_size=1024 num_hidden_layers=16 intermediate_size=2048 nffn_hidden_size=2048 shared_representation_size=256 "
                                    "normalization_type=layernorm chunk_size=1024 truncation=8192 dropout_prob=0.3 hidden_dropout_prob=0.1 "
                                    "attention_probs_dropout_prob=0.1 nffn_activation_dropout_prob=0.1"},
  };
  return all;
}

}  // namespace everlong::models::mega
