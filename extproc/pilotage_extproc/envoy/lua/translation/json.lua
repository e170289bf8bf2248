-- JSON of answers: read whole, written piece by piece. Errors are raised; the caller has a pcall around them.

local find, sub, byte, char, concat = string.find, string.sub, string.byte, string.char, table.concat

local MAX_DEPTH = 64
local MAX_VALUES = 500000 -- of one text: a list of 32 MiB of them would take seconds, and a gigabyte
local QUOTE, BACKSLASH, COMMA, COLON, CLOSE_BRACKET, CLOSE_BRACE = 34, 92, 44, 58, 93, 125
local OPEN_BRACKET, OPEN_BRACE = 91, 123
local null = {} -- stands for JSON's, which is no absence in a list
local ARRAY = {} -- metatable of lists
local INPUT_TEXT = {} -- key of an object: how its member `input` or `arguments`, of a call, was written

local UNESCAPED =
  { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function utf8(point)
  if point < 0x80 then
    return char(point)
  elseif point < 0x800 then
    return char(0xC0 + math.floor(point / 64), 0x80 + point % 64)
  elseif point < 0x10000 then
    return char(0xE0 + math.floor(point / 4096), 0x80 + math.floor(point / 64) % 64, 0x80 + point % 64)
  end
  return char(
    0xF0 + math.floor(point / 262144),
    0x80 + math.floor(point / 4096) % 64,
    0x80 + math.floor(point / 64) % 64,
    0x80 + point % 64
  )
end

local function hex(text, at)
  local digits = sub(text, at, at + 3)
  return find(digits, "^%x%x%x%x$") and tonumber(digits, 16) or error("escape", 0)
end

-- The character of `\uXXXX` at `at`, and where the text after it begins. Half a pair is U+FFFD.
local function escaped_character(text, at)
  local point = hex(text, at)
  if point < 0xD800 or point > 0xDFFF then
    return utf8(point), at + 4
  end
  if point < 0xDC00 and sub(text, at + 4, at + 5) == "\\u" then
    local low = hex(text, at + 6)
    if low >= 0xDC00 and low <= 0xDFFF then
      return utf8(0x10000 + (point - 0xD800) * 1024 + low - 0xDC00), at + 10
    end
  end
  return "\239\191\189", at + 4
end

-- Text between quotes and escapes.
local function plain(text)
  return find(text, "[%z\1-\31]") and error("control character", 0) or text
end

-- `at` is behind the opening quote.
local function read_string(text, at)
  local stop = find(text, '["\\]', at)
  if stop and byte(text, stop) == QUOTE then
    return plain(sub(text, at, stop - 1)), stop + 1
  end
  local parts = {}
  while stop do
    parts[#parts + 1] = plain(sub(text, at, stop - 1))
    if byte(text, stop) == QUOTE then
      return concat(parts), stop + 1
    end
    local letter = sub(text, stop + 1, stop + 1)
    if letter == "u" then
      parts[#parts + 1], at = escaped_character(text, stop + 2)
    else
      parts[#parts + 1], at = UNESCAPED[letter] or error("escape", 0), stop + 2
    end
    stop = find(text, '["\\]', at)
  end
  error("string", 0)
end

local WORDS = { ["true"] = true, ["false"] = false, null = null }

local function is_number(word)
  local digits, rest = word:match("^%-?(%d+)(.*)$")
  if not digits or find(digits, "^0%d") then
    return false
  end
  rest = rest:gsub("^%.%d+", "", 1)
  return rest == "" or find(rest, "^[eE][+-]?%d+$") ~= nil
end

local function read_word(text, at)
  local word, after = text:match("^([%w.+-]+)()", at)
  local value = word and WORDS[word]
  if value == nil then
    value = word and is_number(word) and tonumber(word) or error("value", 0)
  end
  return value, after
end

local read_value
local values_left = 0

local function read_object(text, at, depth)
  local object = {}
  at = find(text, "%S", at)
  if byte(text, at) == CLOSE_BRACE then
    return object, at + 1
  end
  while true do
    if byte(text, at) ~= QUOTE then
      error("key", 0)
    end
    local key
    key, at = read_string(text, at + 1)
    at = find(text, "%S", at)
    if byte(text, at) ~= COLON then
      error("colon", 0)
    end
    local from = find(text, "%S", at + 1)
    object[key], at = read_value(text, from, depth + 1)
    if key == "input" or key == "arguments" then
      object[INPUT_TEXT] = sub(text, from, at - 1)
    end
    at = find(text, "%S", at)
    local mark = byte(text, at)
    if mark == CLOSE_BRACE then
      return object, at + 1
    elseif mark ~= COMMA then
      error("object", 0)
    end
    at = find(text, "%S", at + 1)
  end
end

local function read_list(text, at, depth)
  local list, count = setmetatable({}, ARRAY), 0
  at = find(text, "%S", at)
  if byte(text, at) == CLOSE_BRACKET then
    return list, at + 1
  end
  while true do
    count = count + 1
    list[count], at = read_value(text, at, depth + 1)
    at = find(text, "%S", at)
    local mark = byte(text, at)
    if mark == CLOSE_BRACKET then
      return list, at + 1
    elseif mark ~= COMMA then
      error("list", 0)
    end
    at = at + 1
  end
end

function read_value(text, at, depth)
  values_left = values_left - 1
  if depth > MAX_DEPTH or values_left < 0 then
    error("depth or size", 0)
  end
  at = at and find(text, "%S", at) or error("end", 0)
  local mark = byte(text, at)
  if mark == QUOTE then
    return read_string(text, at + 1)
  elseif mark == OPEN_BRACE then
    return read_object(text, at + 1, depth)
  elseif mark == OPEN_BRACKET then
    return read_list(text, at + 1, depth)
  end
  return read_word(text, at)
end

local function decode(text)
  values_left = MAX_VALUES
  local value, after = read_value(text, 1, 1)
  if find(text, "%S", after) then
    error("more", 0)
  end
  return value
end

-- Members by what they must be; anything else is nil.
local function object_of(value)
  return type(value) == "table" and value ~= null and getmetatable(value) ~= ARRAY and value or nil
end

-- The object of a text, or nil.
local function decoded_object(text)
  local done, value = pcall(decode, text)
  return done and object_of(value) or nil
end

local function list_of(value)
  return getmetatable(value) == ARRAY and value or {}
end

local function text_of(value)
  return type(value) == "string" and value ~= "" and value or nil
end

local function count_of(value)
  return type(value) == "number" and value >= 0 and value < 1e12 and value == math.floor(value) and value or nil
end

local ESCAPES =
  { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local function escape(letter)
  return ESCAPES[letter] or string.format("\\u%04x", byte(letter))
end

local function quoted(text)
  if find(text, '[%c"\\]') then
    text = text:gsub('[%c"\\]', escape)
  end
  return '"' .. text .. '"'
end

local function quoted_or_null(text)
  return text and quoted(text) or "null"
end

local function integer(value)
  return string.format("%.0f", value or 0)
end
