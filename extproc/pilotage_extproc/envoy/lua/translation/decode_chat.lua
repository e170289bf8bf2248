-- Answers of chat completions, whole and streamed, to the common form.

local REASONS = {
  stop = "stop",
  length = "length",
  model_length = "length", -- Mistral's
  tool_calls = "tools",
  function_call = "tools",
  content_filter = "refusal",
}

local function usage_of(given)
  local usage = object_of(given)
  if not usage then
    return {}
  end
  local input, output = object_of(usage.prompt_tokens_details) or {}, object_of(usage.completion_tokens_details) or {}
  local whole, cached = count_of(usage.prompt_tokens), count_of(input.cached_tokens)
  local written = count_of(input.cache_write_tokens)
  return {
    fresh = whole and math.max(whole - (cached or 0) - (written or 0), 0),
    cached = cached,
    written = written,
    output = count_of(usage.completion_tokens),
    reasoning = count_of(output.reasoning_tokens),
  }
end

local MAX_LOOKED_BYTES = 8388608

-- Looking again and again at arguments that grow is bounded: past that, calls wait until the answer ends.
local function is_complete(state, call)
  if call.looked ~= #call.pieces and find(call.pieces[#call.pieces] or "", "}%s*$") and state.looks_left >= 0 then
    call.looked = #call.pieces
    local text = concat(call.pieces)
    state.looks_left = state.looks_left - #text
    call.complete = decoded_object(text) ~= nil
  end
  return call.looked == #call.pieces and call.complete
end

-- Calls go on one after the other: those that come in between wait until the one that is going on is a
-- complete JSON object, or the answer ends.
local function go_on(state, ended)
  local calls = state.calls
  while true do
    local call = calls[state.going]
    if not call then
      return
    end
    if not call.begun then
      call.begun = true
      state.to.tool(call.id or ("call_" .. state.going), call.name or "")
    end
    for number = call.passed + 1, #call.pieces do
      state.to.arguments(call.pieces[number])
    end
    call.passed = #call.pieces
    local next_waits = calls[state.going + 1] ~= nil
    if not ended and not (next_waits and is_complete(state, call)) then
      return
    end
    state.to.tool_end()
    state.going = state.going + 1
  end
end

-- Some servers give every call the same index, or none: an id that is new is another call.
local function is_another(call, piece)
  local id = text_of(piece.id)
  return not call or (id and call.id and call.id ~= id)
end

-- Arguments are text; some servers write the object itself.
local function arguments_of(wanted)
  if object_of(wanted.arguments) then
    return wanted[INPUT_TEXT]
  end
  return text_of(wanted.arguments)
end

local function take_calls(state, given)
  for position, piece in ipairs(given) do
    piece = object_of(piece) or {}
    local number = count_of(piece.index) or position - 1
    local call = state.by_index[number]
    if is_another(call, piece) then
      grow_by(state, PART_BYTES)
      call = { pieces = {}, passed = 0 }
      state.by_index[number] = call
      state.calls[#state.calls + 1] = call
    end
    local wanted = object_of(piece["function"]) or {}
    if not call.id and text_of(piece.id) then
      call.id = name_of(piece.id)
      grow_by(state, #call.id)
    end
    if not call.name and text_of(wanted.name) then
      call.name = name_of(wanted.name)
      grow_by(state, #call.name)
    end
    local arguments = arguments_of(wanted)
    if arguments then
      grow_by(state, #arguments)
      call.pieces[#call.pieces + 1] = arguments
    end
    state.going = state.going or 1
  end
  if state.going then
    go_on(state, false)
  end
end

-- Content is text; some servers write it as parts, of text and of thinking.
local function take_parts(to, parts)
  for _, part in ipairs(parts) do
    part = object_of(part) or {}
    if part.type == "thinking" then
      for _, thought in ipairs(list_of(part.thinking)) do
        thought = object_of(thought) or {}
        if text_of(thought.text) then
          to.thinking(thought.text)
        end
      end
    elseif text_of(part.text) then
      to.text(part.text)
    end
  end
end

local function take_message(state, message)
  local to = state.to
  local thought = text_of(message.reasoning_content) or text_of(message.reasoning)
  if thought then
    to.thinking(thought)
  end
  if text_of(message.content) then
    to.text(message.content)
  else
    take_parts(to, list_of(message.content))
  end
  if text_of(message.refusal) then
    to.refusal(message.refusal)
  end
  local calls = list_of(message.tool_calls)
  if #calls > 0 then
    take_calls(state, calls)
  end
end

local function take_choice(state, choice, message)
  take_message(state, object_of(message) or {})
  if text_of(choice.finish_reason) then
    if choice.finish_reason == "error" then
      state.to.fail(defect("The provider ended its answer with an error."))
      return
    end
    if state.going then
      go_on(state, true)
    end
    local reason = REASONS[choice.finish_reason] or "stop"
    -- a call that the client asked for by name ends with "stop"; clients of other APIs run what ends with "tools"
    state.to.stop(reason == "stop" and state.going and "tools" or reason)
  end
end

local function prepared(state)
  state.calls, state.by_index, state.bytes = state.calls or {}, state.by_index or {}, state.bytes or 0
  state.looks_left = state.looks_left or MAX_LOOKED_BYTES
end

local function take_data(state, data)
  if data == "[DONE]" then
    state.to.done()
    return
  end
  local event = decoded_object(data) or error("an event is no JSON object", 0)
  if (event.error ~= nil and event.error ~= null) or event.object == "error" then
    state.to.fail(failure_of(event))
    return
  end
  prepared(state)
  state.to.start(name_of(event.id), name_of(event.model))
  local choice = object_of(list_of(event.choices)[1])
  if choice then
    take_choice(state, choice, choice.delta)
  end
  if object_of(event.usage) then
    state.to.usage(usage_of(event.usage))
  end
end

-- The parts of a whole answer; false where it is none.
local function take_whole(to, answer)
  local choice = object_of(list_of(answer.choices)[1])
  if not choice or not object_of(choice.message) then
    return false
  end
  local state = { to = to }
  prepared(state)
  to.start(name_of(answer.id), name_of(answer.model))
  take_choice(state, choice, choice.message)
  if not to.finished then
    to.usage(usage_of(answer.usage))
    to.done()
  end
  return true
end
