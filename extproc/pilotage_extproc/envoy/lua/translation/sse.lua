-- Server-sent events put together from pieces cut anywhere. `data:` with or without a space, lines of LF or
-- CRLF, data over several lines. An event is held until it is complete, up to MAX_EVENT_BYTES.

local MAX_EVENT_BYTES = 4194304

local function new_sse(on_data, on_comment)
  return { on_data = on_data, on_comment = on_comment, pieces = {}, data = {}, bytes = 0, first = true }
end

local function dispatch(sse)
  if #sse.data > 0 then
    local data = concat(sse.data, "\n")
    sse.data = {}
    sse.on_data(data)
  end
  sse.bytes = 0
end

local function take_line(sse, line)
  if byte(line, -1) == 13 then
    line = sub(line, 1, -2)
  end
  if sse.first then
    sse.first = false
    line = line:gsub("^\239\187\191", "")
  end
  if line == "" then
    dispatch(sse)
  elseif sub(line, 1, 5) == "data:" then
    sse.data[#sse.data + 1] = sub(line, byte(line, 6) == 32 and 7 or 6)
  elseif byte(line, 1) == COLON then
    sse.on_comment()
  end
end

local function feed_sse(sse, text)
  local at = 1
  while true do
    local stop = find(text, "\n", at, true)
    sse.bytes = sse.bytes + (stop or #text) - at + 1
    if sse.bytes > MAX_EVENT_BYTES then
      error("an event is too long", 0)
    end
    if not stop then
      sse.pieces[#sse.pieces + 1] = sub(text, at)
      return
    end
    local line = sub(text, at, stop - 1)
    if #sse.pieces > 0 then
      sse.pieces[#sse.pieces + 1] = line
      line = concat(sse.pieces)
      sse.pieces = {}
    end
    if #sse.data == 0 and line ~= "" and sub(line, 1, 5) ~= "data:" then
      sse.bytes = 0
    end
    take_line(sse, line)
    at = stop + 1
  end
end

-- An event that its server did not end with an empty line counts too.
local function end_sse(sse)
  if #sse.pieces > 0 then
    local line = concat(sse.pieces)
    sse.pieces = {}
    take_line(sse, line)
  end
  dispatch(sse)
end
