-- Answers of Anthropic messages, whole and streamed, to the common form.

local REASONS = {
  end_turn = "stop",
  max_tokens = "length",
  stop_sequence = "sequence",
  tool_use = "tools",
  pause_turn = "stop",
  refusal = "refusal",
  model_context_window_exceeded = "length",
}

-- Its input counts exclude what came from the cache or went there.
local function usage_of(given)
  local usage = object_of(given)
  if not usage then
    return {}
  end
  local details = object_of(usage.output_tokens_details) or {}
  return {
    fresh = count_of(usage.input_tokens),
    cached = count_of(usage.cache_read_input_tokens),
    written = count_of(usage.cache_creation_input_tokens),
    written_hour = count_of((object_of(usage.cache_creation) or {}).ephemeral_1h_input_tokens),
    output = count_of(usage.output_tokens),
    reasoning = count_of(details.thinking_tokens),
  }
end

local function begin_block(to, block)
  if block.type == "text" and text_of(block.text) then
    to.text(block.text)
  elseif block.type == "thinking" then
    if text_of(block.thinking) then
      to.thinking(block.thinking)
    end
    if text_of(block.signature) then
      to.signature(block.signature)
    end
  elseif block.type == "redacted_thinking" and text_of(block.data) then
    to.redacted(block.data)
  elseif block.type == "tool_use" then
    to.tool(name_of(block.id) or error("a call without an id", 0), name_of(block.name) or "")
    local input = block[INPUT_TEXT]
    if input and object_of(block.input) and next(block.input) ~= nil then
      to.arguments(input)
    end
  end
end

local function take_delta(to, delta)
  local kind = delta.type
  if kind == "text_delta" and text_of(delta.text) then
    to.text(delta.text)
  elseif kind == "input_json_delta" and text_of(delta.partial_json) then
    to.arguments(delta.partial_json)
  elseif kind == "thinking_delta" and text_of(delta.thinking) then
    to.thinking(delta.thinking)
  elseif kind == "signature_delta" and text_of(delta.signature) then
    to.signature(delta.signature)
  end
end

local function take_event(state, event)
  local to, kind = state.to, event.type
  if kind == "content_block_delta" then
    take_delta(to, object_of(event.delta) or error("no delta", 0))
  elseif kind == "message_start" then
    local message = object_of(event.message) or error("no message", 0)
    to.start(name_of(message.id), name_of(message.model))
    local usage = usage_of(message.usage)
    usage.output = nil -- how long the answer is, nobody knows yet
    to.usage(usage)
  elseif kind == "content_block_start" then
    local block = object_of(event.content_block) or error("no block", 0)
    state.tool = block.type == "tool_use"
    begin_block(to, block)
  elseif kind == "content_block_stop" then
    if state.tool then
      state.tool = false
      to.tool_end()
    end
  elseif kind == "message_delta" then
    local delta = object_of(event.delta) or {}
    if text_of(delta.stop_reason) then
      to.stop(REASONS[delta.stop_reason] or "stop", text_of(delta.stop_sequence))
    end
    to.usage(usage_of(event.usage))
  elseif kind == "message_stop" then
    to.done()
  elseif kind == "ping" then
    to.ping()
  elseif kind == "error" then
    to.fail(failure_of(event))
  end
end

local function take_data(state, data)
  take_event(state, decoded_object(data) or error("an event is no JSON object", 0))
end

-- The parts of a whole answer; false where it is none.
local function take_whole(to, answer)
  if answer.type ~= "message" or getmetatable(answer.content) ~= ARRAY then
    return false
  end
  to.start(name_of(answer.id), name_of(answer.model))
  for _, block in ipairs(answer.content) do
    if object_of(block) then
      begin_block(to, block)
      if block.type == "tool_use" then
        to.tool_end()
      end
    end
  end
  to.stop(REASONS[answer.stop_reason] or "stop", text_of(answer.stop_sequence))
  to.usage(usage_of(answer.usage))
  to.done()
  return true
end
