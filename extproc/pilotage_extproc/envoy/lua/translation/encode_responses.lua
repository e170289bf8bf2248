-- The common form to answers of Responses, whole and streamed. Nothing is stored: the ids are the provider's,
-- and none can be asked for again.

local function responses_usage(usage)
  if not (usage.fresh and usage.output) then
    return "null"
  end
  local cached, written = usage.cached or 0, usage.written or 0
  local input = usage.fresh + cached + written
  return '{"input_tokens":'
    .. integer(input)
    .. ',"input_tokens_details":{"cached_tokens":'
    .. integer(cached)
    .. ',"cache_write_tokens":'
    .. integer(written)
    .. hour_writes(usage)
    .. '},"output_tokens":'
    .. integer(usage.output)
    .. ',"output_tokens_details":{"reasoning_tokens":'
    .. integer(usage.reasoning)
    .. '},"total_tokens":'
    .. integer(input + usage.output)
    .. "}"
end

local function item_id(part, number)
  local prefix = part.kind == "tool" and "fc_" or part.kind == "thinking" and "rs_" or "msg_"
  return prefix .. integer(number)
end

local function output_text(text)
  return '{"type":"output_text","text":' .. quoted(text) .. ',"annotations":[],"logprobs":[]}'
end

local function refusal_part(text)
  return '{"type":"refusal","refusal":' .. quoted(text) .. "}"
end

local function content_of(part, text)
  return part.kind == "refusal" and refusal_part(text) or output_text(text)
end

-- `status` is in_progress for an item that begins: it has no content yet.
local function output_item(part, number, status)
  local text = status == "in_progress" and "" or said(part)
  local head = '{"id":' .. quoted(item_id(part, number))
  if part.kind == "tool" then
    if status ~= "in_progress" and text == "" then
      text = "{}"
    end
    return head
      .. ',"type":"function_call","call_id":'
      .. quoted(part.id)
      .. ',"name":'
      .. quoted(part.name)
      .. ',"arguments":'
      .. quoted(text)
      .. ',"status":"'
      .. status
      .. '"}'
  elseif part.kind == "thinking" then
    local content = text ~= "" and '{"type":"reasoning_text","text":' .. quoted(text) .. "}" or ""
    return head .. ',"type":"reasoning","summary":[],"content":[' .. content .. '],"status":"' .. status .. '"}'
  end
  local content = status == "in_progress" and "" or content_of(part, text)
  return head .. ',"type":"message","role":"assistant","content":[' .. content .. '],"status":"' .. status .. '"}'
end

local function response_object(answer, status, output, details)
  return '{"id":'
    .. quoted(answer.id or "response")
    .. ',"object":"response","created_at":'
    .. integer(answer.created)
    .. ',"status":"'
    .. status
    .. '","model":'
    .. quoted(answer.model or "")
    .. ',"output":['
    .. output
    .. '],"error":'
    .. (details.error or "null")
    .. ',"incomplete_details":'
    .. (details.incomplete or "null")
    .. ',"usage":'
    .. (status == "in_progress" and "null" or responses_usage(answer.usage))
    .. ',"instructions":null,"metadata":{},"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto"'
    .. ',"tools":[],"top_p":null,"store":false}'
end

-- Parts that Responses show: redacted thinking is none.
local function shown_parts(answer)
  local parts = {}
  for _, part in ipairs(answer.parts) do
    if part.kind ~= "redacted" then
      parts[#parts + 1] = part
    end
  end
  return parts
end

local function finished_response(answer)
  local cut = answer.reason == "length" and "max_output_tokens" or answer.reason == "refusal" and "content_filter"
  local parts, items = shown_parts(answer), {}
  for number, part in ipairs(parts) do
    local status = cut and number == #parts and "incomplete" or "completed"
    items[number] = output_item(part, number, status)
  end
  local details = { incomplete = cut and '{"reason":"' .. cut .. '"}' or nil }
  return response_object(answer, cut and "incomplete" or "completed", concat(items, ","), details), cut
end

local function responses_whole(answer)
  answer.created = os.time()
  return (finished_response(answer))
end

local function responses_stream(emit, _)
  local to = collector()
  local answer = to.answer
  local sequence, number, begun, open = -1, 0, false, nil
  local function event(kind, fields)
    sequence = sequence + 1
    local head = '{"type":"' .. kind .. '","sequence_number":' .. integer(sequence)
    emit("event: " .. kind .. "\ndata: " .. head .. fields .. "}\n\n")
  end
  local function begin()
    if not begun then
      begun, answer.created = true, os.time()
      local response = ',"response":' .. response_object(answer, "in_progress", "", {})
      event("response.created", response)
      event("response.in_progress", response)
    end
  end
  local function place()
    return ',"item_id":' .. quoted(item_id(open, number)) .. ',"output_index":' .. integer(number - 1)
  end
  local function in_content()
    return place() .. ',"content_index":0'
  end
  local function close_content(text)
    if open.kind == "tool" then
      local arguments = quoted(text == "" and "{}" or text)
      event("response.function_call_arguments.done", place() .. ',"name":' .. quoted(open.name) .. ',"arguments":' .. arguments)
    elseif open.kind == "thinking" then
      event("response.reasoning_text.done", in_content() .. ',"text":' .. quoted(text))
    elseif open.kind == "refusal" then
      event("response.refusal.done", in_content() .. ',"refusal":' .. quoted(text))
    else
      event("response.output_text.done", in_content() .. ',"text":' .. quoted(text) .. ',"logprobs":[]')
    end
    if open.kind == "text" or open.kind == "refusal" then
      event("response.content_part.done", in_content() .. ',"part":' .. content_of(open, text))
    end
  end
  local function close(status)
    if open then
      close_content(said(open))
      open.closed = true
      local item = output_item(open, number, status or "completed")
      event("response.output_item.done", ',"output_index":' .. integer(number - 1) .. ',"item":' .. item)
      open = nil
    end
  end
  local function item(kind)
    if open and open.kind == kind then
      return
    end
    begin()
    close()
    number = number + 1
    open = part_of(answer, kind)
  end
  local function announce()
    local begins = output_item(open, number, "in_progress")
    event("response.output_item.added", ',"output_index":' .. integer(number - 1) .. ',"item":' .. begins)
    if open.kind == "text" or open.kind == "refusal" then
      event("response.content_part.added", in_content() .. ',"part":' .. content_of(open, ""))
    end
  end
  local function say(kind, name, text, more)
    if not open or open.kind ~= kind then
      item(kind)
      announce()
    end
    add(answer, kind, text)
    event(name, in_content() .. ',"delta":' .. quoted(text) .. (more or ""))
  end
  function to.text(text)
    say("text", "response.output_text.delta", text, ',"logprobs":[]')
  end
  function to.refusal(text)
    say("refusal", "response.refusal.delta", text)
  end
  function to.thinking(text)
    say("thinking", "response.reasoning_text.delta", text)
  end
  function to.signature()
    close()
  end
  function to.redacted() end
  function to.tool(id, name)
    close()
    item("tool")
    open.id, open.name = id, name
    announce()
  end
  function to.arguments(text)
    add(answer, "tool", text)
    event("response.function_call_arguments.delta", place() .. ',"delta":' .. quoted(text))
  end
  function to.tool_end()
    close()
  end
  function to.done()
    begin()
    local cut = answer.reason == "length" or answer.reason == "refusal"
    close(cut and "incomplete" or "completed")
    local response, incomplete = finished_response(answer)
    event(incomplete and "response.incomplete" or "response.completed", ',"response":' .. response)
    to.finished = true
  end
  -- as this API ends a stream that had begun; before, its clients know the plain error event, whose code is any
  function to.fail(failure)
    if begun then
      local code = failure.status == 429 and "rate_limit_exceeded" or "server_error"
      local error_object = '{"code":"' .. code .. '","message":' .. quoted(failure.message) .. "}"
      event("response.failed", ',"response":' .. response_object(answer, "failed", "", { error = error_object }))
    else
      local fields = ',"code":"' .. error_type(failure.status) .. '","message":' .. quoted(failure.message)
      event("error", fields .. ',"param":null')
    end
    to.finished, to.failure = true, failure
  end
  return to
end

local function responses_error(failure)
  return '{"error":' .. openai_error(failure) .. "}"
end

ENCODERS.responses = { whole = responses_whole, stream = responses_stream, error = responses_error }
