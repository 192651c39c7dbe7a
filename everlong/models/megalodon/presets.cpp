#include <map>
#include <memory>
#include <string>

#include "everlong/models/megalodon/config.h"

namespace everlong::models::megalodon {

std::unique_ptr<ArchitectureConfig> make_config() { return std::make_unique<Config>(); }

std::unique_ptr<ArchitectureConfig> tiny_config() {
  auto config = std::make_unique<Config>();
  config->vocab_size = 37;
  config->model_dim = 20;
  config->num_layers = 2;
  config->z_dim = 12;
  config->value_dim = 28;
  config->num_heads = 2;
  config->ffn_hidden_dim = 24;
  config->cema_ndim = 4;
  config->chunk_size = 8;
  config->norm_num_groups = 4;
  config->swiglu = true;
  config->rescale_nffn = true;
  return config;
}

const std::map<std::string, std::string>& presets() {
  static const std::string published = "cema_ndim=16 chunk_size=2048 vocab_size=32000 ";
  static const std::string small = "cema_ndim=16 num_heads=1 swiglu=true rope_base=10000 ";
  static const std::map<std::string, std::string> all = {
      {"megalodon-quickstart",
       small + "num_layers=4 model_dim=128 z_dim=64 value_dim=256 ffn_hidden_dim=256 chunk_size=256 norm_num_groups=8 vocab_size=512"},
      {"megalodon-40m",
       small + "num_layers=8 model_dim=512 z_dim=128 value_dim=1024 ffn_hidden_dim=1280 chunk_size=1024 norm_num_groups=16 vocab_size=8192"},
      {"megalodon-enwik8",
       "cema_ndim=16 num_heads=1 swiglu=true rope_base=100000 num_layers=6 model_dim=384 z_dim=96 value_dim=768 ffn_hidden_dim=768 chunk_size=512 "
       "norm_num_groups=12 vocab_size=256"},
      {"megalodon-200m", published + "num_layers=12 model_dim=1024 num_heads=1 z_dim=256 value_dim=2048 ffn_hidden_dim=2560 norm_num_groups=32"},
      {"megalodon-1.3b", published + "num_layers=24 model_dim=2048 num_heads=2 z_dim=512 value_dim=4096 ffn_hidden_dim=4864 norm_num_groups=64"},
      {"megalodon-1.3b-pg19",
       published + "num_layers=24 model_dim=2048 num_heads=2 z_dim=512 value_dim=4096 ffn_hidden_dim=3584 norm_num_groups=64 swiglu=true "
                   "scale_emb=true share_emb=true"},
      {"megalodon-7.1b", published + "num_layers=32 model_dim=4096 num_heads=4 z_dim=1024 value_dim=8192 ffn_hidden_dim=11264 norm_num_groups=64"},
      {"megalodon-7.3b",
       published + "num_layers=32 model_dim=4096 num_heads=4 z_dim=1024 value_dim=8192 ffn_hidden_dim=8192 norm_num_groups=64 swiglu=true"},
      {"megalodon-paper-7b",
       "cema_ndim=16 chunk_size=4096 vocab_size=32000 num_layers=32 model_dim=4096 num_heads=4 z_dim=1024 value_dim=8192 ffn_hidden_dim=8192 "
       "norm_num_groups=64 swiglu=true rope_base=100000"},
  };
  return all;
}

}  // namespace everlong::models::megalodon
