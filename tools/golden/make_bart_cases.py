#!/usr/bin/env python3
"""Makes the golden cases of bart_decoder and encoder_decoder with transformers 4.40.2 (the last release with MEGA): tiny random models, what they
compute in float64, and what generate() finds with beams.

    python tools/golden/make_bart_cases.py tests/golden

bart_decoder/CASE      config.json, model.safetensors, expected.safetensors, case.json as everlong verify reads them
encoder_decoder/CASE   an EncoderDecoderModel directory and the same two files, read by the tests of models and generate
beams.json             in both: inputs, the settings of each search and the ids it gave, padded with pad_token_id
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import BartConfig, BartForCausalLM, EncoderDecoderModel, MegaConfig, MegaForCausalLM, MegaModel
from transformers.models.mega.modeling_mega import MegaMultiDimensionDampedEma

PAD, BOS, EOS = 1, 0, 2
SEARCHES = [
    {"num_beams": 4},
    {"num_beams": 4, "length_penalty": 2.0},
    {"num_beams": 3, "length_penalty": 0.5, "early_stopping": True},
    {"num_beams": 4, "early_stopping": "never", "length_penalty": -0.5},
    {"num_beams": 2, "no_repeat_ngram_size": 2},
    {"num_beams": 3, "repetition_penalty": 1.7},
    {"num_beams": 4, "num_return_sequences": 3},
    {"num_beams": 1},
    {"num_beams": 1, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
]


def convolve(self, inputs, kernel, length):
    """MEGA's own convolution, which rounds to float32 whatever the model computes in."""
    product = torch.fft.rfft(inputs, n=2 * length) * torch.fft.rfft(kernel, n=2 * length)
    return torch.fft.irfft(product, n=2 * length)


MegaMultiDimensionDampedEma.fft_convolution = convolve


def bart_config(**changes):
    values = dict(vocab_size=41, d_model=24, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=40, encoder_layers=1, encoder_attention_heads=4,
                  encoder_ffn_dim=16, max_position_embeddings=48, dropout=0.0, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS,
                  decoder_start_token_id=EOS, forced_eos_token_id=None)
    return BartConfig(**{**values, **changes})


def mega_config(**changes):
    values = dict(vocab_size=43, hidden_size=20, num_hidden_layers=2, intermediate_size=28, nffn_hidden_size=32, ema_projection_size=3, shared_representation_size=8,
                  max_positions=64, dropout_prob=0.0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, nffn_activation_dropout_prob=0.0,
                  pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS, relative_positional_bias="simple")
    return MegaConfig(**{**values, **changes})


def moved(model, seed, scale=0.15):
    """Parameters away from their initial values, and still float32 numbers."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model.eval()


def sharpened(model, factor):
    """Scores that differ enough for a search to mean something."""
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(factor)
    return model


def gradients(model, prefix="grad."):
    return {prefix + name: (p.grad if p.grad is not None else torch.zeros_like(p)) for name, p in model.named_parameters()}


def write(folder, tensors, case):
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, folder / "expected.safetensors")
    case = {"name": folder.name, "transformers_version": transformers.__version__, "torch_version": torch.__version__.split("+")[0], **case}
    case["tensors"] = {name: list(tensor.shape) for name, tensor in tensors.items()}
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n", encoding="utf-8")


def searched(model, max_new_tokens, **inputs):
    found = []
    for how in SEARCHES:
        ids = model.generate(**inputs, **how, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=PAD, eos_token_id=EOS)
        found.append({**how, "max_new_tokens": max_new_tokens, "ids": ids.tolist()})
    return found


def bart_case(root, name, seed, with_memory, exercises, **changes):
    folder = root / "bart_decoder" / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(seed)
    model = sharpened(moved(BartForCausalLM(bart_config(**changes)), seed), 1.5)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = model.double()
    torch.set_default_dtype(torch.float64)  # the masks of BART are made in the default dtype
    torch.manual_seed(seed + 1)
    ids = torch.randint(3, 41, (2, 11))
    tensors = {"in.input_ids": ids}
    inputs = {}
    if with_memory:
        mask = torch.ones(2, 7, dtype=torch.long)
        mask[1, 4:] = 0
        memory = torch.randn(2, 7, 24).double()
        tensors |= {"in.encoder_hidden_states": memory, "in.encoder_attention_mask": mask}
        memory = memory.clone().requires_grad_(True)
        inputs = {"encoder_hidden_states": memory, "encoder_attention_mask": mask}
    labels = ids.clone()
    labels[0, :3] = -100
    tensors["in.labels"] = labels
    shifted = torch.cat([labels[:, 1:], torch.full((2, 1), -100)], 1)  # the class does not shift; label t + 1 belongs to token t
    out = model(input_ids=ids, labels=shifted, output_hidden_states=True, output_attentions=True, **inputs)
    tensors |= {"logits": out.logits, "loss": out.loss}
    tensors |= {f"hidden_states.{i}": h for i, h in enumerate(out.hidden_states)}
    tensors |= {f"attentions.{i}": a for i, a in enumerate(out.attentions)}
    if with_memory:
        tensors |= {f"cross_attentions.{i}": a for i, a in enumerate(out.cross_attentions)}
    out.loss.backward()
    tensors |= gradients(model)
    if with_memory:
        tensors["grad_in.encoder_hidden_states"] = memory.grad
    prefill = 5
    with torch.no_grad():
        part = model(input_ids=ids[:, :prefill], use_cache=True, **inputs)
        for i, past in enumerate(part.past_key_values):
            names = ["self_key", "self_value", "cross_key", "cross_value"]
            tensors |= {f"cache.{i}.{what}": value for what, value in zip(names, past)}
        steps, past = [], part.past_key_values
        for t in range(prefill, 11):
            step = model(input_ids=ids[:, t : t + 1], past_key_values=past, use_cache=True, **inputs)
            past = step.past_key_values
            steps.append(step.logits)
        gap = (torch.cat(steps, 1) - out.logits[:, prefill:]).abs().max().item()
    zero = [f"model.decoder.layers.{i}.{kind}.k_proj.bias" for i in range(2) for kind in (["self_attn", "encoder_attn"] if with_memory else ["self_attn"])]
    case = {"model_class": "BartForCausalLM", "exercises": exercises, "seed": seed, "batch": 2, "length": 11, "zero_gradient": zero,
            "decoding": {"prefill_tokens": prefill, "step_max_diff": gap}}
    write(folder, tensors, case)
    if not with_memory:
        prompt = ids[:, :3]
        beams = {"input_ids": prompt.tolist(), "pad_token_id": PAD, "eos_token_id": EOS, "searches": searched(model, 12, input_ids=prompt)}
        (folder / "beams.json").write_text(json.dumps(beams) + "\n", encoding="utf-8")


def pair_case(root, name, seed, decoder, exercises, use_cache, **encoder_changes):
    folder = root / "encoder_decoder" / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(seed)
    encoder = MegaModel(mega_config(bidirectional=True, use_chunking=True, chunk_size=8, **encoder_changes))
    model = EncoderDecoderModel(encoder=encoder, decoder=decoder())
    sharpened(moved(model, seed), 2.0)
    model.config.decoder_start_token_id = EOS
    model.config.pad_token_id = PAD
    model.config.eos_token_id = EOS
    model.generation_config = transformers.GenerationConfig()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = model.double()
    torch.set_default_dtype(torch.float64)  # the masks of BART are made in the default dtype
    torch.manual_seed(seed + 1)
    ids = torch.randint(3, 43, (2, 16))
    mask = torch.ones(2, 16, dtype=torch.long)
    mask[1, 13:] = 0
    ids[1, 13:] = PAD
    labels = torch.randint(3, 41, (2, 9))
    labels[1, 6:] = -100
    out = model(input_ids=ids, attention_mask=mask, labels=labels)
    out.loss.backward()
    tensors = {"in.input_ids": ids, "in.attention_mask": mask, "in.labels": labels, "logits": out.logits, "loss": out.loss,
               "encoder_last_hidden_state": out.encoder_last_hidden_state} | gradients(model)
    write(folder, tensors, {"model_class": "EncoderDecoderModel", "exercises": exercises, "seed": seed})
    with torch.no_grad():
        found = searched(model, 12, input_ids=ids, attention_mask=mask, use_cache=use_cache, decoder_start_token_id=EOS)
    beams = {"input_ids": ids.tolist(), "attention_mask": mask.tolist(), "decoder_start_token_id": EOS, "pad_token_id": PAD, "eos_token_id": EOS, "searches": found}
    (folder / "beams.json").write_text(json.dumps(beams) + "\n", encoding="utf-8")


def main():
    root = pathlib.Path(sys.argv[1])
    bart_case(root, "cross_gelu", 11, True, "encoder states with padding, gelu")
    bart_case(root, "alone_relu_scaled", 29, False, "no encoder states, relu, scaled embeddings, untied; searches", activation_function="relu", scale_embedding=True, tie_word_embeddings=False)
    pair_case(root, "mega_bart", 41, lambda: BartForCausalLM(bart_config(tie_word_embeddings=False)), "MEGA encoder of another width, BART decoder", True)
    pair_case(root, "mega_mega", 43, lambda: MegaForCausalLM(mega_config(vocab_size=41, bidirectional=False, is_decoder=True, add_cross_attention=True)),
              "MEGA encoder, MEGA decoder", False)


if __name__ == "__main__":
    main()
