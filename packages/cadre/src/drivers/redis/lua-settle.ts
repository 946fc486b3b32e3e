/** What the server does when owners say what became of their deliveries. */
import { defineScript, type Script } from "./script.ts";

/**
 * Arguments: in turns, what several deliveries have in common – group, token, what is to be done,
 * for how many milliseconds – and how many they are, then the reference of each. Answers 1 for each
 * that was its owner's, else 0.
 */
export const settleScript: Script = defineScript(`
local ms = now_ms()
local answers, woken = {}, {}

local simple = '^(%S+) %S+ (%S+) (%S+) (%S+)( ?)'

-- Most have no key and are held with all others of their claim: these go together.
local function ack_all(group, token, refs, lines)
  local gone, own, held, places = {}, {}, 0, {}
  for at, line in ipairs(lines) do
    local ref = refs[at]
    local state, of, place, domain, key
    if line then state, of, place, domain, key = string.match(line, simple) end
    local owned = of == token and (state == 'H' or state == 'L')
    answers[#answers + 1] = owned and 1 or 0
    if not owned then
      -- nothing is changed
    elseif key ~= '' then
      if state == 'H' then held = held + 1 end
      if drop(group, ref, parse(line), ms) then woken[group] = true end
    else
      gone[#gone + 1] = ref
      if state == 'H' then held = held + 1 else own[#own + 1] = ref end
      if domain ~= '-' then
        local list = places[domain] or {}
        places[domain] = list
        list[#list + 1] = place
      end
    end
  end
  if #gone > 0 then
    call('HDEL', part(group, 'd'), unpack(gone))
    if call('EXISTS', part(group, 'c')) == 1 then call('HDEL', part(group, 'c'), unpack(gone)) end
    if #own > 0 then call('ZREM', part(group, 'due'), unpack(own)) end
    for domain, list in pairs(places) do call('XACK', stream_of(domain), group, unpack(list)) end
  end
  if held > 0 then let_go(group, token, held) end
end

local function settle_one(group, token, kind, span, ref, line)
  local d = parse(line)
  local owned = d and is_leased(d) and d.token == token
  answers[#answers + 1] = owned and 1 or 0
  if not owned then return end
  if d.state == 'H' then let_go(group, token, 1) end
  if kind == 'extend' then
    d.state = 'L'
    keep_delivery(group, ref, d, ms + span)
    return
  end
  d.token = nil
  if kind == 'retry' then d.attempt = d.attempt + 1 end
  if kind == 'park' then d.state = 'P'
  elseif span > 0 then d.state = 'D'
  else d.state = 'R' end
  keep_delivery(group, ref, d, kind ~= 'park' and ms + span or nil)
  local skips = d.key and d.state ~= 'R' and (record_of(group) or {}).ordered == 'skip'
  local freed = skips and leave_lane(group, ref, d, ms)
  if kind ~= 'park' or freed then woken[group] = true end
end

-- All that a claim still holds has its time in one place.
local function extend_all(group, token, span, refs, lines)
  local held = tonumber(call('HGET', part(group, 'left'), token) or 0)
  for _, line in ipairs(lines) do
    local d = parse(line)
    if not d or d.state ~= 'H' or d.token ~= token then return false end
  end
  if held ~= #lines then return false end
  call('ZADD', part(group, 'held'), ms + span, token)
  for _ in ipairs(lines) do answers[#answers + 1] = 1 end
  return true
end

local at = 1
while at <= #ARGV do
  local group, token, kind = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local span, count = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local refs = {}
  for number = 1, count do refs[number] = ARGV[at + 4 + number] end
  at = at + 5 + count
  local lines = call('HMGET', part(group, 'd'), unpack(refs))
  if kind == 'ack' then ack_all(group, token, refs, lines)
  elseif kind ~= 'extend' or not extend_all(group, token, span, refs, lines) then
    for number, ref in ipairs(refs) do
      settle_one(group, token, kind, span, ref, lines[number])
    end
  end
end
for group in pairs(woken) do tell('g', group) end
return answers
`);
