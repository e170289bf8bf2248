-- Pieces of output in a stream: its usage comes last, and a stream that is cut has none.
--
-- Engines send an event for each token, also where its text is empty: a part of a character, or a special one.
-- What the model wrote stands in one of these members as a string; inside such a string quotes are escaped, so it
-- cannot pass for one. Where a message or block begins its member is empty, and stands for no token.

local OUTPUT_MEMBERS = {
  { '"content":%s?"', 1 },
  { '"role":%s?"assistant",%s?"content":%s?""', -1 },
  { '"reasoning_content":%s?"', 1 },
  { '"reasoning":%s?"', 1 },
  { '"arguments":%s?"[^"]', 1 },
  { '"text":%s?"', 1 }, -- completions, and Anthropic's text
  { '"type":%s?"text",%s?"text":%s?""', -1 },
  { '"thinking":%s?"[^"]', 1 },
  { '"partial_json":%s?"[^"]', 1 },
  { '"delta":%s?"', 1 }, -- Responses
}
local LONGEST_MEMBER = 48

local function new_output_counter()
  return { count = 0, tail = "" }
end

-- Count in the next piece, wherever it was cut. A whole text that comes once more behind its pieces (Responses'
-- `done` events) counts once for each time.
local function count_output(counter, text)
  local joined = counter.tail .. text
  local seen = #counter.tail
  for _, member in ipairs(OUTPUT_MEMBERS) do
    local pattern, counts = member[1], member[2]
    local at = 1
    while true do
      local first, last = joined:find(pattern, at)
      if first == nil then
        break
      end
      if last > seen then
        counter.count = counter.count + counts
      end
      at = last + 1
    end
  end
  counter.tail = joined:sub(-LONGEST_MEMBER)
end
