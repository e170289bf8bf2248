-- Usage that the client did not ask for, taken out of a stream of chat or completion chunks.
--
-- An event is held until it is complete, which no client notices: it could do nothing with half of one. Its
-- `usage` member goes, every other byte stays; an event that had no choices, only usage, goes as a whole, but
-- where the client asked for that one.
-- Events that are too long to hold pass as they are.

local MAX_EVENT_BYTES = 65536

local function new_stripper(seen, keeps_last)
  return {
    seen = seen,
    keeps_last = keeps_last,
    events = new_events(seen),
    held = {},
    held_bytes = 0,
    tail = "", -- the last bytes held: an event's end may be cut
    passing = false, -- inside an event that is too long to hold
  }
end

-- The event without the member whose key is at `key` and value ends before `after`, and one comma.
local function without(event, key, after)
  local before = event:sub(1, key - 1)
  local comma = before:match("(),%s*$")
  if comma then
    return event:sub(1, comma - 1) .. event:sub(after)
  end
  return before .. event:sub(event:match("^%s*,%s*()", after) or after)
end

-- Where key, value and the text after the outermost `usage` are, or nil where there is none.
local function find_usage(event)
  local comma = event:find(',"usage":{', 1, true)
  if comma and event:sub(1, 6) == "data: " then
    -- Quotes inside strings are escaped, so this is a member. It has no brace inside, so its end is certain;
    -- and where only one more brace follows, that ends the outermost object.
    local after = event:match("^{[^{}]*}()", comma + 9)
    if after and event:find("^}[\r\n]*$", after) and not event:find("\n[^\r\n]", 7) then
      return comma + 1, comma + 9, after
    end
  end
  local data = event:match("^data:%s*(){") or event:match("\ndata:%s*(){")
  if not data or event:find("\ndata:", data, true) then
    return nil -- JSON over several lines: no engine sends it
  end
  local value, key = member(event, "usage", data)
  local after = value and value_end(event, value)
  if after then
    return key, value, after
  end
end

local function strip_event(state, event)
  if event:find('"error"', 1, true) then
    feed_events(state.events, event)
  end
  if not event:find('"usage"', 1, true) then
    return event
  end
  local key, value, after = find_usage(event)
  if not key then
    return event
  end
  if event:byte(value) == OPEN_BRACE then
    state.usage = event:sub(value, after - 1)
    if event:find('"choices":%s*%[%s*%]') then
      local choices = member(event, "choices", event:find("{", 1, true))
      if choices and event:find("^%[%s*%]", choices) then
        return state.keeps_last and event or ""
      end
    end
  elseif state.keeps_last then
    return event -- `null` is what a client that asks is sent before the last
  end
  return without(event, key, after)
end

local function take_held(state)
  local text = table.concat(state.held)
  state.held, state.held_bytes, state.tail = {}, 0, ""
  return text
end

-- What is to be sent for the next piece. An empty piece is the end: whatever is held goes as it is.
local function strip(state, text)
  local out, at = {}, 1
  if text == "" then
    state.passing = state.held_bytes > 0 or state.passing
    local unfinished = take_held(state)
    feed_events(state.events, unfinished) -- whoever looks at its end sees that it has none
    return unfinished
  end
  while at <= #text do
    local stop -- of the event, in `text`
    if state.tail ~= "" and at == 1 then
      local _, last = (state.tail .. text:sub(1, 2)):find("\n\r?\n")
      stop = last and last - #state.tail
    end
    if not stop then
      _, stop = text:find("\n\r?\n", at)
    end
    local piece = text:sub(at, stop or #text)
    at = at + #piece
    if state.passing then
      feed_events(state.events, piece)
      out[#out + 1] = piece
      state.passing = not stop
      state.tail = stop and "" or (state.tail .. piece):sub(-2)
    elseif stop then
      if state.held_bytes > 0 then
        piece = take_held(state) .. piece
      end
      out[#out + 1] = strip_event(state, piece)
    else
      state.held[#state.held + 1] = piece
      state.held_bytes = state.held_bytes + #piece
      state.tail = (state.tail .. piece):sub(-2)
      if state.held_bytes > MAX_EVENT_BYTES then
        local tail = state.tail
        piece = take_held(state)
        feed_events(state.events, piece)
        out[#out + 1] = piece
        state.passing, state.tail = true, tail
      end
    end
  end
  if state.usage then -- the last of a piece: each says how much there is so far
    take_usage(state.seen, "", state.usage)
    state.usage = nil
  end
  return table.concat(out)
end
