"""Write a tiny random Llama, its tokenizer and two random LoRA adapters: tiny_model.py DIR.

Its text is noise; everything around it is real. Needs torch, transformers, tokenizers and safetensors,
which vLLM brings.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HIDDEN, LAYERS, RANK = 256, 2, 8
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def write_tokenizer(out: Path) -> None:
    """A byte-level BPE, trained on this repository's licence."""
    text = (Path(__file__).parents[1] / "LICENSE").read_text()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([text], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(out)


def write_model(out: Path) -> None:
    """Random weights under a fixed seed."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048,
        hidden_size=HIDDEN,
        intermediate_size=512,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(out)


def write_adapter(out: Path, seed: int) -> None:
    """A LoRA adapter in PEFT's format, on the query and value projections."""
    torch.manual_seed(seed)
    out.mkdir(parents=True)
    weights = {}
    for layer in range(LAYERS):
        for projection in ("q_proj", "v_proj"):
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{projection}"
            weights[f"{prefix}.lora_A.weight"] = torch.randn(RANK, HIDDEN, dtype=torch.bfloat16) * 0.05
            weights[f"{prefix}.lora_B.weight"] = torch.randn(HIDDEN, RANK, dtype=torch.bfloat16) * 0.05
    save_file(weights, out / "adapter_model.safetensors")
    config = {
        "base_model_name_or_path": "tiny",
        "bias": "none",
        "lora_alpha": 2 * RANK,
        "peft_type": "LORA",
        "r": RANK,
        "target_modules": ["q_proj", "v_proj"],
        "task_type": "CAUSAL_LM",
    }
    (out / "adapter_config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_tokenizer(folder)
    write_model(folder)
    for number, name in enumerate(("sql-lora", "chat-lora"), start=1):
        write_adapter(folder / "adapters" / name, number)
