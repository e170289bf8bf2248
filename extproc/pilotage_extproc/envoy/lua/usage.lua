-- What an answer says of itself: token usage, the id of a stored response, and errors inside a stream.
--
-- Only members of the outermost object, or of `response` (Responses) and `message` (Anthropic) in it, count:
-- text that a client or a model made up is inside strings or deeper, and cannot pass for usage.

-- A count of tokens. Anything else (null, text, fractions, the absurdly large) is unknown.
local function count(text, name, inside)
  if not text:find(name, 1, true) then
    return nil
  end
  if not inside and not text:find("{", 2, true) then -- without objects inside, a key is a member
    local digits = text:match('"' .. name .. '"%s*:%s*(%d+)[%s,}]')
    return digits and #digits <= 12 and tonumber(digits) or nil
  end
  local at = 1
  if inside then
    at = member(text, inside)
    if at == nil or text:byte(at) ~= OPEN_BRACE then
      return nil
    end
  end
  local value = member(text, name, at)
  local digits = value and text:match("^(%d+)[%s,}]", value)
  return digits and #digits <= 12 and tonumber(digits) or nil
end

-- Anthropic counts tokens that came from its cache, or went there, apart from the other input, and those of
-- summaries that it makes of a conversation (compaction) apart from the whole: by stream.
local inputs = setmetatable({}, { __mode = "k" })
local SUMMARY = "compaction"

local function apart_of(seen)
  local apart = inputs[seen]
  if apart == nil then
    apart = { read = 0, created = 0, summaries = { input = 0, output = 0, read = 0, created = 0, hour = 0 } }
    inputs[seen] = apart
  end
  return apart
end

-- What the summaries have used, of the usage that says it last.
local function summaries(seen, text)
  local apart = apart_of(seen)
  local at = text:find(SUMMARY, 1, true) and member(text, "iterations")
  if not at or text:byte(at) ~= OPEN_BRACKET then
    return apart.summaries
  end
  local sum = { input = 0, output = 0, read = 0, created = 0, hour = 0 }
  local from = text:match("^%s*()", at + 1)
  while text:byte(from) == OPEN_BRACE do
    local stop = value_end(text, from)
    if stop == nil then
      break
    end
    local entry = text:sub(from, stop - 1)
    local kind = member(entry, "type")
    if kind and entry:match('^"([%w_]+)"', kind) == SUMMARY then
      local read = count(entry, "cache_read_input_tokens") or 0
      local created = count(entry, "cache_creation_input_tokens") or 0
      sum.input = sum.input + (count(entry, "input_tokens") or 0) + read + created
      sum.output = sum.output + (count(entry, "output_tokens") or 0)
      sum.read, sum.created = sum.read + read, sum.created + created
      sum.hour = sum.hour + (count(entry, "ephemeral_1h_input_tokens", "cache_creation") or 0)
    end
    from = text:match("^[%s,]*()", stop)
  end
  apart.summaries = sum
  return sum
end

local function whole_input(seen, text)
  local apart = apart_of(seen)
  apart.input = count(text, "input_tokens") or apart.input
  apart.read = count(text, "cache_read_input_tokens") or apart.read
  apart.created = count(text, "cache_creation_input_tokens") or apart.created
  return apart.input and apart.input + apart.read + apart.created + apart.summaries.input
end

local function and_more(tokens, more)
  return tokens and tokens + more
end

local function take_usage(seen, parent, text)
  local made = summaries(seen, text)
  local input = count(text, "prompt_tokens") or whole_input(seen, text)
  if input == 0 and parent == "message" then -- a prompt has tokens: a server that does not know yet says 0
    input = nil
  end
  seen.input = input or seen.input
  if parent ~= "message" then -- where an Anthropic stream begins: its answer's length is not known yet
    seen.output = count(text, "completion_tokens") or and_more(count(text, "output_tokens"), made.output)
      or seen.output
  end
  seen.cached = count(text, "cached_tokens", "prompt_tokens_details")
    or count(text, "cached_tokens", "input_tokens_details")
    or and_more(count(text, "cache_read_input_tokens"), made.read)
    or seen.cached
  seen.cache_write = and_more(count(text, "cache_creation_input_tokens"), made.created)
    or count(text, "cache_write_tokens", "prompt_tokens_details")
    or count(text, "cache_write_tokens", "input_tokens_details")
    or seen.cache_write
  seen.reasoning = count(text, "reasoning_tokens", "completion_tokens_details")
    or count(text, "reasoning_tokens", "output_tokens_details")
    or seen.reasoning
  seen.cache_write_hour = and_more(count(text, "ephemeral_1h_input_tokens", "cache_creation"), made.hour)
    or count(text, "cache_write_hour_tokens", "prompt_tokens_details")
    or count(text, "cache_write_hour_tokens", "input_tokens_details")
    or seen.cache_write_hour
  if text:find("audio_tokens", 1, true) then
    seen.audio_input = count(text, "audio_tokens", "prompt_tokens_details")
      or count(text, "audio_tokens", "input_tokens_details")
      or count(text, "audio_tokens", "input_token_details") -- transcriptions
      or seen.audio_input
    seen.audio_output = count(text, "audio_tokens", "completion_tokens_details")
      or count(text, "audio_tokens", "output_tokens_details")
      or seen.audio_output
  end
end

-- The HTTP status that an error object stands for. Its message is never looked at.
local function error_status(text)
  for _, name in ipairs({ "code", "type" }) do
    local at = member(text, name)
    local digits = at and text:match('^"?(%d%d%d)"?[%s,}]', at)
    local status = digits and tonumber(digits) or STREAM_ERROR_STATUSES[at and text:match('^"([%w_]+)"', at)]
    if status and status >= 400 and status <= 599 then
      return status
    end
  end
  return 500
end

-- `seen` gets what is found. Whole answers have an HTTP status of their own: `errors` is for streams.
local function reader(seen, errors)
  return function(parent, name, text)
    if name == "id" then
      if parent ~= "message" and text:match("^resp_[%w_-]+$") then
        seen.id = text
      end
    elseif name == "usage" then
      if text then
        take_usage(seen, parent, text)
      end
    elseif not errors then
      return
    elseif name == "type" then
      if text == "error" or text == "response.failed" then
        seen.error = seen.error or 500
      end
    elseif text == nil then
      seen.error = seen.error or 500
    elseif seen.error == 500 then
      seen.error = error_status(text)
    end
  end
end
