-- Places that a provider names in an error, as the client counts them: where messages, blocks of them or tools stand
-- elsewhere in the body that the provider got. As `moved.py` tells it, and counts itself.

local PLACE = "(\\?)%f[%w_%.]([a-z]+)([%.%[]%[?)(%d+)(%]?)([%w_%.%[%]]*)" -- `messages.3.content.0`, `messages[3].content`
local BLOCK = "^(%.content)([%.%[]%[?)(%d+)(.*)$"
local MOVED_LISTS = { messages = true, input = true, tools = true }
local MOST_DIGITS = 9

local function counted(at, gone)
  for _, one in ipairs(gone) do
    if one > at then
      break
    end
    at = at + 1
  end
  return at
end

-- Thinking that went: whole messages, and blocks by the message they were in; nil of too many to tell.
local function read_thinking(places)
  if places == "*" then
    return nil
  end
  local messages, blocks = {}, {}
  for message, block in places:gmatch("(%d+)%.?(%d*)") do
    message = tonumber(message)
    if block == "" then
      messages[#messages + 1] = message
    else
      blocks[message] = blocks[message] or {}
      blocks[message][#blocks[message] + 1] = tonumber(block)
    end
  end
  return messages, blocks
end

-- One step back to the client's own place, each: of a list's name, its item's number and the rest of the place to
-- number and rest, or to nothing where the item is none of the client's.
local function without_thinking(places)
  local messages, blocks = read_thinking(places)
  return function(member, at, rest)
    if member ~= "messages" then
      return at, rest
    elseif not messages then
      return nil
    end
    at = counted(at, messages)
    local name, open, block, after = rest:match(BLOCK)
    if name and blocks[at] then
      rest = name .. open .. string.format("%d", counted(tonumber(block), blocks[at])) .. after
    end
    return at, rest
  end
end

local function without_items(list, before, places)
  local gone = {}
  for one in places:gmatch("%d+") do
    gone[#gone + 1] = tonumber(one)
  end
  return function(member, at, rest)
    if member ~= list then
      return at, rest
    end
    at = at - before
    if at < 0 or places == "*" then
      return nil
    end
    return counted(at, gone), rest
  end
end

local function read_moved(said)
  local steps = {}
  for one in said:gmatch("[^;]+") do
    local thinking = one:match("^ ?thinking (%S+)$")
    local list, before, gone = one:match("^ ?(%a+) ([01]) ?(%S*)$")
    if thinking then
      steps[#steps + 1] = without_thinking(thinking)
    elseif MOVED_LISTS[list] then
      steps[#steps + 1] = without_items(list, tonumber(before), gone)
    end
  end
  return steps
end

-- An error's JSON with all such places changed; other bytes are as they were.
local function with_own_places(text, said)
  local steps = read_moved(said)
  return (
    text:gsub(PLACE, function(escape, member, open, digits, close, rest)
      local before = escape
      if escape ~= "" then -- `\n` before the place
        before, member = escape .. sub(member, 1, 1), sub(member, 2)
      end
      if not MOVED_LISTS[member] or #digits > MOST_DIGITS then
        return nil
      end
      local at = tonumber(digits)
      for _, step in ipairs(steps) do
        at, rest = step(member, at, rest)
        if not at then
          return before .. member
        end
      end
      return before .. member .. open .. string.format("%d", at) .. close .. rest
    end)
  )
end
