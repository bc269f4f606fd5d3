"""Services and servers with OpenAI's format, as the tables that a user would write into agno-rt.toml.

Facts of 30 November 2026, from each provider's public API reference. Prices and models change too often to stand here.
To add a provider, add a row here, or four lines to agno-rt.toml: see the README.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["AS_OF", "PROVIDERS"]

AS_OF = "2026-11-30"

# DeepSeek's guide "Thinking Mode": the reasoning of a turn with calls must be sent back in each later request. GLM's
# guide of the same name, section "Interleaved thinking": it must go back with the results of tools.
_REASONING_BACK = {"reasoning_field": "reasoning_content"}
# These services refuse any other choice of a tool than `auto` while a model thinks, and their newer models think unless
# they are told otherwise; GLM's service refuses it always. Seen in deepseek-ai/DeepSeek-V3#1376, cloudwego/eino#994
# (DashScope), AstrBotDevs/AstrBot#7805 (Moonshot) and vectorize-io/hindsight#4246 (GLM).
_WORDS = {"tool_choice": "words"}
_NEW_NAMES = {"max_tokens_field": "max_completion_tokens", "tool_choice": "name"}
_AZURE = "https://RESOURCE.openai.azure.com/openai/v1"

PROVIDERS: Mapping[str, Mapping[str, Any]] = {
    "anthropic": {
        "title": "Anthropic",
        "base_url": "https://api.anthropic.com/v1",
        "api_key_env": "ANTHROPIC_API_KEY",
        "tool_choice": "name",
    },
    "azure": {
        "title": "Azure OpenAI",
        "example": _AZURE,
        "api_key_env": "AZURE_OPENAI_API_KEY",
        "key_header": "api-key",
        "system": "anywhere",
        "think_tags": "off",
        "call_ids": "short",
        **_NEW_NAMES,
    },
    "cerebras": {
        "title": "Cerebras",
        "base_url": "https://api.cerebras.ai/v1",
        "api_key_env": "CEREBRAS_API_KEY",
        **_NEW_NAMES,
    },
    "dashscope": {
        "title": "Alibaba Cloud Model Studio (Qwen), outside China",
        "base_url": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "api_key_env": "DASHSCOPE_API_KEY",
        **_WORDS,
    },
    "dashscope-cn": {
        "title": "Alibaba Cloud Model Studio (Qwen), in China",
        "base_url": "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "api_key_env": "DASHSCOPE_API_KEY",
        **_WORDS,
    },
    "deepseek": {
        "title": "DeepSeek",
        "base_url": "https://api.deepseek.com",
        "api_key_env": "DEEPSEEK_API_KEY",
        "think_tags": "off",
        # Its JSON mode has no schemas.
        "output": "tool",
        **_REASONING_BACK,
        **_WORDS,
    },
    "fireworks": {
        "title": "Fireworks",
        "base_url": "https://api.fireworks.ai/inference/v1",
        "api_key_env": "FIREWORKS_API_KEY",
        "tool_choice": "name",
    },
    "gemini": {
        "title": "Gemini",
        "base_url": "https://generativelanguage.googleapis.com/v1beta/openai",
        "api_key_env": "GEMINI_API_KEY",
        "tool_choice": "name",
    },
    "groq": {
        "title": "Groq",
        "base_url": "https://api.groq.com/openai/v1",
        "api_key_env": "GROQ_API_KEY",
        **_NEW_NAMES,
    },
    "huggingface": {
        "title": "Hugging Face's router",
        "base_url": "https://router.huggingface.co/v1",
        "api_key_env": "HF_TOKEN",
    },
    "internlm": {
        "title": "InternLM",
        "base_url": "https://chat.intern-ai.org.cn/api/v1",
        "api_key_env": "INTERNLM_API_KEY",
    },
    "litellm": {
        "title": "a LiteLLM proxy on this machine",
        "base_url": "http://127.0.0.1:4000/v1",
        "tool_choice": "name",
    },
    "llama-server": {
        "title": "llama.cpp's server on this machine",
        "base_url": "http://127.0.0.1:8080/v1",
    },
    "lmstudio": {
        "title": "LM Studio on this machine",
        "base_url": "http://127.0.0.1:1234/v1",
    },
    "mistral": {
        "title": "Mistral",
        "base_url": "https://api.mistral.ai/v1",
        "api_key_env": "MISTRAL_API_KEY",
        "tool_choice": "name",
        # Its refusal: "Tool call id was ... but must be a-z, A-Z, 0-9, with a length of 9" (anomalyco/opencode#1680).
        "call_ids": "nine",
        # The reference of its chat completions; a field that it does not know is refused (`extra_forbidden`).
        "seed_field": "random_seed",
        # Its refusal: "Unexpected role 'user' after role 'tool'" (pipecat-ai/pipecat-flows#178).
        "bridge_results": True,
    },
    "modelscope": {
        "title": "ModelScope",
        "base_url": "https://api-inference.modelscope.cn/v1",
        "api_key_env": "MODELSCOPE_API_KEY",
    },
    "moonshot": {
        "title": "Moonshot (Kimi), outside China",
        "base_url": "https://api.moonshot.ai/v1",
        "api_key_env": "MOONSHOT_API_KEY",
        **_REASONING_BACK,
        **_WORDS,
    },
    "moonshot-cn": {
        "title": "Moonshot (Kimi), in China",
        "base_url": "https://api.moonshot.cn/v1",
        "api_key_env": "MOONSHOT_API_KEY",
        **_REASONING_BACK,
        **_WORDS,
    },
    "nvidia": {
        "title": "NVIDIA",
        "base_url": "https://integrate.api.nvidia.com/v1",
        "api_key_env": "NVIDIA_API_KEY",
    },
    "ollama": {
        "title": "Ollama on this machine",
        "base_url": "http://127.0.0.1:11434/v1",
    },
    "openrouter": {
        "title": "OpenRouter",
        "base_url": "https://openrouter.ai/api/v1",
        "api_key_env": "OPENROUTER_API_KEY",
        "tool_choice": "name",
    },
    "portkey": {
        "title": "Portkey",
        "base_url": "https://api.portkey.ai/v1",
        "api_key_env": "PORTKEY_API_KEY",
        "key_header": "x-portkey-api-key",
        "tool_choice": "name",
    },
    "sambanova": {
        "title": "SambaNova",
        "base_url": "https://api.sambanova.ai/v1",
        "api_key_env": "SAMBANOVA_API_KEY",
    },
    "together": {
        "title": "Together",
        "base_url": "https://api.together.ai/v1",
        "api_key_env": "TOGETHER_API_KEY",
        "tool_choice": "name",
    },
    "vercel": {
        "title": "Vercel's AI Gateway",
        "base_url": "https://ai-gateway.vercel.sh/v1",
        "api_key_env": "AI_GATEWAY_API_KEY",
        "tool_choice": "name",
    },
    "vllm": {
        "title": "vLLM on this machine",
        "base_url": "http://127.0.0.1:8000/v1",
        "tool_choice": "name",
    },
    "xai": {
        "title": "xAI",
        "base_url": "https://api.x.ai/v1",
        "api_key_env": "XAI_API_KEY",
        "tool_choice": "name",
    },
    "zai": {
        "title": "Z.ai (GLM), outside China",
        "base_url": "https://api.z.ai/api/paas/v4",
        "api_key_env": "ZAI_API_KEY",
        **_REASONING_BACK,
        **_WORDS,
    },
    "zhipu": {
        "title": "Zhipu (GLM), in China",
        "base_url": "https://open.bigmodel.cn/api/paas/v4",
        "api_key_env": "ZHIPUAI_API_KEY",
        "key_format": "zhipu",
        **_REASONING_BACK,
        **_WORDS,
    },
}
"""Servers by name. `title` is for messages, `example` for a provider whose address differs for each customer."""
