-- Places that a provider names in an error, as the client counts them: where messages, parts of them or tools stand
-- elsewhere in the body that the provider got. As `moved.py` tells it, and counts itself.

local PLACE = "%f[%w_%.%$]([%l_%.%$]*[%l_])([%.%[]%[?)(%d+)(%]?)([%w_%.%[%]]*)" -- `messages.3.content.0`, `messages[3].content`
local BLOCK = "^(%.content)([%.%[]%[?)(%d+)(.*)$"
local ROOTS = { [""] = true, ["."] = true, ["$."] = true, ["$.body."] = true, ["body."] = true, ["request."] = true }
local MOST_BEFORE = 32 -- bytes of a place before its number
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

-- Of the rest of a place in a message the part's number, and what stands around it; nothing where it names none.
local function block_of(rest)
  local name, open, block, after = rest:match(BLOCK)
  if name and #block <= MOST_DIGITS then
    return name, open, tonumber(block), after
  end
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
    local name, open, block, after = block_of(rest)
    if name and blocks[at] then
      rest = name .. open .. string.format("%d", counted(block, blocks[at])) .. after
    end
    return at, rest
  end
end

local function without_parts(message, before)
  return function(member, at, rest)
    local name, open, block, after = block_of(rest)
    if member ~= "messages" or at ~= message or not name then
      return at, rest
    elseif block < before then
      return at, name
    end
    return at, name .. open .. string.format("%d", block - before) .. after
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
    local message, parts = one:match("^ ?content (%d+) ([12])$")
    local list, before, gone = one:match("^ ?([%l_]+) ([012]) ?(%S*)$")
    if thinking then
      steps[#steps + 1] = without_thinking(thinking)
    elseif message then
      steps[#steps + 1] = without_parts(tonumber(message), tonumber(parts))
    elseif MOVED_LISTS[list] then
      steps[#steps + 1] = without_items(list, tonumber(before), gone)
    end
  end
  return steps
end

-- A function for `gsub` with PLACE: the same place as the client counts it; nil leaves it.
local function own_place(steps)
  return function(path, open, digits, close, rest)
    if #path > MOST_BEFORE or #digits > MOST_DIGITS then
      return nil
    end
    local root, member = path:match("^([%l_%.%$]*%.)([%l_]+)$")
    if not root then
      root, member = "", path
    end
    if not (ROOTS[root] and MOVED_LISTS[member]) then
      return nil
    end
    local at = tonumber(digits)
    for _, step in ipairs(steps) do
      at, rest = step(member, at, rest)
      if not at then
        return path
      end
    end
    return path .. open .. string.format("%d", at) .. close .. rest
  end
end

-- An error's JSON with all such places changed; other bytes are as they were. What stands between escapes (`\n`,
-- `\u0027`) is read on its own: a letter of an escape is none of a name before or behind it.
local function with_own_places(text, said)
  local place, out, at = own_place(read_moved(said)), {}, 1
  while true do
    local escape = text:find("\\", at, true)
    out[#out + 1] = sub(text, at, (escape or 0) - 1):gsub(PLACE, place)
    if not escape then
      return table.concat(out)
    end
    at = escape + (text:find("^u%x%x%x%x", escape + 1) and 6 or 2)
    out[#out + 1] = sub(text, escape, at - 1)
  end
end
