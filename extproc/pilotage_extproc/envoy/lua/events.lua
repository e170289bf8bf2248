-- Server-sent events: their lines put together from pieces, and the data of each read as it comes.

local function new_events(seen)
  local found = reader(seen, true)
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

-- `data` is nil until the first bytes of a line tell what it is.
local function feed_events(events, text)
  if
    events.fresh
    and events.line == ""
    and (text:sub(-2) == "\n\n" or text:sub(-4) == "\r\n\r\n")
    and not text:find('"usage"', 1, true)
    and not text:find('"error"', 1, true)
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
