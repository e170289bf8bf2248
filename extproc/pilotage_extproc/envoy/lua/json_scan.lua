-- Finding members in JSON as its pieces pass, wherever they are cut. Nothing is held back.

local MAX_NAME_BYTES = 64
local MAX_CAPTURE_BYTES = 65536
local QUOTE, COLON, OPEN_BRACE, OPEN_BRACKET = 34, 58, 123, 91

local function new_scanner(found)
  return {
    -- called with parent ("" for the outermost object), name and value: text, or nil where an object begins
    found = found,
    depth = 0,
    parent = nil, -- name of the depth-2 object we are in
    name = nil, -- of the member whose value is next
    last_string = nil,
    in_string = false,
    escaped = false, -- the last piece ended in a backslash inside a string
    capture = nil, -- parts of a `usage` or `error` object
    capture_name = nil,
    capture_depth = 0,
    capture_bytes = 0,
  }
end

local function keep(scanner, piece, from, to)
  if scanner.capture and to >= from then
    scanner.capture_bytes = scanner.capture_bytes + to - from + 1
    if scanner.capture_bytes > MAX_CAPTURE_BYTES then
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
  local name = scanner.name
  if scanner.last_string and scanner.depth <= 2 and (name == "id" or (name == "type" and scanner.depth == 1)) then
    scanner.found(scanner.depth == 1 and "" or scanner.parent, name, scanner.last_string)
    scanner.name, scanner.last_string = nil, nil
  end
end

local function opened(scanner, kind)
  local name = scanner.name
  if kind == OPEN_BRACE and (name == "usage" or name == "error") and not scanner.capture and scanner.depth <= 2 then
    if scanner.depth == 1 or scanner.parent then
      scanner.capture, scanner.capture_depth, scanner.capture_bytes = {}, scanner.depth, 0
      scanner.capture_name = name
      scanner.found(scanner.depth == 1 and "" or scanner.parent, name, nil)
    end
  end
  scanner.depth = scanner.depth + 1
  if scanner.depth == 2 then
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
      opened(scanner, kind)
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
          scanner.found(parent, scanner.capture_name, table.concat(scanner.capture))
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

-- Where the text after a string begins, or nil where it does not end. `at` is behind its opening quote.
local function string_end(text, at)
  while true do
    local stop = text:find('["\\]', at)
    if stop == nil then
      return nil
    end
    if text:byte(stop) == QUOTE then
      return stop + 1
    end
    at = stop + 2
  end
end

-- Where the value of member `name` of a complete object begins, and where its key does; or nil.
local function member(text, name, at)
  local depth, key, key_end, from = 0, nil, nil, at or 1
  while true do
    local here = text:find('["{}%[%]:]', from)
    if here == nil then
      return nil
    end
    local kind = text:byte(here)
    from = here + 1
    if kind == QUOTE then
      from = string_end(text, from)
      if from == nil then
        return nil
      end
      key, key_end = here, from - 1
    elseif kind == COLON then
      if depth == 1 and key and key_end - key == #name + 1 and text:sub(key + 1, key_end - 1) == name then
        return text:match("^%s*()", from), key
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

-- Where the text after a value of a complete object begins, or nil.
local function value_end(text, at)
  local depth, from = 0, at
  local first = text:byte(at)
  if first ~= QUOTE and first ~= OPEN_BRACE and first ~= OPEN_BRACKET then
    return text:match("^[^,}%]%s]+()", at)
  end
  repeat
    local here = text:find('["{}%[%]]', from)
    if here == nil then
      return nil
    end
    local kind = text:byte(here)
    from = here + 1
    if kind == QUOTE then
      from = string_end(text, from)
      if from == nil then
        return nil
      end
    elseif kind == OPEN_BRACE or kind == OPEN_BRACKET then
      depth = depth + 1
    else
      depth = depth - 1
    end
  until depth <= 0
  return from
end
