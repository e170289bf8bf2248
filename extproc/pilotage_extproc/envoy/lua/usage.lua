-- Token usage and response ids out of answers, whole or streamed, as they pass through Envoy.
--
-- Nothing is held back: JSON is read piece by piece, wherever its pieces are cut, and each value goes to
-- dynamic metadata when it is complete, so a stream that is cut keeps what it had said. Only `usage` and
-- `id` of the outermost object, or of `response` (Responses) and `message` (Anthropic) in it, count: text
-- that a client or a model made up is inside strings or deeper, and cannot pass for usage.

local NAMESPACE = "pilotage.usage"
local MAX_NAME_BYTES = 64
local MAX_USAGE_BYTES = 65536
local QUOTE, COLON, OPEN_BRACE, OPEN_BRACKET = 34, 58, 123, 91

-- Scanning ---------------------------------------------------------------------------------------------

local function new_scanner(found)
  return {
    found = found, -- called with parent ("" for the outermost object), name and value text
    depth = 0,
    parent = nil, -- name of the depth-2 object we are in
    name = nil, -- of the member whose value is next
    last_string = nil,
    in_string = false,
    escaped = false, -- the last piece ended in a backslash inside a string
    capture = nil, -- parts of a `usage` object
    capture_depth = 0,
    capture_bytes = 0,
  }
end

local function keep(scanner, piece, from, to)
  if scanner.capture and to >= from then
    scanner.capture_bytes = scanner.capture_bytes + to - from + 1
    if scanner.capture_bytes > MAX_USAGE_BYTES then
      scanner.capture = nil
    else
      table.insert(scanner.capture, piece:sub(from, to))
    end
  end
end

local function keep_name(scanner, piece, from, to)
  if scanner.last_string and #scanner.last_string < MAX_NAME_BYTES then
    scanner.last_string = scanner.last_string .. piece:sub(from, math.min(to, from + MAX_NAME_BYTES))
  end
end

-- The rest of a string from `at`: where the text after it begins, or nil where the piece ends before.
local function finish_string(scanner, piece, at)
  local from = at
  if scanner.escaped then
    scanner.escaped, from = false, at + 1
  end
  while true do
    local stop = piece:find('["\\]', from)
    if stop == nil then
      keep_name(scanner, piece, at, #piece)
      return nil
    end
    if piece:byte(stop) == QUOTE then
      scanner.in_string = false
      keep_name(scanner, piece, at, stop - 1)
      return stop + 1
    end
    if stop == #piece then
      scanner.escaped = true
      return nil
    end
    from = stop + 2
  end
end

local function string_ended(scanner)
  if scanner.name == "id" and scanner.depth <= 2 and scanner.last_string then
    scanner.found(scanner.depth == 1 and "" or scanner.parent, "id", scanner.last_string)
    scanner.name, scanner.last_string = nil, nil
  end
end

local function opened(scanner, kind, at)
  if kind == OPEN_BRACE and scanner.name == "usage" and not scanner.capture and scanner.depth <= 2 then
    if scanner.depth == 1 or scanner.parent then
      scanner.capture, scanner.capture_depth, scanner.capture_bytes = {}, scanner.depth, 0
      scanner.capture_from = at
    end
  end
  scanner.depth = scanner.depth + 1
  if scanner.depth == 2 then
    local name = scanner.name
    scanner.parent = kind == OPEN_BRACE and (name == "response" or name == "message") and name or nil
  end
  scanner.name, scanner.last_string = nil, nil
end

local function scan(scanner, piece)
  local at, kept = 1, 1
  if scanner.in_string then
    at = finish_string(scanner, piece, at)
    if at then
      string_ended(scanner)
    end
  end
  while at do
    local here = piece:find('["{}%[%]:]', at)
    if here == nil then
      break
    end
    local kind = piece:byte(here)
    at = here + 1
    if kind == QUOTE then
      scanner.in_string = true
      -- only names and ids are of interest, and only near the top
      scanner.last_string = scanner.depth <= 2 and not scanner.capture and "" or nil
      at = finish_string(scanner, piece, at)
      if at then
        string_ended(scanner)
      end
    elseif kind == COLON then
      scanner.name, scanner.last_string = scanner.last_string, nil
    elseif kind == OPEN_BRACE or kind == OPEN_BRACKET then
      local capturing = scanner.capture
      opened(scanner, kind, here)
      if scanner.capture and not capturing then
        kept = here
      end
    else
      scanner.depth = scanner.depth - 1
      scanner.name, scanner.last_string = nil, nil
      if scanner.capture and scanner.depth == scanner.capture_depth then
        keep(scanner, piece, kept, here)
        if scanner.capture then
          local parent = scanner.depth == 1 and "" or scanner.parent
          scanner.found(parent, "usage", table.concat(scanner.capture))
        end
        scanner.capture = nil
      end
      if scanner.depth <= 1 then
        scanner.parent = nil
      end
    end
  end
  keep(scanner, piece, kept, #piece)
end

-- Meaning ----------------------------------------------------------------------------------------------

-- Where the value of member `name` of an object in full begins, or nil. The object is small and complete.
local function member(text, name, at)
  local depth, last_start, last_stop, from = 0, nil, nil, at or 1
  while true do
    local here = text:find('["{}%[%]:]', from)
    if here == nil then
      return nil
    end
    local kind = text:byte(here)
    from = here + 1
    if kind == QUOTE then
      local stop = here
      repeat
        stop = text:find('["\\]', stop + 1)
        local escape = stop and text:byte(stop) ~= QUOTE
        if escape then
          stop = stop + 1
        end
      until stop == nil or not escape
      if stop == nil then
        return nil
      end
      last_start, last_stop, from = here + 1, stop - 1, stop + 1
    elseif kind == COLON then
      if depth == 1 and text:sub(last_start, last_stop) == name then
        return text:match("^%s*()", from)
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

-- A count of tokens. Anything else (null, text, fractions, the absurdly large) is unknown.
local function count(text, name, inside)
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

local function reader(seen)
  -- Anthropic counts tokens that came from its cache, or went there, apart from the other input
  local apart = { read = 0, created = 0 }
  return function(parent, name, text)
    if name == "id" then
      if parent ~= "message" and text:match("^resp_[%w_-]+$") then
        seen.id = text
      end
      return
    end
    apart.input = count(text, "input_tokens") or apart.input
    apart.read = count(text, "cache_read_input_tokens") or apart.read
    apart.created = count(text, "cache_creation_input_tokens") or apart.created
    seen.input = count(text, "prompt_tokens")
      or (apart.input and apart.input + apart.read + apart.created)
      or seen.input
    if parent ~= "message" then -- where an Anthropic stream begins: its answer's length is not known yet
      seen.output = count(text, "completion_tokens") or count(text, "output_tokens") or seen.output
    end
    seen.cached = count(text, "cached_tokens", "prompt_tokens_details")
      or count(text, "cached_tokens", "input_tokens_details")
      or count(text, "cache_read_input_tokens")
      or seen.cached
  end
end

-- Framing ----------------------------------------------------------------------------------------------

local function new_events(seen)
  local found = reader(seen)
  return { found = found, seen = seen, scanner = new_scanner(found), line = "", data = nil, fresh = true }
end

local function line_ended(events)
  if events.data == nil and (events.line == "" or events.line == "\r") then -- an empty line ends an event
    events.scanner = new_scanner(events.found)
    events.fresh = true
  else
    events.fresh = false
  end
  events.line, events.data = "", nil
end

-- Lines of server-sent events: `data` is nil until the first bytes of a line tell what it is.
local function feed_events(events, text)
  if
    events.fresh
    and events.line == ""
    and (text:sub(-2) == "\n\n" or text:sub(-4) == "\r\n\r\n")
    and not text:find('"usage"', 1, true)
    and (events.seen.id or not text:find('"resp_', 1, true))
  then
    return -- whole events without a word of interest: by far the most
  end
  local at = 1
  while at <= #text do
    local line_end = text:find("\n", at, true)
    local stop = (line_end or #text + 1) - 1
    if events.data == nil then
      local taken = math.min(stop, at + 4 - #events.line)
      events.line = events.line .. text:sub(at, taken)
      at = taken + 1
      if #events.line == 5 then
        events.data = events.line == "data:"
      end
    end
    if events.data and stop >= at then
      scan(events.scanner, text:sub(at, stop))
    end
    if line_end then
      line_ended(events)
    end
    at = stop + 2
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
  local content_type = (handle:headers():get("content-type") or ""):lower()
  local seen, published = {}, {}
  local feed, state
  if content_type:sub(1, 17) == "text/event-stream" then
    feed, state = feed_events, new_events(seen)
  elseif content_type:sub(1, 16) == "application/json" then
    feed, state = scan, new_scanner(reader(seen))
  else
    return
  end
  for chunk in handle:bodyChunks() do
    feed(state, chunk:getBytes(0, chunk:length()))
    publish(handle, published, seen)
  end
end
