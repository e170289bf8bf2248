-- The common form to answers of Anthropic messages, whole and streamed.

local MESSAGE_REASONS =
  { stop = "end_turn", length = "max_tokens", tools = "tool_use", refusal = "refusal", sequence = "stop_sequence" }

local function cache_counts(usage)
  return (usage.written and ',"cache_creation_input_tokens":' .. integer(usage.written) or "")
    .. (usage.cached and ',"cache_read_input_tokens":' .. integer(usage.cached) or "")
end

local function message_usage(usage)
  return '{"input_tokens":'
    .. integer(usage.fresh)
    .. cache_counts(usage)
    .. ',"output_tokens":'
    .. integer(usage.output)
    .. (usage.reasoning and ',"output_tokens_details":{"thinking_tokens":' .. integer(usage.reasoning) .. "}" or "")
    .. "}"
end

local function message_head(answer)
  return '{"id":'
    .. quoted(answer.id or "msg")
    .. ',"type":"message","role":"assistant","model":'
    .. quoted(answer.model or "")
end

-- A call whose arguments are cut off, since the answer's length was, is none.
local function message_input(part, reason)
  local text = said(part)
  if not find(text, "%S") then
    return "{}"
  elseif decoded_object(text) then
    return text
  elseif reason ~= "length" then
    error("arguments of a call are no JSON object", 0)
  end
end

local function message_block(part, wanted, reason)
  local text = said(part)
  if part.kind == "text" or part.kind == "refusal" then
    return '{"type":"text","text":' .. quoted(text) .. "}"
  elseif part.kind == "thinking" then
    return wanted.thinking
      and '{"type":"thinking","thinking":' .. quoted(text) .. ',"signature":' .. quoted(part.signature or "") .. "}"
  elseif part.kind == "tool" then
    local input = message_input(part, reason)
    return input
      and '{"type":"tool_use","id":' .. quoted(part.id) .. ',"name":' .. quoted(part.name) .. ',"input":' .. input .. "}"
  end
end

local function reason_of(answer)
  if answer.refused then
    return "refusal"
  end
  return MESSAGE_REASONS[answer.reason] or "end_turn"
end

local function message_whole(answer, wanted)
  local blocks = {}
  for _, part in ipairs(answer.parts) do
    answer.refused = answer.refused or part.kind == "refusal"
    blocks[#blocks + 1] = message_block(part, wanted, answer.reason) or nil
  end
  return message_head(answer)
    .. ',"content":['
    .. concat(blocks, ",")
    .. '],"stop_reason":'
    .. quoted(reason_of(answer))
    .. ',"stop_sequence":'
    .. quoted_or_null(answer.sequence)
    .. ',"usage":'
    .. message_usage(answer.usage)
    .. "}"
end

local function message_stream(emit, wanted)
  local to = collector()
  local answer = to.answer
  local open, index, begun = nil, -1, false
  local function event(kind, fields)
    emit("event: " .. kind .. '\ndata: {"type":"' .. kind .. '"' .. fields .. "}\n\n")
  end
  local function at()
    return ',"index":' .. integer(index)
  end
  local function begin()
    if not begun then
      begun = true
      local usage = { fresh = answer.usage.fresh, cached = answer.usage.cached, written = answer.usage.written }
      local fields = ',"content":[],"stop_reason":null,"stop_sequence":null,"usage":' .. message_usage(usage) .. "}"
      event("message_start", ',"message":' .. message_head(answer) .. fields)
    end
  end
  local function close()
    if open then
      event("content_block_stop", at())
      open = nil
    end
  end
  local function block(kind, start)
    if open == kind then
      return
    end
    begin()
    close()
    open, index = kind, index + 1
    event("content_block_start", at() .. ',"content_block":' .. start)
  end
  local function delta(kind, name, text)
    event("content_block_delta", at() .. ',"delta":{"type":"' .. kind .. '","' .. name .. '":' .. quoted(text) .. "}")
  end
  function to.text(text)
    block("text", '{"type":"text","text":""}')
    delta("text_delta", "text", text)
  end
  function to.refusal(text)
    answer.refused = true
    to.text(text)
  end
  function to.thinking(text)
    if wanted.thinking then
      block("thinking", '{"type":"thinking","thinking":"","signature":""}')
      delta("thinking_delta", "thinking", text)
    end
  end
  function to.signature() end
  function to.redacted() end
  function to.tool(id, name)
    close()
    block("tool", '{"type":"tool_use","id":' .. quoted(id) .. ',"name":' .. quoted(name) .. ',"input":{}}')
  end
  function to.arguments(text)
    delta("input_json_delta", "partial_json", text)
  end
  to.tool_end = close
  function to.ping()
    if begun then
      event("ping", "")
    end
  end
  function to.done()
    begin()
    close()
    local ended = ',"delta":{"stop_reason":'
      .. quoted(reason_of(answer))
      .. ',"stop_sequence":'
      .. quoted_or_null(answer.sequence)
      .. '},"usage":'
      .. message_usage(answer.usage)
    event("message_delta", ended)
    event("message_stop", "")
    to.finished = true
  end
  function to.fail(failure)
    emit("event: error\ndata: " .. anthropic_error(failure) .. "\n\n")
    to.finished, to.failure = true, failure
  end
  return to
end

ENCODERS.messages = { whole = message_whole, stream = message_stream, error = anthropic_error }
