-- Token usage and response ids out of streamed answers (server-sent events), as they pass.
--
-- Each value is written to dynamic metadata when it is seen, so a stream that is cut keeps what it had
-- said. Chunks without the words looked for cost one plain search; the others are read line by line, and
-- in the JSON of a line only members of the outermost objects count: text that a client or a model made
-- up is inside strings or deeper, and cannot pass for usage.

local NAMESPACE = "pilotage.usage"
local MAX_LINE_BYTES = 10 * 1024 * 1024 -- a Responses event may carry the whole answer
local QUOTE, OPEN_BRACE, OPEN_BRACKET = 34, 123, 91

local function string_end(text, at)
  local from = at + 1
  while true do
    local stop = text:find('["\\]', from)
    if stop == nil or text:byte(stop) == QUOTE then
      return stop
    end
    from = stop + 2
  end
end

-- Where the value of member `name` of the object that begins at `at` begins, or nil.
local function member(text, at, name)
  local depth, next_at = 0, at
  while true do
    local here = text:find('["{}%[%]]', next_at)
    if here == nil then
      return nil
    end
    local kind = text:byte(here)
    next_at = here + 1
    if kind == QUOTE then
      local stop = string_end(text, here)
      if stop == nil then
        return nil
      end
      next_at = stop + 1
      if depth == 1 and stop - here - 1 == #name and text:find(name, here + 1, true) == here + 1 then
        local value = text:match("^%s*:%s*()", next_at)
        if value ~= nil then
          return value
        end
      end
    elseif kind == OPEN_BRACE or kind == OPEN_BRACKET then
      depth = depth + 1
    else
      depth = depth - 1
      if depth == 0 then
        return nil
      end
    end
  end
end

-- The same for a member that is an object itself.
local function object(text, at, name)
  local value = at and member(text, at, name)
  if value and text:byte(value) == OPEN_BRACE then
    return value
  end
  return nil
end

-- A count of tokens. Anything else (null, text, fractions, the absurdly large) is unknown.
local function count(text, at, name)
  local value = at and member(text, at, name)
  local digits = value and text:match("^(%d+)[%s,}]", value)
  if digits and #digits <= 12 then
    return tonumber(digits)
  end
  return nil
end

local function read_usage(seen, text, usage, with_output)
  seen.input = count(text, usage, "prompt_tokens") or count(text, usage, "input_tokens") or seen.input
  if with_output then
    seen.output = count(text, usage, "completion_tokens") or count(text, usage, "output_tokens") or seen.output
  end
  seen.cached = count(text, object(text, usage, "prompt_tokens_details"), "cached_tokens")
    or count(text, object(text, usage, "input_tokens_details"), "cached_tokens")
    or count(text, usage, "cache_read_input_tokens")
    or seen.cached
end

local function read_event(seen, text, start)
  local usage = object(text, start, "usage")
  if usage then -- chat, completions; the end of Anthropic messages
    read_usage(seen, text, usage, true)
  end
  local response = object(text, start, "response")
  if response then
    read_usage(seen, text, object(text, response, "usage"), true)
    local id = member(text, response, "id")
    seen.id = id and text:match('^"(resp_[%w_-]+)"', id) or seen.id
  end
  local message = object(text, start, "message")
  if message then -- the start of Anthropic messages: its count of output is not the answer's yet
    read_usage(seen, text, object(text, message, "usage"), false)
  end
end

local function read_lines(seen, text)
  for line in text:gmatch("[^\r\n]+") do
    if line:find('"usage"', 1, true) or (seen.id == nil and line:find('"resp_', 1, true)) then
      local start = line:match("^data:%s*(){")
      if start then
        read_event(seen, line, start)
      end
    end
  end
end

local function publish(handle, published, seen)
  for key, value in pairs(seen) do
    if published[key] ~= value then
      published[key] = value
      handle:streamInfo():dynamicMetadata():set(NAMESPACE, key, value)
    end
  end
end

function envoy_on_response(handle)
  local content_type = handle:headers():get("content-type")
  if content_type == nil or content_type:sub(1, 17):lower() ~= "text/event-stream" then
    return
  end
  local seen, published = {}, {}
  local parts, held, skipping = {}, 0, false -- the line that is not complete yet
  for chunk in handle:bodyChunks() do
    local text = chunk:getBytes(0, chunk:length())
    local line_end = text:match(".*()\n")
    if line_end == nil then
      held = held + #text
      if held > MAX_LINE_BYTES then
        parts, skipping = {}, true
      elseif not skipping then
        parts[#parts + 1] = text
      end
    else
      local whole
      if skipping then
        whole = text:sub(text:find("\n", 1, true), line_end)
      else
        parts[#parts + 1] = text:sub(1, line_end)
        whole = table.concat(parts)
      end
      read_lines(seen, whole)
      publish(handle, published, seen)
      local rest = text:sub(line_end + 1)
      parts, held, skipping = { rest }, #rest, false
    end
  end
  read_lines(seen, table.concat(parts)) -- the last event may lack its newline
  publish(handle, published, seen)
end
