-- A stream of a hard budget that goes on past what the budget holds is ended here, as its API ends an answer
-- that has reached its limit. Servers are asked for no more in the request: this is for those that do not mind.
--
-- What comes behind the end is still read, for what it says was used, and goes nowhere.

local MAX_KEPT_EVENT = 65536

-- `said` is the pick's: kind of call, choices and tokens of all of them together.
local function new_allowance(said)
  local kind, choices, tokens = said:match("^(%l+) (%d+) (%d+)$")
  return kind
    and {
      kind = kind,
      choices = math.min(tonumber(choices), 128),
      tokens = tonumber(tokens),
      counter = new_output_counter(),
      event = "",
      tail = "",
      known = {},
    }
end

-- What the end has to repeat: only the first of these in each event, which is the API's own member.
local function learn_from(guard)
  local event, known = guard.event, guard.known
  known.id = known.id or event:match('"id":%s?"([%w_-]+)"')
  known.model = known.model or event:match('"model":%s?"([%w_./:-]+)"')
  known.created = known.created or event:match('"created_?a?t?":%s?(%d+)')
  if guard.kind == "messages" then
    local index = event:match('"index":%s?(%d+)')
    if event:find("content_block_start", 1, true) then
      known.open = index
    elseif event:find("event: content_block_stop", 1, true) then
      known.open = nil
    end
  elseif guard.kind == "responses" then
    known.sequence = tonumber(event:match('"sequence_number":%s?(%d+)')) or known.sequence
  end
  guard.event, guard.tail = "", ""
end

local function choices_ended(guard, inner)
  local ended = {}
  for index = 0, guard.choices - 1 do
    ended[#ended + 1] = string.format('{"index":%d,%s,"logprobs":null,"finish_reason":"length"}', index, inner)
  end
  return table.concat(ended, ",")
end

local function ending(guard)
  local known = guard.known
  local id, model, created = known.id or "", known.model or "", known.created or "0"
  if guard.kind == "messages" then
    local stop = known.open
        and 'event: content_block_stop\ndata: {"type":"content_block_stop","index":' .. known.open .. "}\n\n"
      or ""
    return stop
      .. 'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens",'
      .. string.format('"stop_sequence":null},"usage":{"output_tokens":%d}}\n\n', guard.counter.count)
      .. 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
  elseif guard.kind == "responses" then
    return string.format(
      'event: response.incomplete\ndata: {"type":"response.incomplete","sequence_number":%d,"response":{"id":"%s",'
        .. '"object":"response","created_at":%s,"model":"%s","status":"incomplete","error":null,"output":[],'
        .. '"incomplete_details":{"reason":"max_output_tokens"},"parallel_tool_calls":true,"tool_choice":"auto",'
        .. '"tools":[]}}\n\n',
      (known.sequence or 0) + 1,
      id,
      created,
      model
    )
  end
  local object, inner = "chat.completion.chunk", '"delta":{}'
  if guard.kind == "completions" then
    object, inner = "text_completion", '"text":""'
  end
  return string.format(
    'data: {"id":"%s","object":"%s","created":%s,"model":"%s","choices":[%s]}\n\ndata: [DONE]\n\n',
    id,
    object,
    created,
    model,
    choices_ended(guard, inner)
  )
end

-- What of the next piece goes on. An event that has begun to go on goes on whole.
local function allowed(guard, text)
  if guard.ended then
    return ""
  end
  local at = 1
  while at <= #text do
    local stop
    if at == 1 and guard.tail ~= "" then
      local _, last = (guard.tail .. text:sub(1, 2)):find("\n\r?\n")
      stop = last and last > #guard.tail and last - #guard.tail or nil
    end
    if not stop then
      _, stop = text:find("\n\r?\n", at)
    end
    local piece = text:sub(at, stop or #text)
    at = at + #piece
    count_output(guard.counter, piece)
    guard.event = (guard.event .. piece):sub(-MAX_KEPT_EVENT)
    guard.tail = guard.event:sub(-2)
    if stop then
      learn_from(guard)
      if guard.counter.count > guard.tokens then
        guard.ended = true
        return text:sub(1, stop) .. ending(guard)
      end
    end
  end
  return text
end
