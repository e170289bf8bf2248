-- The common form to answers of chat completions, whole and streamed.

local CHAT_REASONS =
  { stop = "stop", length = "length", tools = "tool_calls", refusal = "content_filter", sequence = "stop" }

local function chat_usage(usage)
  local cached, written = usage.cached or 0, usage.written or 0
  local input, output = (usage.fresh or 0) + cached + written, usage.output or 0
  return '{"prompt_tokens":'
    .. integer(input)
    .. ',"completion_tokens":'
    .. integer(output)
    .. ',"total_tokens":'
    .. integer(input + output)
    .. ',"prompt_tokens_details":{"cached_tokens":'
    .. integer(cached)
    .. (usage.written and ',"cache_write_tokens":' .. integer(usage.written) or "")
    .. hour_writes(usage)
    .. "}"
    .. (usage.reasoning and ',"completion_tokens_details":{"reasoning_tokens":' .. integer(usage.reasoning) .. "}" or "")
    .. "}"
end

local function is_known(usage)
  return usage.fresh ~= nil and usage.output ~= nil
end

-- `index` is there in streams: clients put lists together by it.
local function thinking_block(part, index)
  local head = "{" .. (index and '"index":' .. integer(index) .. "," or "")
  if part.kind == "redacted" then
    return head .. '"type":"redacted_thinking","data":' .. quoted(said(part)) .. "}"
  end
  return head .. '"type":"thinking","thinking":' .. quoted(said(part)) .. ',"signature":' .. quoted(part.signature) .. "}"
end

local function chat_call(part)
  local arguments = said(part)
  return '{"id":'
    .. quoted(part.id)
    .. ',"type":"function","function":{"name":'
    .. quoted(part.name)
    .. ',"arguments":'
    .. quoted(arguments == "" and "{}" or arguments)
    .. "}}"
end

local function texts_of(answer, kind)
  local texts = {}
  for _, part in ipairs(answer.parts) do
    if part.kind == kind then
      texts[#texts + 1] = said(part)
    end
  end
  return #texts > 0 and concat(texts) or nil
end

local function chat_whole(answer)
  local calls, blocks = {}, {}
  for _, part in ipairs(answer.parts) do
    if part.kind == "tool" then
      calls[#calls + 1] = chat_call(part)
    elseif part.kind == "redacted" or (part.kind == "thinking" and part.signature) then
      blocks[#blocks + 1] = thinking_block(part)
    end
  end
  local thought = texts_of(answer, "thinking")
  local message = '{"role":"assistant","content":'
    .. quoted_or_null(texts_of(answer, "text"))
    .. ',"refusal":'
    .. quoted_or_null(texts_of(answer, "refusal"))
    .. (#calls > 0 and ',"tool_calls":[' .. concat(calls, ",") .. "]" or "")
    .. (thought and ',"reasoning_content":' .. quoted(thought) or "")
    .. (#blocks > 0 and ',"thinking_blocks":[' .. concat(blocks, ",") .. "]" or "")
    .. "}"
  return '{"id":'
    .. quoted(answer.id or "chatcmpl")
    .. ',"object":"chat.completion","created":'
    .. integer(os.time())
    .. ',"model":'
    .. quoted(answer.model or "")
    .. ',"choices":[{"index":0,"message":'
    .. message
    .. ',"logprobs":null,"finish_reason":'
    .. quoted(CHAT_REASONS[answer.reason] or "stop")
    .. "}]"
    .. (is_known(answer.usage) and ',"usage":' .. chat_usage(answer.usage) or "")
    .. "}"
end

local function chat_stream(emit, wanted)
  local to = collector()
  local answer = to.answer
  local head, calls, blocks, thought, reason, begun = nil, -1, -1, {}, nil, false
  local function chunk(choices, usage)
    emit("data: " .. head .. choices .. "]" .. (usage or "") .. "}\n\n")
  end
  local function delta(fields)
    if not begun then
      begun = true
      head = '{"id":'
        .. quoted(answer.id or "chatcmpl")
        .. ',"object":"chat.completion.chunk","created":'
        .. integer(os.time())
        .. ',"model":'
        .. quoted(answer.model or "")
        .. ',"choices":['
      chunk('{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}')
    end
    if fields then
      chunk('{"index":0,"delta":{' .. fields .. '},"finish_reason":null}')
    end
  end
  function to.text(text)
    delta('"content":' .. quoted(text))
  end
  function to.refusal(text)
    delta('"refusal":' .. quoted(text))
  end
  function to.thinking(text)
    grow(answer, text)
    thought[#thought + 1] = text
    delta('"reasoning_content":' .. quoted(text))
  end
  local function block(part)
    blocks = blocks + 1
    delta('"thinking_blocks":[' .. thinking_block(part, blocks) .. "]")
  end
  -- the text once more, together with its signature: what the client is to send back
  function to.signature(text)
    block({ kind = "thinking", pieces = thought, signature = text })
    thought = {}
  end
  function to.redacted(data)
    block({ kind = "redacted", pieces = { data } })
  end
  function to.tool(id, name)
    calls = calls + 1
    delta(
      '"tool_calls":[{"index":'
        .. integer(calls)
        .. ',"id":'
        .. quoted(id)
        .. ',"type":"function","function":{"name":'
        .. quoted(name)
        .. ',"arguments":""}}]'
    )
    to.silent = true
  end
  function to.arguments(text)
    to.silent = false
    delta('"tool_calls":[{"index":' .. integer(calls) .. ',"function":{"arguments":' .. quoted(text) .. "}}]")
  end
  function to.tool_end()
    if to.silent then
      to.arguments("{}")
    end
  end
  function to.stop(why)
    reason = why
  end
  function to.ping()
    if begun then
      emit(": ping\n\n")
    end
  end
  function to.done()
    delta()
    chunk('{"index":0,"delta":{},"finish_reason":' .. quoted(CHAT_REASONS[reason] or "stop") .. "}")
    if wanted.usage and is_known(answer.usage) then
      chunk("", ',"usage":' .. chat_usage(answer.usage))
    end
    emit("data: [DONE]\n\n")
    to.finished = true
  end
  function to.fail(failure)
    emit('data: {"error":' .. openai_error(failure) .. "}\n\n")
    to.finished, to.failure = true, failure
  end
  return to
end

local function chat_error(failure)
  return '{"error":' .. openai_error(failure) .. "}"
end

ENCODERS.chat = { whole = chat_whole, stream = chat_stream, error = chat_error }
